//! The long-running commands: what a process needs before its work begins, and how it ends.

use crate::{
    args::{CheckArgs, ControllerArgs, DaemonArgs, LogFormat},
    config::{Config, OpenStack},
    logs,
};
use anyhow::{Context, Result, anyhow};
use kuryr_openstack::{CloudConfig, config::Files};
use std::{future::Future, time::Duration};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Threads that run our tasks. The work is waiting, not computing.
const THREADS: usize = 2;

/// A connection to the API server is given up after this time.
const CONNECT: Duration = Duration::from_secs(5);

/// Longest silence of the API server. Longer than a watch request lasts, so that only a dead connection is given up.
const SILENCE: Duration = Duration::from_secs(60);

/// Runs the controller until a signal.
pub fn controller(args: &ControllerArgs, log: LogFormat) -> Result<()> {
    let mut config = Config::read(&args.config)?;
    config.cluster = args.cluster.clone().or(config.cluster);
    config.openstack.cloud = args.cloud.clone().or(config.openstack.cloud);
    config.openstack.clouds_file = args.clouds_file.clone().or(config.openstack.clouds_file);
    config.controller.listen = args.listen.unwrap_or(config.controller.listen);
    let settings = config.controller_settings()?;
    let cloud = cloud(&config.openstack)?;
    let openstack = kuryr_openstack::Settings { in_flight: config.openstack.requests_in_flight, ..Default::default() };
    let work = |client, shutdown| async move {
        kuryr_controller::run(settings, &cloud, &openstack, client, shutdown).await.map_err(anyhow::Error::from)
    };
    process(log, work)
}

/// Runs a node's daemon until a signal.
pub fn daemon(args: &DaemonArgs, log: LogFormat) -> Result<()> {
    let mut settings = Config::read(&args.config)?.daemon;
    settings.node_name = args.node_name.clone().unwrap_or(settings.node_name);
    settings.validate()?;
    let work = |client, shutdown| async move {
        kuryr_daemon::run(settings, client, shutdown).await.map_err(anyhow::Error::from)
    };
    process(log, work)
}

/// Says what is wrong with the file, or what is in force.
pub fn check(args: &CheckArgs) -> Result<()> {
    let config = Config::read(&args.config)?;
    config.controller_settings()?;
    print!("{}", serde_saphyr::to_string(&config).context("can't write the configuration as YAML")?);
    Ok(())
}

/// The entry of `clouds.yaml`.
fn cloud(openstack: &OpenStack) -> Result<CloudConfig> {
    let name = openstack.cloud.as_deref();
    Ok(match &openstack.clouds_file {
        Some(path) => CloudConfig::read(&Files { clouds: path.clone(), secure: None }, name)?,
        None => CloudConfig::load(name)?,
    })
}

/// Runs `work` with a client of the API server until SIGTERM or SIGINT.
fn process<W: Future<Output = Result<()>>>(
    log: LogFormat,
    work: impl FnOnce(kube::Client, CancellationToken) -> W,
) -> Result<()> {
    logs::init(log);
    rustls::crypto::ring::default_provider().install_default().map_err(|_| anyhow!("a second crypto provider"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    runtime.block_on(async {
        let client = client().await?;
        let shutdown = CancellationToken::new();
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let stop = shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("stopping");
            stop.cancel();
        });
        work(client, shutdown).await
    })
}

/// A client of the API server: of `KUBECONFIG`, or of the Pod that this runs in.
async fn client() -> Result<kube::Client> {
    let what = "no way to the Kubernetes API server (KUBECONFIG, or the service account of a Pod)";
    let mut config = kube::Config::infer().await.map_err(|error| anyhow!("{what}: {error}"))?;
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
    config.write_timeout = Some(SILENCE);
    kube::Client::try_from(config).map_err(|error| anyhow!("{what}: {error}"))
}
