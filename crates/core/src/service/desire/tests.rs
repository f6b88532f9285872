mod options;

use super::{
    super::{
        abilities::{ApiVersion, Provider},
        facts::{AddressType, Endpoint, Slice, SlicePort, Subnet},
        graph::{Member, MemberKey, Members},
        spec::Port,
    },
    *,
};
use proptest::prelude::*;

fn identity() -> Identity {
    Identity { name: "default/web".into(), mark: "kuryr:lab:1".into() }
}

fn settings() -> Settings {
    let subnet = |id: &str, cidr: &str| Subnet { id: id.to_owned(), cidr: cidr.parse().unwrap() };
    Settings {
        service_subnets: vec![subnet("services", "10.96.0.0/16"), subnet("services6", "fd96::/108")],
        member_subnets: vec![
            subnet("pods", "10.1.0.0/16"),
            subnet("pods6", "fd01::/64"),
            subnet("small", "10.1.9.0/24"),
        ],
        inside: vec!["10.1.0.0/16".parse().unwrap()],
        ..Settings::default()
    }
}

fn vip(address: &str, subnet: &str) -> Vip {
    Vip { address: address.parse().unwrap(), subnet_id: subnet.into() }
}

fn port(name: &str, protocol: Protocol, port: u16) -> Port {
    Port { name: name.into(), protocol, port }
}

fn spec() -> LoadBalancerSpec {
    LoadBalancerSpec {
        vips: vec![vip("10.96.0.10", "services")],
        ports: vec![port("http", Protocol::Tcp, 80)],
        ..LoadBalancerSpec::default()
    }
}

fn dual() -> LoadBalancerSpec {
    LoadBalancerSpec { vips: vec![vip("10.96.0.10", "services"), vip("fd96::10", "services6")], ..spec() }
}

fn ovn() -> Abilities {
    Abilities::new(Provider::Ovn, ApiVersion::v2(30))
}

fn amphora() -> Abilities {
    Abilities::new(Provider::Amphora, ApiVersion::v2(30))
}

fn endpoint(address: &str) -> Endpoint {
    Endpoint { addresses: vec![address.into()], ..Endpoint::default() }
}

/// Not ready, and about to end.
fn ending(address: &str, serving: bool) -> Endpoint {
    Endpoint { ready: Some(false), serving: Some(serving), terminating: Some(true), ..endpoint(address) }
}

fn slice(number: u16, endpoints: &[Endpoint]) -> Slice {
    let first = endpoints.iter().find_map(|endpoint| endpoint.addresses.first());
    Slice {
        address_type: if first.is_some_and(|text| text.contains(':')) { AddressType::Ipv6 } else { AddressType::Ipv4 },
        ports: vec![SlicePort { name: "http".into(), protocol: Protocol::Tcp, port: Some(number) }],
        endpoints: endpoints.to_vec(),
    }
}

fn desired(spec: &LoadBalancerSpec, slices: &[Slice], abilities: &Abilities) -> Desired {
    desire(&identity(), spec, slices, &settings(), abilities).unwrap()
}

/// The members of port 80 as `address:port`.
fn of_http(spec: &LoadBalancerSpec, slices: &[Slice]) -> Vec<String> {
    let desired = desired(spec, slices, &ovn());
    let members = &desired.graph.listeners[&Key { protocol: Protocol::Tcp, port: 80 }].pool.members;
    members.keys().map(|key| std::net::SocketAddr::new(key.address, key.port).to_string()).collect()
}

fn ready_members(slices: &[Slice]) -> Vec<String> {
    of_http(&spec(), slices)
}

#[test]
fn conditions_that_are_not_set_mean_ready() {
    let unready = Endpoint { ready: Some(false), ..endpoint("10.1.0.2") };
    assert_eq!(ready_members(&[slice(8080, &[endpoint("10.1.0.1"), unready])]), ["10.1.0.1:8080"]);
}

#[test]
fn endpoints_that_end_are_used_only_where_no_other_is_ready() {
    let (old, gone) = (ending("10.1.0.1", true), ending("10.1.0.2", false));
    assert_eq!(ready_members(&[slice(80, &[old.clone(), gone.clone()])]), ["10.1.0.1:80"]);
    assert_eq!(ready_members(&[slice(80, &[old, gone]), slice(80, &[endpoint("10.1.0.3")])]), ["10.1.0.3:80"]);
    let unready = Endpoint { ready: Some(false), serving: Some(true), ..endpoint("10.1.0.4") };
    assert_eq!(ready_members(&[slice(80, &[unready])]), Vec::<String>::new(), "serving alone isn't enough");
}

