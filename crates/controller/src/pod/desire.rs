//! What is to be there: the pod's KuryrPort.

use super::{Pod, needs_port};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{ResourceExt, core::ObjectMeta};
use kuryr_api::{InterfaceRequest, KuryrPort, KuryrPortSpec};
use kuryr_core::names;

/// Name of a pod's first interface, as every container runtime asks for it.
const FIRST_INTERFACE: &str = "eth0";

/// The KuryrPort that the pod is to get. What it has already goes only with the pod itself.
pub fn desire(pod: &Pod) -> Option<KuryrPort> {
    let node = pod.spec.node_name.clone()?;
    let (name, uid) = (pod.name_any(), pod.uid()?);
    // A pod that is being deleted and never got a port won't start any more.
    if !needs_port(pod) || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let spec = KuryrPortSpec {
        pod_name: name.clone(),
        pod_uid: uid.clone(),
        node_name: node,
        interfaces: vec![InterfaceRequest { name: FIRST_INTERFACE.to_owned() }],
    };
    let mut port = KuryrPort::new(&names::kuryr_port(&name, &uid), spec);
    port.metadata = ObjectMeta {
        namespace: pod.namespace(),
        // The garbage collector deletes the KuryrPort after its pod, even while no controller runs. A pod never waits
        // for it (no blockOwnerDeletion).
        owner_references: Some(vec![OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name,
            uid,
            controller: Some(true),
            block_owner_deletion: None,
        }]),
        finalizers: Some(vec![names::INTERFACE_FINALIZER.to_owned()]),
        ..port.metadata
    };
    Some(port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(spec: &serde_json::Value, phase: &str) -> Pod {
        let value = json!({ "metadata": { "name": "web-0", "namespace": "shop", "uid": "u1" }, "spec": spec, "status": { "phase": phase } });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_scheduled_pod_wants_a_port_that_its_pod_owns_and_its_node_holds() {
        let port = desire(&pod(&json!({ "containers": [], "nodeName": "node1" }), "Pending")).unwrap();
        assert_eq!(port.metadata.name, Some(names::kuryr_port("web-0", "u1")));
        assert_eq!(port.metadata.namespace.as_deref(), Some("shop"));
        assert_eq!(port.metadata.owner_references.as_ref().unwrap()[0].uid, "u1");
        assert_eq!(port.metadata.finalizers.as_deref(), Some(&[names::INTERFACE_FINALIZER.to_owned()][..]));
        assert_eq!((port.spec.pod_uid.as_str(), port.spec.node_name.as_str()), ("u1", "node1"));
    }

    #[test]
    fn other_pods_want_none() {
        assert_eq!(desire(&pod(&json!({ "containers": [] }), "Pending")), None);
        assert_eq!(desire(&pod(&json!({ "containers": [], "nodeName": "n", "hostNetwork": true }), "Running")), None);
        assert_eq!(desire(&pod(&json!({ "containers": [], "nodeName": "n" }), "Succeeded")), None);
        let mut deleting = pod(&json!({ "containers": [], "nodeName": "n" }), "Pending");
        deleting.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
        assert_eq!(desire(&deleting), None);
    }
}
