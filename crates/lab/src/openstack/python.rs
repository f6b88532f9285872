//! The Python programs of the cloud.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    engine::{Lab, Program},
    install::Artefacts,
};

/// The interpreter: Debian's, for which its uwsgi plugin is built. It runs neutron-api 1.4 times as fast as a
/// self-compiled one, and has the compiled MariaDB driver.
const INTERPRETER: &str = "/usr/bin/python3";

/// The virtual environment with the OpenStack packages.
pub(super) fn venv(lab: &Lab) -> Result<PathBuf> {
    Ok(Artefacts::at(lab.cache())?.venv().to_owned())
}

/// The directory of the packages inside the virtual environment.
pub(super) fn site_packages(lab: &Lab) -> Result<PathBuf> {
    let lib = venv(lab)?.join("lib");
    let entries = fs::read_dir(&lib).with_context(|| format!("looking for Python packages in {}", lib.display()))?;
    match entries.flatten().map(|e| e.path().join("site-packages")).find(|path| path.is_dir()) {
        Some(path) => Ok(path),
        None => bail!("there are no Python packages below {}", lib.display()),
    }
}

/// The version of an installed package.
pub(super) fn version(lab: &Lab, package: &str) -> Result<String> {
    let site = site_packages(lab)?;
    let names = fs::read_dir(&site).with_context(|| format!("reading {}", site.display()))?;
    let names: Vec<String> = names.flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
    match find_version(&names, package) {
        Some(version) => Ok(version.to_owned()),
        None => bail!("the Python package {package} is not installed in {}", site.display()),
    }
}

/// The version that the name of a package's metadata directory tells: `neutron-29.0.0.dist-info`.
fn find_version<'a>(names: &'a [String], package: &str) -> Option<&'a str> {
    names.iter().find_map(|name| name.strip_suffix(".dist-info")?.strip_prefix(package)?.strip_prefix('-'))
}

/// A console script of the virtual environment.
pub(super) fn script(lab: &Lab, name: &str) -> Result<Program> {
    let path = venv(lab)?.join("bin").join(name);
    Ok(with_packages(lab, Program::new(INTERPRETER))?.arg(path.display().to_string()))
}

/// Runs a console script to its end, its output appended to a log.
pub(super) fn run_script(lab: &Lab, name: &str, args: &[&str], log: &Path) -> Result<()> {
    let file = fs::OpenOptions::new().create(true).append(true).open(log);
    let file = file.with_context(|| format!("opening {}", log.display()))?;
    let mut command = lab.command(Some(crate::engine::CONTROL), INTERPRETER);
    command.env("PYTHONPATH", site_packages(lab)?).arg(venv(lab)?.join("bin").join(name)).args(args);
    command.stdout(file.try_clone().context("sharing the log")?).stderr(file);
    let status = command.status().with_context(|| format!("starting {name}"))?;
    if !status.success() {
        let text = fs::read_to_string(log).unwrap_or_default();
        let end = crate::engine::shell::last_lines(&text, 10);
        bail!("`{name} {}` failed ({status}); the end of {}:\n{end}", args.join(" "), log.display());
    }
    Ok(())
}

/// Lets a program that runs Debian's interpreter find the packages.
pub(super) fn with_packages(lab: &Lab, program: Program) -> Result<Program> {
    Ok(program.env("PYTHONPATH", site_packages(lab)?.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_very_package() {
        let names = ["neutron_lib-3.22.0.dist-info", "neutron-29.0.0.dist-info", "neutron"].map(str::to_owned);
        assert_eq!(find_version(&names, "neutron"), Some("29.0.0"));
        assert_eq!(find_version(&names, "octavia"), None);
    }
}
