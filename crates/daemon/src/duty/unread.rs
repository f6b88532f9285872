//! Objects that can't be read, as those that another release has written. The log names each. What one may stand for is left
//! alone; but not what one stands for that is being deleted: there is nothing to read in it any more.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DeserializeGuard;
use std::sync::Arc;

/// Whether one of the objects can't be read and may be one of `which`, as far as its metadata says.
pub fn any<K>(objects: &[Arc<DeserializeGuard<K>>], which: impl Fn(&ObjectMeta) -> bool) -> bool {
    let unread = objects.iter().filter_map(|object| object.0.as_ref().err().map(|unread| &unread.metadata));
    unread.into_iter().any(|meta| meta.deletion_timestamp.is_none() && which(meta))
}

/// Whether it may be a Node's own port: no other KuryrPoolPort belongs to a Node.
pub fn is_of_node(meta: &ObjectMeta) -> bool {
    meta.owner_references.iter().flatten().any(|owner| owner.kind == "Node")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caches::GuardedPoolPort;
    use serde_json::json;

    fn object(owner: Option<&str>, deleting: bool, spec: &serde_json::Value) -> Arc<GuardedPoolPort> {
        let owner = owner.map(|kind| json!({ "apiVersion": "v1", "kind": kind, "name": "n", "uid": "u" }));
        let metadata = json!({
            "name": "n-1", "uid": "u", "ownerReferences": owner.into_iter().collect::<Vec<_>>(),
            "deletionTimestamp": deleting.then_some("2026-01-01T00:00:00Z"),
        });
        let object = json!({
            "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPoolPort", "metadata": metadata, "spec": spec,
        });
        Arc::new(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn only_what_lives_and_cannot_be_read_counts() {
        let readable = json!({ "nodeName": "n", "networkId": "net", "subnetIds": ["s"] });
        let unreadable = json!({ "nodeNumber": 7 });
        for (owner, deleting, spec, is_any, is_node) in [
            (None, false, &readable, false, false),
            (Some("Node"), false, &readable, false, false),
            (None, false, &unreadable, true, false),
            (Some("ReplicaSet"), false, &unreadable, true, false),
            (Some("Node"), false, &unreadable, true, true),
            (Some("Node"), true, &unreadable, false, false),
        ] {
            let objects = [object(None, false, &readable), object(owner, deleting, spec)];
            let found = (any(&objects, |_| true), any(&objects, is_of_node));
            assert_eq!(found, (is_any, is_node), "{owner:?} {deleting} {spec}");
        }
    }
}
