//! ovn-controller of a node: turns the southbound database into the switch's flows.

use anyhow::{Result, bail};

use super::ovs::{LOG_TO_STDERR, database_socket, environment, run_dir};
use crate::{
    engine::{Component, Lab, Program, node_netns, shell},
    node::on_node,
};

/// The ovn-controller of a node.
pub(super) struct OvnController(pub u32);

impl Component for OvnController {
    fn name(&self) -> String {
        on_node("ovn-controller", self.0)
    }

    fn after(&self) -> Vec<String> {
        vec![on_node("ovs-vswitchd", self.0), "ovsdb-sb".into(), "ovn-northd".into()]
    }

    fn program(&self, lab: &Lab) -> Result<Option<Program>> {
        let dir = run_dir(lab, self.0);
        let program = Program::new("ovn-controller")
            .arg(format!("unix:{}", database_socket(lab, self.0).display()))
            .arg(format!("--pidfile={}", dir.join("ovn-controller.pid").display()))
            .args(LOG_TO_STDERR)
            .netns(node_netns(self.0));
        Ok(Some(environment(program, &dir)))
    }

    fn ready(&self, lab: &Lab) -> Result<()> {
        // It is found by its pid file: this program can't be given a path for its control socket.
        let mut command = lab.command(None, "ovn-appctl");
        command.env("OVN_RUNDIR", run_dir(lab, self.0)).args(["--timeout=5", "-t", "ovn-controller"]);
        let state = shell::run(command.arg("connection-status"))?;
        if state.trim() != "connected" {
            bail!("its connection to the southbound database is {}", state.trim());
        }
        Ok(())
    }
}
