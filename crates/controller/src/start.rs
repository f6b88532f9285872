//! What must be known before work begins: a login, and the configured networks.

use crate::{
    networks::{Networks, ResolveError},
    settings::Settings,
};
use kuryr_core::{backoff::Backoff, error::Class};
use kuryr_openstack::{Cloud, CloudConfig, Kind, Metrics, Neutron};
use std::{future::Future, time::Duration};
use tokio_util::sync::CancellationToken;

/// A stop signal came before the start was complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

/// Why the controller can't start: what a person has to change.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// OpenStack doesn't accept the login, or lacks what Kuryr needs.
    #[error("OpenStack: {0}")]
    Login(#[source] kuryr_openstack::Error),
    /// The configuration names something that isn't there.
    #[error(transparent)]
    Networks(#[from] ResolveError),
    /// The admin server can't listen.
    #[error("can't listen on {address} (controller.listen): {source}")]
    Listen {
        /// The configured address.
        address: std::net::SocketAddr,
        /// The failure.
        #[source]
        source: std::io::Error,
    },
    /// A part of the controller has ended although nobody stopped it.
    #[error("the controller has stopped by itself: {0}")]
    Crashed(String),
}

/// Logs in. Waits for a Keystone that doesn't answer; wrong credentials end the start.
pub async fn log_in(
    config: &CloudConfig,
    settings: &kuryr_openstack::Settings,
    metrics: &Metrics,
    shutdown: &CancellationToken,
) -> Result<Result<Cloud, StartError>, Stopped> {
    let connect = || async {
        let cloud = Cloud::connect(config.clone(), settings.clone(), metrics.clone()).await?;
        // The first request shows whether the login is right.
        cloud.project_id().await.map(|_| cloud)
    };
    let hopeless = |error: &kuryr_openstack::Error| {
        let wrong = matches!(error.kind(), Kind::Unauthorized | Kind::BadRequest | Kind::NoEndpoint | Kind::Setup);
        wrong || error.kind() == Kind::Forbidden
    };
    until_answered("Keystone", connect, hopeless, shutdown).await.map(|cloud| cloud.map_err(StartError::Login))
}

/// Looks the configured subnets and groups up. Waits for a Neutron that doesn't answer; a wrong name ends the start.
pub async fn resolve(
    neutron: &Neutron,
    settings: &Settings,
    shutdown: &CancellationToken,
) -> Result<Result<Networks, StartError>, Stopped> {
    let hopeless = |error: &ResolveError| match error {
        ResolveError::Wrong { .. } => true,
        ResolveError::OpenStack { source, .. } => {
            matches!(source.kind(), Kind::Unauthorized | Kind::NoEndpoint | Kind::Setup)
        }
    };
    let resolve = || Networks::resolve(neutron, settings);
    until_answered("Neutron", resolve, hopeless, shutdown).await.map(|networks| networks.map_err(StartError::Networks))
}

/// Tries again until it works or is hopeless, with one line of log per try.
async fn until_answered<T, E, F>(
    service: &str,
    mut attempt: impl FnMut() -> F,
    hopeless: impl Fn(&E) -> bool,
    shutdown: &CancellationToken,
) -> Result<Result<T, E>, Stopped>
where
    E: std::fmt::Display,
    F: Future<Output = Result<T, E>>,
{
    let mut failures = 0;
    loop {
        let result = tokio::select! {
            result = attempt() => result,
            () = shutdown.cancelled() => return Err(Stopped),
        };
        let error = match result {
            Err(error) if !hopeless(&error) => error,
            done => return Ok(done),
        };
        failures += 1;
        let wait = Backoff { first: Duration::from_secs(1), ..Backoff::of(Class::Transient) };
        let wait = wait.delay(failures, fastrand::f64()).min(Duration::from_secs(30));
        tracing::warn!(%error, retry_in_seconds = wait.as_secs(), "the start waits for {service}");
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.cancelled() => return Err(Stopped),
        }
    }
}
