//! What the machine must be able to do, asked before anything is started.

use std::{fs, process::Command, thread};

use anyhow::{Context, Result, anyhow, bail};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    unistd::geteuid,
};

use crate::engine::{Lab, shell};

/// Refuses when the caller isn't root.
///
/// # Errors
/// Then.
pub fn check_root() -> Result<()> {
    if !geteuid().is_root() {
        bail!("the lab must be run by root: it makes network namespaces and mounts");
    }
    Ok(())
}

/// Refuses, in one line, when the lab can't run here: not root, or the kernel lacks something. Everything is tried in
/// namespaces that vanish with the thread.
///
/// # Errors
/// With what is missing.
pub fn check(lab: &Lab) -> Result<()> {
    check_root()?;
    let scratch = lab.tmp().join("preflight");
    fs::create_dir_all(&scratch).with_context(|| format!("making {}", scratch.display()))?;
    let tried = thread::scope(|scope| {
        scope
            .spawn(|| try_everything(&scratch))
            .join()
            .map_err(|_| anyhow!("the thread that tried the kernel panicked"))
    });
    fs::remove_dir_all(&scratch).with_context(|| format!("removing {}", scratch.display()))?;
    tried?
}

fn try_everything(scratch: &std::path::Path) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
        .context("this machine can't run the lab: it may not make network and mount namespaces")?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .context("this machine can't run the lab: a mount namespace can't be made private")?;
    let links: [(&str, &[&str]); 3] = [
        ("veth pairs (CONFIG_VETH)", &["link", "add", "lab-try0", "type", "veth", "peer", "name", "lab-try1"]),
        ("bridges (CONFIG_BRIDGE)", &["link", "add", "lab-try2", "type", "bridge"]),
        ("TAP devices (CONFIG_TUN)", &["tuntap", "add", "dev", "lab-try3", "mode", "tap"]),
    ];
    for (what, args) in links {
        shell::run(Command::new("ip").args(args))
            .with_context(|| format!("this machine can't run the lab: the kernel has no {what}"))?;
    }
    let dirs = ["lower", "upper", "work", "merged"].map(|name| scratch.join(name));
    for dir in &dirs {
        fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    }
    let [lower, upper, work, merged] = dirs.each_ref().map(|dir| dir.display().to_string());
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    mount(Some("overlay"), merged.as_str(), Some("overlay"), MsFlags::empty(), Some(options.as_str())).context(
        "this machine can't run the lab: overlayfs (CONFIG_OVERLAY_FS) does not work in the state directory",
    )?;
    // Unmounted by name, so that the directory can be removed although this thread's namespace still exists.
    nix::mount::umount(merged.as_str()).context("unmounting overlayfs")
}
