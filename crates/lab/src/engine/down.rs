//! Takes the lab down and leaves nothing behind, whatever state it was in.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Error, Result, bail};
use nix::{
    mount::{MntFlags, umount2},
    sys::signal::Signal,
};

use crate::engine::{
    Component, Lab,
    graph::Graph,
    netns,
    process::{self, Stat},
    up::summary,
};

/// Stops the components, each after those that need it; then ends whatever process is still inside the lab's network
/// namespaces (a container's too: those of pods are bound below the state directory), and removes namespaces and
/// mounts. With `purge` the state is removed too. Works on a lab that is half up, after a crash and after a reboot.
///
/// # Errors
/// With everything that could not be removed; the rest is removed all the same.
pub fn down(lab: &Lab, components: &[Box<dyn Component>], purge: bool) -> Result<()> {
    let _lock = process::Lock::take(lab)?;
    let graph = Graph::new(components.iter().map(|c| (c.name(), c.after())))?.reversed();
    let mut errors = graph.run(false, |name| {
        let Some(component) = components.iter().find(|c| c.name() == name) else { return Ok(()) };
        process::stop(lab, name, component.stop())?;
        Ok(())
    });
    errors.extend(
        [
            ("processes in the lab's namespaces", end_processes(lab)),
            ("leftovers of components", clean_up(lab, components)),
            ("mounts", unmount_below(&[lab.state(), lab.run()])),
            ("network namespaces", remove_namespaces(lab)),
        ]
        .into_iter()
        .filter_map(|(what, result)| Some((what.to_owned(), result.err()?))),
    );
    if errors.is_empty() {
        remove_files(lab, purge)?;
    }
    summary(&errors)
}

fn clean_up(lab: &Lab, components: &[Box<dyn Component>]) -> Result<()> {
    let results = components.iter().rev().map(|component| (component.name(), component.cleanup(lab)));
    summary(&results.filter_map(|(name, result)| Some((name, result.err()?))).collect::<Vec<_>>())
}

fn remove_namespaces(lab: &Lab) -> Result<()> {
    let results = lab.namespaces().into_iter().map(|name| (netns::remove(&name), name));
    summary(&results.filter_map(|(result, name)| Some((name, result.err()?))).collect::<Vec<_>>())
}

/// Ends what runs inside the lab's network namespaces: asks, waits, kills.
fn end_processes(lab: &Lab) -> Result<()> {
    let find = || {
        let mut pids = Vec::new();
        for name in lab.namespaces() {
            pids.extend(netns::processes(&name).unwrap_or_default());
        }
        for mount in mounts_below(&[lab.state(), lab.run()]).unwrap_or_default() {
            pids.extend(netns::processes_at(&mount).unwrap_or_default());
        }
        pids.retain(|&pid| Stat::of(pid).is_some_and(|stat| !stat.ended()));
        pids
    };
    for (signal, patience) in [(Signal::SIGTERM, Duration::from_secs(2)), (Signal::SIGKILL, Duration::from_secs(10))] {
        process::signal_each(&find(), signal);
        if process::holds_within(patience, || find().is_empty()) {
            return Ok(());
        }
    }
    bail!("still there after SIGKILL: {:?}", find())
}

/// Ends the processes in the network namespaces that are bound below a directory, and the namespaces with them.
///
/// # Errors
/// When a process outlives the signal, or a namespace can't be unmounted.
pub(crate) fn end_namespaces_below(dir: &Path, signal: Signal) -> Result<()> {
    let find = || -> Vec<i32> {
        let mounts = mounts_below(&[dir]).unwrap_or_default();
        let pids = mounts.iter().flat_map(|mount| netns::processes_at(mount).unwrap_or_default());
        pids.filter(|&pid| Stat::of(pid).is_some_and(|stat| !stat.ended())).collect()
    };
    process::signal_each(&find(), signal);
    if !process::holds_within(Duration::from_secs(10), || find().is_empty()) {
        bail!("still there after {signal}: {:?}", find())
    }
    let network = |mount: &PathBuf| netns::is_namespace(mount);
    for mount in mounts_below(&[dir])?.into_iter().filter(network) {
        umount2(&mount, MntFlags::MNT_DETACH).with_context(|| format!("unmounting {}", mount.display()))?;
    }
    Ok(())
}

/// The mount points below directories, deepest first.
fn mounts_below(dirs: &[&Path]) -> Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("reading /proc/self/mountinfo")?;
    Ok(parse_mounts(&table).into_iter().filter(|m| dirs.iter().any(|dir| m.starts_with(dir) && m != dir)).collect())
}

/// The mount points in the text of `/proc/PID/mountinfo` (field 5, with octal escapes; proc(5)), last mounted first.
fn parse_mounts(table: &str) -> Vec<PathBuf> {
    let unescape = |field: &str| {
        [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
            .iter()
            .fold(field.to_owned(), |text, (code, plain)| text.replace(code, plain))
    };
    table.lines().rev().filter_map(|line| line.split(' ').nth(4)).map(|field| unescape(field).into()).collect()
}

fn unmount_below(dirs: &[&Path]) -> Result<()> {
    let mut errors: Vec<(String, Error)> = Vec::new();
    for mount in mounts_below(dirs)? {
        if let Err(e) = umount2(&mount, MntFlags::MNT_DETACH) {
            errors.push((mount.display().to_string(), e.into()));
        }
    }
    summary(&errors)
}

fn remove_files(lab: &Lab, purge: bool) -> Result<()> {
    // The lock's file stays until the directory goes: it is held while this runs.
    let remove = |path: &Path| match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    };
    remove(lab.run())?;
    if purge {
        remove(lab.state())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_deepest_first_and_unescaped() {
        let table = "22 1 254:0 / / rw - ext4 /dev/vda rw\n\
            40 22 0:4 net:[1] /var/lib/lab/a\\040b rw - nsfs nsfs rw\n\
            41 40 0:5 / /var/lib/lab/a\\040b/c rw shared:1 - tmpfs tmpfs rw\n";
        let expected: Vec<PathBuf> = ["/var/lib/lab/a b/c", "/var/lib/lab/a b", "/"].map(PathBuf::from).to_vec();
        assert_eq!(parse_mounts(table), expected);
    }
}
