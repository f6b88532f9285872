//! KuryrLoadBalancer: what a Service asks of Octavia, and what it got.

use crate::text::{Ip, ReadableCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use kuryr_core::service::spec::{LoadBalancerSpec, Protocol, Vip};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The load balancer of one Service. Owned by the Service, in its namespace; written before Octavia is asked for anything, so that its uid can go into
/// the load balancer's `description`. Its finalizer stays until Octavia has deleted the load balancer.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "kuryr.openstack.org",
    version = "v1alpha1",
    kind = "KuryrLoadBalancer",
    plural = "kuryrloadbalancers",
    shortname = "klb",
    category = "kuryr",
    namespaced,
    status = "KuryrLoadBalancerStatus",
    derive = "PartialEq",
    selectable = ".spec.serviceName",
    selectable = ".spec.serviceUid",
    printcolumn = r#"{"name":"Service","type":"string","jsonPath":".spec.serviceName"}"#,
    printcolumn = r#"{"name":"VIP","type":"string","jsonPath":".spec.vips[*].address"}"#,
    printcolumn = r#"{"name":"Floating-IP","type":"string","jsonPath":".status.floatingIp.address"}"#,
    printcolumn = r#"{"name":"Provider","type":"string","jsonPath":".status.provider"}"#,
    printcolumn = r#"{"name":"Members","type":"integer","jsonPath":".status.members"}"#,
    printcolumn = r#"{"name":"Accepted","type":"string","jsonPath":".status.conditions[?(@.type==\"Accepted\")].status"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Load-Balancer","type":"string","jsonPath":".status.loadBalancerId","priority":1}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.serviceName == oldSelf.serviceName && self.serviceUid == oldSelf.serviceUid")
    .message("the Service of a KuryrLoadBalancer can't be changed: each Service has one of its own"))]
#[x_kube(validation = Rule::new("self.vips.size() < 2 || !isIP(self.vips[0].address) || !isIP(self.vips[1].address) || ip(self.vips[0].address).family() != ip(self.vips[1].address).family()")
    .message("a load balancer has one address of each family at most"))]
pub struct KuryrLoadBalancerSpec {
    /// Name of the Service, in this object's namespace.
    #[schemars(length(min = 1, max = 63))]
    pub service_name: String,
    /// Uid of the Service. A Service of the same name with another uid has a KuryrLoadBalancer of its own.
    #[schemars(length(min = 1, max = 128))]
    pub service_uid: String,
    /// What the Service asks for.
    #[serde(flatten)]
    pub load_balancer: LoadBalancerSpec,
}

/// What Octavia and Neutron have of the Service. It has bounds: members are counted, not named.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KuryrLoadBalancerStatus {
    /// The `metadata.generation` that the controller has seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Id of the Octavia load balancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub load_balancer_id: Option<String>,
    /// Its provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub provider: Option<String>,
    /// The addresses that it serves, the Service's first one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub vips: Vec<Vip>,
    /// Id of the Neutron port of its first address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub vip_port_id: Option<String>,
    /// Its floating IP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floating_ip: Option<FloatingIpStatus>,
    /// Its listeners, each with its pool.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["protocol", "port"]))]
    pub listeners: Vec<ListenerStatus>,
    /// How many members its pools have together, as desired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0), extend("format" = "int32"))]
    pub members: Option<u32>,
    /// `Accepted`, `Provisioned`, `Programmed` and `Ready` (see [`crate::conditions`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), with = "Vec<ReadableCondition>")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A floating IP.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FloatingIpStatus {
    /// Its Neutron id.
    #[schemars(length(min = 1, max = 64))]
    pub id: String,
    /// The address.
    #[schemars(with = "Ip")]
    pub address: IpAddr,
    /// Whose it is, which decides what becomes of it when the Service no longer needs it.
    pub origin: FloatingIpOrigin,
}

/// Whose a floating IP is.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum FloatingIpOrigin {
    /// Kuryr made it, and deletes it.
    Created,
    /// Kuryr made it, and leaves it behind, because the Service asks for that.
    Kept,
    /// Somebody else made it: it is only taken off.
    Adopted,
}

/// A listener and its pool, in short.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// The Service's protocol.
    pub protocol: Protocol,
    /// The Service's port.
    #[schemars(range(min = 1, max = 65535), extend("format" = "int32"))]
    pub port: u16,
    /// Id of the Octavia listener.
    #[schemars(length(min = 1, max = 64))]
    pub listener_id: String,
    /// Id of the Octavia pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub pool_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::CustomResourceExt;

    fn schema() -> serde_json::Value {
        let crd = serde_json::to_value(KuryrLoadBalancer::crd()).unwrap();
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"].clone()
    }

    #[test]
    fn the_spec_is_flat_and_typed() {
        let spec = &schema()["spec"];
        assert_eq!(spec["type"], "object");
        for (field, kind) in [("serviceName", "string"), ("vips", "array"), ("ports", "array"), ("timeouts", "object")]
        {
            assert_eq!(spec["properties"][field]["type"], kind, "{field}: {spec:#}");
        }
        let required = spec["required"].as_array().unwrap();
        assert!(["serviceName", "serviceUid", "vips"].iter().all(|field| required.iter().any(|one| one == field)));
        assert_eq!(spec["x-kubernetes-validations"].as_array().map(Vec::len), Some(2));
        assert!(spec["properties"]["vips"]["items"]["properties"]["address"]["x-kubernetes-validations"].is_array());
    }

    #[test]
    fn every_list_and_text_of_the_status_has_a_bound() {
        fn unbounded(path: &str, schema: &serde_json::Value, found: &mut Vec<String>) {
            let has = |key: &str| schema.get(key).is_some();
            let open = match schema["type"].as_str() {
                Some("array") => !has("maxItems"),
                Some("string") => !has("maxLength") && !has("enum") && !has("format"),
                _ => false,
            };
            if open {
                found.push(path.to_owned());
            }
            for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
                // The form of conditions is Kubernetes' own.
                if name != "conditions" {
                    unbounded(&format!("{path}.{name}"), inner, found);
                }
            }
            if has("items") {
                unbounded(&format!("{path}[]"), &schema["items"], found);
            }
        }
        let mut found = Vec::new();
        unbounded("status", &schema()["status"], &mut found);
        unbounded("spec", &schema()["spec"], &mut found);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn a_spec_is_read_back() {
        let text = serde_json::json!({
            "serviceName": "web",
            "serviceUid": "1",
            "vips": [{ "address": "10.9.0.1", "subnetId": "services" }],
            "ports": [{ "name": "http", "protocol": "TCP", "port": 80 }],
            "sourceRanges": ["192.0.2.0/24"],
            "algorithm": "SOURCE_IP_PORT",
            "timeouts": { "clientData": 1, "memberConnect": 2, "memberData": 3, "tcpInspect": 4 },
        });
        let spec: KuryrLoadBalancerSpec = serde_json::from_value(text.clone()).unwrap();
        assert_eq!(serde_json::to_value(&spec).unwrap(), text);
    }
}
