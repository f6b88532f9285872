//! Processes that outlive the one that started them, and are known again by pid, start time and boot.

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::engine::{Lab, Program, Stop, files, netns};

/// How often the state of a process is looked at while something waits for it.
const TICK: Duration = Duration::from_millis(25);

/// A process that can't be mistaken for another one: a pid alone is reused sooner or later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The process id, which is the id of its session and process group too.
    pub pid: i32,
    /// When it started, in clock ticks since boot (field 22 of `/proc/PID/stat`, proc(5)).
    pub start: u64,
    /// The boot in which that was (`/proc/sys/kernel/random/boot_id`).
    pub boot: String,
}

/// What is remembered of a component's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    #[serde(flatten)]
    pub identity: Identity,
    /// What it was started with: see [`fingerprint`].
    pub fingerprint: String,
}

/// The parts of `/proc/PID/stat` that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub state: char,
    pub session: i32,
    pub threads: i32,
    pub start: u64,
}

impl Stat {
    /// Reads the text of `/proc/PID/stat`. The second field, the command, may hold spaces and parentheses.
    pub fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace().collect();
        Some(Self {
            state: fields.first()?.chars().next()?,
            session: fields.get(3)?.parse().ok()?,
            threads: fields.get(17)?.parse().ok()?,
            start: fields.get(19)?.parse().ok()?,
        })
    }

    pub fn of(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// A zombie has ended; only its parent has not looked yet. While other threads of it still end, its files are open:
    /// a listening socket would still be bound.
    pub fn ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X') && self.threads <= 1
    }
}

