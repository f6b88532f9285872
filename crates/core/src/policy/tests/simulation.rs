//! What security groups let through: a flow must match a rule of the sender's groups and a rule of the receiver's.

use crate::policy::{
    Fact, World,
    facts::{Abilities, Backend, Family, Pod, Settings},
    groups::{Direction, Remote, Rule},
    oracle::{Cluster, End},
};
use std::net::IpAddr;

pub fn settings(address_groups: bool) -> Settings {
    Settings {
        service_ranges: ["10.96.0.0/16", "fd96::/112"].iter().map(|net| net.parse().unwrap()).collect(),
        pod_networks: ["10.0.0.0/25", "fd00::/64"].iter().map(|net| net.parse().unwrap()).collect(),
        abilities: Abilities { address_groups, source_kept: true },
        ..Settings::default()
    }
}

pub fn world(cluster: &Cluster, settings: Settings) -> World {
    let mut world = World::new(settings);
    let _ = world.learn(facts(cluster));
    world
}

/// All that there is, as if it had just come.
pub fn facts(cluster: &Cluster) -> Vec<Fact> {
    let nodes = cluster.nodes.iter().cloned().map(Fact::Node);
    let namespaces = cluster.namespaces.iter().cloned().map(Fact::Namespace);
    let policies = cluster.policies.iter().cloned().map(Fact::Policy);
    let services = cluster.services.iter().cloned().map(Fact::Service);
    let pods = cluster.pods.iter().cloned().map(Fact::Pod);
    let cluster_policies = cluster.cluster_policies.iter().cloned().map(Fact::ClusterPolicy);
    nodes.chain(namespaces).chain(policies).chain(cluster_policies).chain(services).chain(pods).collect()
}

fn rule_allows(rule: &Rule, world: &World, end: End) -> bool {
    let family = if end.address.is_ipv4() { Family::V4 } else { Family::V6 };
    let remote = match &rule.remote {
        Remote::Any => true,
        Remote::Prefix(net) => net.contains(&end.address),
        Remote::Group(key) => world.members(key).unwrap().iter().any(|net| net.contains(&end.address)),
    };
    rule.family == family && rule.ports.contains(end.protocol, end.port) && remote
}

/// Whether the groups of a pod let this through.
pub fn lets(world: &World, pod: &Pod, direction: Direction, end: End) -> bool {
    let groups = world.groups_of_pod(&pod.uid).unwrap();
    let rules = groups.iter().flat_map(|key| world.rules(key).unwrap());
    rules.filter(|rule| rule.direction == direction).any(|rule| rule_allows(rule, world, end))
}

/// The pods that have ports of their own.
pub fn real(cluster: &Cluster) -> Vec<&Pod> {
    cluster.pods.iter().filter(|pod| !pod.host_network && !pod.terminated).collect()
}

/// The pod whose port has an address.
pub fn at(cluster: &Cluster, address: IpAddr) -> Option<&Pod> {
    real(cluster).into_iter().find(|pod| pod.addresses.contains(&address))
}

/// Each load balancer's port, with the backends of its family.
pub fn vips(cluster: &Cluster) -> Vec<(End, Vec<End>)> {
    let mut vips = Vec::new();
    for service in &cluster.services {
        for (&(protocol, port), backends) in &service.ports {
            for &address in &service.vips {
                let backends = backends.iter().filter(|backend| backend.address.is_ipv4() == address.is_ipv4());
                let end = |backend: &Backend| End { address: backend.address, port: backend.port, protocol };
                vips.push((End { address, protocol, port }, backends.map(end).collect()));
            }
        }
    }
    vips
}
