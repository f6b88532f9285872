//! The load balancer that a Service is to have, from what it asks for, its endpoints, and what the provider can do.

mod endpoints;
mod options;
#[cfg(test)]
mod tests;

use super::{
    abilities::{Abilities, Feature},
    facts::{Settings, Slice},
    graph::{
        Desired, Effect, Graph, HealthMonitor, Key, Listener, ListenerProtocol, ListenerSettings, MonitorType, Pool,
        PoolProtocol, PoolSettings,
    },
    spec::{LoadBalancerSpec, Protocol, ProxyProtocol, Vip},
};
use endpoints::Rules;
use options::{Options, Shortfalls};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// Who a load balancer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its name, for people: the Service's namespace and name.
    pub name: String,
    /// The owner mark of its KuryrLoadBalancer (`names::OwnerMark`).
    pub mark: String,
}

/// The load balancer that a Service is to have.
///
/// Two families are two addresses of one load balancer (`additional_vips`): its listeners and pools are made and changed once, and it is either
/// there for both or for none. A provider that can't do so serves the first one, as cloud-provider-openstack does everywhere.
#[must_use]
pub fn desire(
    identity: &Identity,
    spec: &LoadBalancerSpec,
    slices: &[Slice],
    settings: &Settings,
    abilities: &Abilities,
) -> Option<Desired> {
    let mut shortfalls = Shortfalls::new(abilities);
    let (vip, additional_vips) = vips(spec, &mut shortfalls)?;
    let served: Vec<&Vip> = std::iter::once(&vip).chain(&additional_vips).collect();
    let options = Options::of(spec, &served, settings, &mut shortfalls);
    let rules = Rules {
        publish_not_ready: spec.publish_not_ready_addresses,
        ipv4: served.iter().any(|vip| vip.address.is_ipv4()),
        ipv6: served.iter().any(|vip| vip.address.is_ipv6()),
    };
    let subnet = |address| member_subnet(address, &served, settings, abilities);
    let mut listeners = BTreeMap::new();
    for port in &spec.ports {
        let key = Key { protocol: port.protocol, port: port.port };
        if is_served(key, &listeners, &mut shortfalls) {
            let members = endpoints::members(port, rules, slices, subnet);
            let pool = Pool { members, ..pool(identity, key, &options, &mut shortfalls) };
            listeners.insert(key, listener(identity, key, &options, pool));
        }
    }
    let graph = Graph {
        name: identity.name.clone(),
        description: identity.mark.clone(),
        provider: spec.provider.clone(),
        flavor_id: options.flavor_id.clone(),
        availability_zone: options.availability_zone.clone(),
        vip,
        additional_vips,
        listeners,
    };
    let mut external = spec.external.clone().filter(|_| !shortfalls.not_exposed());
    if let Some(external) = external.as_mut().filter(|_| !rules.ipv4) {
        // It would stand for an address that isn't served.
        external.floating_ip = None;
    }
    Some(Desired { graph, external, unsupported: shortfalls.all })
}

/// The address and the further addresses that are served. None: the spec has none.
fn vips(spec: &LoadBalancerSpec, shortfalls: &mut Shortfalls<'_>) -> Option<(Vip, BTreeSet<Vip>)> {
    let (first, others) = spec.vips.split_first()?;
    let mut served = BTreeSet::new();
    for vip in others {
        let what = format!("The address {} beside {}", vip.address, first.address);
        if shortfalls.can(Feature::AdditionalVips, None, Effect::FamilyNotServed, &what) {
            served.insert(vip.clone());
        }
    }
    Some((first.clone(), served))
}

/// The subnet that a member's address is of. A provider that needs one gets that of the load balancer's own address, as OVN's takes it itself
/// for members that it creates with the load balancer.
fn member_subnet(address: IpAddr, served: &[&Vip], settings: &Settings, abilities: &Abilities) -> Option<String> {
    let known = settings.member_subnet(address).or_else(|| settings.service_subnet(address));
    let own = || served.iter().find(|vip| vip.address.is_ipv4() == address.is_ipv4()).map(|vip| vip.subnet_id.clone());
    known.map_or_else(
        || if abilities.has(Feature::MemberWithoutSubnet) { None } else { own() },
        |subnet| Some(subnet.id.clone()),
    )
}

