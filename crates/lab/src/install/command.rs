//! Runs the long commands of the installation: their output goes to a log, its end into the error.

use std::{
    fs::{self, File, OpenOptions},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::engine::shell::last_lines;

/// Runs a command to its end and returns its standard output; its standard error is appended to `log`.
///
/// # Errors
/// When it isn't there (the message says what it is needed for) or fails (the message holds the end of its output).
pub fn run(command: &mut Command, log: &Path, needed_for: &str) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let file = append(log)?;
    let begin = file.metadata().map_or(0, |m| m.len());
    let output = match command.stdin(Stdio::null()).stderr(file).output() {
        Ok(output) => output,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            bail!("{program} isn't installed, it is needed for {needed_for}")
        }
        Err(e) => return Err(e).with_context(|| format!("starting {program} for {needed_for}")),
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = fs::read(log).unwrap_or_default();
    let errors = String::from_utf8_lossy(errors.get(usize::try_from(begin)?..).unwrap_or_default()).into_owned();
    let said = if errors.trim().is_empty() { String::from_utf8_lossy(&output.stdout).into_owned() } else { errors };
    bail!(
        "{program} failed ({}) at {needed_for}; all of its output is in {}\n{}",
        output.status,
        log.display(),
        last_lines(&said, 12)
    )
}

fn append(log: &Path) -> Result<File> {
    if let Some(dir) = log.parent() {
        fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    }
    OpenOptions::new().create(true).append(true).open(log).with_context(|| format!("opening {}", log.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_what_the_command_said_and_what_it_was_for() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let error =
            run(Command::new("sh").args(["-c", "echo no such thing >&2; exit 3"]), &log, "the test").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("no such thing") && text.contains("the test") && text.contains('3'), "{text}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = run(&mut Command::new("no-such-program"), &dir.path().join("log"), "the test").unwrap_err();
        assert_eq!(error.to_string(), "no-such-program isn't installed, it is needed for the test");
    }

    #[test]
    fn standard_output_is_returned() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(run(Command::new("echo").arg("hi"), &dir.path().join("log"), "the test").unwrap(), "hi\n");
    }
}
