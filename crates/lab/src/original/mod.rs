//! The original Kuryr, `kuryr-kubernetes` 10.0.0 in Python, for benchmarks beside ours. Its parts are off unless asked for.
//!
//! It works on a network of its own: its pools take every port of `compute:kuryr` on their network for theirs, also those
//! of our nodes. It finds Neutron by a Keystone region of its own, so that a benchmark can put a counter in between.

mod cloud;
mod config;
mod controller;
mod daemon;
mod leftovers;
mod objects;

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::{
    engine::{self, Lab, files},
    kubernetes::NodeNetwork,
    kuryr,
    registry::Components,
};

pub(crate) use config::{Part, file as config_file};
pub(crate) use daemon::CNI_PROGRAM;

/// How the original gets a port for a pod (`vif_pool_driver` in its configuration).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pool {
    /// By a request to Neutron for each pod: `noop`, its default.
    Noop,
    /// From a pool of each node: `neutron`.
    Neutron {
        /// How many ports a node's pool is given at its first pod (`ports_pool_batch`).
        batch: u32,
    },
}

/// What [`up`] was asked for and has made in the cloud; the components are configured by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Settings {
    pool: Pool,
    cloud: cloud::Made,
}

impl Settings {
    fn file(lab: &Lab) -> PathBuf {
        dir(lab).join("settings.json")
    }

    fn read(lab: &Lab) -> Result<Self> {
        let file = Self::file(lab);
        let text = fs::read_to_string(&file)
            .with_context(|| format!("reading {}: the original Kuryr was not asked for", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("reading {}", file.display()))
    }

    fn write(&self, lab: &Lab) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("writing the settings of the original Kuryr")?;
        files::write_if_changed(&Self::file(lab), &text).map(drop)
    }
}

/// Where its configuration is.
fn dir(lab: &Lab) -> PathBuf {
    lab.etc().join("original")
}

/// Its parts.
pub fn components(lab: &Lab) -> Components {
    let mut components: Components = vec![Box::new(objects::Objects), Box::new(controller::Controller)];
    components.extend(lab.nodes().map(|node| Box::new(daemon::Daemon(node)) as _));
    components
}

/// The names of its parts that have processes.
pub fn processes(lab: &Lab) -> Vec<String> {
    std::iter::once(controller::NAME.to_owned()).chain(lab.nodes().map(daemon::name)).collect()
}

/// Starts it and gives it the nodes' next pods. Kuryr must be stopped, and there must be no pods. Its Neutron is at
/// `neutron_url`: the real one, or what stands in front of it. [`down`] takes it away again.
///
/// # Errors
/// When it isn't installed ([`crate::install::install_original`]) or a part doesn't become ready.
pub fn up(lab: &Lab, pool: Pool, neutron_url: &str) -> Result<()> {
    let cloud = cloud::make(lab, neutron_url).context("preparing the cloud for the original Kuryr")?;
    Settings { pool, cloud }.write(lab)?;
    engine::up(lab, &components(lab), &|_| {})?;
    kuryr::use_network(lab, NodeNetwork::Original)?;
    kuryr::wait_for_nodes(lab)
}

/// Ends it and removes all that it has made: finalizers, its kinds with all objects, ports, its network. Also after a run
/// that was cut off. The nodes have no pod network then.
///
/// # Errors
/// When something can't be removed.
pub fn down(lab: &Lab) -> Result<()> {
    kuryr::use_network(lab, NodeNetwork::None)?;
    for component in components(lab) {
        lab.stop(&component.name())?;
    }
    leftovers::remove(lab)?;
    cloud::remove().context("removing the network of the original Kuryr")
}

/// The id of the network that its pods have.
///
/// # Errors
/// When it was not asked for.
pub fn network(lab: &Lab) -> Result<String> {
    Ok(Settings::read(lab)?.cloud.network)
}
