//! A Kuryr controller that a test runs itself, with another configuration than the lab's.

use crate::{
    Cluster,
    wait::{eventually, holds},
};
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

/// Another port than the lab's own, which may be running.
const ANY_PORT: &str = "127.0.0.1:0";

/// The running controller. The lab's own is stopped as long as it lives.
pub struct PrivateController {
    child: Child,
    cluster: Cluster,
}

/// In what a controller differs from the lab's own.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Address of its admin server. The lab's own port isn't free at once.
    pub listen: &'a str,
    /// `services.auditSeconds` and `networkPolicies.auditSeconds`.
    pub audit_seconds: u32,
    /// Whether it compares its ports with Neutron's now and then, and puts right what was changed there.
    pub sweeps: bool,
}

impl PrivateController {
    /// Starts a controller whose Neutron is at `neutron_url`, in the place of the lab's own.
    ///
    /// # Errors
    /// When it doesn't start.
    pub async fn with_neutron_at(cluster: &Cluster, folder: &Path, neutron_url: &str) -> Result<Self> {
        let clouds = fs::read_to_string(openstack::clouds_file(&cluster.lab)).context("reading clouds.yaml")?;
        let line = "    region_name: RegionOne\n";
        let clouds = changed(&clouds, line, &format!("{line}    network_endpoint_override: {neutron_url}\n"))?;
        let file = folder.join("clouds.yaml");
        fs::write(&file, clouds).context("writing clouds.yaml")?;
        let labs_own = openstack::clouds_file(&cluster.lab).display().to_string();
        let config = changed(&config(cluster)?, &labs_own, &file.display().to_string())?;
        Self::start(cluster, folder, &config, ANY_PORT)
    }

    /// Starts a controller with these options, in the place of the lab's own, and waits until it is ready.
    ///
    /// # Errors
    /// When it doesn't come to that.
    pub async fn with_options(cluster: &Cluster, folder: &Path, options: Options<'_>) -> Result<Self> {
        let audit = |seconds: &str| format!("  auditSeconds: {seconds}\n");
        let mut config = changed(&config(cluster)?, &audit("10"), &audit(&options.audit_seconds.to_string()))?;
        if !options.sweeps {
            ensure!(!config.contains("sweep:"), "a file of the lab has changed its form: it tells of sweeps");
            config += "sweep:\n  periodSeconds: 0\n";
        }
        let started = Self::start(cluster, folder, &config, options.listen)?;
        let url = format!("http://{}/ready", options.listen);
        let ready = eventually("the controller to be ready", Duration::from_secs(60), async || {
            let answer = reqwest::get(&url).await?;
            holds(answer.status().is_success(), || format!("{url} answers {}", answer.status()))
        })
        .await;
        match ready {
            Ok(()) => Ok(started),
            Err(error) => {
                started.end().await?;
                Err(error)
            }
        }
    }

    fn start(cluster: &Cluster, folder: &Path, config: &str, listen: &str) -> Result<Self> {
        let config_file = folder.join("kuryr.yaml");
        fs::write(&config_file, config).context("writing kuryr.yaml")?;
        let log = fs::File::create(folder.join("controller.log")).context("making the controller's log")?;
        cluster.lab.stop(LABS_OWN)?;
        let mut command = command(cluster, &config_file, listen)?;
        // An interrupt of this program (Ctrl-C) isn't one of the controller: what was made is still to go.
        let child = command.stderr(log.try_clone()?).stdout(log).process_group(0).kill_on_drop(true).spawn()?;
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

/// A text with one of its parts replaced.
fn changed(text: &str, part: &str, by: &str) -> Result<String> {
    ensure!(text.contains(part), "a file of the lab has changed its form: `{}` isn't in it", part.trim());
    Ok(text.replace(part, by))
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
    let running = command(cluster, config, ANY_PORT)?.kill_on_drop(true).output();
    match tokio::time::timeout(Duration::from_secs(30), running).await {
        Ok(output) => output.context("running the controller"),
        Err(_) => bail!("the controller runs on with {}", config.display()),
    }
}

fn command(cluster: &Cluster, config: &Path, listen: &str) -> Result<Command> {
    let program: PathBuf = Artefacts::at(cluster.lab.cache())?.kuryr("kuryr");
    let mut command = Command::new(program);
    command.args(["controller", "--listen", listen, "--config"]).arg(config).stdin(Stdio::null());
    command.env("KUBECONFIG", kubernetes::kubeconfig_of(&cluster.lab, LABS_OWN));
    Ok(command)
}
