//! The cluster's controllers: pods to ports, ports to Neutron, and free ports kept ready.
//!
//! ```text
//! Pod --pod/--> KuryrPort --port/--> KuryrPoolPort --pool_port/--> Neutron port
//! Node ------------------node/-----> KuryrPoolPort
//! KuryrPool -------------pool/-----> KuryrPoolPort (free ones)
//! Service --service/--> KuryrLoadBalancer --load_balancer/--> Octavia load balancer
//! NetworkPolicy --policies/--> Neutron security groups and address groups; --policy/--> KuryrNetworkPolicy
//! ```
//!
//! Each folder is one reconciler: observe (IO), desire and plan (pure), act (IO), status. What they share is in `runtime/`,
//! written once; `wiring` says which change starts which reconcile.

mod attempts;
mod context;
mod error;
mod gather;
mod inventory;
mod load_balancer;
#[cfg(test)]
mod model;
mod networks;
mod node;
mod operate;
mod pod;
mod policies;
mod policy;
mod pool;
mod pool_port;
mod port;
mod port_status;
mod reasons;
mod remembered;
mod runtime;
mod service;
mod services;
pub mod settings;
mod start;
mod sweep;
mod wiring;

pub use error::Error;
pub use networks::ResolveError;
pub use settings::Settings;
pub use start::StartError;
pub use sweep::once;

use context::Context;
use kube::Client;
use kuryr_openstack::{Cloud, CloudConfig, Neutron, octavia::Octavia};
use networks::Networks;
use operate::{Ended, Prepared, operate};
use prometheus_client::registry::Registry;
use runtime::{
    admin::Admin,
    events::Events,
    fence::{self, Fence},
    health::Health,
    identity::Identity,
    leader::Election,
    metrics::Metrics,
    queue::Runtime,
    retry::Retries,
};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use wiring::caches;

/// Runs the controller until `shutdown`. Work that runs then may end; what isn't done is done by the next start.
///
/// Of several controllers one works, which holds the Lease; the others wait with full caches. One that loses the Lease begins
/// anew in the same process, with nothing kept but the login and the configured networks: a loss is treated as a crash is.
///
/// `client` must not repeat requests by itself (`kube::Config::default_retry`): nothing may be sent past the fence.
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
    let sweep_metrics = sweep::SweepMetrics::new(&mut registry);
    let cloud_metrics = kuryr_openstack::Metrics::register(&mut registry);
    let (health, retries) = (Health::default(), Retries::default());
    let lease = &settings.controller.lease;
    let identity = Identity::new(lease.identity_file.as_deref().filter(|_| lease.enabled));
    let fence = Fence::new(identity, fence::boot_time(), metrics.clone());
    let mut election = Election::new(lease, &client, fence.clone(), health.clone());
    let admin = Admin::new(registry, health.clone(), metrics.clone(), retries.clone(), election.standing());
    let address = settings.controller.listen;
    let listener = tokio::net::TcpListener::bind(address).await;
    let listener = listener.map_err(|source| StartError::Listen { address, source })?;
    let server = tokio::spawn(admin.clone().serve(listener, shutdown.clone()));

    let runtime = Runtime { metrics, health, retries, shutdown };
    let openstack = kuryr_openstack::Settings { fence: Some(Arc::new(fence.clone())), ..openstack.clone() };
    let result = match Cloud::new(cloud.clone(), openstack, cloud_metrics) {
        Ok(handle) => {
            let fingerprint = remembered::fingerprint(&cloud.place(), &settings.pods, &settings.node_port);
            let neutron = handle.neutron();
            let networks = Arc::new(Networks::new(neutron.clone(), fingerprint));
            let known = Known { settings, neutron, octavia: handle.octavia(), networks, sweep_metrics };
            begin(&known, &fence.around(&client), &mut election, &admin, &runtime).await
        }
        Err(error) => Err(StartError::Login(error)),
    };
    runtime.shutdown.cancel();
    // The server ends with the token; its own failure changes nothing any more.
    let _ = server.await;
    result
}

/// What outlives a loss of the Lease.
struct Known {
    settings: Settings,
    neutron: Neutron,
    octavia: Octavia,
    networks: Arc<Networks>,
    sweep_metrics: sweep::SweepMetrics,
}

/// Asks OpenStack what the configuration's names mean, and meanwhile fills the caches, stands by and works as far as that goes
/// without it. What OpenStack refuses ends the start only as long as nothing is known: then nobody works, nor has the Lease.
async fn begin(
    known: &Known,
    client: &Client,
    election: &mut Election,
    admin: &Admin,
    runtime: &Runtime,
) -> Result<(), StartError> {
    tokio::select! {
        Err(error) = start::resolve(&known.neutron, &known.networks, &known.settings, &runtime.shutdown) => Err(error),
        result = lives(known, client, election, admin, runtime) => result,
    }
}

/// Works or stands by until the shutdown, anew after each loss of the Lease.
async fn lives(
    known: &Known,
    client: &Client,
    election: &mut Election,
    admin: &Admin,
    runtime: &Runtime,
) -> Result<(), StartError> {
    loop {
        runtime.retries.clear();
        admin.clear();
        let life = Runtime { shutdown: runtime.shutdown.child_token(), ..runtime.clone() };
        match operate(assemble(known, client, &life), election, admin, life).await? {
            Ended::Stopped => return Ok(()),
            Ended::Deposed => {
                tracing::warn!("the Lease is lost: nothing is written any more, beginning anew as a standby");
            }
        }
    }
}

/// New caches, and everything that reconcilers share. `client` is behind the fence.
fn assemble(known: &Known, client: &Client, runtime: &Runtime) -> Prepared {
    let events = Events::new(client.clone());
    let (seconds, enforced) = (known.settings.controller.watch_seconds, known.settings.network_policies.enabled);
    let (caches, feeds) = caches(client, &runtime.metrics, &events, seconds, enforced);
    let (queues, inboxes) = wiring::queues();
    let clients = (known.octavia.clone(), known.neutron.clone());
    let (policies, policy_parts) =
        policies::Policies::new(&known.settings, client, &known.neutron, &events, runtime).unzip();
    let services = services::Services::new(&known.settings, client, clients, (&events, policies.clone()), runtime);
    let window = Duration::from_millis(known.settings.controller.gather_milliseconds);
    let (gather, woken) = gather::Gather::new(&known.neutron, window);
    let context = Arc::new(Context {
        events,
        client: client.clone(),
        neutron: known.neutron.clone(),
        gather,
        settings: known.settings.clone(),
        networks: known.networks.clone(),
        pods: caches.pods.clone(),
        nodes: caches.nodes.clone(),
        ports: caches.ports.clone(),
        pool_ports: caches.pool_ports.clone(),
        pools: caches.pools.clone(),
        inventory: Arc::new(inventory::Inventory::new(&known.settings.pools)),
        queues,
        attempts: attempts::Attempts::default(),
        retries: runtime.retries.clone(),
        metrics: runtime.metrics.clone(),
        waiting: port_status::Waiting::default(),
        sweep_metrics: known.sweep_metrics.clone(),
        seen: context::Seen::default(),
        policies,
    });
    Prepared { context, caches, feeds, inboxes, woken, services, policies: policy_parts }
}
