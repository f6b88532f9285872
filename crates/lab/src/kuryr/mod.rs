//! Kuryr on the lab: the controller in `kuryr-control`, a daemon on every node, and which pod network the nodes have.

mod controller;
mod daemon;
mod nodes;
mod objects;
mod services;

use std::path::PathBuf;

use anyhow::Result;

use crate::{
    engine::{Lab, node_name},
    kubernetes,
    node::{control_address, on_node},
    registry::Components,
};

pub use kubernetes::NodeNetwork;

/// The port of the controller's admin server.
const CONTROLLER_PORT: u16 = 9805;

/// The parts of Kuryr.
pub fn components(lab: &Lab) -> Components {
    let mut components: Components = vec![Box::new(objects::Objects), Box::new(controller::Controller)];
    for node in lab.nodes() {
        components.push(Box::new(daemon::Daemon(node)));
    }
    components.push(Box::new(services::ServicesReady));
    components.push(Box::new(nodes::NodesReady { nodes: lab.nodes().collect() }));
    components
}

/// The names of Kuryr's parts that have processes: the controller, then the daemons.
pub fn processes(lab: &Lab) -> Vec<String> {
    std::iter::once(controller::NAME.to_owned()).chain(lab.nodes().map(daemon_name)).collect()
}

/// Gives all nodes this pod network, from their next pods on. There should be no pods when it changes: those that run
/// keep their network but are removed by the plugin of the new one.
///
/// # Errors
/// When a configuration can't be written.
pub fn use_network(lab: &Lab, network: NodeNetwork) -> Result<()> {
    lab.nodes().try_for_each(|node| kubernetes::use_network(lab, node, network))
}

/// Waits until all nodes take pods, whatever their pod network.
///
/// # Errors
/// When one doesn't in time.
pub fn wait_for_nodes(lab: &Lab) -> Result<()> {
    lab.wait_ready(nodes::NAME)
}

/// Starts what of Kuryr doesn't run, gives it the nodes' next pods and waits until all nodes take them.
///
/// # Errors
/// When a part doesn't become ready.
pub fn start(lab: &Lab) -> Result<()> {
    processes(lab).iter().try_for_each(|part| lab.start(part))?;
    use_network(lab, NodeNetwork::Kuryr)?;
    wait_for_nodes(lab)
}

/// Ends Kuryr's processes. The nodes' pod network stays as it is.
///
/// # Errors
/// When one can't be ended.
pub fn stop(lab: &Lab) -> Result<()> {
    processes(lab).iter().try_for_each(|part| lab.stop(part))
}

/// The controller's configuration file.
pub fn config_file(lab: &Lab) -> PathBuf {
    lab.etc().join("kuryr/kuryr.yaml")
}

/// A page of the controller's admin server (`/ready`, `/metrics`), as seen from the control namespace and the nodes.
pub fn controller_url(_lab: &Lab, path: &str) -> String {
    format!("http://{}:{CONTROLLER_PORT}{path}", control_address())
}

/// The socket on which a node's daemon answers `kuryr-cni`. Its folder is the daemon's own.
pub fn daemon_socket(lab: &Lab, node: u32) -> PathBuf {
    lab.run().join(node_name(node)).join("kuryr/daemon.sock")
}

/// The name of the component that is a node's daemon.
fn daemon_name(node: u32) -> String {
    on_node("kuryr-daemon", node)
}
