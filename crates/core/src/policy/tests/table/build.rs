//! What the hand-written cases are made of.

pub use super::super::{
    random::{one_port, outside, v4, v6, vip4},
    simulation::{lets, settings, world},
};
pub use crate::{
    policy::{
        Direction, Fact, GroupKey, World,
        facts::{
            Abilities, ContainerPort, IpBlock, LabelSelector, Namespace, Peer, Pod, Policy, PolicyPort, PolicyRule,
            PortRef, Requirement, Service, Settings,
        },
        oracle::{Cluster, End},
    },
    service::spec::Protocol::{self, Sctp, Tcp, Udp},
};
pub use std::net::IpAddr;

pub fn select(labels: &[(&str, &str)]) -> LabelSelector {
    let match_labels = labels.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    LabelSelector { match_labels, match_expressions: Vec::new() }
}

pub fn asks(key: &str, operator: &str, values: &[&str]) -> LabelSelector {
    let values = values.iter().map(|&value| value.to_owned()).collect();
    let requirement = Requirement { key: key.into(), operator: operator.into(), values };
    LabelSelector { match_labels: [].into(), match_expressions: vec![requirement] }
}

pub fn pods(selector: LabelSelector) -> Peer {
    Peer { pod_selector: Some(selector), ..Peer::default() }
}

pub fn namespaces(selector: LabelSelector) -> Peer {
    Peer { namespace_selector: Some(selector), ..Peer::default() }
}

pub fn both(namespaces: LabelSelector, pods: LabelSelector) -> Peer {
    Peer { namespace_selector: Some(namespaces), pod_selector: Some(pods), ip_block: None }
}

pub fn block(cidr: &str, except: &[&str]) -> Peer {
    let except = except.iter().map(|&net| net.to_owned()).collect();
    Peer { ip_block: Some(IpBlock { cidr: cidr.into(), except }), ..Peer::default() }
}

pub fn port(protocol: &str, number: i32) -> PolicyPort {
    PolicyPort { protocol: Some(protocol.into()), port: Some(PortRef::Number(number)), end_port: None }
}

pub fn named(protocol: &str, name: &str) -> PolicyPort {
    PolicyPort { protocol: Some(protocol.into()), port: Some(PortRef::Name(name.into())), end_port: None }
}

pub fn rule(peers: &[Peer], ports: &[PolicyPort]) -> PolicyRule {
    PolicyRule { peers: peers.into(), ports: ports.into() }
}

/// A policy of namespace `a` for pods with `app=web`, about ingress unless told otherwise.
pub fn policy(number: u8) -> Policy {
    Policy {
        uid: format!("policy{number}").as_str().into(),
        namespace: "a".into(),
        pod_selector: select(&[("app", "web")]),
        policy_types: Vec::new(),
        ingress: None,
        egress: None,
    }
}

pub fn ingress(rules: &[PolicyRule]) -> Policy {
    Policy { ingress: Some(rules.into()), ..policy(1) }
}

pub fn egress(rules: &[PolicyRule]) -> Policy {
    Policy { policy_types: vec!["Egress".into()], egress: Some(rules.into()), ..policy(1) }
}

pub fn pod(number: u8, namespace: &str, labels: &[(&str, &str)], ports: &[(&str, Protocol, u16)]) -> Pod {
    Pod {
        uid: format!("pod{number}").as_str().into(),
        namespace: namespace.into(),
        labels: select(labels).match_labels,
        node: Some("n1".into()),
        host_network: false,
        terminated: false,
        addresses: [v4(number), v6(number)].into(),
        ports: ports
            .iter()
            .map(|&(name, protocol, number)| ContainerPort { name: name.into(), protocol, number })
            .collect(),
    }
}

/// Pod 1 is selected. 2 and 3 are in its namespace, 4 and 5 in `b`, 6 in `c`.
pub fn cluster(policies: &[Policy]) -> Cluster {
    let namespace = |name: &str, labels| Namespace { name: name.into(), labels: select(labels).match_labels };
    Cluster {
        namespaces: vec![
            namespace("a", &[("team", "x")]),
            namespace("b", &[("team", "y")]),
            namespace("c", &[("team", "y"), ("zone", "")]),
        ],
        pods: vec![
            pod(1, "a", &[("app", "web")], &[("http", Tcp, 80), ("http", Udp, 81)]),
            pod(2, "a", &[("app", "db")], &[("http", Tcp, 81)]),
            pod(3, "a", &[("app", "")], &[]),
            pod(4, "b", &[("app", "db")], &[("http", Tcp, 90)]),
            pod(5, "b", &[], &[]),
            pod(6, "c", &[("app", "db")], &[("http", Udp, 90)]),
        ],
        policies: policies.into(),
        ..Cluster::default()
    }
}

/// Who of pods 2 to 6 and of the outside (0) may reach pod 1, or be reached by it, at a port. With and without address groups the same.
pub fn who(cluster: &Cluster, direction: Direction, protocol: Protocol, port: u16) -> Vec<u8> {
    let with = |address_groups| {
        let world = world(cluster, settings(address_groups));
        let may = |address: IpAddr| lets(&world, &cluster.pods[0], direction, End { address, protocol, port });
        assert!((2..=6).all(|number| may(v4(number)) == may(v6(number))) || uses_blocks(cluster));
        (2..=6)
            .map(|number| (number, v4(number)))
            .chain([(0, outside()[0])])
            .filter(|(_, to)| may(*to))
            .map(|(n, _)| n)
            .collect()
    };
    let found: Vec<u8> = with(true);
    assert_eq!(found, with(false));
    found
}

pub fn uses_blocks(cluster: &Cluster) -> bool {
    let rules = cluster.policies.iter().flat_map(|policy| policy.ingress.iter().chain(&policy.egress).flatten());
    rules.flat_map(|rule| &rule.peers).any(|peer| peer.ip_block.is_some())
}

pub fn from(policy: &Policy, protocol: Protocol, port: u16) -> Vec<u8> {
    who(&cluster(std::slice::from_ref(policy)), Direction::Ingress, protocol, port)
}

pub fn to(policy: &Policy, protocol: Protocol, port: u16) -> Vec<u8> {
    who(&cluster(std::slice::from_ref(policy)), Direction::Egress, protocol, port)
}

pub const ALL: [u8; 6] = [2, 3, 4, 5, 6, 0];
pub const NOBODY: [u8; 0] = [];
