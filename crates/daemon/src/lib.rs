//! The node agent: answers the container runtime's CNI calls, plugs pods' interfaces, and tells the API what became of them.
//!
//! It keeps no state of its own. What is attached stands in the node's OVSDB, what should be stands in the API; a
//! restart at any moment reads both and goes on. It holds no OpenStack credentials and writes only the objects of its own
//! node.

mod admin;
mod caches;
mod cni;
pub mod decide;
pub mod decide_hold;
mod duty;
mod giving;
mod in_flight;
mod metrics;
mod node;
mod server;
mod settings;
mod switch;

pub use server::SocketError;
pub use settings::{InvalidSetting, Settings, Timeouts};
pub use switch::{Switch, SwitchError};

use caches::Caches;
use duty::{confirm::Confirm, hold::Hold, host_port::HostPortDuty, repair::Repair, report::Report};
use in_flight::InFlight;
use kube::Client;
use metrics::Metrics;
use node::Node;
use server::Socket;
use std::{io, net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, sync::watch, task::JoinSet, time::Instant};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

/// Why the daemon ended, or didn't start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is wrong.
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
    /// The switch can't be used at all. That it isn't running yet is no error.
    #[error("can't use the node's switch: {0}")]
    Switch(#[from] SwitchError),
    /// The socket for `kuryr-cni` can't be made.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The admin address can't be used.
    #[error("can't serve /live, /ready and /metrics at {address}: {source}; set `daemon.adminListen`")]
    Admin {
        /// The setting's value.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// A server failed while it ran.
    #[error("the server for {what} failed: {source}")]
    Server {
        /// Which one.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A part of the daemon ended by itself, which none does.
    #[error("a part of the daemon ended unexpectedly: {0}")]
    Part(String),
}

/// Runs the daemon until `shutdown`; then CNI calls in flight may end, within their limit.
///
/// # Errors
/// When it can't start, or a part of it fails for good. The API server or the switch being away is neither.
pub async fn run(settings: Settings, client: Client, shutdown: CancellationToken) -> Result<(), Error> {
    settings.validate()?;
    let switch = Switch::open_vswitch(&settings)?;
    run_with(settings, client, switch, shutdown).await
}

/// [`run`] with a given switch.
///
/// # Errors
/// As [`run`].
pub async fn run_with(
    settings: Settings,
    client: Client,
    switch: Switch,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    settings.validate()?;
    let (_socket, listener) = Socket::open(&settings.socket, &shutdown).await?;
    let address = settings.admin_listen;
    let admin_listener = TcpListener::bind(address).await.map_err(|source| Error::Admin { address, source })?;
    // Watches and duties outlast the CNI calls in flight: an ADD that ends well may still need them.
    let stop_parts = CancellationToken::new();
    let mut parts = JoinSet::new();
    let node = assemble(settings, client, switch, &stop_parts, &mut parts);
    let beats = vec![
        duty::start(Repair::default(), &node, &stop_parts, &mut parts),
        duty::start(Confirm, &node, &stop_parts, &mut parts),
        duty::start(Report::default(), &node, &stop_parts, &mut parts),
        duty::start(HostPortDuty, &node, &stop_parts, &mut parts),
        duty::start(Hold::default(), &node, &stop_parts, &mut parts),
    ];
    let admin = admin::Admin { node: Arc::clone(&node), beats };
    let mut admin = AbortOnDropHandle::new(tokio::spawn(admin::serve(admin_listener, admin, stop_parts.clone())));
    let mut calls = AbortOnDropHandle::new(tokio::spawn(server::serve(listener, Arc::clone(&node), shutdown.clone())));
    tracing::info!(node = node.settings.node_name, socket = %node.settings.socket.display(), %address, "serving");
    let mut outcome = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        ended = &mut calls => server_ended("CNI calls", ended),
        ended = &mut admin => server_ended("admin requests", ended),
        Some(ended) = parts.join_next() => Err(Error::Part(ended.err().map_or("a loop".to_owned(), |e| e.to_string()))),
    };
    shutdown.cancel();
    if !calls.is_finished() {
        let ended = tokio::time::timeout(node.settings.timeouts.shutdown(), drain(&node, &mut calls)).await;
        outcome = outcome.and(ended.unwrap_or_else(|_| {
            tracing::warn!("CNI calls in flight didn't end in time; the runtime will repeat them");
            calls.abort();
            Ok(())
        }));
    }
    stop_parts.cancel();
    let _ =
        tokio::time::timeout(node.settings.timeouts.api(), async { while parts.join_next().await.is_some() {} }).await;
    tracing::info!("ended");
    outcome
}

/// Waits for the connections, and for the work that their calls began.
async fn drain(node: &Node, calls: &mut AbortOnDropHandle<io::Result<()>>) -> Result<(), Error> {
    let ended = calls.await;
    node.tasks.close();
    node.tasks.wait().await;
    server_ended("CNI calls", ended)
}

fn server_ended(what: &'static str, ended: Result<io::Result<()>, tokio::task::JoinError>) -> Result<(), Error> {
    match ended {
        Ok(Ok(())) => Ok(()),
        Ok(Err(source)) => Err(Error::Server { what, source }),
        Err(error) => Err(Error::Part(error.to_string())),
    }
}

/// Puts the parts together, and starts the watches.
fn assemble(
    settings: Settings,
    client: Client,
    switch: Switch,
    stop: &CancellationToken,
    parts: &mut JoinSet<()>,
) -> Arc<Node> {
    let metrics = Arc::new(Metrics::default());
    let changed = watch::Sender::new(());
    let caches = Caches::start(&client, &settings, &metrics, &changed, stop, parts);
    let (mut live, tell, stopped) = (switch.live.clone(), changed.clone(), stop.clone());
    parts.spawn(async move {
        while let Some(Ok(())) = stopped.run_until_cancelled(live.changed()).await {
            tell.send_replace(());
        }
        stopped.cancelled().await;
    });
    Arc::new(Node {
        in_flight: InFlight::new(changed.clone()),
        giving: giving::Giving::default(),
        settings,
        client,
        caches,
        switch,
        metrics,
        changed,
        tasks: TaskTracker::new(),
        started: Instant::now(),
    })
}
