//! The controller at work: its watches and reconcilers, from the first list to the last running reconcile.

use crate::{
    context::Context,
    gather::Woken,
    networks::Defaults,
    node, pod, policies, pool, pool_port, port, port_status,
    runtime::{
        admin::Admin,
        cache::object_ref,
        health::Health,
        leader::Election,
        part::spawn,
        queue::{self, Runtime, work},
    },
    services::{self, Services},
    start::{self, StartError},
    sweep,
    wiring::{Caches, Feeds, Inboxes, Queues},
};
use kuryr_api::{KuryrPoolPort, KuryrPoolStatus, conditions};
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

/// How long a new leader waits for Neutron before it relies on what its predecessor knew.
const RENEWAL: Duration = Duration::from_secs(2);

/// Everything that work needs.
pub struct Prepared {
    /// What the reconcilers share.
    pub context: Arc<Context>,
    /// The caches of all kinds.
    pub caches: Caches,
    /// The watches behind them.
    pub feeds: Feeds,
    /// The ends of the queues from which the reconcilers take.
    pub inboxes: Inboxes,
    /// Whose turn it is because there is room for ports again.
    pub woken: Woken,
    /// What Services need.
    pub services: (Arc<Services>, services::Parts),
    /// What NetworkPolicies need, where they are enforced.
    pub policies: Option<policies::Parts>,
}

/// How work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By the shutdown.
    Stopped,
    /// By the loss of the Lease.
    Deposed,
}

/// Watches, waits for the Lease, and works until the shutdown or the loss of the Lease. A part that ends by itself ends the
/// controller: it is started anew as a whole, and what it was about to do is still to be seen in the objects.
pub async fn operate(
    prepared: Prepared,
    election: &mut Election,
    admin: &Admin,
    runtime: Runtime,
) -> Result<Ended, StartError> {
    let Prepared { context, caches, mut feeds, inboxes, woken, services, policies } = prepared;
    let queues = context.queues.clone();
    let mut began = Instant::now();
    context.metrics.set_converged(Duration::ZERO);
    feeds.connect(&caches, &context);
    show(admin, &caches, &queues);
    let networks = context.networks.clone();
    admin.read_also(move |metrics| metrics.set_networks(networks.are_resolved(), networks.are_wrong()));

    // The watches outlive the reconcilers: a running reconcile may still need to see its own writes.
    let watching = CancellationToken::new();
    let mut parts = watch(feeds, &runtime.health, &watching);
    let (shared, feeds) = services;
    let services = shared.are_needed().await.then(|| {
        let inboxes = feeds.watch(&shared, &runtime.health, &watching, &mut parts);
        services::show(&shared, admin);
        (shared, inboxes)
    });
    let policies = policies.zip(context.policies.clone()).map(|(parts_of, shared)| {
        policies::show(&shared, admin);
        parts_of.watch(&shared, &runtime.health, &watching, &mut parts)
    });
    let Some(turn) = turn(&context, &caches, election, &mut parts, &runtime).await? else {
        return Ok(Ended::Stopped);
    };
    if turn == Turn::AfterAnother {
        began = Instant::now();
        renew(&context, &caches).await;
    }
    context.networks.recall(&caches.pools.all());
    let defaults = context.networks.defaults();
    tracing::info!(objects = %counts(&caches), "this controller is the leader, work begins");
    context.attempts.begin();
    queues.begin(&caches);
    let mut workers = reconcile(&context, &caches, &queues, inboxes, &runtime);
    spawn(&mut workers, "room", wake(context.clone(), queues.clone(), woken, runtime.shutdown.clone()));
    let tell = converged(context.clone(), caches.clone(), runtime.health.clone(), began, runtime.shutdown.clone());
    spawn(&mut workers, "converged", tell);
    spawn(&mut workers, "refresh", refresh(context.clone(), caches, queues, defaults, runtime.shutdown.clone()));
    spawn(&mut workers, "sweep", sweep(context.clone(), runtime.shutdown.clone()));
    if let Some(inbox) = policies {
        let services = services.as_ref().map(|(shared, _)| shared);
        policies::start(&context, services, inbox, &runtime, &mut workers);
    }
    if let Some((shared, inboxes)) = services {
        services::start(&shared, &context.networks, inboxes, &runtime, &mut workers);
    }
    spawn(&mut workers, "port status", port_status::run(context.clone(), runtime.shutdown.clone()));
    let result = tokio::select! {
        // First: loops that end because of it have not crashed.
        biased;
        () = election.keep() => Ok(Ended::Deposed),
        () = runtime.shutdown.cancelled() => Ok(Ended::Stopped),
        Some(ended) = parts.join_next() => Err(crashed(ended)),
        Some(ended) = workers.join_next() => Err(crashed(ended)),
    };
    runtime.health.set_ready(false);
    runtime.shutdown.cancel();
    if matches!(result, Ok(Ended::Deposed)) {
        // Who doesn't look at the configuration any more doesn't judge it either.
        context.networks.set_wrong(false);
        // In the middle of whatever they do: it is another's work now.
        workers.shutdown().await;
    } else {
        finish(workers, election, context.settings.controller.shutdown_seconds).await;
    }
    watching.cancel();
    result
}

