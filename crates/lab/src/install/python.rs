//! Python environments: that of the OpenStack services and clients, and that of the original Kuryr.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::{command::run, progress::Report, versions::Versions};

/// What belongs into an environment.
pub struct Contents<'a> {
    /// Whose packages they are, for messages.
    pub of: &'a str,
    /// What pip is asked for.
    pub packages: &'a [String],
    /// Exact versions of these and of all that they depend on.
    pub constraints: &'a str,
}

/// Makes a virtual environment in `dir` and installs the packages into it.
///
/// # Errors
/// When there is no suitable Python, or pip can't install a package.
pub fn build(contents: &Contents<'_>, dir: &Path, log: &Path, report: &Report) -> Result<()> {
    let python = interpreter(&Versions::get()?.python.interpreter)?;
    report.note(&format!("a virtual environment of {}", python.display()));
    run(clean(Command::new(&python)).args(["-m", "venv"]).arg(dir), log, "the Python environment")?;

    let constraints = dir.join("constraints.txt");
    fs::write(&constraints, contents.constraints).with_context(|| format!("writing {}", constraints.display()))?;
    report.note(&format!("the packages of {}", contents.of));
    let mut pip = clean(Command::new(dir.join("bin/python")));
    pip.args(["-m", "pip", "install", "--no-input", "--quiet", "--disable-pip-version-check", "--constraint"])
        .arg(&constraints)
        .args(contents.packages);
    run(&mut pip, log, &format!("the Python packages of {}", contents.of))?;
    Ok(())
}

/// The wanted Python, Debian's before any other: uwsgi's plugin is built for it and can only use packages that were
/// installed for the same version.
fn interpreter(version: &str) -> Result<PathBuf> {
    let names = [format!("/usr/bin/python{version}"), format!("python{version}"), "python3".to_owned()];
    for name in &names {
        let Ok(output) = clean(Command::new(name))
            .args(["-c", "import ensurepip, sys; print('%d.%d' % sys.version_info[:2])"])
            .output()
        else {
            continue;
        };
        if output.status.success() && String::from_utf8_lossy(&output.stdout).trim() == version {
            return Ok(PathBuf::from(name));
        }
    }
    bail!("Python {version} with its venv module isn't installed, it is needed for the Python environments")
}

/// Without what a shell may have set to bend Python's search path.
fn clean(mut command: Command) -> Command {
    for name in ["PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_CONSTRAINT", "PIP_TARGET", "PIP_USER"] {
        command.env_remove(name);
    }
    command
}
