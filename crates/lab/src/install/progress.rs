//! What the user sees while things are installed: a line per step with its time, and signs of life in between.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long a step may work in silence.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// The display that all steps share.
#[derive(Debug)]
pub struct Progress {
    running: Mutex<BTreeMap<String, Running>>,
    shown: bool,
    colour: bool,
}

/// A step that is being worked on.
#[derive(Debug)]
struct Running {
    since: Instant,
    told: Instant,
    doing: String,
}

impl Progress {
    /// A display on standard error.
    pub fn new() -> Arc<Self> {
        Self::with(true)
    }

    /// A display that shows nothing, for tests.
    #[cfg(test)]
    pub fn silent() -> Arc<Self> {
        Self::with(false)
    }

    fn with(shown: bool) -> Arc<Self> {
        let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Arc::new(Self { running: Mutex::default(), shown, colour })
    }

    /// Begins a step.
    pub fn begin(self: &Arc<Self>, step: &str) -> Report {
        let now = Instant::now();
        let running = Running { since: now, told: now, doing: String::new() };
        self.running().insert(step.to_owned(), running);
        Report { step: step.to_owned(), progress: Arc::clone(self) }
    }

    /// Tells what the steps do that haven't said anything for a while.
    pub fn sign_of_life(&self) {
        let mut lines = Vec::new();
        for (step, running) in self.running().iter_mut() {
            if running.told.elapsed() >= SIGN_OF_LIFE {
                running.told = Instant::now();
                lines.push((step.clone(), running.doing.clone(), running.since.elapsed()));
            }
        }
        for (step, doing, time) in lines {
            self.line("…", "2", &step, if doing.is_empty() { "working" } else { &doing }, Some(time));
        }
    }

    /// Prints one line: a sign, the step, what happened, the time.
    fn line(&self, sign: &str, colour: &str, step: &str, text: &str, time: Option<Duration>) {
        if !self.shown {
            return;
        }
        let time = time.map_or_else(String::new, |t| format!("  {}", human(t)));
        let (on, off) = if self.colour { (format!("\x1b[{colour}m"), "\x1b[0m") } else { (String::new(), "") };
        // A closed standard error is no reason to stop.
        let _ = writeln!(std::io::stderr(), "  {on}{sign}{off} {step:<20} {text}{time}");
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The voice of one step.
#[derive(Debug)]
pub struct Report {
    step: String,
    progress: Arc<Progress>,
}

impl Report {
    /// A voice that nobody hears, for tests.
    #[cfg(test)]
    pub fn silent(step: &str) -> Self {
        Progress::silent().begin(step)
    }

    /// The step's name.
    pub fn step(&self) -> &str {
        &self.step
    }

    /// Says what the step does now; shown at once.
    pub fn note(&self, doing: &str) {
        if let Some(running) = self.progress.running().get_mut(&self.step) {
            running.told = Instant::now();
            doing.clone_into(&mut running.doing);
        }
        self.progress.line("…", "2", &self.step, doing, None);
    }

    /// Ends the step well: `text` says what is there now.
    pub fn done(self, text: &str) {
        let time = self.end();
        self.progress.line("✓", "32", &self.step, text, time);
    }

    /// Ends the step badly.
    pub fn failed(self) {
        let time = self.end();
        self.progress.line("✗", "31", &self.step, "failed", time);
    }

    fn end(&self) -> Option<Duration> {
        self.progress.running().remove(&self.step).map(|running| running.since.elapsed())
    }
}

/// `0.3 s`, `42 s`, `3 min 05 s`.
pub fn human(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_and_plain() {
        let cases = [(300, "0.3 s"), (9_960, "10.0 s"), (42_400, "42 s"), (185_000, "3 min 05 s")];
        for (millis, text) in cases {
            assert_eq!(human(Duration::from_millis(millis)), text);
        }
    }
}
