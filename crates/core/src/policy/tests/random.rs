//! Random clusters: small, so that selectors, ports and prefixes meet.

use crate::{
    policy::{
        facts::{
            Backend, ContainerPort, IpBlock, LabelSelector, Labels, Name, Namespace, Node, Peer, Pod, Policy,
            PolicyPort, PolicyRule, PortRef, Requirement, Service,
        },
        oracle::Cluster,
    },
    service::spec::Protocol,
};
use proptest::{collection::vec, option, prelude::*, sample::select};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

pub const NAMESPACES: [&str; 3] = ["a", "b", "c"];
pub const NODES: [&str; 2] = ["n1", "n2"];
/// Ports that facts and probes have.
pub const PORTS: [u16; 4] = [53, 80, 81, 90];

pub fn v4(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

pub fn v6(last: u8) -> IpAddr {
    [0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)].into()
}

pub fn vip4(last: u8) -> IpAddr {
    [10, 96, 0, last].into()
}

pub fn vip6(last: u8) -> IpAddr {
    [0xfd96, 0, 0, 0, 0, 0, 0, u16::from(last)].into()
}

/// Addresses that no pod has.
pub fn outside() -> [IpAddr; 4] {
    [[192, 0, 2, 1].into(), [192, 0, 2, 200].into(), v4(200), [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()]
}

pub fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![4 => Just(Protocol::Tcp), 2 => Just(Protocol::Udp), 1 => Just(Protocol::Sctp)]
}

fn port() -> impl Strategy<Value = u16> {
    select(PORTS.to_vec())
}

pub fn labels() -> impl Strategy<Value = Labels> {
    let value = |values: Vec<&'static str>| option::of(select(values));
    (value(vec!["web", "db", ""]), value(vec!["x", "y"])).prop_map(|(app, tier)| {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        app.map(|app| pair("app", app)).into_iter().chain(tier.map(|tier| pair("tier", tier))).collect()
    })
}

pub fn namespaces() -> impl Strategy<Value = Vec<Namespace>> {
    vec(labels(), 3).prop_map(|all| {
        let named = NAMESPACES.iter().zip(all);
        named.map(|(&name, labels)| Namespace { name: name.into(), labels }).collect()
    })
}

/// One of two nodes. The second one has an address in the pods' networks, too.
pub fn node(number: u8) -> Node {
    let name = NODES[usize::from(number)].into();
    let own = [IpAddr::from([10, 1, 0, number]), IpAddr::from([0xfd01, 0, 0, 0, 0, 0, 0, number.into()])];
    let inside = (number == 1).then_some(IpAddr::from([10, 0, 0, 120]));
    Node { name, addresses: own.into_iter().chain(inside).collect() }
}

fn container_ports() -> impl Strategy<Value = BTreeSet<ContainerPort>> {
    let port = (select(vec!["http", "dns"]), protocol(), port());
    let port = port.prop_map(|(name, protocol, number)| ContainerPort { name: name.into(), protocol, number });
    prop::collection::btree_set(port, 0..3)
}

fn name(names: &'static [&'static str]) -> impl Strategy<Value = Name> {
    select(names).prop_map(Into::into)
}

/// A pod with the addresses of its number.
pub fn pod(number: u8) -> impl Strategy<Value = Pod> {
    let flag = |weight| prop_oneof![weight => Just(false), 1 => Just(true)];
    let namespace = prop_oneof![2 => Just(NAMESPACES[0].into()), 3 => name(&NAMESPACES)];
    let facts = (namespace, labels(), option::weighted(0.9, name(&NODES)), container_ports());
    (facts, flag(12), flag(12), flag(3), flag(3)).prop_map(
        move |((namespace, labels, node, ports), host_network, terminated, no_v4, no_v6)| {
            let v4 = Some(v4(number)).filter(|_| !no_v4);
            let v6 = Some(v6(number)).filter(|_| !no_v6);
            let addresses = v4.into_iter().chain(v6).collect();
            let uid = format!("pod{number}").as_str().into();
            Pod { uid, namespace, labels, node, host_network, terminated, addresses, ports }
        },
    )
}

pub fn pods(most: u8) -> impl Strategy<Value = Vec<Pod>> {
    (1..=most).prop_flat_map(|count| (0..count).map(|number| pod(number + 1)).collect::<Vec<_>>())
}

