//! What a component of the lab is: everything about one part in one place.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;
use nix::sys::signal::Signal;

use crate::engine::Lab;

/// One part of the lab: a process, or a step of preparation that other parts wait for.
///
/// `up` calls, in this order: [`prepare`](Self::prepare), then it starts [`program`](Self::program) unless it already
/// runs, waits until [`ready`](Self::ready) succeeds and calls [`started`](Self::started). Every method may be called
/// again at any time (an interrupted `up` continues, a test restarts a component), so each has to be idempotent.
pub trait Component: Send + Sync {
    /// The unique name by which users and tests know it: `neutron-api`, `ovs-vswitchd@node1`.
    fn name(&self) -> String;

    /// Names of the components that must be ready before this one is prepared.
    fn after(&self) -> Vec<String> {
        Vec::new()
    }

    /// Makes what the program needs: directories, configuration, databases.
    fn prepare(&self, _lab: &Lab) -> Result<()> {
        Ok(())
    }

    /// The process to run; `None` for a step that has none.
    fn program(&self, _lab: &Lab) -> Result<Option<Program>> {
        Ok(None)
    }

    /// Succeeds when the component does its work; otherwise says what is not there yet. It is asked again, several
    /// times a second, for as long as [`patience`](Self::patience) lasts and the process lives.
    fn ready(&self, _lab: &Lab) -> Result<()> {
        Ok(())
    }

    /// How long the component may take from its start until it is ready.
    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// What has to be done each time after the process became ready, such as addresses on devices that it makes.
    fn started(&self, _lab: &Lab) -> Result<()> {
        Ok(())
    }

    /// How the process is asked to end.
    fn stop(&self) -> Stop {
        Stop::default()
    }

    /// Removes what the component leaves behind in the kernel once its process is gone: mounts, links, namespaces.
    /// Called by `down`, also when the component was never started. Files below the lab's directories may stay.
    fn cleanup(&self, _lab: &Lab) -> Result<()> {
        Ok(())
    }
}

/// How a process is asked to end: a signal to its whole process group, then SIGKILL when patience is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// The signal that asks.
    pub signal: Signal,
    /// How long the group may take before it is killed.
    pub patience: Duration,
}

impl Default for Stop {
    fn default() -> Self {
        Self { signal: Signal::SIGTERM, patience: Duration::from_secs(8) }
    }
}

/// A process to run: it gets a session and a process group of its own, a clean environment (`PATH`, `HOME`, `LANG`,
/// `TMPDIR` and what [`env`](Self::env) adds), and writes to the component's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    pub(crate) path: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) netns: Option<String>,
    pub(crate) binds: Vec<(PathBuf, PathBuf)>,
    pub(crate) configs: Vec<PathBuf>,
}

impl Program {
    /// A program by its path, or by a name that is looked up in the lab's `PATH`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            args: Vec::new(),
            env: Vec::new(),
            netns: None,
            binds: Vec::new(),
            configs: Vec::new(),
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Runs the program inside this network namespace.
    #[must_use]
    pub fn netns(mut self, name: impl Into<String>) -> Self {
        self.netns = Some(name.into());
        self
    }

    /// Gives the program a private mount namespace in which `target` (made if missing) is `source`: for programs
    /// that insist on a fixed path.
    #[must_use]
    pub fn bind(mut self, source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        self.binds.push((source.into(), target.into()));
        self
    }

    /// Names a file whose content belongs to the configuration: when it differs at the next `up`, the process is
    /// restarted. (Path, arguments and environment of the program count too.)
    #[must_use]
    pub fn config(mut self, file: impl AsRef<Path>) -> Self {
        self.configs.push(file.as_ref().to_owned());
        self
    }
}