/// Whether a port can be served.
fn is_served(key: Key, others: &BTreeMap<Key, Listener>, shortfalls: &mut Shortfalls<'_>) -> bool {
    let what = format!("Port {key}");
    if !shortfalls.can(Feature::Protocol(key.protocol), Some(key), Effect::PortNotServed, &what) {
        return false;
    }
    let Some(other) = others.keys().find(|other| other.port == key.port && **other != key) else {
        return true;
    };
    let what = format!("Port {key} beside {other}");
    shortfalls.can(Feature::SamePort, Some(key), Effect::PortNotServed, &what)
}

/// A port's listener.
fn listener(identity: &Identity, key: Key, options: &Options, pool: Pool) -> Listener {
    let is_tcp = key.protocol == Protocol::Tcp;
    let tls_container_ref = options.tls_container_ref.clone().filter(|_| is_tcp);
    let protocol = match key.protocol {
        Protocol::Udp => ListenerProtocol::Udp,
        Protocol::Sctp => ListenerProtocol::Sctp,
        Protocol::Tcp if tls_container_ref.is_some() => ListenerProtocol::TerminatedHttps,
        Protocol::Tcp if options.x_forwarded_for => ListenerProtocol::Http,
        Protocol::Tcp => ListenerProtocol::Tcp,
    };
    let settings = ListenerSettings {
        name: name(identity, key),
        admin_state_up: true,
        connection_limit: options.connection_limit,
        timeouts: options.timeouts,
        allowed_cidrs: options.allowed_cidrs.clone(),
        x_forwarded_for: is_tcp && options.x_forwarded_for,
        tls_container_ref,
    };
    Listener { protocol, settings, pool }
}

/// A port's pool, without members.
fn pool(identity: &Identity, key: Key, options: &Options, shortfalls: &mut Shortfalls<'_>) -> Pool {
    let is_http = options.x_forwarded_for || options.tls_container_ref.is_some();
    let protocol = match (key.protocol, options.proxy_protocol) {
        (Protocol::Udp, _) => PoolProtocol::Udp,
        (Protocol::Sctp, _) => PoolProtocol::Sctp,
        (Protocol::Tcp, Some(ProxyProtocol::V1)) => PoolProtocol::Proxy,
        (Protocol::Tcp, Some(ProxyProtocol::V2)) => PoolProtocol::ProxyV2,
        (Protocol::Tcp, None) if is_http => PoolProtocol::Http,
        (Protocol::Tcp, None) => PoolProtocol::Tcp,
    };
    let settings = PoolSettings {
        name: name(identity, key),
        admin_state_up: true,
        algorithm: options.algorithm,
        persistence: options.persistence(key, shortfalls),
    };
    Pool { protocol, settings, members: BTreeMap::new(), monitor: monitor(key, options, shortfalls) }
}

/// Least delay of a `UDP-CONNECT` monitor that Octavia takes, in seconds (`udp_connect_min_interval_health_monitor`).
const LEAST_UDP_DELAY: u32 = 3;

fn monitor(key: Key, options: &Options, shortfalls: &mut Shortfalls<'_>) -> Option<HealthMonitor> {
    let mut settings = options.monitor?;
    let what = format!("A health monitor of port {key}");
    if !shortfalls.can(Feature::Monitor(key.protocol), Some(key), Effect::Ignored, &what) {
        return None;
    }
    let kind = match key.protocol {
        Protocol::Tcp => MonitorType::Tcp,
        Protocol::Udp => MonitorType::UdpConnect,
        Protocol::Sctp => MonitorType::Sctp,
    };
    if kind == MonitorType::UdpConnect {
        settings.delay = settings.delay.max(LEAST_UDP_DELAY);
    }
    Some(HealthMonitor { kind, settings, admin_state_up: true })
}

/// The name of a port's listener and pool: distinct within the load balancer, as Octavia wants pools of a populated create to be.
fn name(identity: &Identity, key: Key) -> String {
    format!("{}:{key}", identity.name)
}
