//! A Kuryr controller that a test runs itself, with another configuration than the lab's.

use crate::Cluster;
use anyhow::{Context, Result, bail, ensure};
use kuryr_lab::{install::Artefacts, kubernetes, kuryr, openstack};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};
use tokio::process::{Child, Command};

/// Name of the component that this one replaces for a while.
const LABS_OWN: &str = "kuryr-controller";

/// The running controller. The lab's own is stopped as long as it lives.
pub struct PrivateController {
    child: Child,
    cluster: Cluster,
}

impl PrivateController {
    /// Starts a controller whose Neutron is at `neutron_url`, in the place of the lab's own.
    ///
    /// # Errors
    /// When it doesn't start.
    pub async fn with_neutron_at(cluster: &Cluster, folder: &Path, neutron_url: &str) -> Result<Self> {
        let clouds = fs::read_to_string(openstack::clouds_file(&cluster.lab)).context("reading clouds.yaml")?;
        let line = "    region_name: RegionOne\n";
        ensure!(clouds.contains(line), "the lab's clouds.yaml has changed its form");
        let clouds = clouds.replace(line, &format!("{line}    network_endpoint_override: {neutron_url}\n"));
        let file = folder.join("clouds.yaml");
        fs::write(&file, clouds).context("writing clouds.yaml")?;
        let config = config(cluster)?
            .replace(&openstack::clouds_file(&cluster.lab).display().to_string(), &file.display().to_string());
        ensure!(config.contains(&file.display().to_string()), "the lab's kuryr.yaml has changed its form");
        let config_file = folder.join("kuryr.yaml");
        fs::write(&config_file, config).context("writing kuryr.yaml")?;
        let log = fs::File::create(folder.join("controller.log")).context("making the controller's log")?;
        cluster.lab.stop(LABS_OWN)?;
        let child = command(cluster, &config_file)?.stderr(log.try_clone()?).stdout(log).kill_on_drop(true).spawn()?;
        Ok(Self { child, cluster: cluster.clone() })
    }

    /// Ends it and brings the lab's own back.
    ///
    /// # Errors
    /// When it had ended by itself, or the lab's own doesn't start.
    pub async fn end(mut self) -> Result<()> {
        let early = self.child.try_wait().context("looking after the controller")?;
        self.child.kill().await.context("ending the controller")?;
        self.cluster.lab.start(LABS_OWN)?;
        ensure!(early.is_none(), "the controller ended by itself: {early:?}");
        Ok(())
    }
}

/// The text of the lab's configuration of Kuryr.
///
/// # Errors
/// When it can't be read.
pub fn config(cluster: &Cluster) -> Result<String> {
    let file = kuryr::config_file(&cluster.lab);
    fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))
}

/// Runs `kuryr controller` with a wrong configuration, which must end it. Returns how it ended.
///
/// # Errors
/// When it is still running after half a minute.
pub async fn refused(cluster: &Cluster, config: &Path) -> Result<Output> {
    let running = command(cluster, config)?.kill_on_drop(true).output();
    match tokio::time::timeout(Duration::from_secs(30), running).await {
        Ok(output) => output.context("running the controller"),
        Err(_) => bail!("the controller runs on with {}", config.display()),
    }
}

fn command(cluster: &Cluster, config: &Path) -> Result<Command> {
    let program: PathBuf = Artefacts::at(cluster.lab.cache())?.kuryr("kuryr");
    let mut command = Command::new(program);
    // Another port than the lab's own, which may be running.
    command.args(["controller", "--listen", "127.0.0.1:0", "--config"]).arg(config).stdin(Stdio::null());
    command.env("KUBECONFIG", kubernetes::kubeconfig_of(&cluster.lab, LABS_OWN));
    Ok(command)
}
