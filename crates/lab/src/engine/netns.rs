//! Network namespaces: make, remove, look inside, run in them.
//!
//! `ip netns exec` is not used: it gives its child a private mount namespace with another `/sys`, which hides cgroups
//! and keeps namespaces that the child makes invisible outside. Namespaces are bound below `/run/netns`, where `ip`
//! finds them. As `ip netns add` does, that directory is made a shared mount of its own first: otherwise the next
//! `ip netns add` on the machine mounts it over ours, which then can't be removed. It goes with the last namespace.

use std::{
    fs::{self, File},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
    thread,
};

use anyhow::{Context, Result, anyhow};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
};

const DIR: &str = "/run/netns";

/// Held while the directory's own mount comes or goes.
static DIR_MOUNT: Mutex<()> = Mutex::new(());

/// The file that holds a namespace open.
pub fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

/// Whether the namespace exists.
pub fn exists(name: &str) -> bool {
    enter(name, || ()).is_ok()
}

/// Makes a namespace with its loopback up; one that is there already stays as it is.
///
/// # Errors
/// When the kernel refuses, for example without root.
pub fn add(name: &str) -> Result<()> {
    if exists(name) {
        return Ok(());
    }
    let file = path(name);
    share_dir()?;
    File::create(&file).with_context(|| format!("making {}", file.display()))?;
    let target = file;
    thread::spawn(move || -> Result<()> {
        unshare(CloneFlags::CLONE_NEWNET).context("making a network namespace")?;
        mount(Some("/proc/thread-self/ns/net"), &target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .with_context(|| format!("binding the namespace to {}", target.display()))?;
        super::shell::run(Command::new("ip").args(["link", "set", "lo", "up"]))?;
        Ok(())
    })
    .join()
    .map_err(|_| anyhow!("the thread that made the network namespace {name} panicked"))?
}

/// Makes the directory a shared mount of its own, as ip-netns(8) does.
fn share_dir() -> Result<()> {
    let _held = DIR_MOUNT.lock().unwrap_or_else(PoisonError::into_inner);
    fs::create_dir_all(DIR).with_context(|| format!("making {DIR}"))?;
    let share = || mount(None::<&str>, DIR, None::<&str>, MsFlags::MS_SHARED | MsFlags::MS_REC, None::<&str>);
    match share() {
        // It is not a mount point yet.
        Err(nix::Error::EINVAL) => {
            mount(Some(DIR), DIR, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
                .with_context(|| format!("binding {DIR} to itself"))?;
            share()
        }
        done => done,
    }
    .with_context(|| format!("sharing the mount {DIR}"))
}

/// Unmounts the directory after its last namespace; the kernel refuses while one is mounted in it.
fn unshare_empty_dir() -> Result<()> {
    let _held = DIR_MOUNT.lock().unwrap_or_else(PoisonError::into_inner);
    if fs::read_dir(DIR).with_context(|| format!("reading {DIR}"))?.next().is_some() {
        return Ok(());
    }
    match umount2(DIR, MntFlags::empty()) {
        Ok(()) | Err(nix::Error::EINVAL | nix::Error::EBUSY) => Ok(()),
        Err(e) => Err(e).with_context(|| format!("unmounting {DIR}")),
    }
}

/// Removes a namespace; one that does not exist is fine. It ends when its last process has.
///
/// # Errors
/// When it can't be unmounted.
pub fn remove(name: &str) -> Result<()> {
    let file = path(name);
    if !file.exists() {
        return Ok(());
    }
    // EINVAL: not a mount point, which an interrupted `add` or a reboot leaves.
    match umount2(&file, MntFlags::MNT_DETACH) {
        Ok(()) | Err(nix::Error::EINVAL) => {}
        Err(e) => return Err(e).with_context(|| format!("unmounting {}", file.display())),
    }
    fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
    unshare_empty_dir()
}

/// Runs a closure on a thread of its own inside a network namespace. Sockets that it opens stay there.
///
/// # Errors
/// When there is no such namespace or it can't be entered.
pub fn enter<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> Result<T> {
    let file = path(name);
    let namespace = File::open(&file).with_context(|| format!("opening the network namespace {}", file.display()))?;
    thread::scope(|scope| {
        scope
            .spawn(move || {
                setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)
                    .with_context(|| format!("entering the network namespace {name}"))?;
                Ok(work())
            })
            .join()
            .map_err(|_| anyhow!("the thread inside the network namespace {name} panicked"))?
    })
}

/// As [`enter`], or on the calling thread where no namespace is named.
///
/// # Errors
/// When there is no such namespace or it can't be entered.
pub fn within<T: Send>(name: Option<&str>, work: impl FnOnce() -> T + Send) -> Result<T> {
    match name {
        Some(name) => enter(name, work),
        None => Ok(work()),
    }
}

/// A command that will run inside a network namespace, or outside of any when none is named.
pub fn command(name: Option<&str>, program: &str) -> Command {
    let Some(name) = name else { return Command::new(program) };
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", path(name).display())).arg("--").arg(program);
    command
}

/// The processes inside a namespace, whoever started them.
///
/// # Errors
/// When `/proc` can't be read.
pub fn processes(name: &str) -> Result<Vec<i32>> {
    processes_at(&path(name))
}

/// Whether a file holds a namespace open (proc(5), "namespaces": the file system nsfs).
pub(crate) fn is_namespace(file: &Path) -> bool {
    nix::sys::statfs::statfs(file).is_ok_and(|stat| stat.filesystem_type() == nix::sys::statfs::NSFS_MAGIC)
}

/// The processes whose network namespace is the one that this file holds open; none when it is no such file.
///
/// # Errors
/// When `/proc` can't be read.
pub fn processes_at(file: &Path) -> Result<Vec<i32>> {
    let Ok(namespace) = nix::sys::stat::stat(file) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("reading /proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
        // A process that has ended meanwhile has no such file any more.
        let Ok(theirs) = nix::sys::stat::stat(&entry.path().join("ns/net")) else { continue };
        if (theirs.st_dev, theirs.st_ino) == (namespace.st_dev, namespace.st_ino) {
            found.push(pid);
        }
    }
    Ok(found)
}