fn backend() -> impl Strategy<Value = Backend> {
    let pod = (1u8..=6, 0..4).prop_map(|(number, family)| if family > 0 { v4(number) } else { v6(number) });
    let address = prop_oneof![19 => pod, 1 => select(outside().to_vec())];
    (address, port()).prop_map(|(address, port)| Backend { address, port })
}

pub fn service(number: u8) -> impl Strategy<Value = Service> {
    let ports = prop::collection::btree_map((protocol(), port()), prop::collection::btree_set(backend(), 0..4), 1..3);
    (ports, any::<bool>()).prop_map(move |(ports, dual)| {
        let vips = [Some(vip4(number)), dual.then(|| vip6(number))].into_iter().flatten().collect();
        Service { uid: format!("svc{number}").as_str().into(), vips, ports }
    })
}

fn requirement() -> impl Strategy<Value = Requirement> {
    let values = |values: Vec<&'static str>| vec(select(values).prop_map(str::to_owned), 1..3);
    let values = prop_oneof![values(vec!["web", "db", ""]), values(vec!["x", "y"])];
    let listed = (select(vec!["In", "NotIn"]), values);
    let bare = select(vec!["Exists", "DoesNotExist"]).prop_map(|operator| (operator, Vec::new()));
    let wrong = select(vec![("In", vec![]), ("Exists", vec!["x".to_owned()]), ("Gt", vec!["1".to_owned()])]);
    let kind = prop_oneof![60 => listed, 20 => bare, 1 => wrong];
    (select(vec!["app", "tier"]), kind).prop_map(|(key, (operator, values))| Requirement {
        key: key.into(),
        operator: operator.into(),
        values,
    })
}

pub fn selector() -> impl Strategy<Value = LabelSelector> {
    let expressions = prop_oneof![3 => Just(Vec::new()), 2 => vec(requirement(), 1..3)];
    let match_labels = prop_oneof![2 => Just(Labels::new()), 3 => labels()];
    (match_labels, expressions)
        .prop_map(|(match_labels, match_expressions)| LabelSelector { match_labels, match_expressions })
}

fn block() -> impl Strategy<Value = IpBlock> {
    let v4 = select(vec!["0.0.0.0/0", "10.0.0.0/24", "10.0.0.0/29", "10.0.0.2/31", "192.0.2.0/24", "10.96.0.0/24"]);
    let v4_except = select(vec!["10.0.0.0/30", "10.0.0.4/31", "10.0.0.1/32", "192.0.2.128/25", "10.0.0.0/24"]);
    let v4 = (v4, vec(v4_except, 0..3));
    let v6 = (select(vec!["::/0", "fd00::/64", "fd00::2/127"]), vec(select(vec!["fd00::1/128", "fd00::4/126"]), 0..3));
    prop_oneof![3 => v4, 1 => v6]
        .prop_map(|(cidr, except)| IpBlock { cidr: cidr.into(), except: except.into_iter().map(Into::into).collect() })
}

fn peer() -> impl Strategy<Value = Peer> {
    let pods = selector().prop_map(|pods| (Some(pods), None, None));
    let namespaces = selector().prop_map(|namespaces| (None, Some(namespaces), None));
    let both = (selector(), selector()).prop_map(|(pods, namespaces)| (Some(pods), Some(namespaces), None));
    let block = block().prop_map(|block| (None, None, Some(block)));
    prop_oneof![20 => pods, 15 => namespaces, 15 => both, 15 => block, 1 => Just((None, None, None))]
        .prop_map(|(pod_selector, namespace_selector, ip_block)| Peer { pod_selector, namespace_selector, ip_block })
}

fn policy_port() -> impl Strategy<Value = PolicyPort> {
    let number = port().prop_map(|port| (Some(PortRef::Number(port.into())), None));
    let range = select(vec![(Some(PortRef::Number(80)), Some(81)), (Some(PortRef::Number(60)), Some(80))]);
    let named = select(vec!["http", "dns"]).prop_map(|name| (Some(PortRef::Name(name.into())), None));
    let wrong = select(vec![(Some(PortRef::Number(80)), Some(79)), (None, Some(80)), (Some(PortRef::Number(0)), None)]);
    let port = prop_oneof![40 => number, 20 => range, 40 => named, 20 => Just((None, None)), 1 => wrong];
    let protocol = select(vec![None, Some("TCP"), Some("TCP"), Some("UDP"), Some("UDP"), Some("SCTP")]);
    (protocol, port).prop_map(|(protocol, (port, end_port))| PolicyPort {
        protocol: protocol.map(str::to_owned),
        port,
        end_port,
    })
}

