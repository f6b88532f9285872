//! What must be known before work begins: what the configured networks are. Neutron says it, or, while Keystone or Neutron doesn't
//! answer, the KuryrPools remember it.

use crate::{
    networks::{Networks, ResolveError},
    runtime::cache::Cache,
    settings::Settings,
};
use kuryr_api::KuryrPool;
use kuryr_core::{backoff::Backoff, error::Class};
use kuryr_openstack::{Kind, Neutron};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long Keystone and Neutron have, from the start on, until it counts what the KuryrPools remember. One that works
/// answers sooner.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks at what the KuryrPools remember: another controller may have written it.
const LOOK: Duration = Duration::from_secs(1);

/// Longest pause between two attempts to ask Keystone and Neutron.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

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

impl StartError {
    /// Whether OpenStack has answered, and trying again changes nothing.
    fn is_hopeless(&self) -> bool {
        match self {
            Self::Login(error) => matches!(
                error.kind(),
                Kind::Unauthorized | Kind::Forbidden | Kind::BadRequest | Kind::NoEndpoint | Kind::Setup
            ),
            Self::Networks(error) => error.is_hopeless(),
            Self::Listen { .. } | Self::Crashed(_) => true,
        }
    }
}

/// Logs in and looks the configured subnets and groups up, until that has gone well once or `shutdown`. While nothing is known, a
/// wrong login or name ends the start. Later it is told, and work goes on with what is remembered: pods get free ports meanwhile,
/// and somebody may repair it.
///
/// # Errors
/// What a person has to change before work can begin.
pub async fn resolve(
    neutron: &Neutron,
    networks: &Networks,
    settings: &Settings,
    shutdown: &CancellationToken,
) -> Result<(), StartError> {
    let mut failures = 0;
    loop {
        let result = tokio::select! {
            result = attempt(neutron, networks, settings) => result,
            () = shutdown.cancelled() => return Ok(()),
        };
        let Err(error) = result else {
            tracing::info!(defaults = ?networks.defaults(), "the configured subnets and security groups are known");
            return Ok(());
        };
        failures += 1;
        let wait = Backoff { first: Duration::from_secs(1), ..Backoff::of(Class::Transient) };
        let wait = wait.delay(failures, fastrand::f64()).min(LONGEST_PAUSE);
        let (hopeless, retry_in_seconds) = (error.is_hopeless(), wait.as_secs());
        if hopeless && !networks.are_known() {
            return Err(error);
        }
        networks.set_wrong(hopeless);
        if hopeless {
            tracing::error!(%error, retry_in_seconds, "login or configuration are wrong; what is remembered stays in force");
        } else {
            tracing::warn!(%error, retry_in_seconds, "OpenStack doesn't say yet what the configured subnets and security groups are");
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
    }
}

async fn attempt(neutron: &Neutron, networks: &Networks, settings: &Settings) -> Result<(), StartError> {
    // Asked for by itself, because what it says of a wrong login is about the login and not about subnets.
    neutron.project_id().await.map_err(StartError::Login)?;
    Ok(networks.resolve(settings).await?)
}

/// Waits until it is known what ports are made of: Neutron has said it, or it had its time and the pools remember it.
pub async fn known(networks: &Networks, pools: &Cache<KuryrPool>) {
    let mut wait = PATIENCE.saturating_sub(networks.age());
    while !networks.are_known() {
        tokio::select! {
            () = networks.resolved() => return,
            () = tokio::time::sleep(wait) => wait = LOOK,
        }
        if networks.recall(&pools.all()) {
            let defaults = networks.defaults();
            tracing::warn!(
                ?defaults,
                "OpenStack doesn't answer: working with what the KuryrPools remember of the configured subnets and security groups"
            );
        }
    }
}