#[test]
fn each_family_falls_back_by_itself() {
    let slices = [slice(80, &[endpoint("10.1.0.1"), ending("10.1.0.2", true)]), slice(80, &[ending("fd01::2", true)])];
    assert_eq!(of_http(&dual(), &slices), ["10.1.0.1:80", "[fd01::2]:80"]);
}

#[test]
fn publish_not_ready_takes_them_all() {
    let spec = LoadBalancerSpec { publish_not_ready_addresses: true, ..spec() };
    let unready = Endpoint { ready: Some(false), ..endpoint("10.1.0.1") };
    assert_eq!(of_http(&spec, &[slice(80, &[unready, ending("10.1.0.2", false)])]).len(), 2);
}

#[test]
fn a_named_target_port_has_the_number_of_its_slice() {
    let slices = [slice(8080, &[endpoint("10.1.0.1")]), slice(9090, &[endpoint("10.1.0.2")])];
    assert_eq!(ready_members(&slices), ["10.1.0.1:8080", "10.1.0.2:9090"], "and not every address with every number");
}

#[test]
fn a_slice_counts_by_name_protocol_and_family() {
    let good = slice(80, &[endpoint("10.1.0.1")]);
    let port = |name: &str, protocol, port| SlicePort { name: name.into(), protocol, port };
    let with = |port| Slice { ports: vec![port], ..slice(80, &[endpoint("10.1.0.9")]) };
    let others = [
        with(port("https", Protocol::Tcp, Some(80))),
        with(port("http", Protocol::Udp, Some(80))),
        with(port("http", Protocol::Tcp, None)),
        with(port("http", Protocol::Tcp, Some(0))),
        Slice { ports: Vec::new(), ..good.clone() },
        Slice { address_type: AddressType::Fqdn, ..with(port("http", Protocol::Tcp, Some(80))) },
        Slice { address_type: AddressType::Ipv6, ..with(port("http", Protocol::Tcp, Some(80))) },
        slice(80, &[endpoint("fd01::9")]),
        slice(80, &[endpoint("nonsense"), Endpoint::default()]),
    ];
    for other in others {
        assert_eq!(ready_members(&[good.clone(), other.clone()]), ["10.1.0.1:80"], "{other:?}");
    }
}

#[test]
fn a_port_without_a_name_is_found() {
    let spec = LoadBalancerSpec { ports: vec![port("", Protocol::Tcp, 80)], ..spec() };
    let mut slice = slice(8080, &[endpoint("10.1.0.1")]);
    slice.ports[0].name.clear();
    assert_eq!(of_http(&spec, &[slice]), ["10.1.0.1:8080"]);
}

#[test]
fn an_endpoint_in_two_slices_counts_once_and_as_ready_if_it_is_so_in_one() {
    let slices = [slice(80, &[ending("10.1.0.1", true), endpoint("10.1.0.2")]), slice(80, &[endpoint("10.1.0.1")])];
    assert_eq!(ready_members(&slices), ["10.1.0.1:80", "10.1.0.2:80"]);
}

#[test]
fn only_the_first_address_is_used() {
    let two = Endpoint { addresses: vec!["10.1.0.1".into(), "10.1.0.2".into()], ..Endpoint::default() };
    assert_eq!(ready_members(&[slice(80, &[two])]), ["10.1.0.1:80"]);
}

#[test]
fn thousands_of_endpoints_over_many_slices_are_members() {
    let slices: Vec<Slice> = (0..30)
        .map(|high| slice(80, &(0..100).map(|low| endpoint(&format!("10.1.{high}.{low}"))).collect::<Vec<_>>()))
        .collect();
    assert_eq!(ready_members(&slices).len(), 3000);
    assert_eq!(desired(&spec(), &slices, &ovn()).graph.member_count(), 3000);
}

#[test]
fn a_member_is_on_the_subnet_of_its_address() {
    let addresses = ["10.1.0.1", "10.1.9.1", "10.96.0.99", "192.0.2.1"];
    let slices = [slice(80, &addresses.map(endpoint))];
    for (abilities, elsewhere) in [(ovn(), Some("services")), (amphora(), None)] {
        let desired = desired(&spec(), &slices, &abilities);
        let members = &desired.graph.listeners.values().next().unwrap().pool.members;
        let subnets: Vec<Option<&str>> = members.values().map(|member| member.subnet_id.as_deref()).collect();
        assert_eq!(subnets, [Some("pods"), Some("small"), Some("services"), elsewhere]);
    }
}

