//! What is read of a Pod.

use k8s_openapi::api::core::v1;
use kube::{Resource, core::ObjectMeta};
use serde::Deserialize;

/// A Pod (core/v1) with what decisions read of it: who it is, where it is, whether it has ended. There may be tens of thousands, and the
/// whole of one takes kilobytes, even where it is empty.
#[derive(Debug, Clone, Deserialize, Resource)]
#[resource(inherit = v1::Pod)]
pub struct Pod {
    /// Standard metadata.
    pub metadata: ObjectMeta,
    /// What the pod is to be.
    #[serde(default)]
    pub spec: PodSpec,
    /// What became of it.
    #[serde(default)]
    pub status: PodStatus,
}

/// What is read of a pod's spec.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    /// The node that the pod is bound to.
    pub node_name: Option<String>,
    /// The pod uses its node's own network.
    #[serde(default)]
    pub host_network: bool,
    /// Its containers.
    #[serde(default)]
    containers: Vec<Container>,
    /// Containers that run before these; some of them keep running.
    #[serde(default)]
    init_containers: Vec<Container>,
}

impl PodSpec {
    /// The ports that have a name, of the containers that run as long as the pod does.
    pub fn named_ports(&self) -> impl Iterator<Item = &NamedPort> {
        let is_sidecar = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
        let containers = self.containers.iter().chain(self.init_containers.iter().filter(is_sidecar));
        containers.flat_map(|container| &container.ports).filter(|port| port.name.is_some())
    }

    /// Forgets the containers, where nobody asks for their ports.
    pub fn forget_containers(&mut self) {
        (self.containers, self.init_containers) = (Vec::new(), Vec::new());
    }
}

/// What is read of a container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    /// Only of init containers: `Always` for one that keeps running.
    restart_policy: Option<String>,
    /// Its ports.
    #[serde(default)]
    ports: Vec<NamedPort>,
}

/// A port of a container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamedPort {
    /// Its name, unique in the pod.
    pub name: Option<String>,
    /// Its number.
    pub container_port: i32,
    /// Its protocol. None: TCP.
    pub protocol: Option<String>,
}

/// What is read of a pod's status.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct PodStatus {
    /// Where the pod is in its life: `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`.
    pub phase: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(object: serde_json::Value) -> Pod {
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn what_isn_t_there_is_read_as_kubernetes_means_it() {
        for object in [
            json!({"metadata": {"name": "web"}}),
            json!({"metadata": {"name": "web"}, "spec": {}, "status": {}}),
            json!({"metadata": {"name": "web"}, "spec": {"containers": []}, "status": {"conditions": []}}),
        ] {
            let pod = read(object);
            assert_eq!((pod.spec.node_name, pod.spec.host_network, pod.status.phase), (None, false, None));
        }
    }

    #[test]
    fn what_is_there_is_read_beside_much_that_isn_t() {
        let pod = read(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "web", "namespace": "shop", "uid": "u", "labels": {"a": "b"}, "managedFields": []},
            "spec": {"nodeName": "node1", "hostNetwork": true, "containers": [{"name": "c", "image": "i"}], "priority": 7},
            "status": {"phase": "Running", "podIPs": [{"ip": "10.244.0.5"}], "startTime": "2026-01-01T00:00:00Z"},
        }));
        assert_eq!((pod.spec.node_name.as_deref(), pod.spec.host_network), (Some("node1"), true));
        assert_eq!((pod.status.phase.as_deref(), pod.metadata.uid.as_deref()), (Some("Running"), Some("u")));
    }
}
