//! The cases without a lab: what Kuryr's model makes of their policies must let through what the API's text says.
//!
//! Two readings of one text, and no packets: whoever changes the model sees here in a moment what the lab would show in minutes.

use super::api::cases;
use anyhow::{Context, Result, ensure};
use k8s_openapi::{
    api::{core::v1 as core, networking::v1 as api},
    apimachinery::pkg::{apis::meta::v1 as meta, util::intstr::IntOrString},
};
use kube::ResourceExt;
use kuryr_core::{
    policy::{
        Direction, Fact, Remote, Rule, Settings, World,
        facts::{
            ContainerPort, Family, IpBlock, LabelSelector, Namespace, Peer, Pod, Policy, PolicyPort, PolicyRule,
            PortRef, Requirement,
        },
    },
    service::spec::Protocol,
};
use kuryr_e2e::{
    policies::{
        table::{self, Cell, Expected, Way},
        text,
    },
    workload::addresses,
};
use std::net::IpAddr;

#[test]
fn kuryrs_model_means_the_same_by_each_case() -> Result<()> {
    let mut seen = text::World::of_mesh()?;
    let cases = cases(&seen)?;
    for case in &cases {
        seen.policies = case.objects(&seen)?;
        let expected = seen.table();
        let modelled = modelled(&seen)?;
        let differ: Vec<_> = expected.iter().filter(|(cell, open)| modelled.get(*cell) != Some(*open)).collect();
        let first =
            differ.first().map(|(Cell { from, to, way }, open)| format!("{from} -> {to} {way}, expected {open}"));
        ensure!(differ.is_empty(), "{}: {} ways differ: {}", case.name, differ.len(), first.unwrap_or_default());
    }
    println!("{} cases", cases.len());
    Ok(())
}

/// Which ways the groups open that the model gives to the pods.
fn modelled(seen: &text::World) -> Result<Expected> {
    let mut world = World::new(Settings::default());
    let namespaces = seen
        .spaces
        .values()
        .map(|space| Fact::Namespace(Namespace { name: space.name_any().into(), labels: space.labels().clone() }));
    let policies = seen.policies.iter().map(|one| Fact::Policy(policy(one)));
    let pods = seen.pods.values().map(|one| Fact::Pod(pod(one)));
    drop(world.learn(namespaces.chain(policies).chain(pods)));
    let mut table = Expected::new();
    for (from_name, from) in &seen.pods {
        for (to_name, to) in &seen.pods {
            for way in Way::all() {
                let (source, target) = (address(from, way)?, address(to, way)?);
                let out = lets(&world, from, Direction::Egress, way, target)?;
                let open = from_name == to_name || (out && lets(&world, to, Direction::Ingress, way, source)?);
                table.insert(Cell { from: from_name.clone(), to: to_name.clone(), way }, open);
            }
        }
    }
    Ok(table)
}

fn address(pod: &core::Pod, way: Way) -> Result<IpAddr> {
    text::address(pod, way.family).with_context(|| format!("{} has no address for {way}", pod.name_any()))
}

/// Whether one of a pod's groups lets this through.
fn lets(world: &World, pod: &core::Pod, direction: Direction, way: Way, other: IpAddr) -> Result<bool> {
    let groups = world.groups_of_pod(&uid(pod)).context("the model doesn't know a pod")?;
    let mut rules = groups.iter().flat_map(|key| world.rules(key).into_iter().flatten());
    Ok(rules.any(|rule| rule.direction == direction && allows(world, rule, way, other)))
}

fn allows(world: &World, rule: &Rule, way: Way, other: IpAddr) -> bool {
    let family = if other.is_ipv4() { Family::V4 } else { Family::V6 };
    let protocol = if way.protocol == table::Protocol::Tcp { Protocol::Tcp } else { Protocol::Udp };
    let meant = match &rule.remote {
        Remote::Any => true,
        Remote::Prefix(net) => net.contains(&other),
        Remote::Group(key) => world.members(key).into_iter().flatten().any(|net| net.contains(&other)),
    };
    rule.family == family && rule.ports.contains(protocol, way.port) && meant
}

/// The pods of the mesh have no uid: their names tell them apart.
fn uid<K: ResourceExt>(object: &K) -> std::sync::Arc<str> {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any()).into()
}

fn pod(pod: &core::Pod) -> Pod {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let named = |port: &core::ContainerPort| {
        let protocol = if port.protocol.as_deref() == Some("UDP") { Protocol::Udp } else { Protocol::Tcp };
        Some(ContainerPort { name: port.name.clone()?, protocol, number: u16::try_from(port.container_port).ok()? })
    };
    Pod {
        uid: uid(pod),
        namespace: pod.namespace().unwrap_or_default().into(),
        labels: pod.labels().clone(),
        node: None,
        host_network: false,
        terminated: false,
        addresses: addresses(pod).into_iter().collect(),
        ports: containers.flat_map(|one| one.ports.iter().flatten()).filter_map(named).collect(),
    }
}

fn policy(policy: &api::NetworkPolicy) -> Policy {
    let spec = policy.spec.clone().unwrap_or_default();
    let ingress = |rule: &api::NetworkPolicyIngressRule| one_rule(rule.from.as_deref(), rule.ports.as_deref());
    let egress = |rule: &api::NetworkPolicyEgressRule| one_rule(rule.to.as_deref(), rule.ports.as_deref());
    Policy {
        uid: uid(policy),
        namespace: policy.namespace().unwrap_or_default().into(),
        pod_selector: spec.pod_selector.as_ref().map(selector).unwrap_or_default(),
        policy_types: spec.policy_types.clone().unwrap_or_default(),
        ingress: spec.ingress.as_ref().map(|rules| rules.iter().map(ingress).collect()),
        egress: spec.egress.as_ref().map(|rules| rules.iter().map(egress).collect()),
    }
}

fn one_rule(peers: Option<&[api::NetworkPolicyPeer]>, ports: Option<&[api::NetworkPolicyPort]>) -> PolicyRule {
    PolicyRule {
        peers: peers.unwrap_or_default().iter().map(peer).collect(),
        ports: ports.unwrap_or_default().iter().map(port).collect(),
    }
}

fn peer(peer: &api::NetworkPolicyPeer) -> Peer {
    let block =
        |block: &api::IPBlock| IpBlock { cidr: block.cidr.clone(), except: block.except.clone().unwrap_or_default() };
    Peer {
        pod_selector: peer.pod_selector.as_ref().map(selector),
        namespace_selector: peer.namespace_selector.as_ref().map(selector),
        ip_block: peer.ip_block.as_ref().map(block),
    }
}

fn port(port: &api::NetworkPolicyPort) -> PolicyPort {
    let number_or_name = |one: &IntOrString| match one {
        IntOrString::Int(number) => PortRef::Number(*number),
        IntOrString::String(name) => PortRef::Name(name.clone()),
    };
    PolicyPort {
        protocol: port.protocol.clone(),
        port: port.port.as_ref().map(number_or_name),
        end_port: port.end_port,
    }
}

fn selector(selector: &meta::LabelSelector) -> LabelSelector {
    let requirement = |one: &meta::LabelSelectorRequirement| Requirement {
        key: one.key.clone(),
        operator: one.operator.clone(),
        values: one.values.clone().unwrap_or_default(),
    };
    LabelSelector {
        match_labels: selector.match_labels.clone().unwrap_or_default(),
        match_expressions: selector.match_expressions.iter().flatten().map(requirement).collect(),
    }
}
