//! Cargo's extra tools, from wheels that are pinned by hash, in the cache.

use anyhow::{Context, Result, ensure};
use kuryr_lab::install;
use std::{fs, process::Command};

/// The pinned wheels.
const WHEELS: &str = include_str!("../tools.txt");

/// A command that runs `tool`, which is installed first where it is missing.
pub fn command(tool: &str) -> Result<Command> {
    let folder = install::cache_folder("cargo-tools", WHEELS);
    let marker = folder.join("complete");
    if !marker.exists() {
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let list = folder.join("tools.txt");
        fs::write(&list, WHEELS).with_context(|| format!("writing {}", list.display()))?;
        pip(Command::new("python3").args(["-m", "venv"]).arg(folder.join("venv")))?;
        let mut install = Command::new(folder.join("venv/bin/pip"));
        pip(install.args(["install", "--quiet", "--require-hashes", "--requirement"]).arg(&list))?;
        fs::write(&marker, "").with_context(|| format!("writing {}", marker.display()))?;
    }
    Ok(Command::new(folder.join("venv/bin").join(tool)))
}

fn pip(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {command:?}"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}
