//! What every part of the daemon shares.

use crate::{
    caches::{Caches, GuardedPort},
    decide::ClaimSight,
    giving::Giving,
    in_flight::InFlight,
    metrics::Metrics,
    settings::Settings,
    switch::Switch,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Client, ResourceExt};
use kuryr_api::{KuryrPort, Readiness, conditions};
use kuryr_core::names::INTERFACE_FINALIZER;
use std::sync::Arc;
use tokio::{sync::watch, time::Instant};
use tokio_util::task::TaskTracker;

/// The daemon's state. Nothing of it has to survive a restart.
pub struct Node {
    /// The operator's settings.
    pub settings: Settings,
    /// The API server.
    pub client: Client,
    /// What is known of the API.
    pub caches: Caches,
    /// The node's switch.
    pub switch: Switch,
    /// CNI calls in flight.
    pub in_flight: InFlight,
    /// Ports that DELs give back.
    pub giving: Giving,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Notified of every change of the caches, the switch and the calls in flight.
    pub changed: watch::Sender<()>,
    /// Work that outlives the CNI call that began it.
    pub tasks: TaskTracker,
    /// When the daemon started.
    pub started: Instant,
}

/// What the decisions look at in a KuryrPort.
pub trait Claim {
    /// The uid of the pod. From the owner reference where the spec can't be read.
    fn pod_uid(&self) -> Option<&str>;
    /// The name of the pod. From the owner reference where the spec can't be read.
    fn pod_name(&self) -> Option<&str>;
    /// Its deletion has begun.
    fn deleting(&self) -> bool;
    /// Where the node's finalizer stands among its finalizers.
    fn finalizer(&self) -> Option<usize>;
    /// Its conditions.
    fn conditions(&self) -> &[Condition];
    /// How far it is.
    fn sight(&self) -> ClaimSight;
}

impl Claim for GuardedPort {
    fn pod_uid(&self) -> Option<&str> {
        match &self.0 {
            Ok(port) => Some(&port.spec.pod_uid),
            Err(_) => pod_owner(self).map(|owner| owner.uid.as_str()),
        }
    }

    fn pod_name(&self) -> Option<&str> {
        match &self.0 {
            Ok(port) => Some(&port.spec.pod_name),
            Err(_) => pod_owner(self).map(|owner| owner.name.as_str()),
        }
    }

    fn deleting(&self) -> bool {
        kube::Resource::meta(self).deletion_timestamp.is_some()
    }

    fn finalizer(&self) -> Option<usize> {
        self.finalizers().iter().position(|finalizer| finalizer == INTERFACE_FINALIZER)
    }

    fn conditions(&self) -> &[Condition] {
        self.0.as_ref().ok().and_then(|port| port.status.as_ref()).map_or(&[], |status| &status.conditions)
    }

    fn sight(&self) -> ClaimSight {
        match &self.0 {
            _ if self.deleting() => ClaimSight::Deleting,
            Err(_) => ClaimSight::Malformed,
            Ok(port) if is_allocated(port) => ClaimSight::Allocated,
            Ok(_) => ClaimSight::Pending,
        }
    }
}

fn pod_owner(port: &GuardedPort) -> Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference> {
    port.owner_references().iter().find(|owner| owner.kind == "Pod" && owner.api_version == "v1")
}

/// Whether every interface that it asks for has its port. The condition alone could be ahead of the list, or speak of an
/// older one.
fn is_allocated(port: &KuryrPort) -> bool {
    port.status.as_ref().is_some_and(|status| {
        conditions::is_true(&status.conditions, conditions::ALLOCATED)
            && !port.spec.interfaces.is_empty()
            && port.spec.interfaces.iter().all(|wanted| status.interfaces.iter().any(|got| got.name == wanted.name))
    })
}

/// Whether it is Neutron that says that packets of this port pass.
#[must_use]
pub fn neutron_says(port: &KuryrPort, port_id: &str) -> bool {
    let interfaces = port.status.as_ref().map_or(&[][..], |status| &status.interfaces);
    interfaces.iter().any(|got| got.port_id == port_id && got.binding.readiness == Readiness::NeutronStatus)
}
