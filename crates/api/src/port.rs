//! KuryrPort: a pod's claim to its network interfaces.

use crate::text::{Cidr, Ip, ReadableCondition};
use ipnet::IpNet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use kuryr_core::net::MacAddress;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The claim of one pod: which interfaces it asks for, and what each one got. Owned by the pod, in its namespace.
///
/// The controller writes the interfaces and the condition `Allocated`; the daemon of the pod's node writes `Plugged` and
/// `Ready`, and takes off the finalizer when the interfaces are gone.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "kuryr.openstack.org",
    version = "v1alpha1",
    kind = "KuryrPort",
    plural = "kuryrports",
    shortname = "kp",
    category = "kuryr",
    namespaced,
    status = "KuryrPortStatus",
    derive = "PartialEq",
    selectable = ".spec.nodeName",
    selectable = ".spec.podUid",
    printcolumn = r#"{"name":"Pod","type":"string","jsonPath":".spec.podName"}"#,
    printcolumn = r#"{"name":"Node","type":"string","jsonPath":".spec.nodeName"}"#,
    printcolumn = r#"{"name":"IP","type":"string","jsonPath":".status.interfaces[0].addresses[*].ip"}"#,
    printcolumn = r#"{"name":"Allocated","type":"string","jsonPath":".status.conditions[?(@.type==\"Allocated\")].status"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"MAC","type":"string","jsonPath":".status.interfaces[0].macAddress","priority":1}"#,
    printcolumn = r#"{"name":"Neutron-Port","type":"string","jsonPath":".status.interfaces[0].portId","priority":1}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf").message("a KuryrPort's spec can't be changed: delete the pod instead"))]
pub struct KuryrPortSpec {
    /// Name of the pod, in this object's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub pod_name: String,
    /// Uid of the pod. A pod of the same name with another uid has a KuryrPort of its own.
    #[schemars(length(min = 1, max = 128))]
    pub pod_uid: String,
    /// Name of the node that the pod is bound to.
    #[schemars(length(min = 1, max = 253))]
    pub node_name: String,
    /// The interfaces that the pod asks for. The first one carries the default route.
    #[schemars(length(min = 1, max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub interfaces: Vec<InterfaceRequest>,
}

/// One interface that a pod asks for.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InterfaceRequest {
    /// Name of the interface in the pod, as `eth0`.
    #[schemars(length(min = 1, max = 15))]
    pub name: String,
}

/// What a pod's claim got.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KuryrPortStatus {
    /// The `metadata.generation` that the controller has seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The allocated interfaces, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub interfaces: Vec<InterfaceStatus>,
    /// `Allocated`, `Plugged` and `Ready` (see [`crate::conditions`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), with = "Vec<ReadableCondition>")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// One allocated interface: all that the node needs to plug it.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InterfaceStatus {
    /// Name of the interface in the pod, as in `spec.interfaces`.
    pub name: String,
    /// Name of the KuryrPoolPort that is claimed for the interface.
    pub pool_port: String,
    /// Id of the Neutron port.
    pub port_id: String,
    /// The interface's MAC address.
    pub mac_address: MacAddress,
    /// The interface's addresses, IPv4 first where it has both families.
    #[schemars(length(max = 16))]
    pub addresses: Vec<Address>,
    /// Routes beside those that follow from the addresses' prefixes. The default routes are among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub routes: Vec<Route>,
    /// Addresses of the name servers that the subnets announce.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), with = "Vec<Ip>")]
    pub name_servers: Vec<IpAddr>,
    /// The network's MTU, in bytes.
    #[schemars(range(min = 68, max = 65535), extend("format" = "int32"))]
    pub mtu: u32,
    /// How the node connects the interface.
    pub binding: Binding,
}

/// One address of an interface.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!isIP(self.ip) || ip(self.ip).family() == 6 || self.prefixLength <= 32")
    .message("the prefix of an IPv4 address has at most 32 bits"))]
#[x_kube(validation = Rule::new("!has(self.gateway) || !isIP(self.gateway) || !isIP(self.ip) || ip(self.gateway).family() == ip(self.ip).family()")
    .message("the gateway must be of the address's family"))]
pub struct Address {
    /// The address itself.
    #[schemars(with = "Ip")]
    pub ip: IpAddr,
    /// Length of its subnet's prefix, in bits.
    #[schemars(range(min = 0, max = 128), extend("format" = "int32"))]
    pub prefix_length: u8,
    /// The subnet's gateway, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Ip>")]
    pub gateway: Option<IpAddr>,
    /// Id of the Neutron subnet.
    pub subnet_id: String,
}

/// One route of an interface.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!isCIDR(self.destination) || !isIP(self.gateway) || cidr(self.destination).ip().family() == ip(self.gateway).family()")
    .message("the gateway must be of the destination's family"))]
pub struct Route {
    /// Where the route leads to; `0.0.0.0/0` or `::/0` for a default route.
    #[schemars(with = "Cidr")]
    pub destination: IpNet,
    /// The next hop.
    #[schemars(with = "Ip")]
    pub gateway: IpAddr,
}

/// How a node connects an interface.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// The driver of the node that is to be used.
    pub kind: BindingKind,
    /// Who says that packets can flow once the interface is plugged.
    #[serde(default)]
    pub readiness: Readiness,
}

/// Who says that packets of a plugged interface can flow.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum Readiness {
    /// The node's own dataplane (OVN: `ovn-installed` in the node's OVSDB).
    #[default]
    Dataplane,
    /// Neutron, by the port's status `ACTIVE`: for dataplanes that tell nothing on the node (ML2 with its own agents). The
    /// controller passes it on as the condition `Active`.
    NeutronStatus,
}

/// The node's drivers.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum BindingKind {
    /// A veth pair whose host end is a port of the Open vSwitch integration bridge.
    #[serde(rename = "OVS")]
    Ovs,
}
