//! A node whose power fails.

use std::fs;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use crate::{
    engine::{Lab, end_namespaces_below, node_name},
    node::{on_node, ovs},
};

/// The parts of a node, in the order in which they start.
const PARTS: [&str; 6] = ["ovsdb-server", "ovs-vswitchd", "ovn-controller", "containerd", "kuryr-daemon", "kubelet"];

/// Ends everything on a node at once, pods and interfaces among it, and starts its parts again. Its disk stays as it is; the
/// database of Open vSwitch is emptied too where `empty_database` says so, as some distributions do at each start.
///
/// # Errors
/// When a part can't be ended, or doesn't start again.
pub fn reboot(lab: &Lab, node: u32, empty_database: bool) -> Result<()> {
    for part in ["kubelet", "kuryr-daemon", "containerd", "ovn-controller"] {
        lab.kill(&on_node(part, node))?;
    }
    // Its bridges are devices that outlive it when it is killed, and don't outlive the machine.
    lab.stop(&on_node("ovs-vswitchd", node))?;
    lab.kill(&on_node("ovsdb-server", node))?;
    end_namespaces_below(&lab.run().join(node_name(node)), Signal::SIGKILL)?;
    if empty_database {
        let file = ovs::run_dir(lab, node).join("conf.db");
        fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
    }
    PARTS.iter().try_for_each(|part| lab.start(&on_node(part, node)))
}
