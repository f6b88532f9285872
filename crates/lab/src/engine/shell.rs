//! Runs a short command and says exactly what went wrong when it fails.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// Runs a command to its end and returns its standard output.
///
/// # Errors
/// When it can't be started or fails; the error names the command, its status and the end of its output.
pub fn run(command: &mut Command) -> Result<String> {
    let line = describe(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting `{line}`"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let said = if errors.trim().is_empty() { last_lines(&text, 10) } else { last_lines(&errors, 10) };
    bail!("`{line}` failed ({}): {said}", output.status)
}

/// As [`run`], with a text given to the command's standard input.
///
/// # Errors
/// As [`run`].
pub fn run_with_input(command: &mut Command, input: &str) -> Result<String> {
    let line = describe(command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting `{line}`"))?;
    if let Some(mut pipe) = child.stdin.take() {
        let text = input.to_owned();
        // On a thread of its own: a command that writes before it has read everything would block both sides.
        // An error here means that the command has ended early; its status tells why.
        std::thread::spawn(move || drop(pipe.write_all(text.as_bytes())));
    }
    let output = child.wait_with_output().with_context(|| format!("waiting for `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` failed ({}): {}", output.status, last_lines(&String::from_utf8_lossy(&output.stderr), 10));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The last lines of a text, for error messages.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

fn describe(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|a| a.to_string_lossy().into_owned()));
    words.join(" ")
}
