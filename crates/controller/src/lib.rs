//! The cluster's controllers: pods to ports, ports to Neutron.
//!
//! ```text
//! Pod --pod/--> KuryrPort --port/--> KuryrPoolPort --pool_port/--> Neutron port
//! Node ------------------node/-----> KuryrPoolPort
//! ```
//!
//! Each folder is one reconciler: observe (IO), desire and plan (pure), act (IO), status. What they share is in `runtime/`,
//! written once; `wiring` says which change starts which reconcile.

mod attempts;
mod context;
mod error;
mod networks;
mod node;
mod operate;
mod pod;
mod pool_port;
mod port;
mod reasons;
mod runtime;
pub mod settings;
mod start;
mod wiring;

pub use error::Error;
pub use networks::ResolveError;
pub use settings::Settings;
pub use start::StartError;

use context::Context;
use kube::Client;
use kuryr_openstack::{Cloud, CloudConfig};
use operate::{Prepared, operate};
use prometheus_client::registry::Registry;
use runtime::{admin::Admin, events::Events, health::Health, metrics::Metrics, queue::Runtime, retry::Retries};
use start::Stopped;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use wiring::caches;

/// Runs the controller until `shutdown`. Work that runs then may end; what isn't done is done by the next start.
///
/// # Errors
/// What a person has to change before the controller can work, in one line.
pub async fn run(
    settings: Settings,
    cloud: &CloudConfig,
    openstack: &kuryr_openstack::Settings,
    client: Client,
    shutdown: CancellationToken,
) -> Result<(), StartError> {
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);
    let cloud_metrics = kuryr_openstack::Metrics::register(&mut registry);
    let (health, retries) = (Health::default(), Retries::default());
    let admin = Admin::new(registry, health.clone(), metrics.clone(), retries.clone());
    let address = settings.controller.listen;
    let listener = tokio::net::TcpListener::bind(address).await;
    let listener = listener.map_err(|source| StartError::Listen { address, source })?;
    let server = tokio::spawn(admin.clone().serve(listener, shutdown.clone()));

    let runtime = Runtime { metrics, health, retries, shutdown };
    let result = match prepare(settings, cloud, openstack, &cloud_metrics, client, &runtime).await {
        Ok(Ok(prepared)) => operate(prepared, &admin, runtime.clone()).await,
        Ok(Err(error)) => Err(error),
        Err(Stopped) => Ok(()),
    };
    runtime.shutdown.cancel();
    // The server ends with the token; its own failure changes nothing any more.
    let _ = server.await;
    result
}

/// Logs in and looks up what the configuration names.
async fn prepare(
    settings: Settings,
    cloud: &CloudConfig,
    openstack: &kuryr_openstack::Settings,
    cloud_metrics: &kuryr_openstack::Metrics,
    client: Client,
    runtime: &Runtime,
) -> Result<Result<Prepared, StartError>, Stopped> {
    let cloud: Cloud = match start::log_in(cloud, openstack, cloud_metrics, &runtime.shutdown).await? {
        Ok(cloud) => cloud,
        Err(error) => return Ok(Err(error)),
    };
    let neutron = cloud.neutron();
    let networks = match start::resolve(&neutron, &settings, &runtime.shutdown).await? {
        Ok(networks) => networks,
        Err(error) => return Ok(Err(error)),
    };
    tracing::info!(defaults = ?networks.defaults(), "the configured subnets and security groups are known");
    let events = Events::new(client.clone());
    let (caches, feeds) = caches(&client, &runtime.metrics, &events);
    let context = Arc::new(Context {
        events,
        client,
        neutron,
        settings,
        networks,
        pods: caches.pods.clone(),
        nodes: caches.nodes.clone(),
        ports: caches.ports.clone(),
        pool_ports: caches.pool_ports.clone(),
        attempts: attempts::Attempts::default(),
        retries: runtime.retries.clone(),
        metrics: runtime.metrics.clone(),
        seen: context::Seen::default(),
    });
    Ok(Ok(Prepared { context, caches, feeds }))
}
