//! How each part finds and enters the API server.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::json;

use super::{API_PORT, etc, pki};
use crate::{
    engine::{Lab, files},
    node::control_address,
};

/// The kubeconfig of the administrator, who may do everything.
pub(super) const ADMIN: &str = "admin";

/// The kubeconfig of the administrator. It works in every namespace of the lab.
pub fn kubeconfig(lab: &Lab) -> PathBuf {
    kubeconfig_of(lab, ADMIN)
}

/// The kubeconfig of an identity, by its file name: `admin`, `kuryr-controller`, `kuryr-daemon-node1`.
pub fn kubeconfig_of(lab: &Lab, identity: &str) -> PathBuf {
    etc(lab).join(format!("{identity}.kubeconfig"))
}

/// Writes the kubeconfig of an identity. (JSON is YAML.)
pub(super) fn write(lab: &Lab, identity: &str) -> Result<()> {
    let pki = pki::dir(lab);
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "lab", "cluster": {
            "server": format!("https://{}:{API_PORT}", control_address()),
            "certificate-authority": pki.join("ca.crt"),
        }}],
        "users": [{ "name": identity, "user": {
            "client-certificate": pki.join(format!("{identity}.crt")),
            "client-key": pki.join(format!("{identity}.key")),
        }}],
        "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": identity } }],
        "current-context": "lab",
    });
    let text = serde_json::to_string_pretty(&config).context("writing a kubeconfig")?;
    files::write_if_changed(&kubeconfig_of(lab, identity), &text).map(drop)
}