#[test]
fn the_graph_carries_the_mark_and_distinct_names() {
    let spec = LoadBalancerSpec {
        ports: vec![
            port("dns", Protocol::Udp, 53),
            port("dns-tcp", Protocol::Tcp, 53),
            port("sig", Protocol::Sctp, 53),
        ],
        ..dual()
    };
    let Desired { graph, unsupported, .. } = desired(&spec, &[], &ovn());
    assert_eq!(unsupported, []);
    assert_eq!((graph.description.as_str(), graph.name.as_str()), ("kuryr:lab:1", "default/web"));
    let names: BTreeSet<&str> = graph.listeners.values().map(|one| one.pool.settings.name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["default/web:SCTP:53", "default/web:TCP:53", "default/web:UDP:53"]));
    assert_eq!((graph.vip.address.is_ipv4(), graph.additional_vips.len()), (true, 1));
}

#[test]
fn a_spec_without_an_address_has_no_load_balancer() {
    assert_eq!(desire(&identity(), &LoadBalancerSpec::default(), &[], &settings(), &ovn()), None);
}

/// Any endpoint of a few addresses.
fn any_endpoint() -> impl Strategy<Value = Endpoint> {
    let condition = || prop::option::of(any::<bool>());
    (0u8..6, any::<bool>(), condition(), condition(), condition()).prop_map(
        |(last, v6, ready, serving, terminating)| {
            let address = if v6 { format!("fd01::{last}") } else { format!("10.1.0.{last}") };
            Endpoint { ready, serving, terminating, ..endpoint(&address) }
        },
    )
}

fn any_slices() -> impl Strategy<Value = Vec<Slice>> {
    let one = (80u16..82, prop::collection::vec(any_endpoint(), 0..4)).prop_map(|(number, endpoints)| {
        let v6 = endpoints.first().is_some_and(|endpoint| endpoint.addresses[0].contains(':'));
        let of_family: Vec<_> = endpoints.into_iter().filter(|one| one.addresses[0].contains(':') == v6).collect();
        slice(number, &of_family)
    });
    prop::collection::vec(one, 0..5)
}

/// What Kubernetes says, in its own words and slowly.
fn by_the_book(slices: &[Slice], publish: bool) -> BTreeSet<MemberKey> {
    let all: Vec<(MemberKey, bool, bool)> = slices
        .iter()
        .flat_map(|slice| slice.endpoints.iter().map(move |endpoint| (slice.ports[0].port.unwrap(), endpoint)))
        .map(|(port, endpoint)| {
            let ready = endpoint.ready != Some(false);
            let serving = endpoint.serving.unwrap_or(ready);
            let key = MemberKey { address: endpoint.addresses[0].parse().unwrap(), port };
            (key, ready || publish, serving && endpoint.terminating == Some(true))
        })
        .collect();
    let mut members = BTreeSet::new();
    for v4 in [true, false] {
        let family = || all.iter().filter(|(key, ..)| key.address.is_ipv4() == v4);
        let ready: BTreeSet<_> = family().filter(|(_, ready, _)| *ready).map(|(key, ..)| *key).collect();
        let ending = family().filter(|(_, _, ending)| *ending).map(|(key, ..)| *key).collect();
        members.extend(if ready.is_empty() { ending } else { ready });
    }
    members
}

proptest! {
    #[test]
    fn members_are_what_kubernetes_says(slices in any_slices(), publish in any::<bool>()) {
        let spec = LoadBalancerSpec { publish_not_ready_addresses: publish, ..dual() };
        let desired = desired(&spec, &slices, &ovn());
        let members: &Members = &desired.graph.listeners.values().next().unwrap().pool.members;
        prop_assert_eq!(members.keys().copied().collect::<BTreeSet<_>>(), by_the_book(&slices, publish));
        prop_assert!(members.values().all(|member: &Member| member.weight == 1 && member.subnet_id.is_some()));
    }

    #[test]
    fn the_order_of_slices_and_endpoints_makes_no_difference(slices in any_slices()) {
        let mut turned = slices.clone();
        turned.reverse();
        turned.iter_mut().for_each(|slice| slice.endpoints.reverse());
        prop_assert_eq!(desired(&dual(), &slices, &ovn()), desired(&dual(), &turned, &ovn()));
    }
}
