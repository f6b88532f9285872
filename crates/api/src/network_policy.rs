//! KuryrNetworkPolicy: what a NetworkPolicy has become in Neutron.

use crate::text::ReadableCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What one NetworkPolicy has become in Neutron. Owned by the policy, in its namespace. It only shows: what is to be in Neutron follows from the
/// policies themselves.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[kube(
    group = "kuryr.openstack.org",
    version = "v1alpha1",
    kind = "KuryrNetworkPolicy",
    plural = "kuryrnetworkpolicies",
    shortname = "knp",
    category = "kuryr",
    namespaced,
    status = "KuryrNetworkPolicyStatus",
    derive = "PartialEq",
    selectable = ".spec.policyName",
    selectable = ".spec.policyUid",
    printcolumn = r#"{"name":"Policy","type":"string","jsonPath":".spec.policyName"}"#,
    printcolumn = r#"{"name":"Pods","type":"integer","jsonPath":".status.pods"}"#,
    printcolumn = r#"{"name":"Groups","type":"integer","jsonPath":".status.groupCount"}"#,
    printcolumn = r#"{"name":"Rules","type":"integer","jsonPath":".status.rules"}"#,
    printcolumn = r#"{"name":"Members","type":"integer","jsonPath":".status.members"}"#,
    printcolumn = r#"{"name":"Accepted","type":"string","jsonPath":".status.conditions[?(@.type==\"Accepted\")].status"}"#,
    printcolumn = r#"{"name":"Programmed","type":"string","jsonPath":".status.conditions[?(@.type==\"Programmed\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Programmed\")].reason"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.policyName == oldSelf.policyName && self.policyUid == oldSelf.policyUid")
    .message("the NetworkPolicy of a KuryrNetworkPolicy can't be changed: each policy has one of its own"))]
pub struct KuryrNetworkPolicySpec {
    /// Name of the NetworkPolicy, in this object's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub policy_name: String,
    /// Uid of the NetworkPolicy. A policy of the same name with another uid has a KuryrNetworkPolicy of its own.
    #[schemars(length(min = 1, max = 128))]
    pub policy_uid: String,
}

/// Most security groups that are named in a status.
pub const MOST_GROUPS_SHOWN: usize = 16;

/// What Neutron has of the policy. It has bounds: pods and members are counted, not named.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KuryrNetworkPolicyStatus {
    /// The policy's `metadata.generation` that is in force when `Programmed` is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The policy's security groups. A policy has several where pods that it selects have other numbers for the ports that it names. The first
    /// 16 are shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub groups: Vec<SecurityGroupStatus>,
    /// How many security groups it has.
    #[serde(default)]
    #[schemars(range(min = 0), extend("format" = "int32"))]
    pub group_count: u32,
    /// How many pods it selects.
    #[serde(default)]
    #[schemars(range(min = 0), extend("format" = "int32"))]
    pub pods: u32,
    /// How many rules its groups are to have together.
    #[serde(default)]
    #[schemars(range(min = 0), extend("format" = "int32"))]
    pub rules: u32,
    /// How many address groups its rules name.
    #[serde(default)]
    #[schemars(range(min = 0), extend("format" = "int32"))]
    pub address_groups: u32,
    /// How many members these are to have together.
    #[serde(default)]
    #[schemars(range(min = 0), extend("format" = "int32"))]
    pub members: u32,
    /// `Accepted` and `Programmed` (see [`crate::conditions`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), with = "Vec<ReadableCondition>")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A security group of a policy.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecurityGroupStatus {
    /// Its Neutron id.
    #[schemars(length(min = 1, max = 64))]
    pub id: String,
    /// For which numbers of named ports it is; empty where the policy names none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub ports: String,
    /// How many rules it has.
    #[serde(default)]
    #[schemars(range(min = 0), extend("format" = "int32"))]
    pub rules: u32,
}
