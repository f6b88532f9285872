//! NetworkPolicies in Neutron: what all of them together ask for, what Neutron has, and the difference.
//!
//! ```text
//! watches ──facts──▶ World (what is to be) ─┐
//!                                           ├─ engine: compare, plan, act ──▶ security groups, rules, address groups
//! Neutron ──read───▶ Observed (what is) ────┘
//!                         └─ ports: which groups a port may have now ──▶ KuryrPoolPort.spec.securityGroupIds
//! ```
//!
//! What is decided is decided in `kuryr_core::policy`; docs/policies.md says how policies become groups.

mod act;
mod audit;
mod begin;
mod cluster_facts;
mod engine;
mod facts;
mod failures;
mod feed;
mod ports;
mod read;
mod state;

pub use begin::start;
pub use facts::service as service_fact;
pub use feed::{Inboxes, Parts};
pub use ports::Groups;
pub use state::State;

use crate::{
    runtime::{
        admin::Admin,
        cache::{Cache, cache},
        events::Events,
        metrics::Metrics,
        news::News,
        policy_metrics::PolicyMetrics,
        queue::{Queue, Runtime},
    },
    settings::Settings,
};
use k8s_openapi::api::{core::v1::Namespace, networking::v1::NetworkPolicy};
use kube::{Client, ResourceExt};
use kuryr_api::{
    ClusterNetworkPolicy, KuryrNetworkPolicy,
    conditions::{self, network_policy::UPDATING},
};
use kuryr_core::policy::Fact;
use kuryr_openstack::Neutron;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// What is known and shared of NetworkPolicies.
pub struct Policies {
    /// The API server.
    pub client: Client,
    /// Neutron.
    pub neutron: Neutron,
    /// The configuration.
    pub settings: Settings,
    /// NetworkPolicies.
    pub policies: Cache<NetworkPolicy>,
    /// ClusterNetworkPolicies.
    pub cluster_policies: Cache<ClusterNetworkPolicy>,
    /// Namespaces, for their labels.
    pub namespaces: Cache<Namespace>,
    /// What policies have become.
    pub objects: Cache<KuryrNetworkPolicy>,
    /// Policies whose state is to be told.
    pub queue: Queue<NetworkPolicy>,
    /// ClusterNetworkPolicies whose state is to be told.
    pub cluster_queue: Queue<ClusterNetworkPolicy>,
    /// Events on the user's objects.
    pub events: Events,
    /// What was told of policies.
    pub told: News,
    /// What is measured.
    pub metrics: PolicyMetrics,
    /// `None`: it isn't known yet what the cloud can do, or another controller works.
    state: Mutex<Option<State>>,
    /// Something is to be looked at.
    news: Notify,
}

impl Policies {
    /// Empty caches, and the watches that fill them. `None`: policies are switched off.
    pub fn new(
        settings: &Settings,
        client: &Client,
        neutron: &Neutron,
        events: &Events,
        runtime: &Runtime,
    ) -> Option<(Arc<Self>, Parts)> {
        if !settings.network_policies.enabled {
            return None;
        }
        let (metrics, seconds): (&Metrics, _) = (&runtime.metrics, settings.controller.watch_seconds);
        let (policies, policy_feed) = cache(client, metrics, events, None, prune_policy);
        let (cluster_policies, cluster_feed) = cache(client, metrics, events, None, prune_cluster_policy);
        let (namespaces, namespace_feed) = cache(client, metrics, events, None, prune_namespace);
        let (objects, object_feed) = cache(client, metrics, events, None, prune_object);
        let (queue, inbox) = Queue::new();
        let (cluster_queue, cluster_inbox) = Queue::new();
        let parts = Parts {
            policies: policy_feed.lasting(seconds),
            cluster_policies: cluster_feed.lasting(seconds).optional(),
            namespaces: namespace_feed.lasting(seconds),
            objects: object_feed.lasting(seconds),
            inboxes: Inboxes { policies: inbox, cluster_policies: cluster_inbox },
        };
        let shared = Self {
            client: client.clone(),
            neutron: neutron.clone(),
            settings: settings.clone(),
            policies,
            cluster_policies,
            namespaces,
            objects,
            queue,
            cluster_queue,
            events: events.clone(),
            told: News::default(),
            metrics: metrics.policies.clone(),
            state: Mutex::default(),
            news: Notify::new(),
        };
        Some((Arc::new(shared), parts))
    }

    /// Reads or changes what is known. `None`: nothing is known yet.
    pub fn with<T>(&self, read: impl FnOnce(&mut State) -> T) -> Option<T> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(read)
    }

    /// Takes in what has come, gone or changed.
    pub fn learn(&self, facts: impl IntoIterator<Item = Fact>) {
        self.with(|state| state.learn(facts));
        self.news.notify_one();
    }

    /// Something is to be looked at: a port has changed, or a load balancer.
    pub fn wake(&self) {
        self.news.notify_one();
    }

    /// The cluster's name in marks.
    pub fn cluster(&self) -> &str {
        &self.settings.cluster
    }

    /// Has the policies told of that may be in force by now.
    fn tell(&self, state: &State) {
        for uid in state.unprogrammed.keys() {
            if let Some((namespace, name)) = state.policies.get(uid) {
                self.queue.add(Some(namespace), name);
            }
        }
        state.cluster_unprogrammed.keys().for_each(|name| self.cluster_queue.add(None, name));
    }
}

/// Shows what there is, and what of it isn't as it should be.
pub fn show(shared: &Arc<Policies>, admin: &Admin) {
    admin.show(shared.policies.clone(), shared.queue.clone());
    admin.show(shared.cluster_policies.clone(), shared.cluster_queue.clone());
    let objects = shared.objects.clone();
    admin.read_also(move |metrics| {
        let reason = |object: &Arc<KuryrNetworkPolicy>| {
            let conditions = object.status.iter().flat_map(|status| &status.conditions);
            let programmed = conditions.filter(|one| one.type_ == conditions::PROGRAMMED);
            programmed.map(|one| one.reason.clone()).next().unwrap_or_else(|| UPDATING.to_owned())
        };
        metrics.policies.set_policies(objects.all().iter().map(reason));
    });
}

fn prune_policy(policy: &mut NetworkPolicy) {
    policy.annotations_mut().clear();
    policy.labels_mut().clear();
}

fn prune_cluster_policy(policy: &mut ClusterNetworkPolicy) {
    policy.annotations_mut().clear();
    policy.labels_mut().clear();
}

/// Keeps the labels, which selectors read.
fn prune_namespace(namespace: &mut Namespace) {
    namespace.annotations_mut().clear();
    namespace.spec = None;
    namespace.status = None;
}

fn prune_object(object: &mut KuryrNetworkPolicy) {
    object.annotations_mut().clear();
    object.labels_mut().clear();
}