impl Identity {
    /// The identity of a running process.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = Stat::of(pid).filter(|stat| !stat.ended())?;
        Some(Self { pid, start: stat.start, boot: boot_id() })
    }

    /// Whether this very process still runs (it may be paused).
    pub fn is_alive(&self) -> bool {
        self.boot == boot_id() && Stat::of(self.pid).is_some_and(|stat| !stat.ended() && stat.start == self.start)
    }
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// The environment of every component: the caller's own is not passed on, because proxy and certificate variables of
/// a shell change what the Python clients do.
pub(crate) fn environment(lab: &Lab) -> Vec<(String, String)> {
    [
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("HOME", "/root"),
        ("LANG", "C.UTF-8"),
        ("no_proxy", "*"),
        ("TMPDIR", &lab.tmp().to_string_lossy()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// A digest of everything that decides how a program runs: when it differs, a running process is out of date.
///
/// # Errors
/// When a configuration file can't be read.
pub(crate) fn fingerprint(program: &Program) -> Result<String> {
    let mut digest = Sha256::new();
    digest.update(format!("{program:?}"));
    for file in &program.configs {
        let content = fs::read(file).with_context(|| format!("reading the configuration {}", file.display()))?;
        digest.update(content.len().to_le_bytes());
        digest.update(content);
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn record_file(lab: &Lab, name: &str) -> PathBuf {
    lab.records().join(format!("{name}.json"))
}

/// The record of a component whose process is alive.
pub(crate) fn running(lab: &Lab, name: &str) -> Option<Record> {
    let record: Record = serde_json::from_str(&fs::read_to_string(record_file(lab, name)).ok()?).ok()?;
    record.identity.is_alive().then_some(record)
}

/// Starts a component's program and writes its record. `None`: it has ended already.
///
/// # Errors
/// When it can't be started.
pub(crate) fn spawn(lab: &Lab, name: &str, program: &Program) -> Result<Option<Record>> {
    let fingerprint = fingerprint(program)?;
    let path = lab.log_file(name);
    let log = OpenOptions::new().create(true).append(true).open(&path);
    let log = log.with_context(|| format!("opening the log {}", path.display()))?;
    let mut command = command(lab, program)?;
    command.stdin(Stdio::null()).stdout(log.try_clone().context("sharing the log")?).stderr(log);
    let started = netns::within(program.netns.as_deref(), || command.spawn())?;
    let mut child = started.with_context(|| format!("starting {}", program.path.display()))?;
    let pid = i32::try_from(child.id()).context("the process id is out of range")?;
    let identity = Identity::of(pid);
    // If this process lives on (a test), it has to take the child's exit status, or a zombie stays.
    thread::spawn(move || drop(child.wait()));
    let Some(identity) = identity else { return Ok(None) };
    let record = Record { identity, fingerprint };
    files::write_if_changed(
        &record_file(lab, name),
        &serde_json::to_string(&record).context("writing the process record")?,
    )?;
    Ok(Some(record))
}

/// The program behind the small tools that give it a session and, if asked for, a mount namespace. Each of them
/// replaces itself by the next, so that the pid is the program's own.
fn command(lab: &Lab, program: &Program) -> Result<Command> {
    let mut command = Command::new("setsid");
    if !program.binds.is_empty() {
        // `slave`: what is unmounted outside, such as a network namespace, goes away inside too.
        command.args(["unshare", "--mount", "--propagation", "slave", "--", "sh", "-c"]);
        let mut script = String::from("set -e; ");
        for (source, target) in &program.binds {
            fs::create_dir_all(source).with_context(|| format!("making {}", source.display()))?;
            fs::create_dir_all(target).with_context(|| format!("making {}", target.display()))?;
            script.push_str(&format!("mount --bind '{}' '{}'; ", source.display(), target.display()));
        }
        command.arg(script + "exec \"$@\"").arg("sh");
    }
    command.arg(&program.path).args(&program.args);
    command.env_clear().envs(environment(lab)).envs(program.env.iter().cloned()).current_dir("/");
    Ok(command)
}

/// Every process of a component: those of its session, and those that write to its log although the record is lost
/// (an `up` that was killed between starting a program and writing its record).
pub(crate) fn members(lab: &Lab, name: &str) -> Vec<i32> {
    let session = running(lab, name).map(|record| record.identity.pid);
    let log = lab.log_file(name);
    all_pids()
        .filter(|&pid| {
            Stat::of(pid).is_some_and(|s| !s.ended() && (Some(s.session) == session || writes_to(pid, &log)))
        })
        .collect()
}

/// Whether the processes that a component had, and any that it has now, have ended. `before` is needed because a process
/// that is ending can't be told from others any more: it has left its session's leader and closed its log.
pub(crate) fn all_ended(lab: &Lab, name: &str, before: &[i32]) -> bool {
    before.iter().all(|&pid| Stat::of(pid).is_none_or(|stat| stat.ended())) && members(lab, name).is_empty()
}

fn writes_to(pid: i32, log: &Path) -> bool {
    [1, 2].iter().any(|fd| fs::read_link(format!("/proc/{pid}/fd/{fd}")).is_ok_and(|target| target == log))
}

pub(crate) fn all_pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|e| e.file_name().to_str()?.parse().ok())
}

/// Sends a signal to every process of a component. Returns how many there were.
pub(crate) fn signal(lab: &Lab, name: &str, signal: Signal) -> usize {
    let members = members(lab, name);
    if let Some(record) = running(lab, name) {
        // The group at once, so that a master has no time to replace a worker.
        let _ = killpg(Pid::from_raw(record.identity.pid), signal);
    }
    signal_each(&members, signal);
    members.len()
}

/// Sends a signal to processes; one that has ended meanwhile is fine.
pub(crate) fn signal_each(pids: &[i32], signal: Signal) {
    for &pid in pids {
        let _ = nix::sys::signal::kill(Pid::from_raw(pid), signal);
    }
}

/// Ends all processes of a component: asks, waits, then kills. Returns whether there were any.
///
/// # Errors
/// When some survive SIGKILL (blocked inside the kernel).
pub(crate) fn stop(lab: &Lab, name: &str, how: Stop) -> Result<bool> {
    let before = members(lab, name);
    let asked = signal(lab, name, how.signal);
    if asked > 0 {
        // A paused process sees its signal only when it goes on.
        signal(lab, name, Signal::SIGCONT);
        if !holds_within(how.patience, || all_ended(lab, name, &before)) {
            signal(lab, name, Signal::SIGKILL);
            if !holds_within(Duration::from_secs(10), || all_ended(lab, name, &before)) {
                bail!("processes {:?} of {name} are still there after SIGKILL", members(lab, name));
            }
        }
    }
    match fs::remove_file(record_file(lab, name)) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("removing the record of {name}"))
        }
        _ => Ok(asked > 0),
    }
}

/// Looks at a condition until it holds or time is over; says whether it held.
pub(crate) fn holds_within(patience: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + patience;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(TICK);
    }
}

/// Waits until a condition holds.
///
/// # Errors
/// When it does not within this time: the message names what was waited for.
pub fn wait_until(patience: Duration, what: &str, holds: impl FnMut() -> bool) -> Result<()> {
    if holds_within(patience, holds) {
        return Ok(());
    }
    bail!("waited {} s for {what} in vain", patience.as_secs_f32())
}

/// A file that only one process can hold at a time; let go when it is dropped or its process ends.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code, reason = "held for its lock only")] nix::fcntl::Flock<File>);

impl Lock {
    /// Takes the lab's lock, so that no two `up` or `down` run at once.
    ///
    /// # Errors
    /// When another process holds it.
    pub fn take(lab: &Lab) -> Result<Self> {
        let path = lab.run().join("lock");
        fs::create_dir_all(lab.run()).with_context(|| format!("making {}", lab.run().display()))?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.with_context(|| format!("opening {}", path.display()))?;
        match nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self(lock)),
            Err((_, nix::Error::EWOULDBLOCK)) => {
                bail!("another `lab up` or `lab down` is at work (it holds {}): wait for it", path.display())
            }
            Err((_, e)) => Err(e).with_context(|| format!("locking {}", path.display())),
        }
    }
}
