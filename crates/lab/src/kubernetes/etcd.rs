//! etcd, the store of the API server.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    engine::{CONTROL, Component, Lab, Program, probe},
    install::Artefacts,
};

/// The address for clients, inside the control namespace.
pub const URL: &str = "http://127.0.0.1:2379";
const PEER_URL: &str = "http://127.0.0.1:2380";

/// etcd.
pub struct Etcd;

/// The data of this etcd: its directory has the name of what was built, as another version may not be able to read it.
fn data(lab: &Lab) -> Result<PathBuf> {
    let program = Artefacts::at(lab.cache())?.etcd();
    let name = program.parent().and_then(Path::file_name).context("the folder of etcd has no name")?;
    Ok(lab.state().join(name))
}

/// Whether the kept state has a store of another etcd. Without it the other databases are about a cluster that is no more.
///
/// # Errors
/// When the state can't be read.
pub fn store_is_of_another_etcd(lab: &Lab) -> Result<bool> {
    let ours = data(lab)?;
    let state = fs::read_dir(lab.state()).with_context(|| format!("reading {}", lab.state().display()))?;
    let stores = state.flatten().filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"etcd"));
    Ok(stores.into_iter().any(|entry| entry.path() != ours))
}

impl Component for Etcd {
    fn name(&self) -> String {
        "etcd".into()
    }

    fn after(&self) -> Vec<String> {
        vec!["network".into()]
    }

    fn program(&self, lab: &Lab) -> Result<Option<Program>> {
        let program = Program::new(Artefacts::at(lab.cache())?.etcd())
            .arg(format!("--data-dir={}", data(lab)?.display()))
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
