//! Random graphs, desired and observed.

use super::{
    super::super::{
        abilities::{Abilities, ApiVersion, Provider},
        graph::{
            Graph, HealthMonitor, Key, Listener, ListenerProtocol, ListenerSettings, Member, MemberKey, Members,
            MonitorType, Persistence, Pool, PoolProtocol, PoolSettings,
        },
        observed::{
            Observed, ObservedListener, ObservedLoadBalancer, ObservedMember, ObservedMonitor, ObservedPool, Operating,
            Provisioning,
        },
        spec::{Algorithm, Monitor, Protocol, Timeouts, Vip},
    },
    identity,
};
use proptest::{option, prelude::*, sample::select};
use std::collections::{BTreeMap, BTreeSet};

pub fn abilities() -> impl Strategy<Value = Abilities> {
    let provider = prop_oneof![Just(Provider::Ovn), Just(Provider::Amphora), Just(Provider::Other("f5".into()))];
    (provider, select(vec![5, 12, 26, 30]))
        .prop_map(|(provider, minor)| Abilities::new(provider, ApiVersion::v2(minor)))
}

fn protocol() -> impl Strategy<Value = Protocol> {
    select(vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp])
}

fn key() -> impl Strategy<Value = Key> {
    (protocol(), select(vec![53, 80])).prop_map(|(protocol, port)| Key { protocol, port })
}

fn listener_protocol(transport: Protocol) -> impl Strategy<Value = ListenerProtocol> {
    select(match transport {
        Protocol::Tcp => vec![ListenerProtocol::Tcp, ListenerProtocol::Http, ListenerProtocol::TerminatedHttps],
        Protocol::Udp => vec![ListenerProtocol::Udp],
        Protocol::Sctp => vec![ListenerProtocol::Sctp],
    })
}

fn name(key: Key) -> String {
    format!("{}:{key}", identity().name)
}

fn listener_settings(name: String) -> impl Strategy<Value = ListenerSettings> {
    let cidrs = prop::collection::btree_set(select(vec!["10.0.0.0/8", "fd00::/8"]), 0..2);
    let cidrs = cidrs.prop_map(|all| all.into_iter().map(|net| net.parse().unwrap()).collect::<BTreeSet<_>>());
    let timeouts = select(vec![1, 2]).prop_map(|client_data| Timeouts { client_data, ..Timeouts::default() });
    (option::of(-1..2), option::of(timeouts), cidrs, any::<bool>()).prop_map(
        move |(connection_limit, timeouts, allowed_cidrs, x_forwarded_for)| ListenerSettings {
            name: name.clone(),
            admin_state_up: true,
            connection_limit,
            timeouts,
            allowed_cidrs,
            x_forwarded_for,
            tls_container_ref: None,
        },
    )
}

fn pool_settings(name: String) -> impl Strategy<Value = PoolSettings> {
    let algorithm = select(vec![Algorithm::RoundRobin, Algorithm::SourceIpPort]);
    let persistence = option::of(option::of(1u32..3).prop_map(|timeout| Persistence { timeout }));
    (algorithm, persistence).prop_map(move |(algorithm, persistence)| PoolSettings {
        name: name.clone(),
        admin_state_up: true,
        algorithm,
        persistence,
    })
}

fn pool_protocol() -> impl Strategy<Value = PoolProtocol> {
    select(vec![PoolProtocol::Tcp, PoolProtocol::Udp, PoolProtocol::Proxy])
}

fn member_key() -> impl Strategy<Value = MemberKey> {
    (0u8..5, select(vec![80, 81])).prop_map(|(last, port)| MemberKey { address: [10, 0, 0, last].into(), port })
}

fn member() -> impl Strategy<Value = Member> {
    option::of(select(vec!["s1", "s2"])).prop_map(|subnet| Member::on(subnet.map(str::to_owned)))
}

pub fn members() -> impl Strategy<Value = Members> {
    prop::collection::btree_map(member_key(), member(), 0..5)
}

fn monitor() -> impl Strategy<Value = HealthMonitor> {
    let kind = select(vec![MonitorType::Tcp, MonitorType::UdpConnect]);
    (kind, 5u32..7).prop_map(|(kind, delay)| HealthMonitor {
        kind,
        settings: Monitor { delay, ..Monitor::default() },
        admin_state_up: true,
    })
}

fn listener(key: Key) -> impl Strategy<Value = Listener> {
    let pool = (pool_protocol(), pool_settings(name(key)), members(), option::of(monitor()));
    let pool = pool.prop_map(|(protocol, settings, members, monitor)| Pool { protocol, settings, members, monitor });
    (listener_protocol(key.protocol), listener_settings(name(key)), pool)
        .prop_map(|(protocol, settings, pool)| Listener { protocol, settings, pool })
}

fn vip() -> impl Strategy<Value = Vip> {
    prop_oneof![9 => Just("10.9.0.1"), 1 => Just("10.9.0.2")]
        .prop_map(|address| Vip { address: address.parse().unwrap(), subnet_id: "services".into() })
}

pub fn graph() -> impl Strategy<Value = Graph> {
    let listener = key().prop_flat_map(|key| (Just(key), listener(key)));
    (vip(), prop::collection::vec(listener, 0..4), prop_oneof![9 => Just(None), 1 => Just(Some("f".to_owned()))])
        .prop_map(|(vip, listeners, flavor_id)| Graph {
            name: identity().name,
            description: identity().mark,
            provider: None,
            flavor_id,
            availability_zone: None,
            vip,
            additional_vips: BTreeSet::new(),
            listeners: listeners.into_iter().collect(),
        })
}

