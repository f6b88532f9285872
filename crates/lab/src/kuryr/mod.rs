//! Kuryr on the lab: the controller in `kuryr-control`, a daemon on every node, and which pod network the nodes have.

use std::path::PathBuf;

use anyhow::Result;

use crate::{
    engine::{Lab, node_name},
    kubernetes,
    registry::Components,
};

pub use kubernetes::NodeNetwork;

/// Gives all nodes this pod network, from their next pods on. There should be no pods when it changes: those that run
/// keep their network but are removed by the plugin of the new one.
///
/// # Errors
/// When a configuration can't be written.
pub fn use_network(lab: &Lab, network: NodeNetwork) -> Result<()> {
    lab.nodes().try_for_each(|node| kubernetes::use_network(lab, node, network))
}

/// The socket on which a node's daemon answers `kuryr-cni`.
pub fn daemon_socket(lab: &Lab, node: u32) -> PathBuf {
    lab.run().join(node_name(node)).join("kuryr.sock")
}

/// The parts of Kuryr.
pub fn components(_lab: &Lab) -> Components {
    Vec::new()
}
