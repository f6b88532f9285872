//! kubectl, inside the control namespace.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::kubeconfig;
use crate::{
    engine::{CONTROL, Lab, shell},
    install::Artefacts,
};

/// A kubectl command of the administrator, ready for its arguments.
///
/// # Errors
/// When the lab's versions can't be read.
pub fn kubectl(lab: &Lab) -> Result<Command> {
    let program = Artefacts::at(lab.cache())?.kubernetes("kubectl");
    let mut command = lab.command(Some(CONTROL), &program.to_string_lossy());
    command.arg("--kubeconfig").arg(kubeconfig(lab));
    Ok(command)
}

/// Applies objects server-side, whoever else has written their fields.
///
/// # Errors
/// When the API server refuses one; the message is its own.
pub fn apply(lab: &Lab, objects: &[Value]) -> Result<()> {
    apply_text(lab, &json!({ "apiVersion": "v1", "kind": "List", "items": objects }).to_string())
}

/// As [`apply`], of YAML documents.
pub(crate) fn apply_text(lab: &Lab, documents: &str) -> Result<()> {
    let mut command = kubectl(lab)?;
    command.args(["apply", "--server-side", "--force-conflicts", "--field-manager=kuryr-lab", "--filename=-"]);
    shell::run_with_input(&mut command, documents).map(drop).context("applying objects to the cluster")
}

/// Succeeds when the API server says that it is ready.
pub(super) fn api_server_ready(lab: &Lab) -> Result<()> {
    shell::run(kubectl(lab)?.args(["get", "--raw=/readyz", "--request-timeout=5s"])).map(drop)
}
