//! What NetworkPolicies, Pods, Namespaces, Nodes and load balancers say, in the plain types of `kuryr_core::policy`.
//!
//! Nothing is judged here: what can't be meant is told by [`kuryr_core::policy::read()`].

use crate::pod::Pod;
use k8s_openapi::{
    api::{
        core::v1,
        networking::v1::{
            IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
            NetworkPolicyPort,
        },
    },
    apimachinery::pkg::{apis::meta::v1 as meta, util::intstr::IntOrString},
};
use kube::ResourceExt;
use kuryr_core::{
    policy::facts,
    policy::facts::{
        Backend, ContainerPort, IpBlock, LabelSelector, Labels, Namespace, Node, Peer, Policy, PolicyPort, PolicyRule,
        PortRef, Requirement, Service, Uid,
    },
    service::{graph::Graph, spec::Protocol},
};
use std::{collections::BTreeSet, net::IpAddr};

/// The uid of an object.
pub fn uid(object: &impl ResourceExt) -> Uid {
    object.uid().unwrap_or_default().into()
}

/// What a NetworkPolicy says.
pub fn policy(object: &NetworkPolicy) -> Policy {
    let spec = object.spec.clone().unwrap_or_default();
    Policy {
        uid: uid(object),
        namespace: object.namespace().unwrap_or_default().into(),
        pod_selector: selector(spec.pod_selector.unwrap_or_default()),
        policy_types: spec.policy_types.unwrap_or_default(),
        ingress: spec.ingress.map(|rules| rules.into_iter().map(ingress).collect()),
        egress: spec.egress.map(|rules| rules.into_iter().map(egress).collect()),
    }
}

fn ingress(rule: NetworkPolicyIngressRule) -> PolicyRule {
    self::rule(rule.from, rule.ports)
}

fn egress(rule: NetworkPolicyEgressRule) -> PolicyRule {
    self::rule(rule.to, rule.ports)
}

fn rule(peers: Option<Vec<NetworkPolicyPeer>>, ports: Option<Vec<NetworkPolicyPort>>) -> PolicyRule {
    PolicyRule {
        peers: peers.into_iter().flatten().map(peer).collect(),
        ports: ports.into_iter().flatten().map(port).collect(),
    }
}

fn peer(peer: NetworkPolicyPeer) -> Peer {
    Peer {
        pod_selector: peer.pod_selector.map(selector),
        namespace_selector: peer.namespace_selector.map(selector),
        ip_block: peer.ip_block.map(|IPBlock { cidr, except }| IpBlock { cidr, except: except.unwrap_or_default() }),
    }
}

fn port(port: NetworkPolicyPort) -> PolicyPort {
    let reference = |port| match port {
        IntOrString::Int(number) => PortRef::Number(number),
        IntOrString::String(name) => PortRef::Name(name),
    };
    PolicyPort { protocol: port.protocol, port: port.port.map(reference), end_port: port.end_port }
}

/// A selector of labels.
pub fn selector(selector: meta::LabelSelector) -> LabelSelector {
    let requirement = |one: meta::LabelSelectorRequirement| Requirement {
        key: one.key,
        operator: one.operator,
        values: one.values.unwrap_or_default(),
    };
    LabelSelector {
        match_labels: selector.match_labels.unwrap_or_default(),
        match_expressions: selector.match_expressions.into_iter().flatten().map(requirement).collect(),
    }
}

/// What a Namespace says.
pub fn namespace(object: &v1::Namespace) -> Namespace {
    Namespace { name: object.name_any().into(), labels: labels(object) }
}

fn labels(object: &impl ResourceExt) -> Labels {
    object.labels().clone()
}

/// What a Pod says, with the addresses that its ports have.
pub fn pod(object: &Pod, addresses: BTreeSet<IpAddr>) -> facts::Pod {
    let phase = object.status.phase.as_deref();
    facts::Pod {
        uid: uid(object),
        namespace: object.namespace().unwrap_or_default().into(),
        labels: labels(object),
        node: object.spec.node_name.as_deref().map(Into::into),
        host_network: object.spec.host_network,
        terminated: matches!(phase, Some("Succeeded" | "Failed")),
        addresses,
        ports: object.spec.named_ports().filter_map(container_port).collect(),
    }
}

