//! etcd, the store of the API server.

use anyhow::Result;

use crate::{
    engine::{CONTROL, Component, Lab, Program, probe},
    install::Artefacts,
};

/// The address for clients, inside the control namespace.
pub const URL: &str = "http://127.0.0.1:2379";
const PEER_URL: &str = "http://127.0.0.1:2380";

/// etcd.
pub struct Etcd;

impl Component for Etcd {
    fn name(&self) -> String {
        "etcd".into()
    }

    fn after(&self) -> Vec<String> {
        vec!["network".into()]
    }

    fn program(&self, lab: &Lab) -> Result<Option<Program>> {
        let program = Program::new(Artefacts::at(lab.cache())?.etcd())
            .arg(format!("--data-dir={}", lab.state().join("etcd").display()))
            .arg(format!("--listen-client-urls={URL}"))
            .arg(format!("--advertise-client-urls={URL}"))
            .arg(format!("--listen-peer-urls={PEER_URL}"))
            .arg(format!("--initial-advertise-peer-urls={PEER_URL}"))
            .arg(format!("--initial-cluster=default={PEER_URL}"))
            .args(["--log-level=warn", "--logger=zap"])
            // The lab may be lost with its machine; waiting for the disk would only make it slow.
            .arg("--unsafe-no-fsync")
            .netns(CONTROL);
        Ok(Some(program))
    }

    fn ready(&self, _lab: &Lab) -> Result<()> {
        probe::http(CONTROL, &format!("{URL}/health"))
    }
}
