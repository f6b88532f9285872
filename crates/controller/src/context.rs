//! What the reconcilers share.

use crate::{
    attempts::Attempts,
    networks::Networks,
    runtime::{cache::Cache, events::Events, metrics::Metrics, retry::Retries},
    settings::Settings,
};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Client;
use kuryr_api::{KuryrPoolPort, KuryrPort};
use kuryr_openstack::Neutron;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// What the reconcilers share.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// Neutron.
    pub neutron: Neutron,
    /// The configuration.
    pub settings: Settings,
    /// The configured subnets and groups.
    pub networks: Networks,
    /// Pods that are bound to a node and have a network of their own.
    pub pods: Cache<Pod>,
    /// Nodes.
    pub nodes: Cache<Node>,
    /// Pods' claims.
    pub ports: Cache<KuryrPort>,
    /// Neutron ports.
    pub pool_ports: Cache<KuryrPoolPort>,
    /// Which Neutron ports may have been asked for, and by whom.
    pub attempts: Attempts,
    /// What failed, and when it is tried again.
    pub retries: Retries,
    /// Events on the user's objects.
    pub events: Events,
    /// Measurements.
    pub metrics: Metrics,
    /// When each waiting pod was first seen, by its uid.
    pub seen: Seen,
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
