//! Runs the workspace's programs inside the lab's control network namespace, where every API can be reached.

use anyhow::{Context, Result, bail};
use kuryr_lab::CONTROL;
use std::{env, process::Command};

/// Value of cargo's `runner` setting that starts a program inside the control network namespace.
pub fn control_runner() -> String {
    format!("nsenter --net=/run/netns/{CONTROL} --")
}

/// Builds and runs a program of the package `kuryr-e2e`.
pub fn run_in_control(program: &str, args: &[String]) -> Result<()> {
    let mut cargo = cargo(&["run", "--quiet", "--release", "--package", "kuryr-e2e", "--bin", program, "--"]);
    succeed(cargo.args(args).env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", control_runner()))
}

/// Cargo itself, the one that runs us.
pub fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args);
    command
}

/// Runs a command to its end and fails where it does.
pub fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {command:?}"))?;
    if status.success() { Ok(()) } else { bail!("{command:?} ended with {status}") }
}
