//! Faults for tests: any component can be killed, stopped, paused and brought back by its name.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::{
    engine::{
        Component, Lab,
        process::{self, Stat},
        up,
    },
    registry,
};

/// How long a killed process may take to be gone: freeing gigabytes is not instant.
const GONE: Duration = Duration::from_secs(10);

/// What a component does at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It runs and is ready. A step without a process is ready when what it made is there.
    Ready,
    /// It runs but is not ready: why.
    NotReady(String),
    /// It is stopped by [`Lab::pause`].
    Paused,
    /// It has no process.
    Down,
}

impl Lab {
    fn named(&self, name: &str) -> Result<Box<dyn Component>> {
        registry::find(self, name)
    }

    /// The process id of a component, `None` when it does not run.
    pub fn pid(&self, name: &str) -> Option<i32> {
        process::running(self, name).map(|record| record.identity.pid)
    }

    /// The ids of all processes of a component.
    pub fn pids(&self, name: &str) -> Vec<i32> {
        process::members(self, name)
    }

    /// What the processes of a component call themselves (their command lines).
    pub fn titles(&self, name: &str) -> Vec<String> {
        let read = |pid: &i32| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_owned();
        process::members(self, name).iter().map(|pid| text(read(pid))).collect()
    }

    /// Kills a component's process and its children with SIGKILL and waits until they are gone.
    ///
    /// # Errors
    /// When there is no such component or it does not run.
    pub fn kill(&self, name: &str) -> Result<()> {
        self.named(name)?;
        let members = process::members(self, name);
        if process::signal(self, name, Signal::SIGKILL) == 0 {
            bail!("{name} can't be killed: it does not run");
        }
        if !process::holds_within(GONE, || process::all_ended(self, name, &members)) {
            bail!("{name} is still there after SIGKILL");
        }
        Ok(())
    }

    /// Stops a component in its own manner. One that does not run is fine.
    ///
    /// # Errors
    /// When there is no such component or it can't be stopped.
    pub fn stop(&self, name: &str) -> Result<()> {
        let component = self.named(name)?;
        process::stop(self, name, component.stop()).map(drop)
    }

    /// Starts a component and waits until it is ready. One that runs already stays.
    ///
    /// # Errors
    /// When there is no such component or it does not become ready.
    pub fn start(&self, name: &str) -> Result<()> {
        let component = self.named(name)?;
        up::bring_up(self, component.as_ref()).with_context(|| format!("starting {name}")).map(drop)
    }

    /// Stops a component and starts it again.
    ///
    /// # Errors
    /// As [`stop`](Self::stop) and [`start`](Self::start).
    pub fn restart(&self, name: &str) -> Result<()> {
        self.stop(name)?;
        self.start(name)
    }

    /// Makes a component's processes stand still (SIGSTOP): connections stay open and nothing answers.
    ///
    /// # Errors
    /// When there is no such component or it does not run.
    pub fn pause(&self, name: &str) -> Result<()> {
        self.named(name)?;
        if process::signal(self, name, Signal::SIGSTOP) == 0 {
            bail!("{name} can't be paused: it does not run");
        }
        // The signal only asks; a thread that is inside the kernel stands still when it comes out.
        let still = |pid: &i32| Stat::of(*pid).is_none_or(|stat| stat.state == 'T');
        if !process::holds_within(GONE, || process::members(self, name).iter().all(still)) {
            bail!("{name} goes on in spite of SIGSTOP");
        }
        Ok(())
    }

    /// Lets a paused component go on.
    ///
    /// # Errors
    /// When there is no such component or it does not run.
    pub fn resume(&self, name: &str) -> Result<()> {
        self.named(name)?;
        if process::signal(self, name, Signal::SIGCONT) == 0 {
            bail!("{name} can't go on: it does not run");
        }
        Ok(())
    }

    /// Waits until a component is ready.
    ///
    /// # Errors
    /// When its process ends or its patience is over.
    pub fn wait_ready(&self, name: &str) -> Result<()> {
        let component = self.named(name)?;
        up::wait_ready(self, component.as_ref(), None).with_context(|| format!("waiting for {name}"))
    }

    /// What every component does, in the order in which they start; of the optional ones, those that run.
    ///
    /// # Errors
    /// When the components can't be told.
    pub fn status(&self) -> Result<Vec<(String, State)>> {
        let mut states = Vec::new();
        let optional = registry::optional(self).into_iter().filter(|c| self.pid(&c.name()).is_some());
        for component in registry::all(self).into_iter().chain(optional) {
            states.push((component.name(), state(self, component.as_ref())?));
        }
        Ok(states)
    }
}

fn state(lab: &Lab, component: &dyn Component) -> Result<State> {
    if component.program(lab)?.is_some() {
        let Some(record) = process::running(lab, &component.name()) else { return Ok(State::Down) };
        if Stat::of(record.identity.pid).is_some_and(|stat| stat.state == 'T') {
            return Ok(State::Paused);
        }
    }
    Ok(match component.ready(lab) {
        Ok(()) => State::Ready,
        Err(e) => State::NotReady(format!("{e:#}")),
    })
}