fn provisioning() -> impl Strategy<Value = Provisioning> {
    prop_oneof![
        20 => Just(Provisioning::Active),
        1 => Just(Provisioning::PendingCreate),
        1 => Just(Provisioning::PendingUpdate),
        1 => Just(Provisioning::PendingDelete),
        1 => Just(Provisioning::Error),
    ]
}

/// Mostly a name that the plan gives, or none of its own.
fn some_name() -> impl Strategy<Value = String> {
    prop_oneof![9 => key().prop_map(name), 1 => Just("by-hand".to_owned())]
}

fn observed_pool() -> impl Strategy<Value = ObservedPool> {
    let member = (provisioning(), member(), 0u16..2).prop_map(|(provisioning, member, weight)| ObservedMember {
        provisioning,
        member: Member { weight, ..member },
    });
    let members = prop::collection::btree_map(member_key(), member, 0..5);
    let monitor = (provisioning(), monitor(), any::<bool>()).prop_map(|(provisioning, monitor, up)| ObservedMonitor {
        id: String::new(),
        provisioning,
        kind: monitor.kind,
        settings: monitor.settings,
        admin_state_up: up,
    });
    let settings = some_name().prop_flat_map(pool_settings);
    (provisioning(), pool_protocol(), settings, any::<bool>(), members, option::of(monitor)).prop_map(
        |(provisioning, protocol, settings, admin_state_up, members, monitor)| ObservedPool {
            id: String::new(),
            provisioning,
            protocol,
            settings: PoolSettings { admin_state_up, ..settings },
            members,
            monitor,
        },
    )
}

fn observed_listener() -> impl Strategy<Value = (ObservedListener, Option<prop::sample::Index>)> {
    let settings = some_name().prop_flat_map(listener_settings);
    let listener = key().prop_flat_map(|key| (Just(key.port), listener_protocol(key.protocol)));
    (provisioning(), listener, settings, any::<bool>(), option::of(any::<prop::sample::Index>())).prop_map(
        |(provisioning, (port, protocol), settings, admin_state_up, pool)| {
            let settings = ListenerSettings { admin_state_up, ..settings };
            (ObservedListener { id: String::new(), provisioning, protocol, port, settings, pool_id: None }, pool)
        },
    )
}

fn load_balancer() -> impl Strategy<Value = ObservedLoadBalancer> {
    let listeners = prop::collection::vec(observed_listener(), 0..4);
    let pools = prop::collection::vec(observed_pool(), 0..4);
    let whole = (provisioning(), any::<bool>(), vip(), prop_oneof![9 => Just(true), 1 => Just(false)]);
    (whole, listeners, pools).prop_map(|((provisioning, admin_state_up, vip, ours), listeners, pools)| {
        ObservedLoadBalancer {
            id: String::new(),
            provisioning,
            operating: Operating::Online,
            name: identity().name,
            description: if ours { identity().mark } else { "somebody's".into() },
            admin_state_up,
            provider: "ovn".into(),
            flavor_id: None,
            availability_zone: None,
            vip,
            vip_port_id: "vip".into(),
            additional_vips: BTreeSet::new(),
            ..connected(listeners, pools)
        }
    })
}

/// Octavia has one listener for each transport protocol and port, and refers to pools that there are.
fn connected(
    listeners: Vec<(ObservedListener, Option<prop::sample::Index>)>,
    mut pools: Vec<ObservedPool>,
) -> ObservedLoadBalancer {
    for (number, pool) in pools.iter_mut().enumerate() {
        pool.id = format!("p{number}");
        pool.monitor.iter_mut().for_each(|monitor| monitor.id = format!("m{number}"));
    }
    let mut unique: BTreeMap<Key, ObservedListener> = BTreeMap::new();
    for (number, (mut listener, pool)) in listeners.into_iter().enumerate() {
        listener.id = format!("l{number}");
        listener.pool_id = pool.filter(|_| !pools.is_empty()).map(|index| pools[index.index(pools.len())].id.clone());
        unique.insert(Key { protocol: listener.protocol.transport(), port: listener.port }, listener);
    }
    ObservedLoadBalancer {
        id: String::new(),
        provisioning: Provisioning::Active,
        operating: Operating::Online,
        name: String::new(),
        description: String::new(),
        admin_state_up: true,
        provider: String::new(),
        flavor_id: None,
        availability_zone: None,
        vip: Vip { address: [0, 0, 0, 0].into(), subnet_id: String::new() },
        vip_port_id: String::new(),
        additional_vips: BTreeSet::new(),
        listeners: unique.into_values().collect(),
        pools,
    }
}

pub fn observed() -> impl Strategy<Value = Observed> {
    let all = prop_oneof![
        1 => prop::collection::vec(load_balancer(), 0..1),
        6 => prop::collection::vec(load_balancer(), 1..2),
        2 => prop::collection::vec(load_balancer(), 2..4),
    ];
    (all, option::of(0usize..4), any::<bool>()).prop_map(|(mut load_balancers, recorded, stuck)| {
        for (number, one) in load_balancers.iter_mut().enumerate() {
            one.id = format!("lb{number}");
            for listener in &mut one.listeners {
                listener.id.insert_str(0, &one.id);
                listener.pool_id.iter_mut().for_each(|id| id.insert_str(0, &one.id));
            }
            for pool in &mut one.pools {
                pool.id.insert_str(0, &one.id);
                pool.monitor.iter_mut().for_each(|monitor| monitor.id.insert_str(0, &one.id));
            }
        }
        Observed { recorded: recorded.map(|number| format!("lb{number}")), load_balancers, repairs: 0, stuck }
    })
}
