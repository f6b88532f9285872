//! Octavia's answers in the words of the plan.

use kuryr_core::service::{
    graph::{
        ListenerProtocol, ListenerSettings, Member, MemberKey, MonitorType, Persistence, PoolProtocol, PoolSettings,
    },
    observed::{
        ObservedListener, ObservedLoadBalancer, ObservedMember, ObservedMonitor, ObservedPool, Operating, Provisioning,
    },
    spec::{Algorithm, Monitor, Timeouts, Vip},
};
use kuryr_openstack::octavia::{
    self, HealthMonitor, HealthMonitorType, Listener, LoadBalancerGraph, OperatingStatus, Pool, PoolGraph, Protocol,
    ProvisioningStatus, SessionPersistenceType,
};
use std::{collections::BTreeSet, net::IpAddr};

/// The header by which members are told the client's address.
pub const FORWARDED_FOR: &str = "X-Forwarded-For";

/// A load balancer with all that belongs to it. `None`: it has no address yet.
pub fn load_balancer(graph: &LoadBalancerGraph) -> Option<ObservedLoadBalancer> {
    let one = &graph.load_balancer;
    let vip = |address: IpAddr, subnet: String| Vip { address, subnet_id: subnet };
    let additional = one.additional_vips.iter();
    let additional_vips: BTreeSet<Vip> =
        additional.filter_map(|more| Some(vip(more.ip_address?, more.subnet_id.to_string()))).collect();
    Some(ObservedLoadBalancer {
        id: one.id.to_string(),
        provisioning: provisioning(&one.provisioning_status),
        operating: operating(&one.operating_status),
        name: one.name.clone(),
        description: one.description.clone(),
        admin_state_up: one.admin_state_up,
        provider: one.provider.clone(),
        flavor_id: one.flavor_id.as_ref().map(ToString::to_string),
        availability_zone: one.availability_zone.clone(),
        vip: vip(one.vip_address?, one.vip_subnet_id.as_ref().map(ToString::to_string).unwrap_or_default()),
        vip_port_id: one.vip_port_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        additional_vips,
        listeners: graph.listeners.iter().map(listener).collect(),
        pools: graph.pools.iter().map(pool).collect(),
    })
}

/// What isn't known counts as a change that isn't done: nothing is sent meanwhile.
pub fn provisioning(status: &ProvisioningStatus) -> Provisioning {
    match status {
        // Shown for a moment.
        ProvisioningStatus::Deleted => Provisioning::PendingDelete,
        other => Provisioning::parse(other.as_str()).unwrap_or(Provisioning::PendingUpdate),
    }
}

const fn operating(status: &OperatingStatus) -> Operating {
    match status {
        OperatingStatus::Online => Operating::Online,
        OperatingStatus::Offline => Operating::Offline,
        OperatingStatus::Degraded => Operating::Degraded,
        OperatingStatus::Error => Operating::Error,
        OperatingStatus::Draining => Operating::Draining,
        OperatingStatus::NoMonitor | OperatingStatus::Other(_) => Operating::NoMonitor,
    }
}

fn listener(listener: &Listener) -> ObservedListener {
    let timeouts = (|| {
        Some(Timeouts {
            client_data: listener.timeout_client_data?,
            member_connect: listener.timeout_member_connect?,
            member_data: listener.timeout_member_data?,
            tcp_inspect: listener.timeout_tcp_inspect?,
        })
    })();
    ObservedListener {
        id: listener.id.to_string(),
        provisioning: provisioning(&listener.provisioning_status),
        protocol: match listener.protocol {
            Protocol::Tcp => ListenerProtocol::Tcp,
            Protocol::Udp => ListenerProtocol::Udp,
            Protocol::Sctp => ListenerProtocol::Sctp,
            Protocol::Http => ListenerProtocol::Http,
            Protocol::TerminatedHttps => ListenerProtocol::TerminatedHttps,
            _ => ListenerProtocol::Other,
        },
        port: listener.protocol_port,
        settings: ListenerSettings {
            name: listener.name.clone(),
            admin_state_up: listener.admin_state_up,
            connection_limit: listener.connection_limit.and_then(|limit| i32::try_from(limit).ok()),
            timeouts,
            allowed_cidrs: listener.allowed_cidrs.iter().copied().collect(),
            x_forwarded_for: listener.insert_headers.get(FORWARDED_FOR).is_some_and(|value| value == "true"),
            tls_container_ref: listener.default_tls_container_ref.clone(),
        },
        pool_id: listener.default_pool_id.as_ref().map(ToString::to_string),
    }
}

fn pool(graph: &PoolGraph) -> ObservedPool {
    let pool = &graph.pool;
    ObservedPool {
        id: pool.id.to_string(),
        provisioning: provisioning(&pool.provisioning_status),
        protocol: match pool.protocol {
            Protocol::Tcp => PoolProtocol::Tcp,
            Protocol::Udp => PoolProtocol::Udp,
            Protocol::Sctp => PoolProtocol::Sctp,
            Protocol::Http => PoolProtocol::Http,
            Protocol::Proxy => PoolProtocol::Proxy,
            Protocol::ProxyV2 => PoolProtocol::ProxyV2,
            _ => PoolProtocol::Other,
        },
        settings: PoolSettings {
            name: pool.name.clone(),
            admin_state_up: pool.admin_state_up,
            algorithm: match pool.lb_algorithm {
                octavia::Algorithm::RoundRobin | octavia::Algorithm::Other(_) => Algorithm::RoundRobin,
                octavia::Algorithm::LeastConnections => Algorithm::LeastConnections,
                octavia::Algorithm::SourceIp => Algorithm::SourceIp,
                octavia::Algorithm::SourceIpPort => Algorithm::SourceIpPort,
            },
            persistence: persistence(pool),
        },
        members: graph.members.iter().filter_map(member).collect(),
        monitor: graph.health_monitor.as_ref().map(monitor),
    }
}

/// Kuryr never asks for another kind: that counts as none, and is taken away by the next change of the pool.
fn persistence(pool: &Pool) -> Option<Persistence> {
    let has = pool.session_persistence.as_ref().filter(|has| has.r#type == SessionPersistenceType::SourceIp)?;
    Some(Persistence { timeout: has.persistence_timeout })
}

fn member(member: &octavia::Member) -> Option<(MemberKey, ObservedMember)> {
    let key = MemberKey { address: member.address?, port: member.protocol_port };
    let observed = ObservedMember {
        provisioning: provisioning(&member.provisioning_status),
        member: Member {
            subnet_id: member.subnet_id.as_ref().map(ToString::to_string),
            weight: member.weight.unwrap_or(1),
            admin_state_up: member.admin_state_up,
        },
    };
    Some((key, observed))
}

fn monitor(monitor: &HealthMonitor) -> ObservedMonitor {
    ObservedMonitor {
        id: monitor.id.to_string(),
        provisioning: provisioning(&monitor.provisioning_status),
        kind: match monitor.r#type {
            HealthMonitorType::Tcp => MonitorType::Tcp,
            HealthMonitorType::UdpConnect => MonitorType::UdpConnect,
            HealthMonitorType::Sctp => MonitorType::Sctp,
            _ => MonitorType::Other,
        },
        settings: Monitor {
            delay: monitor.delay,
            timeout: monitor.timeout,
            max_retries: monitor.max_retries.into(),
            max_retries_down: monitor.max_retries_down.into(),
        },
        admin_state_up: monitor.admin_state_up,
    }
}
