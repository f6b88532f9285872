//! Runs `e2e.test` inside the lab's control network namespace: one process for each test, so that each has a time limit, a log and a
//! report of its own, and none can spoil another.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use kuryr_lab::{
    CONTROL, Lab,
    install::{Artefacts, Conformance},
    kubernetes,
};

use super::report::{self, Verdict};

/// How long a test that is out of time may take to clean up behind itself until it is killed.
const GRACE: Duration = Duration::from_secs(120);

/// How often a running test is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The test program and what it is started with.
#[derive(Debug)]
pub struct Suite<'a> {
    lab: &'a Lab,
    program: PathBuf,
    kubectl: PathBuf,
    dir: PathBuf,
}

/// How one test went.
#[derive(Debug)]
pub struct Run {
    /// How it ended.
    pub verdict: Verdict,
    /// How long it took, with its preparation.
    pub took: Duration,
    /// What it wrote.
    pub log: PathBuf,
}

impl<'a> Suite<'a> {
    /// The suite that is installed, with an empty folder for its logs.
    pub fn new(lab: &'a Lab, conformance: &Conformance) -> Result<Self> {
        let dir = lab.state().join("conformance");
        if dir.exists() {
            fs::remove_dir_all(&dir)
                .with_context(|| format!("removing the logs of the last run, {}", dir.display()))?;
        }
        fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        let kubectl = Artefacts::at(lab.cache())?.kubernetes("kubectl");
        Ok(Self { lab, program: conformance.tests(), kubectl, dir })
    }

    /// Where the logs are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The names of the tests that match a regular expression of Go's.
    pub fn select(&self, focus: &str) -> Result<Vec<String>> {
        let (log, report) = (self.dir.join("list.log"), self.dir.join("list.json"));
        let mut command = self.command(focus, &report);
        let status = self.spawn(command.arg("--ginkgo.dry-run"), &log)?.wait().context("waiting for e2e.test")?;
        if !status.success() {
            bail!("e2e.test couldn't list the tests that match {focus} ({status}): see {}", log.display());
        }
        let text = fs::read_to_string(&report).with_context(|| format!("reading {}", report.display()))?;
        report::selected(&text)
    }

    /// Runs one test to its end.
    pub fn run(&self, name: &str, limit: Duration) -> Result<Run> {
        let begin = Instant::now();
        let file = |kind: &str| self.dir.join(format!("{}.{kind}", file_name(name)));
        let (log, report) = (file("log"), file("json"));
        // Ginkgo puts the suite's own description before the name.
        let mut command = self.command(&format!(" {}$", escaped(name)), &report);
        command.arg(format!("--ginkgo.timeout={}s", limit.as_secs()));
        let ended = wait(self.spawn(&mut command, &log)?, begin + limit + GRACE)?;
        let verdict = match (ended, fs::read_to_string(&report)) {
            (Some(_), Ok(text)) => report::verdict(&text, name)?,
            (Some(status), Err(_)) => Verdict::failed(format!("e2e.test ended with {status} and left no report")),
            (None, _) => Verdict::failed(format!("killed: it hadn't ended after {} s", (limit + GRACE).as_secs())),
        };
        // Every report names all of Kubernetes' tests: megabytes. What it says of this one is read.
        let _ = fs::remove_file(&report);
        Ok(Run { verdict, took: begin.elapsed(), log })
    }

    fn command(&self, focus: &str, report: &Path) -> Command {
        let mut command = self.lab.command(Some(CONTROL), &self.program.to_string_lossy());
        command
            .arg(format!("--kubeconfig={}", kubernetes::kubeconfig(self.lab).display()))
            .arg(format!("--kubectl-path={}", self.kubectl.display()))
            .args(["--provider=skeleton", "--ginkgo.no-color", "--ginkgo.silence-skips", "--ginkgo.v"])
            .arg(format!("--ginkgo.focus={focus}"))
            .arg(format!("--ginkgo.json-report={}", report.display()));
        command
    }

    fn spawn(&self, command: &mut Command, log: &Path) -> Result<Child> {
        let file = File::create(log).with_context(|| format!("making {}", log.display()))?;
        let errors = file.try_clone().with_context(|| format!("opening {}", log.display()))?;
        command.current_dir(&self.dir).stdout(file).stderr(errors);
        command.spawn().with_context(|| format!("starting {}", self.program.display()))
    }
}

/// Waits for the end of a process, and kills it when its time is over: then there is no status.
fn wait(mut child: Child, until: Instant) -> Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait().context("waiting for e2e.test")? {
            return Ok(Some(status));
        }
        if Instant::now() >= until {
            child.kill().context("killing e2e.test")?;
            child.wait().context("waiting for e2e.test")?;
            return Ok(None);
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// A regular expression of Go's that matches only this text.
fn escaped(text: &str) -> String {
    let mut pattern = String::new();
    for character in text.chars() {
        if r"\.+*?()|[]{}^$".contains(character) {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

/// What the files of a test are called: its name, as far as file names go.
fn file_name(name: &str) -> String {
    let words = name.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut file = words.collect::<Vec<_>>().join("-");
    file.truncate(200);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_matched_as_it_stands() {
        assert_eq!(escaped("[sig-network] a.b (c)"), r"\[sig-network\] a\.b \(c\)");
    }

    #[test]
    fn a_name_makes_a_file_name() {
        assert_eq!(file_name("[sig-network] DNS: /etc/hosts [Conformance]"), "sig-network-DNS-etc-hosts-Conformance");
    }

    #[test]
    fn who_is_out_of_time_is_killed() {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        assert_eq!(wait(child, Instant::now()).unwrap(), None);
        let child = Command::new("true").spawn().unwrap();
        assert!(wait(child, Instant::now() + GRACE).unwrap().unwrap().success());
    }
}