fn rule() -> impl Strategy<Value = PolicyRule> {
    (vec(peer(), 0..3), vec(policy_port(), 0..3)).prop_map(|(peers, ports)| PolicyRule { peers, ports })
}

/// Policies for egress that are alike but for whom they allow: so that pods have several, which allow backends of one Service together.
fn alike(number: u8) -> impl Strategy<Value = Policy> {
    let peer = select(vec!["web", "db", ""]).prop_map(|app| {
        let match_labels = [("app".to_owned(), app.to_owned())].into();
        let pods = LabelSelector { match_labels, match_expressions: Vec::new() };
        Peer { pod_selector: Some(pods), ..Peer::default() }
    });
    let rule = (peer, option::weighted(0.1, policy_port()))
        .prop_map(|(peer, port)| PolicyRule { peers: vec![peer], ports: port.into_iter().collect() });
    let selector = prop_oneof![6 => Just(LabelSelector::default()), 1 => selector()];
    (vec(rule, 0..3), selector).prop_map(move |(rules, pod_selector)| Policy {
        uid: format!("policy{number}").as_str().into(),
        namespace: NAMESPACES[0].into(),
        pod_selector,
        policy_types: vec!["Egress".into()],
        ingress: None,
        egress: Some(rules),
    })
}

pub fn policy(number: u8) -> impl Strategy<Value = Policy> {
    prop_oneof![3 => any_policy(number), 2 => alike(number)]
}

fn any_policy(number: u8) -> impl Strategy<Value = Policy> {
    let types = prop_oneof![
        10 => Just(vec![]), 10 => Just(vec!["Ingress"]), 20 => Just(vec!["Egress"]),
        20 => Just(vec!["Ingress", "Egress"]), 1 => Just(vec!["Sideways"]),
    ];
    let rules = || option::weighted(0.8, vec(rule(), 0..3));
    (name(&NAMESPACES), selector(), types, rules(), rules()).prop_map(
        move |(namespace, pod_selector, types, ingress, egress)| Policy {
            uid: format!("policy{number}").as_str().into(),
            namespace,
            pod_selector,
            policy_types: types.into_iter().map(str::to_owned).collect(),
            ingress,
            egress,
        },
    )
}

pub fn cluster() -> impl Strategy<Value = Cluster> {
    prop_oneof![2 => any_cluster(), 1 => crowded()]
}

fn any_cluster() -> impl Strategy<Value = Cluster> {
    let services = (0u8..3).prop_flat_map(|count| (0..count).map(|number| service(number + 1)).collect::<Vec<_>>());
    let policies = (0u8..6).prop_flat_map(|count| (0..count).map(policy).collect::<Vec<_>>());
    let all = (namespaces(), pods(6), services, policies);
    all.prop_map(|(namespaces, pods, services, policies)| of(namespaces, pods, services, policies))
}

/// Six pods in one namespace, policies that all of them have, and Services in front of them.
fn crowded() -> impl Strategy<Value = Cluster> {
    let pods: Vec<_> = (1u8..=6).map(pod).collect();
    let pods = pods.prop_map(|mut pods| {
        pods.iter_mut().for_each(|pod| pod.namespace = NAMESPACES[0].into());
        pods
    });
    let services: Vec<_> = (1u8..=2).map(service).collect();
    let policies = (1u8..4).prop_flat_map(|count| (0..count).map(alike).collect::<Vec<_>>());
    let all = (namespaces(), pods, services, policies);
    all.prop_map(|(namespaces, pods, services, policies)| of(namespaces, pods, services, policies))
}

fn of(namespaces: Vec<Namespace>, pods: Vec<Pod>, services: Vec<Service>, policies: Vec<Policy>) -> Cluster {
    let nodes = vec![node(0), node(1)];
    Cluster { namespaces, pods, nodes, services, policies, cluster_policies: Vec::new() }
}

/// The backends of a Service, by number of what they are: for tests written by hand.
pub fn backends(all: &[(IpAddr, u16)]) -> BTreeSet<Backend> {
    all.iter().map(|&(address, port)| Backend { address, port }).collect()
}

/// A Service with one port, for tests written by hand.
pub fn one_port(number: u8, protocol: Protocol, port: u16, to: &[(IpAddr, u16)]) -> Service {
    let ports = BTreeMap::from([((protocol, port), backends(to))]);
    Service { uid: format!("svc{number}").as_str().into(), vips: [vip4(number)].into(), ports }
}
