//! Confirms to the controller that a pod's interfaces are gone: then its address may be given on.

use super::{Action, Duty, Failure, basis, request};
use crate::{
    caches::GuardedPort,
    decide::ConfirmFacts,
    node::{Claim, Node},
};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use kuryr_core::names::INTERFACE_FINALIZER;
use serde_json::json;
use std::{collections::HashSet, sync::Arc};

/// Removes the node's finalizer from KuryrPorts that are being deleted.
pub struct Confirm;

/// A finalizer to remove.
pub struct Removal {
    namespace: String,
    name: String,
    uid: String,
    index: usize,
}

impl Duty for Confirm {
    type What = Removal;

    fn name(&self) -> &'static str {
        "confirm"
    }

    async fn plan(&mut self, node: &Node) -> Option<Vec<Action<Removal>>> {
        // The three looks of `crate::decide`, in their order.
        let awaited = node.caches.ports.state_filter(|port| port.deleting() && port.finalizer().is_some());
        if awaited.is_empty() {
            return Some(Vec::new());
        }
        let idle: Vec<_> = awaited.into_iter().filter(|port| !adding(node, port)).collect();
        let Ok(attached) = node.switch.driver.attachments().await else {
            // What can't be read can't be confirmed. A change of the switch wakes this duty again.
            return None;
        };
        let attached: HashSet<&str> = attached.iter().map(|attached| attached.pod.uid.as_str()).collect();
        let gone = idle.iter().filter(|port| {
            let attached = port.pod_uid().is_some_and(|uid| attached.contains(uid));
            ConfirmFacts { awaited: true, adding: false, attached }.confirm()
        });
        Some(gone.filter_map(|port| removal(port)).collect())
    }

    async fn act(node: Arc<Node>, what: Removal) -> Result<(), Failure> {
        let finalizer = format!("/metadata/finalizers/{}", what.index);
        let patch = json!([
            {"op": "test", "path": "/metadata/uid", "value": what.uid},
            {"op": "test", "path": finalizer, "value": INTERFACE_FINALIZER},
            {"op": "remove", "path": finalizer},
        ]);
        let tried = || format!("removing the finalizer of KuryrPort {}/{}", what.namespace, what.name);
        let patch = serde_json::from_value(patch)
            .map_err(|error| Failure::Api { what: tried(), source: kube::Error::SerdeError(error) })?;
        let api = Api::<GuardedPort>::namespaced(node.client.clone(), &what.namespace);
        let (patch, params) = (Patch::Json::<()>(patch), PatchParams::default());
        request(&node, tried, api.patch_metadata(&what.name, &params, &patch)).await?;
        tracing::info!(namespace = what.namespace, name = what.name, "interface is gone: port given back");
        Ok(())
    }
}

/// Whether an ADD of its pod is in flight. A KuryrPort that names no pod can't be served, so there is none.
fn adding(node: &Node, port: &GuardedPort) -> bool {
    let namespace = port.namespace().unwrap_or_default();
    port.pod_uid().is_some_and(|uid| node.in_flight.adding(&namespace, port.pod_name().unwrap_or_default(), uid))
}

fn removal(port: &GuardedPort) -> Option<Action<Removal>> {
    let (namespace, name, uid) = (port.namespace()?, port.name_any(), port.uid()?);
    let key = format!("{namespace}/{name}");
    let basis = basis(&(&uid, port.resource_version()));
    Some(Action { key, basis, what: Removal { namespace, name, uid, index: port.finalizer()? } })
}
