//! Which pod network a node has: the CNI configuration that its containerd reads.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::node_state;
use crate::{
    engine::{Lab, files, node_name, node_netns, shell},
    install::{Artefacts, Conformance},
    kuryr, original,
};

/// The version of the CNI specification that the node's containerd speaks.
const CNI_VERSION: &str = "1.0.0";

/// The only version that the original's plugin speaks.
const ORIGINAL_CNI_VERSION: &str = "0.3.1";

/// The bridge of [`NodeNetwork::Bridge`].
const BRIDGE: &str = "cni0";

/// The plugin of [`NodeNetwork::KuryrAndPortmap`].
const PORTMAP: &str = "portmap";

/// A node's pod network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeNetwork {
    /// None: the node isn't Ready and runs only pods with `hostNetwork`.
    None,
    /// Kuryr.
    Kuryr,
    /// Kuryr, and the reference plugin `portmap` behind it: pods can have ports of their node (`hostPort`).
    KuryrAndPortmap,
    /// The original Kuryr in Python.
    Original,
    /// The reference plugins `bridge` and `host-local`: pods of one node reach each other. The simplest network there
    /// is, for measuring what everything but the network costs.
    Bridge,
}

/// Where a node's CNI files are.
#[derive(Debug, Clone)]
pub(super) struct Directories {
    /// The plugins.
    pub programs: PathBuf,
    /// The network configuration, at most one.
    pub configuration: PathBuf,
}

impl Directories {
    pub fn of(lab: &Lab, node: u32) -> Self {
        Self { programs: node_state(lab, node).join("cni"), configuration: lab.etc().join(node_name(node)).join("cni") }
    }

    /// Makes the directories, with the reference plugins and `kuryr-cni`.
    pub fn prepare(&self, lab: &Lab) -> Result<()> {
        for dir in [&self.programs, &self.configuration] {
            fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        }
        let artefacts = Artefacts::at(lab.cache())?;
        for plugin in ["loopback", "bridge", "host-local"] {
            link(&artefacts.cni_plugin(plugin), &self.programs.join(plugin))?;
        }
        link(&artefacts.kuryr("kuryr-cni"), &self.programs.join("kuryr-cni"))
    }
}

/// Gives a node this pod network, from its next pod on. Pods that run keep theirs but would be removed by the new one's
/// plugin, so there should be none.
///
/// # Errors
/// When the configuration can't be written.
pub(crate) fn use_network(lab: &Lab, node: u32, network: NodeNetwork) -> Result<()> {
    let dirs = Directories::of(lab, node);
    let wanted = conflist(lab, node, network);
    for entry in fs::read_dir(&dirs.configuration).into_iter().flatten().flatten() {
        if wanted.as_ref().is_none_or(|(name, _)| entry.file_name() != name.as_str()) {
            fs::remove_file(entry.path()).with_context(|| format!("removing {}", entry.path().display()))?;
        }
    }
    if network == NodeNetwork::Original {
        let plugin = Artefacts::at(lab.cache())?.original().join("bin/kuryr-cni");
        link(&plugin, &dirs.programs.join(original::CNI_PROGRAM))?;
    }
    if network == NodeNetwork::KuryrAndPortmap {
        link(&Conformance::at(lab.cache())?.portmap(), &dirs.programs.join(PORTMAP))?;
    }
    if let Some((name, list)) = wanted {
        let text = serde_json::to_string_pretty(&list).context("writing a CNI configuration")?;
        files::write_if_changed(&dirs.configuration.join(name), &text)?;
    }
    if network != NodeNetwork::Bridge {
        remove_bridge(lab, node)?;
    }
    Ok(())
}

/// The file name and the content of the node's network configuration.
fn conflist(lab: &Lab, node: u32, network: NodeNetwork) -> Option<(String, Value)> {
    let kuryr = || json!({ "type": "kuryr-cni", "socket": kuryr::daemon_socket(lab, node) });
    let portmap = || json!({ "type": PORTMAP, "capabilities": { "portMappings": true }, "backend": "nftables" });
    let (name, plugins) = match network {
        NodeNetwork::None => return None,
        NodeNetwork::Kuryr => ("kuryr", json!([kuryr()])),
        NodeNetwork::KuryrAndPortmap => ("kuryr", json!([kuryr(), portmap()])),
        NodeNetwork::Original => {
            let file = original::config_file(lab, original::Part::Node(node));
            ("original", json!([{ "type": original::CNI_PROGRAM, "kuryr_conf": file, "debug": false }]))
        }
        NodeNetwork::Bridge => {
            let ranges = json!([[{ "subnet": format!("10.88.{node}.0/24") }]]);
            let data = node_state(lab, node).join("host-local");
            let ipam = json!({ "type": "host-local", "ranges": ranges, "dataDir": data });
            ("bridge", json!([{ "type": "bridge", "bridge": BRIDGE, "isGateway": true, "ipam": ipam }]))
        }
    };
    let version = if network == NodeNetwork::Original { ORIGINAL_CNI_VERSION } else { CNI_VERSION };
    Some((format!("10-{name}.conflist"), json!({ "cniVersion": version, "name": name, "plugins": plugins })))
}

