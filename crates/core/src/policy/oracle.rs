//! Who may talk to whom, straight from the text of the Kubernetes API: slow, plain, and sharing nothing with what is tested but the facts.

use super::{
    cluster::ClusterPolicy,
    facts::{
        IpBlock, LabelSelector, Labels, Namespace, Node, Peer, Pod, Policy, PolicyPort, PolicyRule, PortRef, Service,
    },
};
use crate::service::spec::Protocol;
use std::net::IpAddr;

/// All that there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    pub namespaces: Vec<Namespace>,
    pub pods: Vec<Pod>,
    pub nodes: Vec<Node>,
    pub services: Vec<Service>,
    pub policies: Vec<Policy>,
    /// Only the oracle of ClusterNetworkPolicies asks for them.
    pub cluster_policies: Vec<ClusterPolicy>,
}

/// Where a connection goes, or where it comes from, and at which port it ends.
#[derive(Debug, Clone, Copy)]
pub struct End {
    pub address: IpAddr,
    pub protocol: Protocol,
    pub port: u16,
}

/// May this pod send there, without a Service in between? "Traffic to and from the node where a Pod is running is always allowed"; "a Pod
/// cannot block access to itself".
pub fn may_send(cluster: &Cluster, pod: &Pod, to: End) -> bool {
    pod.addresses.contains(&to.address) || is_own_node(cluster, pod, to.address) || egress_allows(cluster, pod, to)
}

/// May this pod be reached from that address at this port of its own?
pub fn may_receive(cluster: &Cluster, pod: &Pod, from: End) -> bool {
    let own = pod.addresses.contains(&from.address) || is_own_node(cluster, pod, from.address);
    let isolating: Vec<&Policy> =
        selecting(cluster, pod).into_iter().filter(|policy| affects(policy, "Ingress")).collect();
    own || isolating.is_empty()
        || isolating.into_iter().filter(|policy| valid(policy)).any(|policy| {
            policy
                .ingress
                .iter()
                .flatten()
                .any(|rule| matches_peers(cluster, policy, rule, from.address) && matches_ports(rule, Some(pod), from))
        })
}

/// May this pod send to a Service whose backends these are? Each of them must be allowed, or be itself.
pub fn may_send_to_service(cluster: &Cluster, pod: &Pod, backends: &[End]) -> bool {
    backends.iter().all(|end| pod.addresses.contains(&end.address) || egress_allows(cluster, pod, *end))
}

fn egress_allows(cluster: &Cluster, pod: &Pod, to: End) -> bool {
    let isolating: Vec<&Policy> =
        selecting(cluster, pod).into_iter().filter(|policy| affects(policy, "Egress")).collect();
    let target = cluster.pods.iter().find(|pod| is_peer(pod) && pod.addresses.contains(&to.address));
    isolating.is_empty()
        || isolating.into_iter().filter(|policy| valid(policy)).any(|policy| {
            policy
                .egress
                .iter()
                .flatten()
                .any(|rule| matches_peers(cluster, policy, rule, to.address) && matches_ports(rule, target, to))
        })
}

pub fn is_own_node(cluster: &Cluster, pod: &Pod, address: IpAddr) -> bool {
    cluster.nodes.iter().any(|node| Some(&node.name) == pod.node.as_ref() && node.addresses.contains(&address))
}

/// Host-network pods and pods that have ended have no identity in the pod network.
pub fn is_peer(pod: &Pod) -> bool {
    !pod.host_network && !pod.terminated
}

pub fn selecting<'a>(cluster: &'a Cluster, pod: &Pod) -> Vec<&'a Policy> {
    let policies = cluster.policies.iter().filter(|policy| policy.namespace == pod.namespace && is_peer(pod));
    policies.filter(|policy| selects(&policy.pod_selector, &pod.labels)).collect()
}

pub fn affects(policy: &Policy, direction: &str) -> bool {
    if policy.policy_types.is_empty() {
        return direction == "Ingress" || policy.egress.is_some();
    }
    let unknown = policy.policy_types.iter().any(|name| !["Ingress", "Egress"].contains(&name.as_str()));
    unknown || policy.policy_types.iter().any(|name| name == direction)
}

pub fn matches_peers(cluster: &Cluster, policy: &Policy, rule: &PolicyRule, address: IpAddr) -> bool {
    rule.peers.is_empty() || rule.peers.iter().any(|peer| matches_peer(cluster, policy, peer, address))
}

