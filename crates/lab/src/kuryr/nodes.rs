//! The last step: every node has its pod network and takes pods.

use anyhow::{Result, bail};

use super::daemon_name;
use crate::{
    engine::{Component, Lab, node_name, shell},
    kubernetes::kubectl,
    node::on_node,
};

/// Name of the component.
pub(super) const NAME: &str = "nodes-ready";

/// Waits until all nodes are Ready. Only the lab's own nodes count, not what an earlier, larger lab has left.
pub struct NodesReady {
    /// The numbers of the nodes.
    pub nodes: Vec<u32>,
}

impl Component for NodesReady {
    fn name(&self) -> String {
        NAME.into()
    }

    fn after(&self) -> Vec<String> {
        self.nodes.iter().flat_map(|&node| [daemon_name(node), on_node("kubelet", node)]).collect()
    }

    fn ready(&self, lab: &Lab) -> Result<()> {
        let ready =
            r#"jsonpath={range .items[*]}{.metadata.name}={.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}"#;
        let states = shell::run(kubectl(lab)?.args(["get", "nodes", "--request-timeout=5s", "--output", ready]))?;
        for node in self.nodes.iter().copied().map(node_name) {
            if !states.lines().any(|line| line == format!("{node}=True")) {
                bail!("{node} is not Ready yet")
            }
        }
        Ok(())
    }
}
