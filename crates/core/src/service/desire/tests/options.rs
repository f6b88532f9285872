//! What providers can do, and what becomes of what they can't.

use super::{super::super::spec::*, *};
use crate::service::graph::{Effect, Persistence, Unsupported};

fn effects(desired: &Desired) -> Vec<(Feature, Effect)> {
    desired.unsupported.iter().map(|one| (one.what, one.effect)).collect()
}

fn first(desired: &Desired) -> &Listener {
    desired.graph.listeners.values().next().unwrap()
}

fn public() -> LoadBalancerSpec {
    LoadBalancerSpec { external: Some(External::default()), ..spec() }
}

/// A spec that asks for everything.
fn demanding() -> LoadBalancerSpec {
    LoadBalancerSpec {
        flavor_id: Some("f".into()),
        availability_zone: Some("z".into()),
        client_ip_affinity_seconds: Some(10_800),
        internal_traffic_local: true,
        source_ranges: BTreeSet::from(["192.0.2.0/24".parse().unwrap()]),
        algorithm: Some(Algorithm::LeastConnections),
        connection_limit: Some(9),
        timeouts: Timeouts { client_data: 1, ..Timeouts::default() },
        monitor: Some(Monitor { delay: 1, timeout: 1, ..Monitor::default() }),
        proxy_protocol: Some(ProxyProtocol::V2),
        x_forwarded_for: true,
        tls_container_ref: Some("c".into()),
        external: Some(External { traffic_local: true, ..External::default() }),
        ports: vec![port("a", Protocol::Tcp, 80), port("b", Protocol::Udp, 80), port("c", Protocol::Sctp, 90)],
        ..dual()
    }
}

#[test]
fn what_nobody_asks_for_is_no_shortfall() {
    for abilities in [ovn(), amphora(), Abilities::new(Provider::Ovn, ApiVersion::v2(0))] {
        assert_eq!(desired(&public(), &[], &abilities).unsupported, []);
    }
}

#[test]
fn amphora_does_what_it_is_asked_for() {
    let desired = desired(&demanding(), &[], &amphora());
    let ignored = |feature| (feature, Effect::Ignored);
    assert_eq!(
        effects(&desired),
        [ignored(Feature::NodeLocal), ignored(Feature::PersistenceTimeout(Protocol::Tcp))],
        "{:#?}",
        desired.unsupported
    );
    let tcp = &desired.graph.listeners[&Key { protocol: Protocol::Tcp, port: 80 }];
    assert_eq!((tcp.protocol, tcp.pool.protocol), (ListenerProtocol::TerminatedHttps, PoolProtocol::ProxyV2));
    assert!(tcp.settings.x_forwarded_for && tcp.settings.connection_limit == Some(9));
    let udp = &desired.graph.listeners[&Key { protocol: Protocol::Udp, port: 80 }];
    assert_eq!((udp.protocol, udp.pool.protocol), (ListenerProtocol::Udp, PoolProtocol::Udp));
    assert_eq!(udp.pool.settings.persistence, Some(Persistence { timeout: Some(10_800) }));
    assert_eq!(udp.settings.tls_container_ref, None);
    let delays = desired.graph.listeners.values().map(|one| one.pool.monitor.as_ref().unwrap().settings.delay);
    assert_eq!(delays.collect::<Vec<_>>(), [1, 3, 1], "Octavia takes no shorter one for UDP");
}

#[test]
fn ovn_says_what_it_cannot_do_and_serves_the_rest() {
    let desired = desired(&demanding(), &[], &ovn());
    let expected = [
        Feature::Flavor,
        Feature::AvailabilityZone,
        Feature::Algorithm(Algorithm::LeastConnections),
        Feature::ProxyV2,
        Feature::XForwardedFor,
        Feature::Tls,
        Feature::NodeLocal,
        Feature::ConnectionLimit,
        Feature::Timeouts,
        Feature::AllowedCidrs,
        Feature::PersistenceTimeout(Protocol::Tcp),
        Feature::Monitor(Protocol::Sctp),
    ];
    assert_eq!(desired.unsupported.iter().map(|one| one.what).collect::<Vec<_>>(), expected);
    assert_eq!(desired.graph.listeners.len(), 3);
    let tcp = first(&desired);
    assert_eq!((tcp.protocol, tcp.pool.protocol), (ListenerProtocol::Tcp, PoolProtocol::Tcp));
    assert_eq!(tcp.pool.settings.algorithm, Algorithm::SourceIp, "that is what keeps a client at its endpoint");
    assert_eq!((tcp.settings.connection_limit, tcp.settings.timeouts), (None, None));
    assert_eq!(tcp.pool.settings.persistence, None, "OVN would have none without a time");
    let udp = &desired.graph.listeners[&Key { protocol: Protocol::Udp, port: 80 }];
    assert_eq!(udp.pool.settings.persistence, Some(Persistence { timeout: Some(10_800) }));
}

#[test]
fn an_ovn_without_the_choice_by_client_says_that_there_is_no_affinity() {
    let sticky = LoadBalancerSpec { client_ip_affinity_seconds: Some(10_800), ..spec() };
    let desired = desired(&sticky, &[], &Abilities::new(Provider::Ovn, ApiVersion::v2(29)));
    assert_eq!(effects(&desired), [(Feature::Persistence(Protocol::Tcp), Effect::Ignored)]);
    let settings = &first(&desired).pool.settings;
    assert_eq!((settings.algorithm, settings.persistence), (Algorithm::SourceIpPort, None));
}

