//! The control groups of containers.

use std::{
    fs,
    path::{Path, PathBuf},
};

const MOUNT: &str = "/sys/fs/cgroup";

/// Where containerd puts the groups of the kubelet's containers (its namespace's name), because a kubelet without
/// groups for its service classes asks for no other place.
const PARENT: &str = "k8s.io";

/// Removes the groups of containers that have ended. The kernel keeps those that have a process, so nobody else's
/// containers are touched.
pub fn remove_ended() {
    for hierarchy in hierarchies(Path::new(MOUNT)) {
        let parent = hierarchy.join(PARENT);
        for group in directories(&parent) {
            remove_tree(&group);
        }
        // Refused as long as there is a group in it.
        let _ = fs::remove_dir(parent);
    }
}

/// The roots of all hierarchies: the one of version 2, or one for each controller of version 1.
fn hierarchies(mount: &Path) -> Vec<PathBuf> {
    let mut roots = directories(mount);
    roots.push(mount.to_owned());
    roots
}

/// Removes a group and those in it, the innermost first. (The files in a group go with it.)
fn remove_tree(group: &Path) {
    for inner in directories(group) {
        remove_tree(&inner);
    }
    let _ = fs::remove_dir(group);
}

fn directories(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}
