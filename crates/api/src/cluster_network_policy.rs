//! ClusterNetworkPolicy (`policy.networking.k8s.io/v1alpha2`, sigs.k8s.io/network-policy-api): policies of the cluster's administrators.
//!
//! The kind is not Kuryr's: only what is read of it stands here, and its conditions, which are written. What the API server would refuse,
//! and what a later version may say, is read all the same: [`kuryr_core::policy::cluster::read()`] judges it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// What is allowed and denied to and from pods of whatever namespaces.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "policy.networking.k8s.io",
    version = "v1alpha2",
    kind = "ClusterNetworkPolicy",
    plural = "clusternetworkpolicies",
    status = "ClusterNetworkPolicyStatus",
    schema = "disabled"
)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterNetworkPolicySpec {
    /// `Admin` (before NetworkPolicies) or `Baseline` (after them).
    pub tier: String,
    /// From 0 to 1000: the lower is asked first.
    pub priority: i32,
    /// The pods that it is about.
    pub subject: PolicySubject,
    /// What comes in, in the order in which rules are asked.
    pub ingress: Vec<PolicyRule>,
    /// What goes out.
    pub egress: Vec<PolicyRule>,
}

/// Exactly one of them is set.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicySubject {
    /// All pods of these namespaces.
    pub namespaces: Option<LabelSelector>,
    /// Pods by labels of their namespaces and of their own.
    pub pods: Option<NamespacedPod>,
}

/// Pods by labels of their namespaces and of their own.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct NamespacedPod {
    /// Empty: all namespaces.
    pub namespace_selector: LabelSelector,
    /// Empty: all pods of these.
    pub pod_selector: LabelSelector,
}

/// A rule of either direction.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyRule {
    /// `Accept`, `Deny` or `Pass`.
    pub action: String,
    /// Of a rule of ingress.
    pub from: Vec<PolicyPeer>,
    /// Of a rule of egress.
    pub to: Vec<PolicyPeer>,
    /// `None` or empty: all of them.
    pub protocols: Vec<PolicyProtocol>,
}

/// Exactly one of them is set.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyPeer {
    /// All pods of these namespaces.
    pub namespaces: Option<LabelSelector>,
    /// Pods by labels of their namespaces and of their own.
    pub pods: Option<NamespacedPod>,
    /// Nodes (experimental, egress).
    pub nodes: Option<LabelSelector>,
    /// Networks (egress).
    pub networks: Vec<String>,
    /// Names (experimental, egress).
    pub domain_names: Vec<String>,
}

/// Exactly one of them is set.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyProtocol {
    /// TCP.
    pub tcp: Option<PolicyTransport>,
    /// UDP.
    pub udp: Option<PolicyTransport>,
    /// SCTP.
    pub sctp: Option<PolicyTransport>,
    /// A port by its name, of whatever protocol (experimental).
    pub destination_named_port: Option<String>,
}

/// A protocol that has ports.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyTransport {
    /// `None`: all ports.
    pub destination_port: Option<PolicyPort>,
}

/// Exactly one of them is set.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyPort {
    /// One port.
    pub number: Option<i32>,
    /// Several.
    pub range: Option<PolicyPortRange>,
}

/// Ports from one to another, both included.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyPortRange {
    /// The first one.
    pub start: i32,
    /// The last one.
    pub end: i32,
}

/// What is told of a policy.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterNetworkPolicyStatus {
    /// `Accepted` and `Programmed` are Kuryr's.
    pub conditions: Vec<Condition>,
}
