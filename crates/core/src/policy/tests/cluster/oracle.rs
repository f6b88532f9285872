//! Who may talk to whom, straight from the text of the API: slow, plain, and sharing nothing with what is tested but the facts.

use crate::{
    policy::{
        cluster::facts::{ClusterPolicy, NamespacedPod, Peer, PortMatch, Rule, Transport},
        facts::{LabelSelector, Labels, Pod, Policy},
        oracle::{
            Cluster, End, affects, inside, is_peer, matches_peers, matches_ports, selecting, selects, valid,
            valid_selector,
        },
    },
    service::spec::Protocol,
};

/// May this pod talk to that address (egress, `end.port` is the other's) or be talked to by it (ingress, `end.port` is the pod's)?
pub fn allowed(cluster: &Cluster, policies: &[ClusterPolicy], pod: &Pod, direction: &str, end: End) -> bool {
    tier(cluster, policies, "Admin", pod, direction, end)
        .or_else(|| network_policies(cluster, pod, direction, end))
        .or_else(|| tier(cluster, policies, "Baseline", pod, direction, end))
        .unwrap_or(true)
}

/// None: the tier leaves it to the next one.
fn tier(c: &Cluster, policies: &[ClusterPolicy], tier: &str, pod: &Pod, direction: &str, end: End) -> Option<bool> {
    let mut sorted: Vec<&ClusterPolicy> = policies.iter().filter(|policy| place(policy).0 == tier).collect();
    sorted.sort_by_key(|policy| (place(policy).1, policy.name.clone()));
    for policy in sorted.into_iter().filter(|policy| is_subject(c, policy, pod)) {
        let broken = !place(policy).2 || !subject_valid(policy);
        for rule in if direction == "Ingress" { &policy.ingress } else { &policy.egress } {
            let action = match (rule.action.as_str(), broken || !rule_valid(rule, direction)) {
                ("Accept", true) => continue,
                (_, true) => return Some(false),
                (action, false) => action,
            };
            if rule_matches(c, rule, pod, direction, end) {
                return match action {
                    "Accept" => Some(true),
                    "Deny" => Some(false),
                    _ => None,
                };
            }
        }
    }
    None
}

fn network_policies(cluster: &Cluster, pod: &Pod, direction: &str, end: End) -> Option<bool> {
    let isolating: Vec<&Policy> =
        selecting(cluster, pod).into_iter().filter(|policy| affects(policy, direction)).collect();
    let allows = |policy: &&Policy| {
        let rules = if direction == "Ingress" { &policy.ingress } else { &policy.egress };
        let named = if direction == "Ingress" { Some(pod) } else { owner(cluster, end) };
        valid(policy)
            && rules
                .iter()
                .flatten()
                .any(|rule| matches_peers(cluster, policy, rule, end.address) && matches_ports(rule, named, end))
    };
    (!isolating.is_empty()).then(|| isolating.iter().any(allows))
}

fn owner(cluster: &Cluster, end: End) -> Option<&Pod> {
    cluster.pods.iter().find(|pod| is_peer(pod) && pod.addresses.contains(&end.address))
}

/// Tier, priority, and whether they can be read.
fn place(policy: &ClusterPolicy) -> (&str, i32, bool) {
    match (policy.tier.as_str(), policy.priority) {
        ("Admin" | "Baseline", 0..=1000) => (&policy.tier, policy.priority, true),
        _ => ("Admin", 0, false),
    }
}

pub fn is_subject(cluster: &Cluster, policy: &ClusterPolicy, pod: &Pod) -> bool {
    let subject = &policy.subject;
    subject.namespaces.is_some() != subject.pods.is_some()
        && is_peer(pod)
        && means(cluster, subject.namespaces.as_ref(), subject.pods.as_ref(), pod)
}

fn means(cluster: &Cluster, namespaces: Option<&LabelSelector>, pods: Option<&NamespacedPod>, pod: &Pod) -> bool {
    let namespace = cluster.namespaces.iter().find(|namespace| namespace.name == pod.namespace);
    let Some(namespace): Option<&Labels> = namespace.map(|namespace| &namespace.labels) else { return false };
    namespaces.is_some_and(|selector| selects(selector, namespace))
        || pods.is_some_and(|pods| {
            selects(&pods.namespace_selector, namespace) && selects(&pods.pod_selector, &pod.labels)
        })
}

fn rule_matches(cluster: &Cluster, rule: &Rule, pod: &Pod, direction: &str, end: End) -> bool {
    let other = owner(cluster, end);
    let peer = |peer: &Peer| {
        other.is_some_and(|other| means(cluster, peer.namespaces.as_ref(), peer.pods.as_ref(), other))
            || peer.networks.iter().any(|net| inside(net, end.address))
    };
    let target = if direction == "Ingress" { Some(pod) } else { other };
    let port = |port: &PortMatch| {
        transports(port).into_iter().any(|(protocol, transport)| {
            protocol == end.protocol
                && transport.port.is_none_or(|port| match (port.number, port.range) {
                    (Some(number), _) => number == i32::from(end.port),
                    (_, Some((first, last))) => (first..=last).contains(&i32::from(end.port)),
                    _ => true,
                })
        }) || port.named.as_ref().is_some_and(|name| {
            target.is_some_and(|pod| {
                pod.ports.iter().any(|it| it.name == *name && it.protocol == end.protocol && it.number == end.port)
            })
        })
    };
    rule.peers.iter().any(peer) && (rule.protocols.is_empty() || rule.protocols.iter().any(port))
}

fn transports(port: &PortMatch) -> Vec<(Protocol, &Transport)> {
    let all = [(Protocol::Tcp, &port.tcp), (Protocol::Udp, &port.udp), (Protocol::Sctp, &port.sctp)];
    all.into_iter().filter_map(|(protocol, it)| Some((protocol, it.as_ref()?))).collect()
}

fn subject_valid(policy: &ClusterPolicy) -> bool {
    selectors_valid(policy.subject.namespaces.as_ref(), policy.subject.pods.as_ref())
}

fn selectors_valid(namespaces: Option<&LabelSelector>, pods: Option<&NamespacedPod>) -> bool {
    namespaces.is_none_or(valid_selector)
        && pods.is_none_or(|pods| valid_selector(&pods.namespace_selector) && valid_selector(&pods.pod_selector))
}

fn rule_valid(rule: &Rule, direction: &str) -> bool {
    let named = rule.protocols.iter().any(|port| port.named.is_some());
    let peer = |peer: &Peer| {
        let simple = peer.nodes.is_none() && peer.domain_names.is_empty();
        let networks = !peer.networks.is_empty();
        let kinds = [peer.namespaces.is_some(), peer.pods.is_some(), networks].into_iter().filter(|set| *set).count();
        let allowed = !networks || (direction == "Egress" && !named);
        simple && kinds == 1 && allowed && selectors_valid(peer.namespaces.as_ref(), peer.pods.as_ref())
    };
    let port = |port: &PortMatch| {
        let numbers = transports(port).into_iter().filter_map(|(_, transport)| transport.port).all(|port| {
            port.number.is_none_or(|it| (1..65536).contains(&it))
                && port.range.is_none_or(|(first, last)| 0 < first && first < last && last < 65536)
                && port.number.is_some() != port.range.is_some()
        });
        numbers && transports(port).len() + usize::from(port.named.is_some()) == 1
    };
    ["Accept", "Deny", "Pass"].contains(&rule.action.as_str())
        && !rule.peers.is_empty()
        && rule.peers.iter().all(peer)
        && rule.protocols.iter().all(port)
}
