//! The engine with small real processes, in a directory of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    time::Duration,
};

use anyhow::{Result, bail};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::engine::{
    Component, Directories, Lab, Lock, Options, Outcome, Position, Program, Stop, down, process,
    process::{Identity, Record, Stat, holds_within},
    up,
};

const SOON: Duration = Duration::from_secs(10);

/// A shell script as a component. It is ready when it has written `ready` to its log.
struct Script {
    name: &'static str,
    after: Vec<&'static str>,
    script: &'static str,
    config: Option<PathBuf>,
    stop: Stop,
}

impl Script {
    fn new(name: &'static str, script: &'static str) -> Self {
        Self { name, after: Vec::new(), script, config: None, stop: Stop::default() }
    }

    fn boxed(self) -> Vec<Box<dyn Component>> {
        vec![Box::new(self)]
    }
}

impl Component for Script {
    fn name(&self) -> String {
        self.name.into()
    }

    fn after(&self) -> Vec<String> {
        self.after.iter().map(|&name| name.into()).collect()
    }

    fn program(&self, _lab: &Lab) -> Result<Option<Program>> {
        let program = Program::new("/bin/sh").args(["-c", self.script]);
        Ok(Some(self.config.iter().fold(program, Program::config)))
    }

    fn ready(&self, lab: &Lab) -> Result<()> {
        if !lab.log(self.name).since(Position::default())?.contains("ready") {
            bail!("it has not said that it is ready");
        }
        Ok(())
    }

    fn stop(&self) -> Stop {
        self.stop
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(5)
    }
}

const SLEEPER: &str = "echo ready; exec sleep 1000";

/// A lab in a temporary directory; what still runs at the end of a test is ended.
struct Rig {
    lab: Lab,
    dir: TempDir,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let directories = Directories {
            state: dir.path().join("state"),
            run: dir.path().join("run"),
            cache: dir.path().join("cache"),
        };
        Self { lab: Lab::create_at(directories, Options::default()).unwrap(), dir }
    }

    fn up(&self, components: &[Box<dyn Component>]) -> Result<Vec<(String, Outcome)>> {
        let outcomes = Mutex::new(Vec::new());
        up(&self.lab, components, &|p| outcomes.lock().unwrap().push((p.component.clone(), p.outcome)))?;
        Ok(outcomes.into_inner().unwrap())
    }

    fn record(&self, name: &str) -> PathBuf {
        self.lab.records().join(format!("{name}.json"))
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for entry in fs::read_dir(self.lab.log_dir()).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().trim_end_matches(".log").to_owned();
            process::signal(&self.lab, &name, Signal::SIGKILL);
        }
    }
}

fn file(dir: &Path, content: &str) -> PathBuf {
    let path = dir.join("config");
    fs::write(&path, content).unwrap();
    path
}

#[test]
fn up_starts_in_order_and_a_second_up_leaves_alone_what_runs() {
    let rig = Rig::new();
    let components: Vec<Box<dyn Component>> = vec![
        Box::new(Script { after: vec!["database"], ..Script::new("api", SLEEPER) }),
        Box::new(Script::new("database", SLEEPER)),
    ];
    let first = rig.up(&components).unwrap();
    assert_eq!(first, [("database".to_owned(), Outcome::Started), ("api".to_owned(), Outcome::Started)]);
    let pid = rig.lab.pid("api");
    assert_eq!(Stat::of(pid.unwrap()).unwrap().session, pid.unwrap(), "it must outlive the session that started it");
    assert!(rig.up(&components).unwrap().iter().all(|(_, outcome)| *outcome == Outcome::Kept));
    assert_eq!(rig.lab.pid("api"), pid);
}

#[test]
fn a_changed_configuration_restarts_and_a_killed_process_is_started_again() {
    let rig = Rig::new();
    let config = file(rig.dir.path(), "a = 1");
    let components = Script { config: Some(config), ..Script::new("api", SLEEPER) }.boxed();
    rig.up(&components).unwrap();
    let first = rig.lab.pid("api").unwrap();
    file(rig.dir.path(), "a = 2");
    assert_eq!(rig.up(&components).unwrap(), [("api".to_owned(), Outcome::Restarted)]);
    let second = rig.lab.pid("api").unwrap();
    assert_ne!(first, second);
    assert!(process::members(&rig.lab, "api").iter().all(|pid| *pid == second), "the old process must be gone");
    process::signal(&rig.lab, "api", Signal::SIGKILL);
    assert!(holds_within(SOON, || rig.lab.pid("api").is_none()));
    assert_eq!(rig.up(&components).unwrap(), [("api".to_owned(), Outcome::Started)]);
}

#[test]
fn a_failure_names_the_component_and_shows_the_end_of_its_log() {
    let rig = Rig::new();
    let components: Vec<Box<dyn Component>> = vec![
        Box::new(Script::new("broken", "echo no such key: colour >&2; exit 3")),
        Box::new(Script { after: vec!["broken"], ..Script::new("api", SLEEPER) }),
    ];
    let error = rig.up(&components).unwrap_err().to_string();
    assert!(error.contains("broken: its process has ended"), "{error}");
    assert!(error.contains("no such key: colour"), "{error}");
    assert!(error.contains("api: not started, because broken is not up"), "{error}");
    assert_eq!(rig.lab.pid("api"), None);
}

