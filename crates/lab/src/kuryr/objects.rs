//! What Kuryr needs in the cluster: its kinds, the rights of its parts.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::{
    engine::{Component, Lab, shell},
    install::{Artefacts, work_tree},
    kubernetes,
};

/// Name of the component.
pub const NAME: &str = "kuryr-objects";

/// Kuryr's kinds, and the one that it reads of another project.
const KINDS: &str =
    "kuryrports,kuryrpoolports,kuryrpools,kuryrloadbalancers,kuryrnetworkpolicies,clusternetworkpolicies";

/// Applies what stands in `deploy/`, and the definition of ClusterNetworkPolicies.
pub struct Objects;

impl Component for Objects {
    fn name(&self) -> String {
        NAME.into()
    }

    fn after(&self) -> Vec<String> {
        vec![kubernetes::api_ready()]
    }

    fn prepare(&self, lab: &Lab) -> Result<()> {
        let cluster_policies = Artefacts::at(lab.cache())?.cluster_policies();
        kubernetes::apply_text(lab, &documents(&work_tree().join("deploy"), &cluster_policies)?)
    }

    /// A kind that was just defined takes a moment until the API server serves it.
    fn ready(&self, lab: &Lab) -> Result<()> {
        let mut command = kubernetes::kubectl(lab)?;
        command.args(["get", KINDS, "--all-namespaces", "--output=name", "--request-timeout=5s"]);
        shell::run(&mut command).map(drop).context("Kuryr's kinds are not served yet")
    }
}

/// The definitions of all kinds, `more` among them, then the rights: one text.
fn documents(deploy: &Path, more: &Path) -> Result<String> {
    let crds = deploy.join("crds");
    let entries = fs::read_dir(&crds).with_context(|| format!("reading {}", crds.display()))?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files.push(more.to_owned());
    files.extend(["rbac.yaml", "admission.yaml"].map(|name| deploy.join(name)));
    let mut text = String::new();
    for file in files {
        text.push_str("\n---\n");
        text.push_str(&fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?);
    }
    Ok(text)
}