/// When this controller became the leader.
#[derive(PartialEq, Eq)]
enum Turn {
    /// As soon as it could work.
    AtOnce,
    /// It stood by while another one was.
    AfterAnother,
}

/// Waits until work could begin, then for the Lease: last of all, so that who can't watch is never the leader. `None`: the shutdown was
/// first.
async fn turn(
    context: &Context,
    caches: &Caches,
    election: &mut Election,
    parts: &mut JoinSet<&'static str>,
    runtime: &Runtime,
) -> Result<Option<Turn>, StartError> {
    tokio::select! {
        able = able(context, caches, &runtime.health) => if !able {
            return Err(StartError::Crashed("a watch has ended".to_owned()));
        },
        () = runtime.shutdown.cancelled() => return Ok(None),
        Some(ended) = parts.join_next() => return Err(crashed(ended)),
    }
    // A standby is ready, too: it can take over at any moment.
    runtime.health.set_ready(true);
    tokio::select! {
        waited = election.win() => Ok(Some(if waited { Turn::AfterAnother } else { Turn::AtOnce })),
        () = runtime.shutdown.cancelled() => {
            election.give_back().await;
            Ok(None)
        }
        Some(ended) = parts.join_next() => Err(crashed(ended)),
    }
}

/// Lets running work end while the Lease is still renewed, then gives the Lease back.
async fn finish(mut workers: JoinSet<&'static str>, election: &mut Election, seconds: u64) {
    let ended = async { while workers.join_next().await.is_some() {} };
    tokio::select! {
        ended = tokio::time::timeout(Duration::from_secs(seconds), ended) => if ended.is_err() {
            tracing::warn!(seconds, "stopped before all work had ended; the next start goes on with it");
        },
        () = election.keep() => tracing::warn!("the Lease was lost while running work came to its end; the next leader goes on with it"),
    }
    workers.shutdown().await;
    election.give_back().await;
}

/// Tells when everything that was there when work began has been looked at.
async fn converged(context: Arc<Context>, caches: Caches, health: Health, began: Instant, stop: CancellationToken) {
    while context.queues.depth() > 0 || !health.running().is_empty() {
        if waited(Duration::from_millis(20), &stop).await {
            return;
        }
    }
    let took = began.elapsed();
    context.metrics.set_converged(took);
    let (seconds, failing) = (took.as_secs_f64(), context.retries.all().len());
    tracing::info!(seconds, failing, objects = %counts(&caches), "converged: everything has been looked at");
    stop.cancelled().await;
}

/// How many objects there are of each kind.
fn counts(caches: &Caches) -> String {
    let (pods, nodes, ports) = (caches.pods.len(), caches.nodes.len(), caches.ports.len());
    let (pool_ports, pools) = (caches.pool_ports.len(), caches.pools.len());
    format!("{pods} Pods, {nodes} Nodes, {ports} KuryrPorts, {pool_ports} KuryrPoolPorts, {pools} KuryrPools")
}

/// Starts the watches.
fn watch(feeds: Feeds, health: &Health, stop: &CancellationToken) -> JoinSet<&'static str> {
    let mut parts = JoinSet::new();
    spawn(&mut parts, "watch of Pods", feeds.pods.run(health.clone(), stop.clone()));
    spawn(&mut parts, "watch of Nodes", feeds.nodes.run(health.clone(), stop.clone()));
    spawn(&mut parts, "watch of KuryrPorts", feeds.ports.run(health.clone(), stop.clone()));
    spawn(&mut parts, "watch of KuryrPoolPorts", feeds.pool_ports.run(health.clone(), stop.clone()));
    spawn(&mut parts, "watch of KuryrPools", feeds.pools.run(health.clone(), stop.clone()));
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
    let nodes = Arc::new(node::Nodes::new(context.clone()));
    spawn(&mut workers, "Nodes", work(nodes, c.nodes, q.nodes, inboxes.nodes, many.nodes, r()));
    let ports = Arc::new(port::Ports(context.clone()));
    spawn(&mut workers, "KuryrPorts", work(ports, c.ports, q.ports, inboxes.ports, many.ports, r()));
    let pool_ports = Arc::new(pool_port::PoolPorts(context.clone()));
    let pool_ports = work(pool_ports, c.pool_ports, q.pool_ports, inboxes.pool_ports, many.pool_ports, r());
    spawn(&mut workers, "KuryrPoolPorts", pool_ports);
    let pools = Arc::new(pool::Pools(context.clone()));
    spawn(&mut workers, "KuryrPools", work(pools, c.pools, q.pools, inboxes.pools, many.pools, r()));
    workers
}

