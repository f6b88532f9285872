//! The control groups of a node's containers.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::engine::node_name;

const MOUNT: &str = "/sys/fs/cgroup";

/// The group below which a node's containers are, of its own so that it is known whose they are.
const PARENT: &str = "kuryr-lab";

/// The kubelet's `cgroupRoot`.
pub fn root(node: u32) -> String {
    format!("/{PARENT}/{}", node_name(node))
}

/// Removes the groups of a node whose containers have ended, and the lab's own when no node has any.
///
/// # Errors
/// When a group is not empty.
pub fn remove(node: u32) -> Result<()> {
    for hierarchy in hierarchies() {
        let parent = hierarchy.join(PARENT);
        remove_tree(&parent.join(node_name(node)))?;
        // Other nodes may still have groups in it; the last one succeeds.
        let _ = fs::remove_dir(&parent);
    }
    Ok(())
}

/// The roots of all hierarchies: the one of version 2, or one for each controller of version 1.
fn hierarchies() -> Vec<PathBuf> {
    let below = fs::read_dir(MOUNT).into_iter().flatten().flatten().map(|entry| entry.path());
    std::iter::once(PathBuf::from(MOUNT)).chain(below.filter(|path| path.is_dir())).collect()
}

/// Removes a group and those in it, the innermost first. (The files in a group go with it.)
fn remove_tree(group: &Path) -> Result<()> {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path())?;
        }
    }
    match fs::remove_dir(group) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("removing the control group {}", group.display()))
        }
        _ => Ok(()),
    }
}
