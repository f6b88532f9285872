//! What a ClusterNetworkPolicy says, in plain types. Fields have the names and the meaning of the API.

use crate::policy::facts::{LabelSelector, Name};

/// One ClusterNetworkPolicy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterPolicy {
    /// `metadata.name`. Of two with the same priority, the one whose name comes first is asked first.
    pub name: Name,
    /// `spec.tier`: `Admin` or `Baseline`.
    pub tier: String,
    /// `spec.priority`, from 0 to 1000. The lower is asked first.
    pub priority: i32,
    /// `spec.subject`.
    pub subject: Subject,
    /// `spec.ingress`.
    pub ingress: Vec<Rule>,
    /// `spec.egress`.
    pub egress: Vec<Rule>,
}

/// `spec.subject`: exactly one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// `namespaces`: all pods of these.
    pub namespaces: Option<LabelSelector>,
    /// `pods`.
    pub pods: Option<NamespacedPod>,
}

/// Pods by labels of their namespaces and of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamespacedPod {
    /// `namespaceSelector`. Empty: all namespaces.
    pub namespace_selector: LabelSelector,
    /// `podSelector`. Empty: all pods of these.
    pub pod_selector: LabelSelector,
}

/// One entry of `spec.ingress` or `spec.egress`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// `action`: `Accept`, `Deny` or `Pass`.
    pub action: String,
    /// `from` or `to`: at least one.
    pub peers: Vec<Peer>,
    /// `protocols`. None in it: whatever protocol and port.
    pub protocols: Vec<PortMatch>,
}

/// One entry of `from` or `to`: exactly one of them. Empty lists aren't set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// `namespaces`: all pods of these.
    pub namespaces: Option<LabelSelector>,
    /// `pods`.
    pub pods: Option<NamespacedPod>,
    /// `nodes` (egress).
    pub nodes: Option<LabelSelector>,
    /// `networks` (egress).
    pub networks: Vec<String>,
    /// `domainNames` (egress).
    pub domain_names: Vec<String>,
}

/// One entry of `protocols`: exactly one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortMatch {
    /// `tcp`.
    pub tcp: Option<Transport>,
    /// `udp`.
    pub udp: Option<Transport>,
    /// `sctp`.
    pub sctp: Option<Transport>,
    /// `destinationNamedPort`: of any protocol.
    pub named: Option<String>,
}

/// What is wanted of a protocol with ports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transport {
    /// `destinationPort`. None: all of them.
    pub port: Option<Port>,
}

/// `destinationPort`: exactly one of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Port {
    /// `number`.
    pub number: Option<i32>,
    /// `range`: its `start` and `end`.
    pub range: Option<(i32, i32)>,
}