fn matches_peer(cluster: &Cluster, policy: &Policy, peer: &Peer, address: IpAddr) -> bool {
    if let Some(IpBlock { cidr, except }) = &peer.ip_block {
        return inside(cidr, address) && !except.iter().any(|except| inside(except, address));
    }
    cluster.pods.iter().filter(|pod| is_peer(pod) && pod.addresses.contains(&address)).any(|pod| {
        let in_namespace = match &peer.namespace_selector {
            None => pod.namespace == policy.namespace,
            Some(selector) => cluster
                .namespaces
                .iter()
                .any(|namespace| namespace.name == pod.namespace && selects(selector, &namespace.labels)),
        };
        in_namespace && peer.pod_selector.as_ref().is_none_or(|selector| selects(selector, &pod.labels))
    })
}

/// `target` is the pod at whose port the connection ends, if it is a pod.
pub fn matches_ports(rule: &PolicyRule, target: Option<&Pod>, end: End) -> bool {
    rule.ports.is_empty() || rule.ports.iter().any(|port| matches_port(port, target, end))
}

fn matches_port(port: &PolicyPort, target: Option<&Pod>, end: End) -> bool {
    if port.protocol.clone().unwrap_or_else(|| "TCP".into()) != end.protocol.to_string() {
        return false;
    }
    match &port.port {
        None => true,
        Some(PortRef::Number(first)) => {
            *first <= i32::from(end.port) && i32::from(end.port) <= port.end_port.unwrap_or(*first)
        }
        Some(PortRef::Name(name)) => target.is_some_and(|pod| {
            pod.ports.iter().any(|has| has.name == *name && has.protocol == end.protocol && has.number == end.port)
        }),
    }
}

pub fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    let equal = selector.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value));
    equal
        && selector.match_expressions.iter().all(|asked| {
            let value = labels.get(&asked.key);
            match (asked.operator.as_str(), asked.values.len()) {
                ("In", 1..) => value.is_some_and(|value| asked.values.contains(value)),
                ("NotIn", 1..) => value.is_none_or(|value| !asked.values.contains(value)),
                ("Exists", 0) => value.is_some(),
                ("DoesNotExist", 0) => value.is_none(),
                _ => true,
            }
        })
}

pub fn inside(cidr: &str, address: IpAddr) -> bool {
    let (net, length) = cidr.split_once('/').unwrap();
    let length: u32 = length.parse().unwrap();
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
        IpAddr::V6(address) => u128::from(address),
    };
    let net: IpAddr = net.parse().unwrap();
    let different = bits(net) ^ bits(address);
    net.is_ipv4() == address.is_ipv4() && different.leading_zeros() >= length
}

/// An invalid policy allows nothing. (The tests' clusters have selectors, protocols and ranges that are wrong.)
pub fn valid(policy: &Policy) -> bool {
    let rules: Vec<&PolicyRule> = ["Ingress", "Egress"]
        .into_iter()
        .zip([&policy.ingress, &policy.egress])
        .filter(|(direction, _)| affects(policy, direction))
        .flat_map(|(_, rules)| rules.iter().flatten())
        .collect();
    let peers = || rules.iter().flat_map(|rule| &rule.peers);
    let selectors = peers().flat_map(|peer| [&peer.pod_selector, &peer.namespace_selector]).flatten();
    let ports = rules.iter().flat_map(|rule| &rule.ports);
    policy.policy_types.iter().all(|name| name == "Ingress" || name == "Egress")
        && selectors.chain([&policy.pod_selector]).all(valid_selector)
        && peers()
            .all(|peer| peer.ip_block.is_some() != (peer.pod_selector.is_some() || peer.namespace_selector.is_some()))
        && ports.into_iter().all(valid_port)
}

pub fn valid_selector(selector: &LabelSelector) -> bool {
    selector.match_expressions.iter().all(|asked| match asked.operator.as_str() {
        "In" | "NotIn" => !asked.values.is_empty(),
        "Exists" | "DoesNotExist" => asked.values.is_empty(),
        _ => false,
    })
}

fn valid_port(port: &PolicyPort) -> bool {
    let known = port.protocol.as_deref().is_none_or(|name| ["TCP", "UDP", "SCTP"].contains(&name));
    known
        && match (&port.port, port.end_port) {
            (Some(PortRef::Number(first)), last) => {
                (1..65536).contains(first) && last.is_none_or(|last| (*first..65536).contains(&last))
            }
            (Some(PortRef::Name(_)) | None, last) => last.is_none(),
        }
}