fn crashed(ended: Result<&'static str, tokio::task::JoinError>) -> StartError {
    StartError::Crashed(match ended {
        Ok(name) => format!("the {name} loop has ended"),
        Err(error) => error.to_string(),
    })
}

/// Waits until work could begin: the caches are filled, and it is known what ports are made of. `false`: a watch has ended.
async fn able(context: &Context, caches: &Caches, health: &Health) -> bool {
    health.waits_for("the API server's lists");
    if !synced(caches).await {
        return false;
    }
    tracing::info!(objects = %counts(caches), "all caches are filled");
    health.waits_for(
        "Keystone and Neutron, or KuryrPools that remember what the configured subnets and security groups are",
    );
    start::known(&context.networks, &caches.pools).await;
    true
}

/// Waits until every cache is filled: no decision is made on a part of the objects.
async fn synced(caches: &Caches) -> bool {
    let synced = tokio::join!(
        caches.pods.synced(),
        caches.nodes.synced(),
        caches.ports.synced(),
        caches.pool_ports.synced(),
        caches.pools.synced()
    );
    synced == (true, true, true, true, true)
}

fn show(admin: &Admin, caches: &Caches, queues: &Queues) {
    admin.show(caches.pods.clone(), queues.pods.clone());
    admin.show(caches.nodes.clone(), queues.nodes.clone());
    admin.show(caches.ports.clone(), queues.ports.clone());
    admin.show(caches.pool_ports.clone(), queues.pool_ports.clone());
    admin.show(caches.pools.clone(), queues.pools.clone());
    let ports = caches.ports.clone();
    admin.read_also(move |metrics| {
        let waits = |port: &Arc<kuryr_api::KuryrPort>| {
            let status = port.status.as_ref();
            port.metadata.deletion_timestamp.is_none()
                && !status.is_some_and(|status| conditions::is_true(&status.conditions, conditions::ALLOCATED))
        };
        metrics.set_pods_waiting(ports.all().iter().filter(|port| waits(port)).count());
    });
    let pools = caches.pools.clone();
    admin.read_also(move |metrics| {
        let pools = pools.all();
        let sum = |of: fn(&KuryrPoolStatus) -> u32| {
            pools.iter().filter_map(|pool| pool.status.as_ref()).map(of).fold(0, u32::saturating_add)
        };
        metrics.set_pool_ports(&[
            ("free", sum(|pool| pool.free)),
            ("plugged", sum(|pool| pool.plugged)),
            ("cooling", sum(|pool| pool.cooling_down)),
            ("creating", sum(|pool| pool.creating)),
            ("claimed", sum(|pool| pool.claimed)),
        ]);
    });
}

/// Has ports looked at that were refused for want of room, now that there may be some. They needn't wait any longer.
async fn wake(context: Arc<Context>, queues: Queues, mut woken: Woken, stop: CancellationToken) {
    while let Some(Some(name)) = stop.run_until_cancelled(woken.next()).await {
        context.retries.hasten(&queue::key::<KuryrPoolPort>(&object_ref(None, &name)));
        queues.pool_ports.add(None, &name);
    }
}

/// Sweeps, once Neutron has said what the configured networks are: what is decided on memory alone removes nothing.
async fn sweep(context: Arc<Context>, stop: CancellationToken) {
    if stop.run_until_cancelled(context.networks.resolved()).await.is_some() {
        sweep::run(context, stop).await;
    }
}

/// What a standby knows of the configured networks may be old: the leader before it has looked since. Neutron is asked, and where
/// it doesn't say at once, that leader's knowledge is taken.
async fn renew(context: &Context, caches: &Caches) {
    let refreshed = tokio::time::timeout(RENEWAL, context.networks.refresh(&context.settings)).await;
    if !matches!(refreshed, Ok(Ok(_))) {
        context.networks.take_over(&caches.pools.all());
    }
}

/// Looks the configured subnets and groups up again, now and then. Work has begun with these.
async fn refresh(
    context: Arc<Context>,
    caches: Caches,
    queues: Queues,
    began_with: Arc<Defaults>,
    stop: CancellationToken,
) {
    if stop.run_until_cancelled(context.networks.resolved()).await.is_none() {
        return;
    }
    if context.networks.defaults() != began_with {
        tracing::info!("the configured subnets or security groups are others than was remembered");
        queues.add_all(&caches);
    }
    let period = Duration::from_secs(context.settings.controller.refresh_seconds.max(1));
    while !waited(period, &stop).await {
        match context.networks.refresh(&context.settings).await {
            Ok(false) => {}
            Ok(true) => {
                tracing::info!(defaults = ?context.networks.defaults(), "the configured subnets or security groups are others now");
                queues.add_all(&caches);
            }
            Err(error) => {
                // Who doesn't answer says nothing about it.
                if error.is_hopeless() {
                    context.networks.set_wrong(true);
                }
                tracing::warn!(%error, "the configured networks could not be looked up again; what was known stays in force");
            }
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
