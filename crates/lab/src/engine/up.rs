//! Brings components up: each as soon as what it waits for is ready.

use std::{
    fmt, fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Error, Result, bail};
use nix::sys::signal::Signal;

use crate::engine::{Component, Lab, graph::Graph, process, shell};

/// How often a component is asked whether it is ready.
const PROBE_EVERY: Duration = Duration::from_millis(100);

const ENDED: &str = "its process has ended";

/// What `up` did with one component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A step was done.
    Done,
    /// The process was started.
    Started,
    /// The process ran with an older configuration, or was not ready, and was started anew.
    Restarted,
    /// The process ran already.
    Kept,
    /// It did not come up; the error of `up` says why.
    Failed,
}

/// One line of progress.
#[derive(Debug, Clone)]
pub struct Progress {
    /// The component.
    pub component: String,
    /// What was done.
    pub outcome: Outcome,
    /// How long this component took.
    pub took: Duration,
    /// Time since `up` began.
    pub at: Duration,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.outcome {
            Outcome::Done => "done",
            Outcome::Started => "ready",
            Outcome::Restarted => "ready again",
            Outcome::Kept => "was up already",
            Outcome::Failed => "FAILED",
        };
        write!(f, "[{:6.1}s] {:<32} {what} ({:.1} s)", self.at.as_secs_f64(), self.component, self.took.as_secs_f64())
    }
}

/// Brings the components up in the order of their dependencies and in parallel. What runs and is ready is left alone,
/// so an interrupted `up` continues. Dependencies that are not among the components are taken as ready.
///
/// # Errors
/// When a component fails: the message names each of them, what was tried and the end of its log.
pub fn up(lab: &Lab, components: &[Box<dyn Component>], progress: &(dyn Fn(&Progress) + Sync)) -> Result<()> {
    let _lock = process::Lock::take(lab)?;
    let begin = Instant::now();
    let graph = Graph::new(components.iter().map(|c| (c.name(), c.after())))?;
    let errors = graph.run(true, |name| {
        let Some(component) = components.iter().find(|c| c.name() == name) else { bail!("there is no such component") };
        let start = Instant::now();
        let result = bring_up(lab, component.as_ref());
        let outcome = *result.as_ref().unwrap_or(&Outcome::Failed);
        progress(&Progress { component: name.to_owned(), outcome, took: start.elapsed(), at: begin.elapsed() });
        result.map(|_| ())
    });
    summary(&errors)
}

/// One error that tells of all; those that were only left out come last, in one line.
pub(crate) fn summary(errors: &[(String, Error)]) -> Result<()> {
    if errors.is_empty() {
        return Ok(());
    }
    let text: Vec<String> = errors.iter().map(|(name, e)| format!("{name}: {e:#}")).collect();
    bail!("{}", text.join("\n"))
}

/// Brings one component up, whatever state it is in.
///
/// # Errors
/// When it fails: with what was tried and the end of its log.
pub(crate) fn bring_up(lab: &Lab, component: &dyn Component) -> Result<Outcome> {
    let name = component.name();
    component.prepare(lab).context("preparing it")?;
    let Some(program) = component.program(lab).context("preparing its command")? else {
        wait_ready(lab, component, None)?;
        component.started(lab)?;
        return Ok(Outcome::Done);
    };
    let fingerprint = process::fingerprint(&program)?;
    let there = process::running(lab, &name);
    if there.as_ref().is_some_and(|record| record.fingerprint == fingerprint) {
        process::signal(lab, &name, Signal::SIGCONT);
        if wait_ready(lab, component, None).is_ok() {
            component.started(lab)?;
            return Ok(Outcome::Kept);
        }
    }
    // Also when there is no record: parts of an earlier process may have survived it.
    process::stop(lab, &name, component.stop()).context("stopping the old process")?;
    let position = fs::metadata(lab.log_file(&name)).map_or(0, |m| m.len());
    if process::spawn(lab, &name, &program)?.is_none() {
        bail!("{ENDED}{}", log_tail(lab, &name, Some(position)));
    }
    wait_ready(lab, component, Some(position))?;
    component.started(lab).context("after its start")?;
    Ok(if there.is_some() { Outcome::Restarted } else { Outcome::Started })
}

/// Waits until a component is ready. With the log position of its start, the error shows what it wrote since.
///
/// # Errors
/// When its process ends or its patience is over.
pub(crate) fn wait_ready(lab: &Lab, component: &dyn Component, log_from: Option<u64>) -> Result<()> {
    let name = component.name();
    let end = Instant::now() + component.patience();
    let has_process = component.program(lab)?.is_some();
    loop {
        let alive = !has_process || process::running(lab, &name).is_some();
        let missing = match component.ready(lab) {
            Ok(()) if alive => return Ok(()),
            Ok(()) => Error::msg("something else answers in its place"),
            Err(e) => e,
        };
        if !alive {
            bail!("{ENDED}{}", log_tail(lab, &name, log_from));
        }
        if Instant::now() >= end {
            let waited = component.patience().as_secs();
            bail!("not ready after {waited} s: {missing:#}{}", log_tail(lab, &name, log_from));
        }
        thread::sleep(PROBE_EVERY);
    }
}

fn log_tail(lab: &Lab, name: &str, from: Option<u64>) -> String {
    let Some(from) = from else { return String::new() };
    let text = super::log::Log::new(lab.log_file(name)).since(super::log::Position(from)).unwrap_or_default();
    let end = shell::last_lines(&text, 15);
    let path = lab.log_file(name);
    if end.is_empty() {
        return format!("; it wrote nothing to {}", path.display());
    }
    format!("; the end of {}:\n{end}", path.display())
}
