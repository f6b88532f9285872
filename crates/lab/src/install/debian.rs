//! Debian packages: only the missing ones are installed, and no service of theirs is started on the host. Those of the tests' images and
//! of other releases are only unpacked.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::{cache, command::run, progress::Report, versions::Versions};

/// Asked by Debian's maintainer scripts before they start a service; 101 is "no".
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// What Debian's releases are signed with.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const NO_SERVICES: &str = "#!/bin/sh\n# Made by Kuryr's lab while it installs packages.\nexit 101\n";

/// Installs what is missing; returns how many packages that was.
///
/// # Errors
/// When a package can't be installed: the error names it and what it is for.
pub fn install(cache: &Path, log: &Path, report: &Report) -> Result<usize> {
    let wanted = &Versions::get()?.debian;
    let installed = installed()?;
    let missing: Vec<&str> = wanted.keys().map(String::as_str).filter(|p| !installed.contains(*p)).collect();
    if missing.is_empty() {
        return Ok(0);
    }
    let _lock = cache::lock(&cache.join("debian.lock"), report)?;
    let _policy = NoServices::set()?;
    if unknown(&missing)?.is_empty() {
        report.note(&format!("installing {}", missing.join(", ")));
        if apt_install(&missing, log).is_ok() {
            return Ok(missing.len());
        }
    }
    // The lists are missing or older than what the mirror holds.
    report.note("updating the package lists");
    run(apt().args(["update", "-q"]), log, "the lists of Debian packages")?;
    let unknown = unknown(&missing)?;
    if !unknown.is_empty() {
        let named: Vec<String> =
            unknown.iter().map(|p| format!("{p} ({})", wanted.get(*p).map_or("", String::as_str))).collect();
        bail!("these Debian packages can't be installed, no configured source has them: {}", named.join(", "));
    }
    report.note(&format!("installing {}", missing.join(", ")));
    apt_install(&missing, log)?;
    Ok(missing.len())
}

/// Whose packages are unpacked.
#[derive(Debug, Clone, Copy)]
pub enum Release<'a> {
    /// That of this machine.
    Installed,
    /// Another one, by its code name, from the same mirror.
    Other(&'a str),
}

/// Downloads these packages and all that they depend on, whatever is installed here, and unpacks them into `root`. Their maintainers'
/// scripts don't run. `dir` is for what is needed meanwhile.
///
/// # Errors
/// When a package can't be downloaded or unpacked.
pub fn unpack(packages: &[&str], release: Release<'_>, dir: &Path, root: &Path, log: &Path) -> Result<()> {
    let (archives, status) = (dir.join("archives"), dir.join("status"));
    for dir in [&archives.join("partial"), root] {
        fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    }
    // Nothing is installed, says this file, so nothing is left out.
    fs::write(&status, "").with_context(|| format!("writing {}", status.display()))?;
    let mut options = vec![
        format!("Dir::State::status={}", status.display()),
        format!("Dir::Cache::archives={}", archives.display()),
    ];
    if let Release::Other(name) = release {
        options.extend(only_source(name, dir, log)?);
    }
    let apt = || {
        let mut apt = apt();
        options.iter().for_each(|option| _ = apt.arg("-o").arg(option));
        apt
    };
    let wanted = packages.join(", ");
    let download = || {
        let mut apt = apt();
        apt.args(["install", "--download-only", "-y", "-q", "--no-install-recommends"]).args(packages);
        run(&mut apt, log, &format!("downloading the Debian packages {wanted}"))
    };
    if download().is_err() {
        // The lists are missing or older than what the mirror holds.
        run(apt().args(["update", "-q"]), log, "the lists of Debian packages")?;
        download()?;
    }
    let mut files: Vec<PathBuf> =
        fs::read_dir(&archives)?.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "deb"));
    files.sort();
    for file in files {
        run(Command::new("dpkg-deb").arg("--extract").arg(&file).arg(root), log, &wanted)?;
    }
    Ok(())
}

/// Settings of apt by which it knows one release only, which this machine's mirror is expected to have.
fn only_source(release: &str, dir: &Path, log: &Path) -> Result<Vec<String>> {
    let mirror = match mirror(log)? {
        Some(mirror) => mirror,
        None => {
            run(apt().args(["update", "-q"]), log, "the lists of Debian packages")?;
            mirror(log)?.context("no configured source of Debian packages is Debian's own: see sources.list(5)")?
        }
    };
    let (list, lists) = (dir.join("sources.list"), dir.join("lists"));
    fs::create_dir_all(lists.join("partial")).with_context(|| format!("making {}", lists.display()))?;
    fs::write(&list, format!("deb [signed-by={KEYS}] {mirror} {release} main\n"))
        .with_context(|| format!("writing {}", list.display()))?;
    Ok(vec![
        format!("Dir::Etc::sourcelist={}", list.display()),
        "Dir::Etc::sourceparts=/dev/null".to_owned(),
        format!("Dir::State::lists={}", lists.display()),
        // Made of the lists: those of this machine stay as they are.
        "Dir::Cache::pkgcache=".to_owned(),
        "Dir::Cache::srcpkgcache=".to_owned(),
    ])
}

