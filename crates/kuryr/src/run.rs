//! The long-running commands: what a process needs before its work begins, and how it ends.

use crate::{
    args::{CheckArgs, ControllerArgs, DaemonArgs, LogFormat},
    config::{Config, OpenStack},
    credentials, logs,
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
    let openstack =
        kuryr_openstack::Settings { max_in_flight: config.openstack.requests_in_flight, ..Default::default() };
    let work = |mut config: kube::Config, shutdown| async move {
        // kube's own repetitions (of 429, 503 and 504, up to 15 times) would pass by the fence and by our backoff.
        config.default_retry = false;
        let client = client(config)?;
        kuryr_controller::run(settings, &cloud, &openstack, client, shutdown).await.map_err(anyhow::Error::from)
    };
    process(log, work)
}

/// Runs a node's daemon until a signal.
pub fn daemon(args: &DaemonArgs, log: LogFormat) -> Result<()> {
    let config = Config::read(&args.config)?;
    credentials::none_given(&config, std::env::vars_os())?;
    let mut settings = config.daemon;
    settings.node_name = args.node_name.clone().unwrap_or(settings.node_name);
    settings.validate()?;
    let work = |config, shutdown| async move {
        kuryr_daemon::run(settings, client(config)?, shutdown).await.map_err(anyhow::Error::from)
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
pub fn cloud(openstack: &OpenStack) -> Result<CloudConfig> {
    let name = openstack.cloud.as_deref();
    Ok(match &openstack.clouds_file {
        Some(path) => CloudConfig::read(&Files { clouds: path.clone(), secure: None }, name)?,
        None => CloudConfig::load(name)?,
    })
}

/// Runs `work` with the way to the API server; its token says when SIGTERM or SIGINT came.
pub fn process<W: Future<Output = Result<()>>>(
    log: LogFormat,
    work: impl FnOnce(kube::Config, CancellationToken) -> W,
) -> Result<()> {
    logs::init(log);
    rustls::crypto::ring::default_provider().install_default().map_err(|_| anyhow!("a second crypto provider"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    runtime.block_on(async {
        let config = api_server().await?;
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
        work(config, shutdown).await
    })
}

/// What a failure to reach the API server begins with.
const NO_WAY: &str = "no way to the Kubernetes API server (KUBECONFIG, or the service account of a Pod)";

/// The way to the API server: of `KUBECONFIG`, or of the Pod that this runs in.
async fn api_server() -> Result<kube::Config> {
    let mut config = kube::Config::infer().await.map_err(|error| anyhow!("{NO_WAY}: {error}"))?;
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
    config.write_timeout = Some(SILENCE);
    Ok(config)
}

/// A client that goes this way.
pub fn client(config: kube::Config) -> Result<kube::Client> {
    kube::Client::try_from(config).map_err(|error| anyhow!("{NO_WAY}: {error}"))
}
