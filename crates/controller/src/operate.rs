//! The controller at work: its watches and reconcilers, from the first list to the last running reconcile.

use crate::{
    context::Context,
    node, pod, pool_port, port,
    runtime::{
        admin::Admin,
        health::Health,
        queue::{Runtime, work},
    },
    start::StartError,
    wiring::{Caches, Feeds, Inboxes, Queues, queues},
};
use kuryr_api::conditions;
use std::{future::Future, sync::Arc, time::Duration};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Everything that work needs.
pub struct Prepared {
    /// What the reconcilers share.
    pub context: Arc<Context>,
    /// The caches of all kinds.
    pub caches: Caches,
    /// The watches behind them.
    pub feeds: Feeds,
}

/// Runs watches and reconcilers until the shutdown. A part that ends by itself ends the controller: it is started anew as a
/// whole, and what it was about to do is still to be seen in the objects.
pub async fn operate(prepared: Prepared, admin: &Admin, runtime: Runtime) -> Result<(), StartError> {
    let Prepared { context, caches, mut feeds } = prepared;
    let (queues, inboxes) = queues();
    feeds.connect(&caches, &queues, &context);
    show(admin, &caches, &queues);

    // The watches outlive the reconcilers: a running reconcile may still need to see its own writes.
    let watching = CancellationToken::new();
    let mut parts = watch(feeds, &runtime.health, &watching);
    tokio::select! {
        synced = synced(&caches) => if !synced {
            return Err(StartError::Crashed("a watch has ended".to_owned()));
        },
        () = runtime.shutdown.cancelled() => return Ok(()),
        Some(ended) = parts.join_next() => return Err(crashed(ended)),
    }
    runtime.health.set_ready(true);
    let (pods, nodes, ports, pool_ports) =
        (caches.pods.len(), caches.nodes.len(), caches.ports.len(), caches.pool_ports.len());
    tracing::info!(pods, nodes, ports, pool_ports, "all caches are filled, work begins");

    let mut workers = reconcile(&context, &caches, &queues, inboxes, &runtime);
    spawn(&mut parts, "refresh", refresh(context.clone(), caches, queues, watching.clone()));
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
    let seconds = context.settings.controller.shutdown_seconds;
    let ended = async { while workers.join_next().await.is_some() {} };
    if tokio::time::timeout(Duration::from_secs(seconds), ended).await.is_err() {
        tracing::warn!(seconds, "stopped before all work had ended; the next start goes on with it");
    }
    watching.cancel();
    result
}

/// Starts the watches.
fn watch(feeds: Feeds, health: &Health, stop: &CancellationToken) -> JoinSet<&'static str> {
    let mut parts = JoinSet::new();
    spawn(&mut parts, "watch of Pods", feeds.pods.run(health.clone(), stop.clone()));
    spawn(&mut parts, "watch of Nodes", feeds.nodes.run(health.clone(), stop.clone()));
    spawn(&mut parts, "watch of KuryrPorts", feeds.ports.run(health.clone(), stop.clone()));
    spawn(&mut parts, "watch of KuryrPoolPorts", feeds.pool_ports.run(health.clone(), stop.clone()));
    parts
}

/// Starts the reconcilers.
fn reconcile(
    context: &Arc<Context>,
    caches: &Caches,
    queues: &Queues,
    inboxes: Inboxes,
    runtime: &Runtime,
) -> JoinSet<&'static str> {
    let (mut workers, many) = (JoinSet::new(), context.settings.controller.concurrency);
    let (c, q, r) = (caches.clone(), queues.clone(), || runtime.clone());
    let pods = Arc::new(pod::Pods(context.clone()));
    spawn(&mut workers, "Pods", work(pods, c.pods, q.pods, inboxes.pods, many.pods, r()));
    let nodes = Arc::new(node::Nodes(context.clone()));
    spawn(&mut workers, "Nodes", work(nodes, c.nodes, q.nodes, inboxes.nodes, many.nodes, r()));
    let ports = Arc::new(port::Ports(context.clone()));
    spawn(&mut workers, "KuryrPorts", work(ports, c.ports, q.ports, inboxes.ports, many.ports, r()));
    let pool_ports = Arc::new(pool_port::PoolPorts(context.clone()));
    let pool_ports = work(pool_ports, c.pool_ports, q.pool_ports, inboxes.pool_ports, many.pool_ports, r());
    spawn(&mut workers, "KuryrPoolPorts", pool_ports);
    workers
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
async fn refresh(context: Arc<Context>, caches: Caches, queues: Queues, stop: CancellationToken) {
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
