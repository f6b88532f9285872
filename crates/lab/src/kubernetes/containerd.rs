//! A node's container runtime: containerd with files, sockets and images of its own.

use std::{
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{cgroups, cni, node_run, node_state};
use crate::{
    engine::{Component, Lab, Program, files, node_name, node_netns, shell},
    install::{AGNHOST_IMAGE, Artefacts, Conformance, PAUSE_IMAGE},
    node::on_node,
};

/// The namespace of containerd in which the kubelet's containers are.
const CRI: &str = "k8s.io";

/// Where the containers' shims have their sockets, whatever containerd they belong to.
const SHIM_SOCKETS: &str = "/run/containerd/s";

/// containerd of one node.
pub struct Containerd(pub u32);

impl Containerd {
    /// Its socket.
    pub fn socket(lab: &Lab, node: u32) -> PathBuf {
        node_run(lab, node).join("containerd.sock")
    }

    fn config_file(&self, lab: &Lab) -> PathBuf {
        lab.etc().join(node_name(self.0)).join("containerd.toml")
    }

    /// Where running containers and the pods' network namespaces are.
    fn runtime_dir(&self, lab: &Lab) -> PathBuf {
        node_run(lab, self.0).join("containerd")
    }

    fn config(&self, lab: &Lab) -> String {
        let root = node_state(lab, self.0).join("containerd");
        let cni = cni::Directories::of(lab, self.0);
        format!(
            r#"version = 2
root = "{root}"
state = "{state}"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt",
]

[grpc]
  address = "{socket}"

[ttrpc]
  address = "{socket}.ttrpc"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "{state}/runc"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{bin}"
    conf_dir = "{conf}"
"#,
            root = root.display(),
            state = self.runtime_dir(lab).display(),
            socket = Self::socket(lab, self.0).display(),
            bin = cni.programs.display(),
            conf = cni.configuration.display(),
        )
    }

    /// The `ctr` command, for this containerd and the kubelet's containers.
    fn ctr(&self, lab: &Lab) -> Command {
        let mut command = lab.command(None, "ctr");
        command.arg("--address").arg(Self::socket(lab, self.0)).args(["--namespace", CRI]);
        command
    }

    /// Imports an archive of images unless this very archive was imported before, as the file `memory` of the node's tells.
    fn import(&self, lab: &Lab, archive: &Path, names: &[&str], memory: &str) -> Result<()> {
        let imported = node_state(lab, self.0).join(memory);
        let present = shell::run(self.ctr(lab).args(["images", "list", "--quiet"]))?;
        let here = names.iter().all(|name| present.lines().any(|line| line == *name));
        if here && fs::read_to_string(&imported).is_ok_and(|path| path == archive.to_string_lossy()) {
            return Ok(());
        }
        let what = || format!("importing the images {} on {}", names.join(", "), node_name(self.0));
        shell::run(self.ctr(lab).args(["images", "import"]).arg(archive)).with_context(what)?;
        files::write_if_changed(&imported, &archive.to_string_lossy()).map(drop)
    }
}

/// Gives all nodes the images of Kubernetes' own tests, once they are installed
/// ([`install_conformance`](crate::install::install_conformance)).
///
/// # Errors
/// When they aren't, or a node doesn't take them.
pub fn import_test_images(lab: &Lab, conformance: &Conformance) -> Result<()> {
    let names = conformance.image_names()?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    lab.nodes().try_for_each(|node| Containerd(node).import(lab, &conformance.images(), &names, "test-images"))
}

impl Component for Containerd {
    fn name(&self) -> String {
        on_node("containerd", self.0)
    }

    fn after(&self) -> Vec<String> {
        vec![on_node("network", self.0)]
    }

    fn prepare(&self, lab: &Lab) -> Result<()> {
        cni::Directories::of(lab, self.0).prepare(lab)?;
        files::write_if_changed(&self.config_file(lab), &self.config(lab)).map(drop)
    }

    fn program(&self, lab: &Lab) -> Result<Option<Program>> {
        let file = self.config_file(lab);
        let program = Program::new("containerd")
            .arg("--config")
            .arg(file.display().to_string())
            .config(file)
            .netns(node_netns(self.0));
        Ok(Some(program))
    }

    fn ready(&self, lab: &Lab) -> Result<()> {
        shell::run(self.ctr(lab).arg("version")).map(drop)
    }

    fn started(&self, lab: &Lab) -> Result<()> {
        let archive = Artefacts::at(lab.cache())?.image();
        self.import(lab, &archive, &[AGNHOST_IMAGE, PAUSE_IMAGE], "image")
    }

    fn cleanup(&self, _lab: &Lab) -> Result<()> {
        cgroups::remove_ended();
        remove_dead_sockets(Path::new(SHIM_SOCKETS))
    }
}

/// Removes the sockets on which nobody listens any more: what killed shims leave.
fn remove_dead_sockets(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let refused = |e: std::io::Error| e.kind() == std::io::ErrorKind::ConnectionRefused;
        if UnixStream::connect(entry.path()).is_err_and(refused) {
            fs::remove_file(entry.path()).with_context(|| format!("removing {}", entry.path().display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_sockets_without_a_listener_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let _living = UnixListener::bind(path("living")).unwrap();
        drop(UnixListener::bind(path("dead")).unwrap());
        remove_dead_sockets(dir.path()).unwrap();
        assert!(path("living").exists());
        assert!(!path("dead").exists());
    }
}