#[test]
fn stopping_kills_the_whole_group_of_a_process_that_ignores_the_signal() {
    let rig = Rig::new();
    let stubborn = "trap '' TERM; sleep 1000 & sleep 1000 & echo ready; wait; wait; sleep 1000";
    let stop = Stop { patience: Duration::from_millis(200), ..Stop::default() };
    let components = Script { stop, ..Script::new("stubborn", stubborn) }.boxed();
    rig.up(&components).unwrap();
    assert!(process::members(&rig.lab, "stubborn").len() >= 3);
    assert!(process::stop(&rig.lab, "stubborn", stop).unwrap());
    assert_eq!(process::members(&rig.lab, "stubborn"), Vec::<i32>::new());
    assert!(!process::stop(&rig.lab, "stubborn", stop).unwrap(), "a second stop finds nothing");
}

#[test]
fn a_record_whose_pid_was_reused_is_never_signalled() {
    let rig = Rig::new();
    let mut stranger = Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = i32::try_from(stranger.id()).unwrap();
    let real = Identity::of(pid).unwrap();
    for identity in [
        Identity { start: real.start + 1, ..real.clone() },
        Identity { boot: "an earlier boot".into(), pid, start: real.start },
    ] {
        let record = Record { identity, fingerprint: String::new() };
        fs::write(rig.record("api"), serde_json::to_string(&record).unwrap()).unwrap();
        assert_eq!(rig.lab.pid("api"), None);
        process::stop(&rig.lab, "api", Stop::default()).unwrap();
        assert!(real.is_alive(), "the stranger must not be touched");
        assert!(!rig.record("api").exists(), "the stale record is removed");
    }
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert!(!real.is_alive());
}

#[test]
fn a_process_whose_record_was_lost_is_replaced_not_doubled() {
    let rig = Rig::new();
    let components = Script::new("api", SLEEPER).boxed();
    rig.up(&components).unwrap();
    let lost = Identity::of(rig.lab.pid("api").unwrap()).unwrap();
    fs::remove_file(rig.record("api")).unwrap();
    rig.up(&components).unwrap();
    assert!(!lost.is_alive());
    assert_eq!(process::members(&rig.lab, "api").len(), 1);
}

#[test]
fn a_paused_process_is_stopped_and_brought_up_all_the_same() {
    let rig = Rig::new();
    let components = Script::new("api", SLEEPER).boxed();
    rig.up(&components).unwrap();
    let pid = rig.lab.pid("api").unwrap();
    let state = || Stat::of(pid).map(|stat| stat.state);
    process::signal(&rig.lab, "api", Signal::SIGSTOP);
    assert!(holds_within(SOON, || state() == Some('T')));
    rig.up(&components).unwrap();
    assert!(holds_within(SOON, || state() == Some('S')), "up lets it go on");
    process::signal(&rig.lab, "api", Signal::SIGSTOP);
    assert!(process::stop(&rig.lab, "api", Stop::default()).unwrap());
    assert_eq!(rig.lab.pid("api"), None);
}

#[test]
fn the_environment_of_the_caller_is_not_passed_on() {
    let rig = Rig::new();
    rig.up(&Script::new("env", "env; echo ready; exec sleep 1000").boxed()).unwrap();
    let text = rig.lab.log("env").since(Position::default()).unwrap();
    assert!(text.contains("HOME=/root\n"), "{text}");
    assert!(!text.contains("CARGO"), "{text}");
}

#[test]
fn a_log_tells_what_came_since_a_position() {
    let rig = Rig::new();
    let script = "echo ready; while [ ! -e \"$TMPDIR/go\" ]; do sleep 0.05; done; echo later; exec sleep 1000";
    rig.up(&Script::new("api", script).boxed()).unwrap();
    let log = rig.lab.log("api");
    let position = log.end();
    assert!(!log.wait_for(position, "later", Duration::from_millis(100)));
    fs::write(rig.lab.tmp().join("go"), "").unwrap();
    assert!(log.wait_for(position, "later", SOON));
    assert_eq!(log.since(position).unwrap(), "later\n");
}

#[test]
fn only_one_process_holds_the_lock() {
    let rig = Rig::new();
    let held = Lock::take(&rig.lab).unwrap();
    assert!(rig.up(&[]).unwrap_err().to_string().contains("is at work"));
    drop(held);
    rig.up(&[]).unwrap();
}

#[test]
fn down_ends_processes_and_mounts_and_purge_removes_the_state() {
    let rig = Rig::new();
    let components = Script::new("api", SLEEPER).boxed();
    rig.up(&components).unwrap();
    let process = Identity::of(rig.lab.pid("api").unwrap()).unwrap();
    let mount_point = rig.lab.state().join("mounted");
    let root = nix::unistd::geteuid().is_root();
    if root {
        fs::create_dir(&mount_point).unwrap();
        nix::mount::mount(Some("tmpfs"), &mount_point, Some("tmpfs"), nix::mount::MsFlags::empty(), None::<&str>)
            .unwrap();
    } else {
        eprintln!("SKIPPED in part: mounts need root");
    }
    down(&rig.lab, &components, false).unwrap();
    assert!(!process.is_alive());
    assert!(!fs::read_to_string("/proc/mounts").unwrap().contains(&*mount_point.to_string_lossy()));
    assert!(!rig.lab.run().exists() && rig.lab.state().exists());
    down(&rig.lab, &components, true).unwrap();
    assert!(!rig.lab.state().exists());
}

#[test]
fn a_lab_that_was_never_made_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    let directories = Directories { state: path.clone(), run: path.clone(), cache: path };
    assert!(Lab::open_at(directories).unwrap_err().to_string().starts_with("there is no lab in "));
}
