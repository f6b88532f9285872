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
use kuryr_api::conditions;
use kuryr_openstack::{Cloud, CloudConfig};
use prometheus_client::registry::Registry;
use runtime::{
    admin::Admin,
    events::Events,
    health::Health,
    metrics::Metrics,
    queue::{Queue, Runtime, work},
    retry::Retries,
};
use start::Stopped;
use std::{future::Future, sync::Arc, time::Duration};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wiring::{Caches, Feeds, Queues, caches};

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

/// Everything that work needs.
struct Prepared {
    context: Arc<Context>,
    caches: Caches,
    feeds: Feeds,
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

/// Runs watches and reconcilers until the shutdown. A part that ends by itself ends the controller: it is started anew as a
/// whole, and what it was about to do is still to be seen in the objects.
async fn operate(prepared: Prepared, admin: &Admin, runtime: Runtime) -> Result<(), StartError> {
    let Prepared { context, caches, mut feeds } = prepared;
    let (pods, pod_receiver) = Queue::new();
    let (nodes, node_receiver) = Queue::new();
    let (ports, port_receiver) = Queue::new();
    let (pool_ports, pool_port_receiver) = Queue::new();
    let queues = Queues { pods, nodes, ports, pool_ports };
    feeds.connect(&caches, &queues, &context);
    show(admin, &caches, &queues);

    // The watches outlive the reconcilers: a running reconcile may still need to see its own writes.
    let watching = CancellationToken::new();
    let mut parts = JoinSet::new();
    let (health, stop) = (&runtime.health, &watching);
    spawn(&mut parts, "watch of Pods", feeds.pods.run(health.clone(), stop.clone()));
    spawn(&mut parts, "watch of Nodes", feeds.nodes.run(health.clone(), stop.clone()));
    spawn(&mut parts, "watch of KuryrPorts", feeds.ports.run(health.clone(), stop.clone()));
    spawn(&mut parts, "watch of KuryrPoolPorts", feeds.pool_ports.run(health.clone(), stop.clone()));
    tokio::select! {
        synced = synced(&caches) => if !synced {
            return Err(StartError::Crashed("a watch has ended".to_owned()));
        },
        () = runtime.shutdown.cancelled() => return Ok(()),
        Some(ended) = parts.join_next() => return Err(crashed(ended)),
    }
    runtime.health.set_ready(true);
    tracing::info!(
        pods = caches.pods.len(),
        nodes = caches.nodes.len(),
        ports = caches.ports.len(),
        pool_ports = caches.pool_ports.len(),
        "all caches are filled, work begins",
    );

    let many = context.settings.controller.concurrency;
    let mut workers = JoinSet::new();
    let r = || runtime.clone();
    let again = (caches.clone(), queues.clone());
    let (c, q) = (caches, queues);
    spawn(
        &mut workers,
        "Pods",
        work(Arc::new(pod::Pods(context.clone())), c.pods, q.pods, pod_receiver, many.pods, r()),
    );
    spawn(
        &mut workers,
        "Nodes",
        work(Arc::new(node::Nodes(context.clone())), c.nodes, q.nodes, node_receiver, many.nodes, r()),
    );
    spawn(
        &mut workers,
        "KuryrPorts",
        work(Arc::new(port::Ports(context.clone())), c.ports, q.ports, port_receiver, many.ports, r()),
    );
    let reconciler = Arc::new(pool_port::PoolPorts(context.clone()));
    spawn(
        &mut workers,
        "KuryrPoolPorts",
        work(reconciler, c.pool_ports, q.pool_ports, pool_port_receiver, many.pool_ports, r()),
    );
    spawn(&mut parts, "refresh", refresh(context.clone(), again, watching.clone()));
    spawn(&mut parts, "audit", audit(context.clone(), watching.clone()));

    let result = tokio::select! {
        // First: loops that end because of it have not crashed.
        biased;
        () = runtime.shutdown.cancelled() => Ok(()),
        Some(ended) = parts.join_next() => Err(crashed(ended)),
        Some(ended) = workers.join_next() => Err(crashed(ended)),
    };
    runtime.health.set_ready(false);
    runtime.shutdown.cancel();
    let patience = Duration::from_secs(context.settings.controller.shutdown_seconds);
    let drained = tokio::time::timeout(patience, async { while workers.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!(
            seconds = patience.as_secs(),
            "stopped before all work had ended; the next start goes on with it"
        );
    }
    watching.cancel();
    result
}

/// Starts a part of the controller; it answers its name when it ends.
fn spawn(parts: &mut JoinSet<&'static str>, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
    parts.spawn(async move {
        part.await;
        name
    });
}

fn crashed(ended: Result<&'static str, tokio::task::JoinError>) -> StartError {
    StartError::Crashed(match ended {
        Ok(name) => format!("the {name} loop has ended"),
        Err(error) => error.to_string(),
    })
}

/// Waits until every cache is filled: no decision is made on a part of the objects.
async fn synced(caches: &Caches) -> bool {
    let (pods, nodes, ports, pool_ports) =
        tokio::join!(caches.pods.synced(), caches.nodes.synced(), caches.ports.synced(), caches.pool_ports.synced());
    pods && nodes && ports && pool_ports
}

fn show(admin: &Admin, caches: &Caches, queues: &Queues) {
    admin.show(caches.pods.clone(), queues.pods.clone());
    admin.show(caches.nodes.clone(), queues.nodes.clone());
    admin.show(caches.ports.clone(), queues.ports.clone());
    admin.show(caches.pool_ports.clone(), queues.pool_ports.clone());
    let ports = caches.ports.clone();
    admin.count_waiting(move || {
        let waits = |port: &Arc<kuryr_api::KuryrPort>| {
            let status = port.status.as_ref();
            port.metadata.deletion_timestamp.is_none()
                && !status.is_some_and(|status| conditions::is_true(&status.conditions, conditions::ALLOCATED))
        };
        ports.all().iter().filter(|port| waits(port)).count()
    });
}

/// Looks the configured subnets and groups up again, now and then.
async fn refresh(context: Arc<Context>, (caches, queues): (Caches, Queues), stop: CancellationToken) {
    let period = Duration::from_secs(context.settings.controller.refresh_seconds.max(1));
    while !waited(period, &stop).await {
        match context.networks.refresh(&context.settings).await {
            Ok(false) => {}
            Ok(true) => {
                tracing::info!(defaults = ?context.networks.defaults(), "the configured subnets or security groups are others now");
                queues.add_all(&caches);
            }
            Err(error) => {
                tracing::warn!(%error, "the configured networks could not be looked up again; what was known stays in force");
            }
        }
    }
}

/// Compares our ports with Neutron's list of them, now and then.
async fn audit(context: Arc<Context>, stop: CancellationToken) {
    let seconds = context.settings.controller.audit_seconds;
    if seconds == 0 {
        return stop.cancelled().await;
    }
    while !waited(Duration::from_secs(seconds), &stop).await {
        if let Err(error) = pool_port::audit::audit(&context).await {
            tracing::warn!(%error, "our ports could not be compared with Neutron's, trying again later");
        }
    }
}

/// Waits for the period. `true` when it is time to stop.
async fn waited(period: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => true,
        () = tokio::time::sleep(period) => false,
    }
}
