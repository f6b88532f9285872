//! What the reconcilers share.

use crate::{
    attempts::Attempts,
    gather::Gather,
    inventory::{Inventory, pool_of},
    networks::Networks,
    pod::Pod,
    policies::Policies,
    port_status::Waiting,
    runtime::{
        cache::Cache,
        events::Events,
        metrics::{Claimed, Metrics},
        retry::Retries,
    },
    settings::Settings,
    sweep::SweepMetrics,
    wiring::Queues,
};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};
use kuryr_api::{KuryrPool, KuryrPoolPort, KuryrPort};
use kuryr_openstack::Neutron;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// What the reconcilers share.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// Neutron.
    pub neutron: Neutron,
    /// Requests to Neutron that are gathered: creation, and the look for ports.
    pub gather: Gather,
    /// The configuration.
    pub settings: Settings,
    /// The configured subnets and groups.
    pub networks: Arc<Networks>,
    /// Pods that are bound to a node and have a network of their own.
    pub pods: Cache<Pod>,
    /// Nodes.
    pub nodes: Cache<Node>,
    /// Pods' claims.
    pub ports: Cache<KuryrPort>,
    /// Neutron ports.
    pub pool_ports: Cache<KuryrPoolPort>,
    /// Levels of free ports.
    pub pools: Cache<KuryrPool>,
    /// Which ports are free, and who holds the others.
    pub inventory: Arc<Inventory>,
    /// What is to be looked at.
    pub queues: Queues,
    /// Which Neutron ports may have been asked for, and by whom.
    pub attempts: Attempts,
    /// What failed, and when it is tried again.
    pub retries: Retries,
    /// Events on the user's objects.
    pub events: Events,
    /// Measurements.
    pub metrics: Metrics,
    /// Claims that wait for Neutron's word.
    pub waiting: Waiting,
    /// Measurements of the sweep.
    pub sweep_metrics: SweepMetrics,
    /// When each waiting pod was first seen, by its uid.
    pub seen: Seen,
    /// NetworkPolicies. `None`: they are switched off.
    pub policies: Option<Arc<Policies>>,
}

impl Context {
    /// The API of KuryrPoolPorts.
    pub fn pool_ports_api(&self) -> Api<KuryrPoolPort> {
        Api::all(self.client.clone())
    }

    /// A pod has got this port, or has asked for it.
    pub fn demanded(&self, port: &KuryrPoolPort, how: Claimed) {
        self.inventory.demanded(&pool_of(port));
        self.metrics.claimed(how);
    }
}

/// When each waiting pod was first seen, by its uid: PodScheduled's own time has a resolution of a second only.
#[derive(Default)]
pub struct Seen(Mutex<HashMap<String, Instant>>);

impl Seen {
    /// The pod is seen.
    pub fn note(&self, pod_uid: &str) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.entry(pod_uid.to_owned()).or_insert_with(Instant::now);
    }

    /// The pod no longer waits: for how long it did.
    pub fn take(&self, pod_uid: &str) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(pod_uid).map(|at| at.elapsed())
    }
}
