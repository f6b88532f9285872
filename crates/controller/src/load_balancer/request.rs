//! The plan's graph in the words of Octavia's requests.

use super::convert::FORWARDED_FOR;
use kuryr_core::service::{
    graph::{
        Graph, HealthMonitor, Key, Listener, ListenerProtocol, ListenerSettings, Members, MonitorType, Pool,
        PoolProtocol, PoolSettings,
    },
    spec::{Algorithm, Monitor},
};
use kuryr_openstack::octavia::{
    self, HealthMonitorType, HealthMonitorUpdate, ListenerUpdate, NewAdditionalVip, NewHealthMonitor, NewListener,
    NewLoadBalancer, NewMember, NewPool, PoolUpdate, Protocol, SessionPersistence,
};
use std::collections::BTreeMap;

/// A load balancer with everything that the graph has.
pub fn load_balancer(graph: &Graph) -> NewLoadBalancer {
    let additional = graph.additional_vips.iter();
    NewLoadBalancer {
        name: Some(graph.name.clone()),
        description: Some(graph.description.clone()),
        vip_subnet_id: Some(graph.vip.subnet_id.as_str().into()),
        vip_address: Some(graph.vip.address),
        additional_vips: additional
            .map(|vip| NewAdditionalVip { subnet_id: vip.subnet_id.as_str().into(), ip_address: Some(vip.address) })
            .collect(),
        provider: graph.provider.clone(),
        flavor_id: graph.flavor_id.as_deref().map(Into::into),
        availability_zone: graph.availability_zone.clone(),
        admin_state_up: Some(true),
        listeners: graph.listeners.iter().map(|(key, listener)| populated(*key, listener)).collect(),
        ..NewLoadBalancer::default()
    }
}

/// A listener that is created with its load balancer, and its pool with it.
fn populated(key: Key, of: &Listener) -> NewListener {
    let Pool { protocol, settings, members, monitor } = &of.pool;
    let pool = NewPool {
        members: self::members(members),
        health_monitor: monitor.as_ref().map(new_monitor),
        ..pool(*protocol, settings)
    };
    NewListener { default_pool: Some(pool.into()), ..listener(key, of.protocol, &of.settings) }
}

/// A listener without its pool and its load balancer.
pub fn listener(key: Key, protocol: ListenerProtocol, settings: &ListenerSettings) -> NewListener {
    let timeouts = settings.timeouts;
    NewListener {
        name: Some(settings.name.clone()),
        admin_state_up: Some(settings.admin_state_up),
        connection_limit: settings.connection_limit.map(i64::from),
        insert_headers: headers(settings),
        // None is everybody's, and a provider that knows no such thing refuses even an empty list.
        allowed_cidrs: allowed(settings),
        timeout_client_data: timeouts.map(|timeouts| timeouts.client_data),
        timeout_member_connect: timeouts.map(|timeouts| timeouts.member_connect),
        timeout_member_data: timeouts.map(|timeouts| timeouts.member_data),
        timeout_tcp_inspect: timeouts.map(|timeouts| timeouts.tcp_inspect),
        default_tls_container_ref: settings.tls_container_ref.clone(),
        ..NewListener::on(listener_protocol(protocol), key.port)
    }
}

/// A change of a listener's settings. `before` is what it has: what nobody asks for isn't sent, unless it has to be taken away.
pub fn listener_update(settings: &ListenerSettings, before: Option<&ListenerSettings>) -> ListenerUpdate {
    let timeouts = settings.timeouts;
    let had = |has: fn(&ListenerSettings) -> bool| before.is_none_or(has);
    ListenerUpdate {
        name: Some(settings.name.clone()),
        admin_state_up: Some(settings.admin_state_up),
        connection_limit: settings.connection_limit.map(i64::from),
        insert_headers: (settings.x_forwarded_for || had(|before| before.x_forwarded_for)).then(|| headers(settings)),
        allowed_cidrs: allowed(settings).or_else(|| had(|before| !before.allowed_cidrs.is_empty()).then(Vec::new)),
        timeout_client_data: timeouts.map(|timeouts| timeouts.client_data),
        timeout_member_connect: timeouts.map(|timeouts| timeouts.member_connect),
        timeout_member_data: timeouts.map(|timeouts| timeouts.member_data),
        timeout_tcp_inspect: timeouts.map(|timeouts| timeouts.tcp_inspect),
        default_tls_container_ref: settings.tls_container_ref.clone(),
        ..ListenerUpdate::default()
    }
}