/// Where this machine has Debian's packages from. `None`: its lists are missing.
fn mirror(log: &Path) -> Result<Option<String>> {
    let format = "$(ORIGIN) $(LABEL) $(REPO_URI)";
    let mut targets = Command::new("apt-get");
    targets.args(["indextargets", "--format", format, "Identifier: Packages"]);
    Ok(parse_mirror(&run(&mut targets, log, "the mirror of Debian packages")?))
}

/// The first that says that it is Debian's, and not Debian's security updates.
fn parse_mirror(targets: &str) -> Option<String> {
    targets.lines().find_map(|line| line.strip_prefix("Debian Debian ")).map(str::to_owned)
}

/// The names of the installed packages.
fn installed() -> Result<BTreeSet<String>> {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat", "${Package} ${db:Status-Status}\n"]);
    let text = match query.output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(e) => return Err(e).context("asking dpkg for the installed packages: the lab needs Debian"),
    };
    Ok(parse_installed(&text))
}

fn parse_installed(text: &str) -> BTreeSet<String> {
    text.lines().filter_map(|line| line.strip_suffix(" installed")).map(str::to_owned).collect()
}

/// Those of `packages` that no source has a version of.
fn unknown<'a>(packages: &[&'a str]) -> Result<Vec<&'a str>> {
    let output = Command::new("apt-cache")
        .arg("policy")
        .args(packages)
        .env("LC_ALL", "C")
        .output()
        .context("asking apt-cache for packages")?;
    let candidates = parse_candidates(&String::from_utf8_lossy(&output.stdout));
    Ok(packages.iter().copied().filter(|p| !candidates.contains(*p)).collect())
}

/// Packages with a candidate version in the output of `apt-cache policy`.
fn parse_candidates(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut package = "";
    for line in text.lines() {
        if !line.starts_with(' ') {
            package = line.trim_end_matches(':');
        } else if line.trim_start().strip_prefix("Candidate: ").is_some_and(|version| version != "(none)") {
            found.insert(package.to_owned());
        }
    }
    found
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive").args(["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]);
    apt
}

fn apt_install(packages: &[&str], log: &Path) -> Result<String> {
    let purpose = format!("the Debian packages {}", packages.join(", "));
    run(apt().args(["install", "-y", "-q", "--no-install-recommends"]).args(packages), log, &purpose)
}

/// While this lives, installed packages don't start their services.
struct NoServices(Option<PathBuf>);

impl NoServices {
    fn set() -> Result<Self> {
        let path = PathBuf::from(POLICY);
        match OpenOptions::new().write(true).create_new(true).mode(0o755).open(&path) {
            Ok(mut file) => {
                file.write_all(NO_SERVICES.as_bytes()).with_context(|| format!("writing {POLICY}"))?;
                Ok(Self(Some(path)))
            }
            // Ours from an installation that was killed: it is removed at the end of this one. Another one stays.
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                let ours = fs::read_to_string(&path).is_ok_and(|text| text == NO_SERVICES);
                Ok(Self(ours.then_some(path)))
            }
            Err(e) => Err(e).with_context(|| format!("making {POLICY}")),
        }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Nothing can be done about a failure here; the next installation tries again.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fully_installed_packages_count() {
        let text = "runc installed\nsocat config-files\njq half-installed\ntcpdump installed\n";
        assert_eq!(parse_installed(text), BTreeSet::from(["runc".to_owned(), "tcpdump".to_owned()]));
    }

    #[test]
    fn the_mirror_is_debians_own() {
        let targets = "Google Google https://a/apt/\nDebian Debian-Security http://b/s/\nDebian Debian http://b/d/\n";
        assert_eq!(parse_mirror(targets).as_deref(), Some("http://b/d/"));
        assert_eq!(parse_mirror(""), None);
    }

    #[test]
    fn packages_without_a_candidate_are_unknown() {
        let text = "runc:\n  Installed: (none)\n  Candidate: 1.1.5\n  Version table:\n     1.1.5 500\nvirtual:\n  Installed: (none)\n  Candidate: (none)\n";
        assert_eq!(parse_candidates(text), BTreeSet::from(["runc".to_owned()]));
    }
}
