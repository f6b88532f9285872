//! What ClusterNetworkPolicies say, in the plain types of `kuryr_core::policy::cluster`. Nothing is judged here, as in [`super::facts`].

use super::facts::selector;
use kube::ResourceExt;
use kuryr_api::{
    ClusterNetworkPolicy, NamespacedPod, PolicyPeer, PolicyPort, PolicyProtocol, PolicyRule, PolicySubject,
    PolicyTransport,
};
use kuryr_core::policy::cluster::facts::{self, ClusterPolicy};

/// What a ClusterNetworkPolicy says.
pub fn cluster_policy(object: &ClusterNetworkPolicy) -> ClusterPolicy {
    let spec = object.spec.clone();
    ClusterPolicy {
        name: object.name_any().into(),
        tier: spec.tier,
        priority: spec.priority,
        subject: subject(spec.subject),
        ingress: spec.ingress.into_iter().map(|of| rule(of.action, of.from, of.protocols)).collect(),
        egress: spec
            .egress
            .into_iter()
            .map(|PolicyRule { action, to, protocols, .. }| rule(action, to, protocols))
            .collect(),
    }
}

fn subject(subject: PolicySubject) -> facts::Subject {
    facts::Subject { namespaces: subject.namespaces.map(selector), pods: subject.pods.map(pods) }
}

fn pods(pods: NamespacedPod) -> facts::NamespacedPod {
    facts::NamespacedPod {
        namespace_selector: selector(pods.namespace_selector),
        pod_selector: selector(pods.pod_selector),
    }
}

fn rule(action: String, peers: Vec<PolicyPeer>, protocols: Vec<PolicyProtocol>) -> facts::Rule {
    facts::Rule {
        action,
        peers: peers.into_iter().map(peer).collect(),
        protocols: protocols.into_iter().map(protocol).collect(),
    }
}

fn peer(peer: PolicyPeer) -> facts::Peer {
    facts::Peer {
        namespaces: peer.namespaces.map(selector),
        pods: peer.pods.map(pods),
        nodes: peer.nodes.map(selector),
        networks: peer.networks,
        domain_names: peer.domain_names,
    }
}

fn protocol(protocol: PolicyProtocol) -> facts::PortMatch {
    facts::PortMatch {
        tcp: protocol.tcp.map(transport),
        udp: protocol.udp.map(transport),
        sctp: protocol.sctp.map(transport),
        named: protocol.destination_named_port,
    }
}

fn transport(transport: PolicyTransport) -> facts::Transport {
    let port = |PolicyPort { number, range }| facts::Port { number, range: range.map(|of| (of.start, of.end)) };
    facts::Transport { port: transport.destination_port.map(port) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_policy_is_read_as_it_is_written_and_what_is_not_known_is_empty() {
        let object: ClusterNetworkPolicy = serde_json::from_value(json!({
            "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
            "metadata": { "name": "guard" },
            "spec": {
                "tier": "Admin", "priority": 7, "subject": { "namespaces": { "matchLabels": { "a": "b" } } },
                "ingress": [{
                    "name": "one", "action": "Deny", "from": [{ "pods": { "podSelector": { "matchLabels": { "c": "d" } } } }],
                    "protocols": [{ "tcp": { "destinationPort": { "range": { "start": 1, "end": 9 } } } }, { "udp": {} }],
                }],
                "egress": [{ "action": "Accept", "to": [{ "networks": ["10.0.0.0/8"] }, { "moons": ["of Jupiter"] }] }],
            },
        }))
        .unwrap();
        let read = cluster_policy(&object);
        assert_eq!((&*read.name, read.tier.as_str(), read.priority), ("guard", "Admin", 7));
        assert!(read.subject.namespaces.is_some() && read.subject.pods.is_none());
        let ingress = &read.ingress[0];
        assert_eq!(ingress.peers[0].pods.as_ref().unwrap().pod_selector.match_labels["c"], "d");
        assert_eq!(ingress.protocols[0].tcp.as_ref().unwrap().port.unwrap().range, Some((1, 9)));
        assert_eq!(ingress.protocols[1].udp, Some(facts::Transport { port: None }));
        assert_eq!(read.egress[0].peers[0].networks, ["10.0.0.0/8"]);
        assert_eq!(read.egress[0].peers[1], facts::Peer::default(), "of a later version: refused, not overlooked");
    }
}