fn allowed(settings: &ListenerSettings) -> Option<Vec<ipnet::IpNet>> {
    (!settings.allowed_cidrs.is_empty()).then(|| settings.allowed_cidrs.iter().copied().collect())
}

fn headers(settings: &ListenerSettings) -> BTreeMap<String, String> {
    settings.x_forwarded_for.then(|| (FORWARDED_FOR.to_owned(), "true".to_owned())).into_iter().collect()
}

/// A pool without its members, its monitor and its load balancer.
pub fn pool(protocol: PoolProtocol, settings: &PoolSettings) -> NewPool {
    NewPool {
        name: Some(settings.name.clone()),
        admin_state_up: Some(settings.admin_state_up),
        session_persistence: persistence(settings),
        ..NewPool::of(pool_protocol(protocol), algorithm(settings.algorithm))
    }
}

/// All settings of a pool.
pub fn pool_update(settings: &PoolSettings) -> PoolUpdate {
    PoolUpdate {
        name: Some(settings.name.clone()),
        lb_algorithm: Some(algorithm(settings.algorithm)),
        session_persistence: Some(persistence(settings)),
        admin_state_up: Some(settings.admin_state_up),
        ..PoolUpdate::default()
    }
}

fn persistence(settings: &PoolSettings) -> Option<SessionPersistence> {
    settings.persistence.map(|persistence| SessionPersistence::source_ip(persistence.timeout))
}

/// Members as they are to be.
pub fn members(members: &Members) -> Vec<NewMember> {
    let member =
        |(key, member): (&kuryr_core::service::graph::MemberKey, &kuryr_core::service::graph::Member)| NewMember {
            subnet_id: member.subnet_id.as_deref().map(Into::into),
            weight: Some(member.weight),
            admin_state_up: Some(member.admin_state_up),
            ..NewMember::at(key.address, key.port)
        };
    members.iter().map(member).collect()
}

/// A health monitor without its pool.
pub fn new_monitor(monitor: &HealthMonitor) -> NewHealthMonitor {
    let Monitor { delay, timeout, max_retries, max_retries_down } = monitor.settings;
    let kind = match monitor.kind {
        MonitorType::UdpConnect => HealthMonitorType::UdpConnect,
        MonitorType::Sctp => HealthMonitorType::Sctp,
        MonitorType::Tcp | MonitorType::Other => HealthMonitorType::Tcp,
    };
    NewHealthMonitor {
        max_retries_down: Some(retries(max_retries_down)),
        admin_state_up: Some(monitor.admin_state_up),
        ..NewHealthMonitor::of(kind, delay, timeout, retries(max_retries))
    }
}

/// All that can be changed of a health monitor.
pub fn monitor_update(monitor: &HealthMonitor) -> HealthMonitorUpdate {
    let Monitor { delay, timeout, max_retries, max_retries_down } = monitor.settings;
    HealthMonitorUpdate {
        delay: Some(delay),
        timeout: Some(timeout),
        max_retries: Some(retries(max_retries)),
        max_retries_down: Some(retries(max_retries_down)),
        admin_state_up: Some(monitor.admin_state_up),
        ..HealthMonitorUpdate::default()
    }
}

/// Ten at most, by the schema.
fn retries(count: u32) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}

const fn listener_protocol(protocol: ListenerProtocol) -> Protocol {
    match protocol {
        ListenerProtocol::Udp => Protocol::Udp,
        ListenerProtocol::Sctp => Protocol::Sctp,
        ListenerProtocol::Http => Protocol::Http,
        ListenerProtocol::TerminatedHttps => Protocol::TerminatedHttps,
        ListenerProtocol::Tcp | ListenerProtocol::Other => Protocol::Tcp,
    }
}

const fn pool_protocol(protocol: PoolProtocol) -> Protocol {
    match protocol {
        PoolProtocol::Udp => Protocol::Udp,
        PoolProtocol::Sctp => Protocol::Sctp,
        PoolProtocol::Http => Protocol::Http,
        PoolProtocol::Proxy => Protocol::Proxy,
        PoolProtocol::ProxyV2 => Protocol::ProxyV2,
        PoolProtocol::Tcp | PoolProtocol::Other => Protocol::Tcp,
    }
}

const fn algorithm(algorithm: Algorithm) -> octavia::Algorithm {
    match algorithm {
        Algorithm::RoundRobin => octavia::Algorithm::RoundRobin,
        Algorithm::LeastConnections => octavia::Algorithm::LeastConnections,
        Algorithm::SourceIp => octavia::Algorithm::SourceIp,
        Algorithm::SourceIpPort => octavia::Algorithm::SourceIpPort,
    }
}
