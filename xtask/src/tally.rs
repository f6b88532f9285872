//! Runs the steps of `cargo xtask test` and counts what passed.

use anyhow::{Context, Result};
use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Instant,
};

/// How many tests and checks passed and failed so far.
#[derive(Debug, Default)]
pub struct Tally {
    passed: u64,
    failed: u64,
    failures: Vec<String>,
}

impl Tally {
    /// Whether nothing failed.
    pub fn is_clean(&self) -> bool {
        self.failed == 0
    }

    /// Counts one check that isn't a test program: formatting, lints, generated files.
    pub fn check(&mut self, title: &str, run: impl FnOnce() -> Result<()>) {
        let start = Instant::now();
        match run() {
            Ok(()) => {
                self.passed += 1;
                println!("  ok    {title} ({:.1} s)", start.elapsed().as_secs_f64());
            }
            Err(error) => {
                self.fail(title);
                println!("  FAIL  {title}: {error:#}");
            }
        }
    }

    /// Runs a test program (`cargo test ...`), shows its output and adds up its `test result:` lines. A program that
    /// ends badly without having counted a failure (it doesn't compile, it crashed) counts as one failure.
    pub fn tests(&mut self, title: &str, command: &mut Command) {
        println!("\n== {title}");
        let start = Instant::now();
        if let Err(error) = self.count(title, command) {
            self.fail(title);
            println!("  FAIL  {title}: {error:#}");
        }
        println!("== {title}: {:.0} s", start.elapsed().as_secs_f64());
    }

    fn count(&mut self, title: &str, command: &mut Command) -> Result<()> {
        // Errors and panics say where they come from; a backtrace each hides them where output is cut.
        let command = command.env("RUST_BACKTRACE", "0").stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let output = child.stdout.take().context("the program's output is missing")?;
        let (mut passed, mut failed) = (0, 0);
        for line in BufReader::new(output).lines() {
            let line = line.context("reading the program's output")?;
            println!("{line}");
            if let Some((p, f)) = result_line(&line) {
                passed += p;
                failed += f;
            } else if let Some(name) = line.strip_suffix(" ... FAILED") {
                self.failures.push(format!("{title}: {name}"));
            }
        }
        let status = child.wait().context("waiting for the program")?;
        self.passed += passed;
        self.failed += failed;
        anyhow::ensure!(status.success() || failed > 0, "the program ended with {status}");
        anyhow::ensure!(passed + failed > 0, "no test ran");
        Ok(())
    }

    fn fail(&mut self, title: &str) {
        self.failed += 1;
        self.failures.push(title.to_owned());
    }

    /// Says what failed, and the closing line that CI reads.
    pub fn close(&self) {
        if !self.failures.is_empty() {
            println!("\nfailed:");
            for failure in &self.failures {
                println!("  {failure}");
            }
        }
        println!("\n{} passed, {} failed", self.passed, self.failed);
    }
}

/// The counts of libtest's closing line, `test result: ok. 3 passed; 0 failed; ...`.
fn result_line(line: &str) -> Option<(u64, u64)> {
    let counts = line.trim().strip_prefix("test result: ")?.split_once(". ")?.1;
    let mut numbers = counts.split("; ").filter_map(|part| part.split_once(' ')?.0.parse::<u64>().ok());
    Some((numbers.next()?, numbers.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtest_lines_are_counted_and_others_are_not() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(result_line(line), Some((12, 3)));
        assert_eq!(result_line("test result: ok."), None);
        assert_eq!(result_line("test names::tests::length ... ok"), None);
    }

    #[test]
    fn a_program_that_dies_without_a_count_is_a_failure() {
        let mut tally = Tally::default();
        tally.tests("dies", Command::new("false").arg("x"));
        assert_eq!((tally.passed, tally.failed), (0, 1));
        tally.tests("says nothing", &mut Command::new("true"));
        assert_eq!((tally.passed, tally.failed), (0, 2));
        tally.tests("counts", Command::new("echo").arg("test result: ok. 2 passed; 0 failed; 0 ignored"));
        assert_eq!((tally.passed, tally.failed, tally.is_clean()), (2, 2, false));
    }
}
