//! What every cluster holds besides the API server's own objects: the DNS Service and the rights of CoreDNS.

use anyhow::Result;
use serde_json::{Value, json};

use super::{DNS_SERVICE, kubectl};
use crate::{
    engine::{Component, Lab},
    node::EXTERNAL_GATEWAY,
};

/// Name of the component.
pub const NAME: &str = "kubernetes-objects";

/// Applies the objects. CoreDNS runs as a process, not as a pod, so the Service has no selector but an EndpointSlice.
pub struct ClusterServices;

impl Component for ClusterServices {
    fn name(&self) -> String {
        NAME.into()
    }

    fn after(&self) -> Vec<String> {
        vec!["kube-apiserver".into()]
    }

    fn ready(&self, lab: &Lab) -> Result<()> {
        kubectl::apply(lab, &objects())
    }
}

fn objects() -> Vec<Value> {
    let port = |name: &str, protocol: &str| json!({ "name": name, "protocol": protocol, "port": 53 });
    let ports = [port("dns", "UDP"), port("dns-tcp", "TCP")];
    let labels = json!({ "k8s-app": "kube-dns", "kubernetes.io/service-name": "kube-dns" });
    vec![
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": "kube-dns", "namespace": "kube-system", "labels": { "k8s-app": "kube-dns" } },
            "spec": { "clusterIP": DNS_SERVICE, "ports": ports },
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": { "name": "kube-dns", "namespace": "kube-system", "labels": labels },
            "addressType": "IPv4",
            "ports": ports,
            "endpoints": [{ "addresses": [EXTERNAL_GATEWAY], "conditions": { "ready": true } }],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": { "name": "lab:coredns" },
            "rules": [
                { "apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"],
                  "verbs": ["list", "watch"] },
                { "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"] },
            ],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": { "name": "lab:coredns" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "lab:coredns" },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "coredns" }],
        }),
    ]
}
