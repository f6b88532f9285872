//! Runs the steps of the installation: each as soon as those that it needs are done, compilers not all at once.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Result, anyhow, bail};

use super::progress::{Progress, Report};

/// What a step does; the answer says in a few words what is there now.
type Work = Box<dyn Fn(&Report) -> Result<String> + Send + Sync>;

/// One step.
pub struct Step {
    /// What the user sees, and what other steps need it by.
    pub name: &'static str,
    /// The steps that must be done before.
    pub needs: &'static [&'static str],
    /// How much of the machine it takes.
    pub kind: Kind,
    /// What it does.
    pub work: Work,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step").field("name", &self.name).field("needs", &self.needs).finish_non_exhaustive()
    }
}

/// How much of the machine a step takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Waits for the network and the disk most of the time: runs beside anything.
    Light,
    /// A compiler, which takes all cores by itself and gigabytes of memory: one for each four cores.
    Heavy,
}

/// How the steps stand.
#[derive(Debug, Default)]
struct State {
    /// Whether each ended step did so well.
    ended: BTreeMap<&'static str, bool>,
    heavy: usize,
    errors: Vec<String>,
}

/// Runs all steps to their end.
///
/// # Errors
/// The errors of all steps that failed. Steps that need a failed one are left out, the others still run.
pub fn run(progress: &Arc<Progress>, steps: &[Step]) -> Result<()> {
    let shared = (Mutex::new(State::default()), Condvar::new());
    thread::scope(|scope| {
        let workers: Vec<_> = steps.iter().map(|step| scope.spawn(|| run_one(progress, step, &shared))).collect();
        while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
            // Woken at every step's end; the time is only for the sign of life.
            let state = lock(&shared.0);
            drop(shared.1.wait_timeout(state, Duration::from_secs(1)));
            progress.sign_of_life();
        }
    });
    let errors = std::mem::take(&mut lock(&shared.0).errors);
    match errors.len() {
        0 => Ok(()),
        1 => Err(anyhow!(errors.concat())),
        count => bail!("{count} steps failed:\n{}", errors.join("\n")),
    }
}

fn run_one(progress: &Arc<Progress>, step: &Step, (state, changed): &(Mutex<State>, Condvar)) {
    let limit = thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(4));
    let may_start = |state: &State| {
        step.needs.iter().all(|need| state.ended.contains_key(need))
            && (step.kind == Kind::Light || state.heavy < limit)
    };
    let mut held = lock(state);
    while !may_start(&held) {
        held = changed.wait(held).unwrap_or_else(PoisonError::into_inner);
    }
    if step.needs.iter().any(|need| held.ended.get(need) == Some(&false)) {
        held.ended.insert(step.name, false);
        changed.notify_all();
        return;
    }
    held.heavy += usize::from(step.kind == Kind::Heavy);
    drop(held);

    let report = progress.begin(step.name);
    let result = (step.work)(&report);
    let mut held = lock(state);
    held.heavy -= usize::from(step.kind == Kind::Heavy);
    held.ended.insert(step.name, result.is_ok());
    match result {
        Ok(text) => report.done(&text),
        Err(error) => {
            held.errors.push(format!("{}: {error:#}", step.name));
            report.failed();
        }
    }
    changed.notify_all();
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Trace = Arc<Mutex<Vec<&'static str>>>;

    fn mk_step(trace: &Trace, name: &'static str, needs: &'static [&'static str], fails: bool) -> Step {
        let trace = Arc::clone(trace);
        let work = move |_: &Report| {
            trace.lock().unwrap().push(name);
            if fails { bail!("no {name}") } else { Ok(String::new()) }
        };
        Step { name, needs, kind: Kind::Heavy, work: Box::new(work) }
    }

    fn run_silently(steps: &[Step]) -> Result<()> {
        run(&Progress::silent(), steps)
    }

    #[test]
    fn a_step_runs_after_those_that_it_needs() {
        let trace = Trace::default();
        run_silently(&[
            mk_step(&trace, "c", &["a", "b"], false),
            mk_step(&trace, "b", &["a"], false),
            mk_step(&trace, "a", &[], false),
        ])
        .unwrap();
        assert_eq!(*trace.lock().unwrap(), ["a", "b", "c"]);
    }

    #[test]
    fn a_failure_leaves_out_only_what_needs_it() {
        let trace = Trace::default();
        let error = run_silently(&[
            mk_step(&trace, "a", &[], true),
            mk_step(&trace, "b", &["a"], false),
            mk_step(&trace, "c", &["b"], false),
            mk_step(&trace, "d", &[], false),
        ])
        .unwrap_err();
        assert_eq!(error.to_string(), "a: no a");
        let mut ran = trace.lock().unwrap().clone();
        ran.sort_unstable();
        assert_eq!(ran, ["a", "d"]);
    }
}
