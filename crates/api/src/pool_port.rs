//! KuryrPoolPort: one Neutron port that Kuryr keeps.

use crate::{
    port::{Address, Route},
    text::{DateTime, Ip, ReadableCondition},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use kuryr_core::net::MacAddress;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// One Neutron port. Written before the port is created, so that its uid can go into the port's `description` and the
/// port can always be found again; it stays until Neutron has deleted the port.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "kuryr.openstack.org",
    version = "v1alpha1",
    kind = "KuryrPoolPort",
    plural = "kuryrpoolports",
    shortname = "kpp",
    category = "kuryr",
    status = "KuryrPoolPortStatus",
    derive = "PartialEq",
    selectable = ".spec.nodeName",
    selectable = ".spec.networkId",
    printcolumn = r#"{"name":"Node","type":"string","jsonPath":".spec.nodeName"}"#,
    printcolumn = r#"{"name":"Claim-Kind","type":"string","jsonPath":".spec.claimRef.kind"}"#,
    printcolumn = r#"{"name":"Claim","type":"string","jsonPath":".spec.claimRef.name"}"#,
    printcolumn = r#"{"name":"IP","type":"string","jsonPath":".status.addresses[*].ip"}"#,
    printcolumn = r#"{"name":"Plugged","type":"string","jsonPath":".status.conditions[?(@.type==\"Plugged\")].status"}"#,
    printcolumn = r#"{"name":"Released","type":"date","jsonPath":".spec.releasedAt"}"#,
    printcolumn = r#"{"name":"Created","type":"string","jsonPath":".status.conditions[?(@.type==\"Created\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Created\")].reason"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Neutron-Port","type":"string","jsonPath":".status.portId","priority":1}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.nodeName == oldSelf.nodeName && self.networkId == oldSelf.networkId && self.subnetIds == oldSelf.subnetIds")
    .message("node, network and subnets of a KuryrPoolPort can't be changed"))]
#[x_kube(validation = Rule::new("!has(oldSelf.claimRef) || !has(self.claimRef) || self.claimRef == oldSelf.claimRef")
    .message("a claimed port must be released before another one can claim it"))]
pub struct KuryrPoolPortSpec {
    /// Node that the port is bound to (`binding:host_id`).
    #[schemars(length(min = 1, max = 253))]
    pub node_name: String,
    /// Id of the port's Neutron network.
    #[schemars(length(min = 1, max = 64))]
    pub network_id: String,
    /// Ids of the subnets that the port has an address of, one address each.
    #[schemars(length(min = 1, max = 16), inner(length(max = 64)))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub subnet_ids: Vec<String>,
    /// Ids of the security groups that the port is to have, sorted. None means that the port is closed.
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(max = 64)))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub security_group_ids: Vec<String>,
    /// Who holds the port. None means that it is free. Set and cleared under optimistic concurrency only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_ref: Option<ClaimRef>,
    /// When the port was last released. It is claimed again only some time later, so that nobody who still talks to the
    /// pod that had its address reaches the next one. None: it was never used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub released_at: Option<Time>,
}

/// Who holds a port.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.kind == 'KuryrPort') == has(self.namespace)").message("a KuryrPort is claimed with its namespace, a Node without"))]
pub struct ClaimRef {
    /// Kind of the claimant.
    pub kind: ClaimKind,
    /// Namespace of a KuryrPort.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
    /// Name of the claimant.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Uid of the claimant: a later object of the same name isn't the claimant.
    #[schemars(length(min = 1, max = 128))]
    pub uid: String,
    /// The claimant's interface that the port is for.
    #[schemars(length(min = 1, max = 15))]
    pub interface: String,
}

/// Kinds of objects that can claim a port.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema)]
pub enum ClaimKind {
    /// A pod's claim.
    KuryrPort,
    /// A node's own port, by which the host reaches its pods.
    Node,
}

/// What Neutron says about the port.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KuryrPoolPortStatus {
    /// The `metadata.generation` that the controller has seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Id of the Neutron port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_id: Option<String>,
    /// The port's MAC address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac_address: Option<MacAddress>,
    /// The port's addresses, IPv4 first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub addresses: Vec<Address>,
    /// Routes that the subnets give, the default routes among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub routes: Vec<Route>,
    /// Addresses of the name servers that the subnets announce.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), with = "Vec<Ip>")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub name_servers: Vec<IpAddr>,
    /// The network's MTU, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 68, max = 65535), extend("format" = "int32"))]
    pub mtu: Option<u32>,
    /// Ids of the security groups that the port has, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub security_group_ids: Vec<String>,
    /// When Neutron took the last change of the groups. The dataplane follows some time later: until the cool-down is over, a free
    /// port may still let pass what its earlier groups did. None: the port was created with the groups that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub regrouped_at: Option<Time>,
    /// Ids of Neutron ports that were made for this object and aren't used: Neutron went away while it made them, and OVN may never
    /// hear of them. They are deleted before another one is made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 64)))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub discarded_port_ids: Vec<String>,
    /// `Created` and `InSync`, which the controller writes, and `Plugged`, which the daemon of the port's node writes on a free port that it
    /// holds ready (see [`crate::conditions`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), with = "Vec<ReadableCondition>")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