fn container_port(port: &crate::pod::NamedPort) -> Option<ContainerPort> {
    let protocol = match port.protocol.as_deref() {
        None | Some("TCP") => Protocol::Tcp,
        Some("UDP") => Protocol::Udp,
        Some("SCTP") => Protocol::Sctp,
        Some(_) => return None,
    };
    let number = u16::try_from(port.container_port).ok().filter(|number| *number > 0)?;
    Some(ContainerPort { name: port.name.clone()?, protocol, number })
}

/// What a Node says, with the addresses that its own port has.
pub fn node(object: &v1::Node, own: BTreeSet<IpAddr>) -> Node {
    let addresses = object.status.iter().flat_map(|status| status.addresses.iter().flatten());
    let addresses = addresses.filter_map(|address| address.address.parse().ok());
    Node { name: object.name_any().into(), addresses: addresses.chain(own).collect() }
}

/// What a Service's load balancer is to serve.
pub fn service(uid: Uid, graph: &Graph) -> Service {
    let vips = std::iter::once(&graph.vip).chain(&graph.additional_vips);
    let ports = graph.listeners.iter().map(|(key, listener)| {
        let members = listener.pool.members.keys();
        let backends = members.map(|member| Backend { address: member.address, port: member.port }).collect();
        ((key.protocol, key.port), backends)
    });
    Service { uid, vips: vips.map(|vip| vip.address).collect(), ports: ports.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_policy_is_read_as_it_is_written() {
        let object: NetworkPolicy = serde_json::from_value(json!({
            "metadata": { "name": "db", "namespace": "shop", "uid": "u" },
            "spec": {
                "podSelector": { "matchLabels": { "app": "db" } },
                "policyTypes": ["Ingress"],
                "ingress": [{
                    "from": [
                        { "namespaceSelector": {}, "podSelector": { "matchExpressions": [{ "key": "a", "operator": "In", "values": ["b"] }] } },
                        { "ipBlock": { "cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"] } },
                    ],
                    "ports": [{ "port": "sql" }, { "protocol": "UDP", "port": 53, "endPort": 54 }],
                }, {}],
            },
        }))
        .unwrap();
        let read = policy(&object);
        assert_eq!((&*read.uid, &*read.namespace, read.policy_types.len()), ("u", "shop", 1));
        assert_eq!(read.egress, None, "not the same as none");
        let [first, second] = &read.ingress.unwrap()[..] else { panic!("two rules") };
        assert_eq!(*second, PolicyRule::default(), "everybody, all ports");
        assert_eq!(first.peers[0].namespace_selector, Some(LabelSelector::default()));
        assert_eq!(first.peers[0].pod_selector.as_ref().unwrap().match_expressions[0].values, ["b"]);
        assert_eq!(first.peers[1].ip_block.as_ref().unwrap().except, ["10.1.0.0/16"]);
        assert_eq!(first.ports[0].port, Some(PortRef::Name("sql".into())));
        let udp = PolicyPort { protocol: Some("UDP".into()), port: Some(PortRef::Number(53)), end_port: Some(54) };
        assert_eq!(first.ports[1], udp);
    }

    #[test]
    fn a_pod_has_the_named_ports_of_containers_that_keep_running() {
        let object: Pod = serde_json::from_value(json!({
            "metadata": { "name": "web", "namespace": "shop", "uid": "u", "labels": { "app": "web" } },
            "spec": {
                "nodeName": "node1",
                "containers": [{ "name": "c", "ports": [{ "name": "http", "containerPort": 80 }, { "containerPort": 81 }] }],
                "initContainers": [
                    { "name": "once", "ports": [{ "name": "once", "containerPort": 1 }] },
                    { "name": "side", "restartPolicy": "Always", "ports": [{ "name": "dns", "containerPort": 53, "protocol": "UDP" }] },
                ],
            },
            "status": { "phase": "Running" },
        }))
        .unwrap();
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        let read = pod(&object, [address].into());
        let port = |name: &str, protocol, number| ContainerPort { name: name.into(), protocol, number };
        assert_eq!(read.ports, [port("dns", Protocol::Udp, 53), port("http", Protocol::Tcp, 80)].into());
        assert_eq!((read.labels.len(), read.addresses, read.terminated), (1, [address].into(), false));
    }
}
