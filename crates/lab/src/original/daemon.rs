//! `kuryr-daemon` of one node.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Result;

use super::{
    config::{self, Part, file},
    dir, objects,
};
use crate::{
    engine::{Component, Lab, Program, files, node_name, node_netns, probe},
    install::Artefacts,
    node::{on_node, ovs},
};

/// Its CNI plugin's name among the node's plugins; its own, `kuryr-cni`, is ours.
pub(crate) const CNI_PROGRAM: &str = "kuryr-cni-original";

/// Where `kuryr-cni` calls it (`[cni_daemon] bind_address`).
const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5036);

/// The port of its health server.
const HEALTH_PORT: u16 = 8090;

/// At each plug os-vif sets the bridge's datapath to the kernel's, which the lab doesn't have: the bridge and all ports on it
/// would be made anew. No option of the original's says otherwise.
const USERSPACE_DATAPATH: &str = "from vif_plug_ovs import constants

constants.OVS_DATAPATH_SYSTEM = constants.OVS_DATAPATH_NETDEV
";

/// The original's daemon.
pub(super) struct Daemon(pub u32);

/// The name of the component.
pub(super) fn name(node: u32) -> String {
    on_node("original-daemon", node)
}

/// A folder with what Python runs at each start of the daemon.
fn site(lab: &Lab) -> PathBuf {
    dir(lab).join("site")
}

impl Component for Daemon {
    fn name(&self) -> String {
        name(self.0)
    }

    fn after(&self) -> Vec<String> {
        vec![objects::NAME.into()]
    }

    fn prepare(&self, lab: &Lab) -> Result<()> {
        files::write_if_changed(&site(lab).join("sitecustomize.py"), USERSPACE_DATAPATH)?;
        config::write(lab, Part::Node(self.0))
    }

    fn program(&self, lab: &Lab) -> Result<Option<Program>> {
        let file = file(lab, Part::Node(self.0));
        let program = Program::new(Artefacts::at(lab.cache())?.original().join("bin/kuryr-daemon"))
            .args(["--config-file".to_owned(), file.display().to_string()])
            .env("KUBERNETES_NODE_NAME", node_name(self.0))
            .env("OVS_RUNDIR", ovs::run_dir(lab, self.0).display().to_string())
            .env("PYTHONPATH", site(lab).display().to_string())
            .config(file)
            .netns(node_netns(self.0));
        Ok(Some(program))
    }

    fn ready(&self, _lab: &Lab) -> Result<()> {
        probe::tcp(&node_netns(self.0), SERVER)?;
        probe::http_ok(&node_netns(self.0), &format!("http://127.0.0.1:{HEALTH_PORT}/ready"))
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(120)
    }
}
