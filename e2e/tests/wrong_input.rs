//! Wrong configuration and wrong credentials: one clear line, and the end.

use anyhow::{Result, ensure};
use kuryr_e2e::{Cluster, private_controller};
use kuryr_lab::openstack;
use std::{fs, path::Path};

/// Starts the controller with a changed configuration; it must end with one line that names the culprit.
async fn refused_naming(cluster: &Cluster, folder: &Path, config: &str, culprits: &[&str]) -> Result<()> {
    let file = folder.join("kuryr.yaml");
    fs::write(&file, config)?;
    let output = private_controller::refused(cluster, &file).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success(), "it ended well");
    // A watch that was just beginning may be heard of while the process ends.
    let is_log = |line: &str| line.contains(" INFO ") || (line.contains(" WARN ") && line.contains("can't watch"));
    let errors: Vec<_> = said.lines().filter(|line| !is_log(line) && !line.trim().is_empty()).collect();
    ensure!(errors.len() == 1, "not one line but {}: {said}", errors.len());
    for culprit in culprits {
        ensure!(errors[0].contains(culprit), "`{culprit}` isn't named in: {said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_named() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let folder = tempfile::tempdir()?;
    let config = format!("{}\nclutser: lab\n", private_controller::config(&cluster)?);
    refused_naming(&cluster, folder.path(), &config, &["kuryr.yaml", "clutser"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_subnet_is_named() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let folder = tempfile::tempdir()?;
    let config = private_controller::config(&cluster)?.replace("pods-v4", "no-such-subnet");
    refused_naming(&cluster, folder.path(), &config, &["no-such-subnet"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_named() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let folder = tempfile::tempdir()?;
    let theirs = openstack::clouds_file(&cluster.lab);
    let clouds = fs::read_to_string(&theirs)?;
    let wrong = clouds.replace("application_credential_secret: ", "application_credential_secret: wrong-");
    ensure!(clouds != wrong, "the lab's clouds.yaml has changed its form");
    let file = folder.path().join("clouds.yaml");
    fs::write(&file, wrong)?;
    let config =
        private_controller::config(&cluster)?.replace(&theirs.display().to_string(), &file.display().to_string());
    refused_naming(&cluster, folder.path(), &config, &["kuryr-appcred", "401"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_cloud_is_named() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let folder = tempfile::tempdir()?;
    let config = private_controller::config(&cluster)?.replace("kuryr-appcred", "no-such-cloud");
    refused_naming(&cluster, folder.path(), &config, &["no-such-cloud", "clouds.yaml"]).await
}
