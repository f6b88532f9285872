//! What is there of a claim: its pod, its node, the ports that it has claimed.

use crate::{context::Context, error::Error, pod, runtime::apply};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, ResourceExt};
use kuryr_api::{ClaimKind, ClaimRef, KuryrPoolPort, KuryrPort};
use kuryr_core::names;
use std::sync::Arc;

/// What is there of a claim.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The claim.
    pub port: Arc<KuryrPort>,
    /// The pod whose claim it is exists and hasn't ended.
    pub pod_lives: bool,
    /// The pod's node exists. Only asked while the claim is being deleted.
    pub node_exists: bool,
    /// The claim's interfaces in their order.
    pub interfaces: Vec<Interface>,
}

/// One interface of a claim.
#[derive(Debug, Clone, PartialEq)]
pub struct Interface {
    /// The claim to it.
    pub claim: ClaimRef,
    /// Name of the port that is made for it when none is free.
    pub name: String,
    /// The port that is claimed for it.
    pub pool_port: Option<Arc<KuryrPoolPort>>,
}

impl Observed {
    /// The claim is being deleted.
    pub fn deleting(&self) -> bool {
        self.port.metadata.deletion_timestamp.is_some()
    }
}

/// Reads the caches, and asks the API server where a cache's silence would end something.
pub async fn observe(context: &Context, port: Arc<KuryrPort>) -> Result<Observed, Error> {
    let deleting = port.metadata.deletion_timestamp.is_some();
    let pod_lives = deleting || pod_lives(context, &port).await?;
    let node_exists = !deleting || node_exists(context, &port.spec.node_name).await?;
    let interfaces = port.spec.interfaces.iter().map(|interface| {
        let claim = claim_of(&port, &interface.name);
        let name = names::pool_port(&port.spec.node_name, &claim.uid, &claim.interface);
        let found = context.pool_ports.get(None, &name);
        let pool_port = found.filter(|found| found.spec.claim_ref.as_ref() == Some(&claim));
        Interface { claim, name, pool_port }
    });
    let interfaces = interfaces.collect();
    Ok(Observed { port, pod_lives, node_exists, interfaces })
}

/// How the claim names itself in the ports that it claims.
pub fn claim_of(port: &KuryrPort, interface: &str) -> ClaimRef {
    ClaimRef {
        kind: ClaimKind::KuryrPort,
        namespace: port.namespace(),
        name: port.name_any(),
        uid: port.uid().unwrap_or_default(),
        interface: interface.to_owned(),
    }
}

/// Whether the claim's pod exists and hasn't ended. A cache can be behind, so its silence is confirmed.
async fn pod_lives(context: &Context, port: &KuryrPort) -> Result<bool, Error> {
    let spec = &port.spec;
    let is_it = |found: &Pod| is_claim_of(port, found) && pod::needs_port(found);
    let namespace = port.namespace().unwrap_or_default();
    if context.pods.get(Some(&namespace), &spec.pod_name).is_some_and(|found| is_it(&found)) {
        return Ok(true);
    }
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &namespace);
    let found =
        api.get_opt(&spec.pod_name).await.map_err(Error::kubernetes("look for the pod of", apply::described(port)))?;
    Ok(found.is_some_and(|found| is_it(&found)))
}

/// Whether this is the pod's one claim. A second one, or one for another node, was written by hand: the pod gets nothing
/// by it.
fn is_claim_of(port: &KuryrPort, pod: &Pod) -> bool {
    let spec = &port.spec;
    pod.uid().as_deref() == Some(&spec.pod_uid)
        && pod.spec.as_ref().and_then(|pod| pod.node_name.as_deref()) == Some(&spec.node_name)
        && port.name_any() == names::kuryr_port(&spec.pod_name, &spec.pod_uid)
}

/// Whether the node exists. A cache can be behind, so its silence is confirmed.
async fn node_exists(context: &Context, name: &str) -> Result<bool, Error> {
    if context.nodes.get(None, name).is_some() {
        return Ok(true);
    }
    let api: Api<Node> = Api::all(context.client.clone());
    let found = api.get_metadata_opt(name).await.map_err(Error::kubernetes("look for the node", name))?;
    Ok(found.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kuryr_api::{InterfaceRequest, KuryrPortSpec};
    use serde_json::json;

    #[test]
    fn a_pod_has_one_claim_however_many_are_written() {
        let pod =
            json!({ "metadata": { "name": "web", "uid": "u" }, "spec": { "containers": [], "nodeName": "node1" } });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let claim = |name: &str, uid: &str, node: &str| {
            let interfaces = vec![InterfaceRequest { name: "eth0".into() }];
            let (pod_name, pod_uid, node_name) = ("web".into(), uid.into(), node.into());
            KuryrPort::new(name, KuryrPortSpec { pod_name, pod_uid, node_name, interfaces })
        };
        let name = names::kuryr_port("web", "u");
        for (port, is_it) in [
            (claim(&name, "u", "node1"), true),
            (claim("web-again", "u", "node1"), false),
            (claim(&name, "u", "node2"), false),
            (claim(&names::kuryr_port("web", "old"), "old", "node1"), false),
        ] {
            assert_eq!(is_claim_of(&port, &pod), is_it, "{port:?}");
        }
    }
}
