//! KuryrPool: the free ports that one node keeps ready on one network.

use crate::text::ReadableCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The free ports of one node on the same subnets of one network. The controller makes it with the node's first pod there,
/// and deletes it with the node. Its levels can be edited; what isn't set follows the controller's configuration.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "kuryr.openstack.org",
    version = "v1alpha1",
    kind = "KuryrPool",
    plural = "kuryrpools",
    shortname = "kpl",
    category = "kuryr",
    status = "KuryrPoolStatus",
    derive = "PartialEq",
    selectable = ".spec.nodeName",
    selectable = ".spec.networkId",
    printcolumn = r#"{"name":"Node","type":"string","jsonPath":".spec.nodeName"}"#,
    printcolumn = r#"{"name":"Target","type":"integer","jsonPath":".status.target"}"#,
    printcolumn = r#"{"name":"Free","type":"integer","jsonPath":".status.free"}"#,
    printcolumn = r#"{"name":"Plugged","type":"integer","jsonPath":".status.plugged"}"#,
    printcolumn = r#"{"name":"Cooling","type":"integer","jsonPath":".status.coolingDown"}"#,
    printcolumn = r#"{"name":"Creating","type":"integer","jsonPath":".status.creating"}"#,
    printcolumn = r#"{"name":"Claimed","type":"integer","jsonPath":".status.claimed"}"#,
    printcolumn = r#"{"name":"Waiting","type":"integer","jsonPath":".status.waiting"}"#,
    printcolumn = r#"{"name":"Filled","type":"string","jsonPath":".status.conditions[?(@.type==\"Filled\")].reason"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Network","type":"string","jsonPath":".spec.networkId","priority":1}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.nodeName == oldSelf.nodeName && self.networkId == oldSelf.networkId && self.subnetIds == oldSelf.subnetIds")
    .message("node, network and subnets of a KuryrPool can't be changed"))]
#[x_kube(validation = Rule::new("!has(self.minimum) || !has(self.maximum) || self.minimum <= self.maximum")
    .message("a pool's minimum can't be above its maximum"))]
pub struct KuryrPoolSpec {
    /// Node of the ports.
    #[schemars(length(min = 1, max = 253))]
    pub node_name: String,
    /// Id of the ports' Neutron network.
    #[schemars(length(min = 1, max = 64))]
    pub network_id: String,
    /// Ids of the subnets that each port has an address of.
    #[schemars(length(min = 1, max = 16), inner(length(max = 64)))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub subnet_ids: Vec<String>,
    /// Fewest free ports, also on a node that runs no pod. None: the configured minimum, on nodes that run pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000), extend("format" = "int32"))]
    pub minimum: Option<u32>,
    /// Most free ports. 0: released ports are deleted at once. None: the configured maximum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000), extend("format" = "int32"))]
    pub maximum: Option<u32>,
    /// How many free ports the node keeps plugged, so that a pod's interface is only made on what is there. None: as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000), extend("format" = "int32"))]
    pub plugged: Option<u32>,
}

/// The levels in force and what is there.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KuryrPoolStatus {
    /// The `metadata.generation` that the controller has seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Fewest free ports now.
    #[schemars(extend("format" = "int32"))]
    pub minimum: u32,
    /// Most free ports now.
    #[schemars(extend("format" = "int32"))]
    pub maximum: u32,
    /// How many free ports the node is to keep plugged. The node's daemon reads this.
    #[schemars(extend("format" = "int32"))]
    pub to_plug: u32,
    /// How many free ports the pool is filled up to: the demand, between minimum and maximum.
    #[schemars(extend("format" = "int32"))]
    pub target: u32,
    /// Ports that can be claimed now.
    #[schemars(extend("format" = "int32"))]
    pub free: u32,
    /// Free ports that the node holds plugged.
    #[schemars(extend("format" = "int32"))]
    pub plugged: u32,
    /// Released ports whose cool-down isn't over.
    #[schemars(extend("format" = "int32"))]
    pub cooling_down: u32,
    /// Free ports that Neutron is still asked for.
    #[schemars(extend("format" = "int32"))]
    pub creating: u32,
    /// Ports that pods have.
    #[schemars(extend("format" = "int32"))]
    pub claimed: u32,
    /// Pods that wait for a port.
    #[schemars(extend("format" = "int32"))]
    pub waiting: u32,
    /// How many free ports the pods of one period (`pools.demandSeconds`) of late needed at most: what was claimed, less what had
    /// come back and cooled down before.
    #[schemars(extend("format" = "int32"))]
    pub demand: u32,
    /// What the configuration's names meant when Neutron was last asked: what a controller works with that starts while Keystone
    /// or Neutron doesn't answer. None: pods get ports of another network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configured: Option<Configured>,
    /// `Filled` (see [`crate::conditions`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), with = "Vec<ReadableCondition>")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// What the configuration's names mean, beside the pool's own network and subnets.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Configured {
    /// Fingerprint of the cloud and of the names as they are configured. With other ones all of this means nothing.
    #[schemars(length(min = 1, max = 64))]
    pub fingerprint: String,
    /// Ids of the security groups of a pod's port, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub pod_security_group_ids: Vec<String>,
    /// Ids of the security groups of a node's port, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub node_security_group_ids: Vec<String>,
}