#[test]
fn a_service_that_wants_to_be_closed_is_not_opened() {
    let closed = LoadBalancerSpec { source_ranges: BTreeSet::from(["192.0.2.0/24".parse().unwrap()]), ..public() };
    let by_ovn = desired(&closed, &[], &ovn());
    assert_eq!(
        (by_ovn.external.is_none(), effects(&by_ovn)),
        (true, vec![(Feature::AllowedCidrs, Effect::NotExposed)])
    );
    let by_amphora = desired(&closed, &[], &amphora());
    assert!(by_amphora.external.is_some());
    let allowed: Vec<String> = first(&by_amphora).settings.allowed_cidrs.iter().map(ToString::to_string).collect();
    assert_eq!(allowed, ["10.1.0.0/16", "192.0.2.0/24"], "who is in the cluster comes in as ever");
}

#[test]
fn ranges_of_another_family_let_nobody_in() {
    let closed = LoadBalancerSpec { source_ranges: BTreeSet::from(["2001:db8::/32".parse().unwrap()]), ..public() };
    let settings = Settings { inside: Vec::new(), ..settings() };
    let desired = desire(&identity(), &closed, &[], &settings, &amphora()).unwrap();
    let allowed: Vec<String> = first(&desired).settings.allowed_cidrs.iter().map(ToString::to_string).collect();
    assert_eq!(allowed, ["10.96.0.10/32"], "an empty list would let in everybody");
}

#[test]
fn an_old_octavia_serves_one_family_and_one_protocol_of_a_port() {
    let old = Abilities::new(Provider::Amphora, ApiVersion::v2(5));
    let desired =
        desired(&LoadBalancerSpec { external: None, ..demanding() }, &[slice(80, &[endpoint("fd01::1")])], &old);
    let of = |effect| desired.unsupported.iter().filter(move |one| one.effect == effect).map(|one| one.what);
    assert_eq!(of(Effect::FamilyNotServed).collect::<Vec<_>>(), [Feature::AdditionalVips]);
    assert_eq!(of(Effect::PortNotServed).collect::<Vec<_>>(), [Feature::SamePort, Feature::Protocol(Protocol::Sctp)]);
    assert_eq!((desired.graph.additional_vips.len(), desired.graph.listeners.len()), (0, 1));
    assert_eq!(desired.graph.member_count(), 0, "no members of a family that isn't served");
}

#[test]
fn local_external_traffic_needs_the_clients_address_in_some_way() {
    let local = LoadBalancerSpec { external: Some(External { traffic_local: true, ..External::default() }), ..spec() };
    assert_eq!(desired(&local, &[], &ovn()).unsupported, []);
    assert_eq!(effects(&desired(&local, &[], &amphora())), [(Feature::ClientAddress, Effect::Ignored)]);
    let told = LoadBalancerSpec { proxy_protocol: Some(ProxyProtocol::V1), ..local };
    assert_eq!(desired(&told, &[], &amphora()).unsupported, []);
}

#[test]
fn a_longer_affinity_than_ovn_knows_is_cut_and_told() {
    let udp = LoadBalancerSpec {
        ports: vec![port("dns", Protocol::Udp, 53)],
        client_ip_affinity_seconds: Some(86_400),
        ..spec()
    };
    let desired = desired(&udp, &[], &ovn());
    assert_eq!(first(&desired).pool.settings.persistence, Some(Persistence { timeout: Some(65_535) }));
    assert!(desired.unsupported[0].message.contains("65535 s at most"), "{:?}", desired.unsupported);
}

#[test]
fn x_forwarded_for_alone_makes_http() {
    let http = LoadBalancerSpec { x_forwarded_for: true, ..spec() };
    let desired = desired(&http, &[], &amphora());
    assert_eq!((first(&desired).protocol, first(&desired).pool.protocol), (ListenerProtocol::Http, PoolProtocol::Http));
}

proptest! {
    #[test]
    fn every_shortfall_names_what_why_and_what_follows(minor in 0u16..31, ovn in any::<bool>()) {
        let provider = if ovn { Provider::Ovn } else { Provider::Amphora };
        let abilities = Abilities::new(provider, ApiVersion::v2(minor));
        let desired = desired(&demanding(), &[], &abilities);
        let names = |one: &Unsupported| one.message.contains(&format!("provider {}", abilities.provider)) && one.message.contains("; ");
        prop_assert!(desired.unsupported.iter().all(names), "{:#?}", desired.unsupported);
        prop_assert!(desired.unsupported.iter().all(|one| !abilities.has(one.what)));
        // And nothing is asked of the provider that it can't do.
        for (key, listener) in &desired.graph.listeners {
            let settings = &listener.settings;
            prop_assert!(abilities.has(Feature::Protocol(key.protocol)));
            prop_assert!(settings.timeouts.is_none() || abilities.has(Feature::Timeouts));
            prop_assert!(settings.allowed_cidrs.is_empty() || abilities.has(Feature::AllowedCidrs));
            prop_assert!(listener.pool.monitor.is_none() || abilities.has(Feature::Monitor(key.protocol)));
            let timeout = listener.pool.settings.persistence.and_then(|persistence| persistence.timeout);
            prop_assert!(timeout.is_none() || abilities.has(Feature::PersistenceTimeout(key.protocol)));
        }
    }
}
