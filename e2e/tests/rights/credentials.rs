//! Nodes hold no OpenStack credentials (promise P10): neither in files, nor in the environment, nor in memory.

use anyhow::{Context, Result, ensure};
use kuryr_e2e::Cluster;
use kuryr_lab::{install::Artefacts, openstack};
use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
    process::Stdio,
    time::Duration,
};
use tokio::process::Command;

/// Longest time within which a daemon that can't start must have ended.
const PATIENCE: Duration = Duration::from_secs(30);

/// The secrets of the lab's clouds.
fn secrets(cluster: &Cluster) -> Result<Vec<String>> {
    let clouds = fs::read_to_string(openstack::clouds_file(&cluster.lab))?;
    let value = |line: &str| {
        let (key, value) = line.trim().split_once(": ")?;
        let is_secret = matches!(key, "password" | "application_credential_secret");
        is_secret.then(|| value.trim_matches(['"', '\'']).to_owned())
    };
    let secrets: Vec<_> = clouds.lines().filter_map(value).collect();
    ensure!(!secrets.is_empty(), "the lab's clouds.yaml has changed its form");
    Ok(secrets)
}

/// Whether one of the secrets, which are ASCII, is somewhere in these bytes. As text: a library that is compiled with
/// optimisation searches, through tens of megabytes.
fn holds_one(bytes: &[u8], secrets: &[String]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    secrets.iter().any(|secret| text.contains(secret.as_str()))
}

/// Where a process holds a secret: its environment, command line, files that it was told of or has open, memory.
fn places(pid: i32, secrets: &[String]) -> Result<Vec<String>> {
    let proc = Path::new("/proc").join(pid.to_string());
    let mut files = vec![proc.join("environ"), proc.join("cmdline")];
    for text in [fs::read(proc.join("environ"))?, fs::read(proc.join("cmdline"))?] {
        let words = text.split(|byte| matches!(byte, 0 | b'=')).map(|word| String::from_utf8_lossy(word).into_owned());
        files.extend(words.filter(|word| word.starts_with('/')).map(Into::into));
    }
    let open = fs::read_dir(proc.join("fd"))?.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    files.extend(open);
    files.retain(|file| file.starts_with("/proc") || file.is_file());
    files.sort();
    files.dedup();
    let with_secret = |file: &&std::path::PathBuf| fs::read(file).is_ok_and(|content| holds_one(&content, secrets));
    let mut found: Vec<_> = files.iter().filter(with_secret).map(|file| file.display().to_string()).collect();
    found.extend(memory(&proc, secrets)?);
    Ok(found)
}

/// The parts of a process's memory that hold a secret.
fn memory(proc: &Path, secrets: &[String]) -> Result<Vec<String>> {
    let memory = File::open(proc.join("mem")).context("opening the process's memory")?;
    let mut found = Vec::new();
    for line in fs::read_to_string(proc.join("maps"))?.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(range), Some(mode)) = (words.next(), words.next()) else { continue };
        let range =
            range.split_once('-').map(|(from, to)| (u64::from_str_radix(from, 16), u64::from_str_radix(to, 16)));
        // What can't be written can't hold anything that was read.
        let Some((Ok(from), Ok(to))) = range.filter(|_| mode.starts_with("rw")) else { continue };
        let mut bytes = vec![0; usize::try_from(to - from)?];
        if memory.read_exact_at(&mut bytes, from).is_ok() && holds_one(&bytes, secrets) {
            found.push(format!("memory {line}"));
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_has_no_openstack_credentials() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let secrets = secrets(&cluster)?;
    for node in cluster.nodes() {
        let pid = cluster.lab.pid(&format!("kuryr-daemon@{node}")).context("the daemon doesn't run")?;
        let found = places(pid, &secrets)?;
        ensure!(found.is_empty(), "the daemon of {node} holds a secret in {found:#?}");
    }
    let controller = cluster.lab.pid("kuryr-controller").context("the controller doesn't run")?;
    let found = places(controller, &secrets)?;
    ensure!(
        found.iter().any(|place| place.starts_with("memory")),
        "this test finds no secret where one is: {found:#?}"
    );
    Ok(())
}

/// A mistake in deploying is told, not lived with.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_given_credentials_does_not_start() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("kuryr.yaml");
    let clouds = openstack::clouds_file(&cluster.lab).display().to_string();
    let plain = format!("daemon:\n  socket: {}\n", folder.path().join("run/d.sock").display());
    fs::write(&file, &plain)?;
    for (name, value) in [
        ("KURYR_CLOUDS_FILE", clouds.as_str()),
        ("OS_CLIENT_CONFIG_FILE", &clouds),
        ("OS_PASSWORD", "very-secret"),
        ("OS_APPLICATION_CREDENTIAL_SECRET", "very-secret"),
    ] {
        refused_naming(&cluster, &file, Some((name, value)), name).await?;
    }
    fs::write(&file, format!("openstack:\n  cloudsFile: {clouds}\n{plain}"))?;
    refused_naming(&cluster, &file, None, "openstack.cloudsFile").await
}

async fn refused_naming(cluster: &Cluster, config: &Path, variable: Option<(&str, &str)>, culprit: &str) -> Result<()> {
    let mut command = Command::new(Artefacts::at(cluster.lab.cache())?.kuryr("kuryr"));
    command.args(["daemon", "--node-name", "nowhere", "--config"]).arg(config).stdin(Stdio::null());
    command.envs(variable).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.context("the daemon runs on")??;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && said.lines().count() == 1, "{culprit}: {said}");
    ensure!(said.contains(culprit) && !said.contains("very-secret"), "{culprit}: {said}");
    Ok(())
}
