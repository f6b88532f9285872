//! Kuryr's daemon of one node.

use std::path::PathBuf;

use anyhow::Result;

use super::{daemon_name, daemon_socket, objects};
use crate::{
    engine::{Component, Lab, Program, files, node_name, node_netns, probe},
    install::Artefacts,
    kubernetes::{NodeNetwork, kubeconfig_of, use_network},
    node::{database_socket, on_node},
};

/// The port of the daemon's admin server.
const PORT: u16 = 9806;

/// kuryr daemon.
pub struct Daemon(pub u32);

impl Daemon {
    fn config_file(&self, lab: &Lab) -> PathBuf {
        lab.etc().join(node_name(self.0)).join("kuryr.yaml")
    }
}

impl Component for Daemon {
    fn name(&self) -> String {
        daemon_name(self.0)
    }

    fn after(&self) -> Vec<String> {
        vec![objects::NAME.into(), on_node("ovs-vswitchd", self.0), on_node("containerd", self.0)]
    }

    fn prepare(&self, lab: &Lab) -> Result<()> {
        let text = format!(
            "# The configuration of Kuryr's daemon on this node.
daemon:
  socket: {}
  ovsdb: unix:{}
  bridge: br-int
  routedNetworks: [10.96.0.0/16, \"fd00:96::/112\"]
  adminListen: 0.0.0.0:{PORT}
",
            daemon_socket(lab, self.0).display(),
            database_socket(lab, self.0).display(),
        );
        files::write_if_changed(&self.config_file(lab), &text).map(drop)
    }

    fn program(&self, lab: &Lab) -> Result<Option<Program>> {
        let artefacts = Artefacts::at(lab.cache())?;
        let (file, name) = (self.config_file(lab), node_name(self.0));
        let kubeconfig = kubeconfig_of(lab, &format!("kuryr-daemon-{name}"));
        let program = Program::new(artefacts.kuryr("kuryr"))
            .args(["daemon", "--config"])
            .arg(file.display().to_string())
            .args(["--node-name".to_owned(), name])
            .env("KUBECONFIG", kubeconfig.display().to_string())
            .config(file)
            .config(artefacts.kuryr("kuryr.sha256"))
            .netns(node_netns(self.0));
        Ok(Some(program))
    }

    fn ready(&self, _lab: &Lab) -> Result<()> {
        probe::http(&node_netns(self.0), &format!("http://127.0.0.1:{PORT}/ready"))
    }

    /// From now on containerd gives new pods to Kuryr, which makes the node Ready.
    fn started(&self, lab: &Lab) -> Result<()> {
        use_network(lab, self.0, NodeNetwork::Kuryr)
    }
}
