//! The nodes: a network namespace each, with its own Open vSwitch (userspace datapath) and ovn-controller.
//!
//! ```text
//!  kuryr-control                                   kuryr-node1
//!   br-nodes   10.99.0.1/24  -- node1-nodes ====== nodes0   10.99.0.11/24   kubelet, API server, the daemons
//!   br-tunnel                -- node1-tunnel ===== tunnel0 in br-phy, 10.99.1.11/24     Geneve between the nodes
//!   br-ext     172.24.4.1/24 -- node1-ext ======== ext0     in br-ex                    physnet1, the external network
//! ```
//!
//! The tunnels have a network of their own, so that a node keeps its API server while its Open vSwitch is down. No
//! namespace has an uplink: nothing can leave the machine.

mod network;
mod ovn_controller;
pub mod ovs;
mod reboot;

use crate::{
    engine::{Lab, node_name},
    registry::Components,
};

pub use network::{EXTERNAL_GATEWAY, control_address, node_address};
pub(crate) use network::{WIRES, Wire, ip, link_exists};
pub use ovs::database_socket;
pub use reboot::reboot;

/// The control namespace and its bridges, which everything else waits for.
pub fn control_components(_lab: &Lab) -> Components {
    vec![Box::new(network::ControlNetwork)]
}

/// The components of one node.
pub fn components(_lab: &Lab, node: u32) -> Components {
    vec![
        Box::new(network::NodeNetwork(node)),
        Box::new(ovs::Database(node)),
        Box::new(ovs::Vswitchd(node)),
        Box::new(ovn_controller::OvnController(node)),
    ]
}

/// The name of a component on a node: `ovs-vswitchd@node1`.
pub fn on_node(component: &str, node: u32) -> String {
    format!("{component}@{}", node_name(node))
}
