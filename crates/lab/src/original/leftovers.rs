//! What the original Kuryr leaves in the cluster and on the nodes when it ends in the middle of its work.

use anyhow::{Context, Result};
use serde_json::Value;

use super::objects::CRDS;
use crate::{
    engine::{Lab, shell},
    kubernetes::kubectl,
    node::ovs,
};

/// What its finalizers begin with, on pods and on its own objects.
const FINALIZERS: &str = "kuryr.openstack.org/";

/// Removes its finalizers, its kinds with their objects, and what is still plugged.
pub(super) fn remove(lab: &Lab) -> Result<()> {
    strip_finalizers(lab, "pods")?;
    let kinds = kinds();
    let defined = shell::run(kubectl(lab)?.args(["get", "crds", "--output=name"]))?;
    for kind in kinds.iter().filter(|kind| defined.lines().any(|line| line.ends_with(&format!("/{kind}")))) {
        strip_finalizers(lab, kind)?;
    }
    shell::run(kubectl(lab)?.args(["delete", "crds", "--ignore-not-found"]).args(&kinds))?;
    lab.nodes().try_for_each(|node| unplug(lab, node))
}

/// The full names of its kinds: `kuryrports.openstack.org`.
fn kinds() -> Vec<&'static str> {
    CRDS.lines().filter_map(|line| line.strip_prefix("  name: ")).collect()
}

fn strip_finalizers(lab: &Lab, kind: &str) -> Result<()> {
    let list = shell::run(kubectl(lab)?.args(["get", kind, "--all-namespaces", "--output=json"]))?;
    let list: Value = serde_json::from_str(&list).with_context(|| format!("reading the list of {kind}"))?;
    for (namespace, name) in held(&list) {
        let patch = r#"{"metadata":{"finalizers":null}}"#;
        let mut command = kubectl(lab)?;
        command.args(["patch", kind, &name, "--namespace", &namespace, "--type=merge", "--patch", patch]);
        shell::run(&mut command)?;
    }
    Ok(())
}

/// Namespace and name of the objects in a list that hold a finalizer of the original's.
fn held(list: &Value) -> Vec<(String, String)> {
    let items = list.get("items").and_then(Value::as_array).into_iter().flatten();
    let ours = |item: &&Value| {
        let finalizers = item.pointer("/metadata/finalizers").and_then(Value::as_array).into_iter().flatten();
        finalizers.filter_map(Value::as_str).any(|finalizer| finalizer.starts_with(FINALIZERS))
    };
    let text = |item: &Value, pointer| Some(item.pointer(pointer)?.as_str()?.to_owned());
    items
        .filter(ours)
        .filter_map(|item| Some((text(item, "/metadata/namespace")?, text(item, "/metadata/name")?)))
        .collect()
}

/// It writes `vm-uuid=kuryr` on every interface that it plugs.
fn unplug(lab: &Lab, node: u32) -> Result<()> {
    let find = ["--bare", "--columns=name", "find", "Interface", "external_ids:vm-uuid=kuryr"];
    for device in ovs::vsctl(lab, node, &find)?.split_whitespace() {
        ovs::vsctl(lab, node, &["--if-exists", "del-port", "br-int", device])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_four_kinds_are_known() {
        assert_eq!(kinds().len(), 4);
        assert!(kinds().contains(&"kuryrports.openstack.org"));
    }

    #[test]
    fn objects_without_its_finalizer_are_left_alone() {
        let object = |name: &str, finalizers: &[&str]| json!({"metadata": {"namespace": "ns", "name": name, "finalizers": finalizers}});
        let list = json!({"items": [
            object("ours", &["kuryr.openstack.org/pod-finalizer"]),
            object("other", &["example.com/hold"]),
            json!({"metadata": {"namespace": "ns", "name": "none"}}),
        ]});
        assert_eq!(held(&list), [("ns".to_owned(), "ours".to_owned())]);
    }
}