/// Removes the bridge that the plugin `bridge` leaves.
fn remove_bridge(lab: &Lab, node: u32) -> Result<()> {
    let netns = node_netns(node);
    let ip = |words: &[&str]| shell::run(lab.command(Some(&netns), "ip").args(words));
    if ip(&["link", "show", BRIDGE]).is_ok() {
        ip(&["link", "delete", BRIDGE]).context("removing the pods' bridge")?;
    }
    Ok(())
}

/// Makes `link` a symbolic link to `target`.
fn link(target: &Path, link: &Path) -> Result<()> {
    if fs::read_link(link).is_ok_and(|old| old == target) {
        return Ok(());
    }
    match fs::remove_file(link) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => bail!("removing {}: {e}", link.display()),
        _ => symlink(target, link).with_context(|| format!("linking {} to {}", link.display(), target.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Directories as LabDirectories, Options};

    fn mk_lab(dir: &Path) -> Lab {
        let path = |name: &str| dir.join(name);
        let directories = LabDirectories { state: path("state"), run: path("run"), cache: path("cache") };
        Lab::create_at(directories, Options::default()).unwrap()
    }

    #[test]
    fn each_node_has_a_bridge_network_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let lab = mk_lab(dir.path());
        let subnet = |node| {
            let (_, list) = conflist(&lab, node, NodeNetwork::Bridge).unwrap();
            list["plugins"][0]["ipam"]["ranges"][0][0]["subnet"].clone()
        };
        assert_eq!(subnet(1), "10.88.1.0/24");
        assert_eq!(subnet(2), "10.88.2.0/24");
    }

    #[test]
    fn kuryr_is_told_its_socket() {
        let dir = tempfile::tempdir().unwrap();
        let lab = mk_lab(dir.path());
        let (file, list) = conflist(&lab, 1, NodeNetwork::Kuryr).unwrap();
        assert_eq!(file, "10-kuryr.conflist");
        let socket = lab.run().join("node1/kuryr/daemon.sock");
        assert_eq!(list["plugins"][0], json!({ "type": "kuryr-cni", "socket": socket }));
    }

    #[test]
    fn portmap_comes_behind_kuryr() {
        let dir = tempfile::tempdir().unwrap();
        let lab = mk_lab(dir.path());
        let (file, list) = conflist(&lab, 1, NodeNetwork::KuryrAndPortmap).unwrap();
        assert_eq!(file, "10-kuryr.conflist");
        let types: Vec<_> = list["plugins"].as_array().unwrap().iter().map(|plugin| &plugin["type"]).collect();
        assert_eq!(types, ["kuryr-cni", "portmap"]);
        assert_eq!(list["plugins"][1]["capabilities"]["portMappings"], true);
    }

    #[test]
    fn the_original_is_told_its_configuration_in_the_only_version_that_it_speaks() {
        let dir = tempfile::tempdir().unwrap();
        let lab = mk_lab(dir.path());
        let (file, list) = conflist(&lab, 2, NodeNetwork::Original).unwrap();
        assert_eq!((file.as_str(), &list["cniVersion"]), ("10-original.conflist", &json!("0.3.1")));
        assert_eq!(list["plugins"][0]["kuryr_conf"], json!(lab.etc().join("original/node2.conf")));
    }

    #[test]
    fn plugins_are_linked_once_and_again_when_they_moved() {
        let dir = tempfile::tempdir().unwrap();
        let plugin = dir.path().join("plugin");
        for target in ["/one", "/one", "/two"] {
            link(Path::new(target), &plugin).unwrap();
            assert_eq!(fs::read_link(&plugin).unwrap(), Path::new(target));
        }
    }
}
