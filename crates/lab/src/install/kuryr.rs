//! Kuryr itself, built from the work tree that this program was built from.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, anyhow};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{command::run, progress::Report};
use crate::engine::files::write_if_changed;

const STATIC_TARGET: &str = "x86_64-unknown-linux-musl";

/// Builds `kuryr` and a static `kuryr-cni`, and copies them to `dir`, each with a file `NAME.sha256` beside it that
/// changes only when the program does.
///
/// # Errors
/// When cargo isn't there or the work tree doesn't compile.
pub fn build(dir: &Path, log: &Path, report: &Report) -> Result<()> {
    report.note("kuryr");
    place(&cargo(log, "kuryr", &["--profile", "release"], None)?, &dir.join("kuryr"))?;
    report.note("kuryr-cni");
    let cni = if has_static_target(log, report) {
        cargo(log, "kuryr-cni", &["--profile", "cni", "--target", STATIC_TARGET], None)?
    } else {
        // With a target named, the flag doesn't reach build scripts and macros, which can't be static.
        let target = "x86_64-unknown-linux-gnu";
        cargo(log, "kuryr-cni", &["--profile", "cni", "--target", target], Some("-C target-feature=+crt-static"))?
    };
    place(&cni, &dir.join("kuryr-cni"))
}

/// Whether the musl target is there; it is added if rustup can.
fn has_static_target(log: &Path, report: &Report) -> bool {
    let added = run(Command::new("rustup").args(["target", "add", STATIC_TARGET]), log, "the static kuryr-cni");
    if added.is_err() {
        report.note(&format!("no target {STATIC_TARGET}: kuryr-cni is linked statically with glibc instead"));
    }
    added.is_ok()
}

/// The work tree that this program was built from.
pub fn work_tree() -> PathBuf {
    // The manifest of this crate is two folders below the root.
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map_or_else(PathBuf::new, Path::to_owned)
}

/// Builds one package and returns the path of its program, as cargo tells it.
fn cargo(log: &Path, package: &str, args: &[&str], rustflags: Option<&str>) -> Result<PathBuf> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(work_tree())
        .args(["build", "--message-format", "json-render-diagnostics", "--package", package])
        .args(args);
    // What cargo tells the program that it runs (this one) would make it build some crates again.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
        {
            command.env_remove(&name);
        }
    }
    if let Some(flags) = rustflags {
        command.env("RUSTFLAGS", flags);
    }
    let messages = run(&mut command, log, &format!("building {package}"))?;
    executable(&messages, package)
        .ok_or_else(|| anyhow!("cargo built {package} but named no program; its output is in {}", log.display()))
}

/// One line of cargo's messages, as far as it matters here.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.target.as_ref().is_some_and(|target| target.name == name))
        .find_map(|message| message.executable)
}

/// Copies a program in one step, so that a running one is never written to.
fn place(from: &Path, to: &Path) -> Result<()> {
    let content = fs::read(from).with_context(|| format!("reading {}", from.display()))?;
    let hash: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
    let hash_file = PathBuf::from(format!("{}.sha256", to.display()));
    if to.exists() && fs::read_to_string(&hash_file).is_ok_and(|old| old == hash) {
        return Ok(());
    }
    let draft = PathBuf::from(format!("{}.new", to.display()));
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    }
    fs::copy(from, &draft).with_context(|| format!("copying {} to {}", from.display(), draft.display()))?;
    fs::rename(&draft, to).with_context(|| format!("writing {}", to.display()))?;
    write_if_changed(&hash_file, &hash)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_the_one_that_cargo_names() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"kuryr"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"kuryr"},"executable":"/t/release/kuryr"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
            "\n"
        );
        assert_eq!(executable(messages, "kuryr"), Some(PathBuf::from("/t/release/kuryr")));
        assert_eq!(executable(messages, "kuryr-cni"), None);
    }

    #[test]
    fn an_unchanged_program_is_not_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::write(&from, "one").unwrap();
        place(&from, &to).unwrap();
        let first = fs::metadata(&to).unwrap().modified().unwrap();
        place(&from, &to).unwrap();
        assert_eq!(fs::metadata(&to).unwrap().modified().unwrap(), first);
        fs::write(&from, "two").unwrap();
        place(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "two");
    }
}
