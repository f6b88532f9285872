//! What the reconcilers of Services share: caches, queues, what is known of Octavia, and which change starts which reconcile.

mod audit;
mod cloud;
mod departures;
mod index;
mod told;

pub use cloud::Cloud;

use departures::Departures;
use index::SliceIndex;

use crate::{
    load_balancer::{self, LoadBalancers, memory::Memory, pending::Pending},
    networks::Networks,
    policies::Policies,
    runtime::{
        admin::Admin,
        cache::{Cache, cache},
        events::Events,
        feed::Feed,
        health::Health,
        metrics::Metrics,
        news::News,
        part::spawn,
        queue::{Inbox, Queue, Runtime, work},
        retry::Retries,
        service_metrics::ServiceMetrics,
    },
    service::{self, facts},
    settings::Settings,
};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::{Api, Client, ResourceExt, api::ListParams};
use kuryr_api::{KuryrLoadBalancer, conditions};
use kuryr_core::{names, service::facts::Slice};
use kuryr_openstack::{neutron::Neutron, octavia::Octavia};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// What the reconcilers of Services share.
pub struct Services {
    /// The API server.
    pub client: Client,
    /// Octavia.
    pub octavia: Octavia,
    /// Neutron, for floating IPs.
    pub neutron: Neutron,
    /// The configuration.
    pub settings: Settings,
    /// Services.
    pub services: Cache<Service>,
    /// Their endpoints.
    pub slices: Cache<EndpointSlice>,
    /// What they ask of Octavia.
    pub load_balancers: Cache<KuryrLoadBalancer>,
    /// What is to be looked at.
    pub queues: Queues,
    /// What failed, and when it is tried again.
    pub retries: Retries,
    /// Events on the user's objects.
    pub events: Events,
    /// What Octavia has.
    pub memory: Memory,
    /// Load balancers that Octavia is at work on.
    pub pending: Pending,
    /// Load balancers that go, a few at a time.
    pub departures: Departures,
    /// What was told of Services' own words.
    pub news: News,
    /// What is measured.
    pub metrics: ServiceMetrics,
    /// What NetworkPolicies are told of Services, where they are enforced.
    pub policies: Option<Arc<Policies>>,
    /// Which EndpointSlices each Service has.
    slice_index: Mutex<SliceIndex>,
    known: watch::Sender<Option<Arc<Cloud>>>,
    /// The lists are there.
    listed: watch::Sender<bool>,
}

/// The queues of Services.
#[derive(Clone)]
pub struct Queues {
    /// Services.
    pub services: Queue<Service>,
    /// What they ask of Octavia.
    pub load_balancers: Queue<KuryrLoadBalancer>,
}

/// The watches, and the ends of the queues from which the reconcilers take.
pub struct Parts {
    services: Feed<Service>,
    slices: Feed<EndpointSlice>,
    load_balancers: Feed<KuryrLoadBalancer>,
    service_inbox: Inbox<Service>,
    load_balancer_inbox: Inbox<KuryrLoadBalancer>,
}

impl Services {
    /// Empty caches, and the watches that fill them.
    pub fn new(
        settings: &Settings,
        client: &Client,
        (octavia, neutron): (Octavia, Neutron),
        (events, policies): (&Events, Option<Arc<Policies>>),
        runtime: &Runtime,
    ) -> (Arc<Self>, Parts) {
        let (metrics, seconds): (&Metrics, _) = (&runtime.metrics, settings.controller.watch_seconds);
        let (services, service_feed) = cache(client, metrics, events, None, prune_service);
        let (slices, slice_feed) = cache(client, metrics, events, None, prune_slice);
        let (load_balancers, load_balancer_feed) = cache(client, metrics, events, None, prune_load_balancer);
        let (service_queue, service_inbox) = Queue::new();
        let (load_balancer_queue, load_balancer_inbox) = Queue::new();
        let parts = Parts {
            services: service_feed.lasting(seconds),
            slices: slice_feed.lasting(seconds),
            load_balancers: load_balancer_feed.lasting(seconds),
            service_inbox,
            load_balancer_inbox,
        };
        let shared = Self {
            client: client.clone(),
            octavia,
            neutron,
            settings: settings.clone(),
            services,
            slices,
            load_balancers,
            queues: Queues { services: service_queue, load_balancers: load_balancer_queue },
            retries: runtime.retries.clone(),
            events: events.clone(),
            memory: Memory::default(),
            pending: Pending::default(),
            departures: Departures::default(),
            news: News::default(),
            metrics: metrics.services.clone(),
            policies,
            slice_index: Mutex::default(),
            known: watch::Sender::new(None),
            listed: watch::Sender::new(false),
        };
        (Arc::new(shared), parts)
    }

    /// Services are switched off: what was made for them goes.
    pub const fn are_off(&self) -> bool {
        self.settings.services.subnets.is_empty()
    }

    /// Whether there is anything to do: Services are switched on, or something is left of the time when they were.
    pub async fn are_needed(&self) -> bool {
        if !self.are_off() {
            return true;
        }
        let one = ListParams::default().limit(1);
        let left = match Api::<KuryrLoadBalancer>::all(self.client.clone()).list_metadata(&one).await {
            Ok(left) => !left.items.is_empty(),
            // Where the kind isn't known there is none; else nobody knows, and there may be.
            Err(error) => !matches!(&error, kube::Error::Api(status) if status.is_not_found()),
        };
        match left {
            true => tracing::warn!(
                "Services are switched off (services.subnets names none): load balancers that are left go"
            ),
            false => tracing::info!("Services are switched off: services.subnets names none"),
        }
        left
    }

    /// What is known of Octavia and of the configured subnets. `None`: nothing yet.
    pub fn cloud(&self) -> Option<Arc<Cloud>> {
        self.known.borrow().clone()
    }

    /// Waits until the lists are there: of two who wait for the same list kube wakes only one.
    pub async fn listed(&self) {
        // The sender is ours.
        let _ = self.listed.subscribe().wait_for(|listed| *listed).await;
    }

    /// The API of the object's kind in its namespace.
    pub fn load_balancers_api(&self, object: &KuryrLoadBalancer) -> Api<KuryrLoadBalancer> {
        Api::namespaced(self.client.clone(), &object.namespace().unwrap_or_default())
    }

    /// The endpoints of a Service.
    pub fn slices_of(&self, namespace: &str, service: &str) -> Vec<Slice> {
        let names = self.slice_index().slices_of(namespace, service);
        let slices = names.iter().filter_map(|name| self.slices.get(Some(namespace), name));
        slices.filter_map(|slice| facts::slice(&slice)).collect()
    }

    /// Whether anybody has made an EndpointSlice for a Service.
    pub fn has_slices(&self, namespace: &str, service: &str) -> bool {
        !self.slice_index().slices_of(namespace, service).is_empty()
    }

    /// The name of a Service's load balancer.
    fn load_balancer_name(&self, namespace: &str, service: &str) -> Option<String> {
        let service = self.services.get(Some(namespace), service)?;
        Some(names::kuryr_load_balancer(&service.name_any(), &service.uid().unwrap_or_default()))
    }

    /// The load balancer of a Service.
    fn load_balancer_of(&self, namespace: &str, service: &str) -> Option<Arc<KuryrLoadBalancer>> {
        self.load_balancers.get(Some(namespace), &self.load_balancer_name(namespace, service)?)
    }

    fn slice_index(&self) -> MutexGuard<'_, SliceIndex> {
        self.slice_index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the load balancer of a Service looked at.
    fn add_load_balancer_of(&self, namespace: &str, service: &str) {
        if let Some(name) = self.load_balancer_name(namespace, service) {
            self.queues.load_balancers.add(Some(namespace), &name);
        }
    }
}

impl Parts {
    /// Has each change start the reconciles that it concerns.
    fn connect(&mut self, shared: &Arc<Services>) {
        let all = shared.clone();
        self.services.listen(move |service, gone| {
            let (namespace, name) = (service.namespace(), service.name_any());
            all.queues.services.add(namespace.as_deref(), &name);
            if gone {
                all.news.forget(&service.uid().unwrap_or_default());
                let name = names::kuryr_load_balancer(&name, &service.uid().unwrap_or_default());
                all.queues.load_balancers.add(namespace.as_deref(), &name);
            }
        });
        let all = shared.clone();
        self.slices.listen(move |slice, gone| {
            let Some(namespace) = slice.namespace() else { return };
            let service = facts::service_of(slice).filter(|_| !gone);
            // Before the queue is told: who looks then finds it.
            let changed = all.slice_index().put(&namespace, &slice.name_any(), service);
            for service in changed {
                all.add_load_balancer_of(&namespace, &service);
                if let Some(object) = all.load_balancer_of(&namespace, &service) {
                    all.tell_policies(Some(&namespace), &object.name_any(), &object.spec.service_uid);
                }
            }
        });
        let all = shared.clone();
        self.load_balancers.listen(move |object, gone| {
            let namespace = object.namespace();
            all.queues.load_balancers.add(namespace.as_deref(), &object.name_any());
            all.queues.services.add(namespace.as_deref(), &object.spec.service_name);
            all.tell_policies(namespace.as_deref(), &object.name_any(), &object.spec.service_uid);
            if gone {
                all.memory.forget(&object.uid().unwrap_or_default());
                all.departures.left(&object.uid().unwrap_or_default());
            }
        });
    }

    /// Connects the watches, and starts them.
    pub fn watch(
        mut self,
        shared: &Arc<Services>,
        health: &Health,
        stop: &CancellationToken,
        parts: &mut JoinSet<&'static str>,
    ) -> Inboxes {
        self.connect(shared);
        let Self { services, slices, load_balancers, service_inbox, load_balancer_inbox } = self;
        spawn(parts, "watch of Services", services.run(health.clone(), stop.clone()));
        spawn(parts, "watch of EndpointSlices", slices.run(health.clone(), stop.clone()));
        spawn(parts, "watch of KuryrLoadBalancers", load_balancers.run(health.clone(), stop.clone()));
        Inboxes { services: service_inbox, load_balancers: load_balancer_inbox }
    }
}

/// The ends of the queues from which the reconcilers take.
pub struct Inboxes {
    services: Inbox<Service>,
    load_balancers: Inbox<KuryrLoadBalancer>,
}

/// Shows what there is, and what of it isn't as it should be.
pub fn show(shared: &Arc<Services>, admin: &Admin) {
    admin.show(shared.services.clone(), shared.queues.services.clone());
    admin.show(shared.load_balancers.clone(), shared.queues.load_balancers.clone());
    let objects = shared.load_balancers.clone();
    admin.read_also(move |metrics| {
        let reason = |object: &Arc<KuryrLoadBalancer>| {
            let conditions = object.status.iter().flat_map(|status| &status.conditions);
            let ready = conditions.filter(|one| one.type_ == conditions::READY).map(|one| one.reason.clone()).next();
            ready.unwrap_or_else(|| conditions::load_balancer::PENDING.to_owned())
        };
        metrics.services.set_load_balancers(objects.all().iter().map(reason));
    });
}

/// Starts the reconcilers of Services and what goes with them. They wait for their own lists, and for Octavia: pods don't.
pub fn start(
    shared: &Arc<Services>,
    networks: &Arc<Networks>,
    inboxes: Inboxes,
    runtime: &Runtime,
    workers: &mut JoinSet<&'static str>,
) {
    let (all, many, stop) = (shared.clone(), shared.settings.controller.concurrency, runtime.shutdown.clone());
    let listed = CancellationToken::new();
    spawn(workers, "start of Services", begin(all.clone(), networks.clone(), listed.clone(), stop.clone()));
    let services = Arc::new(service::Services(all.clone()));
    let (cache, queue) = (all.services.clone(), all.queues.services.clone());
    let worked = work(services, cache, queue, inboxes.services, many.services, runtime.clone());
    spawn(workers, "Services", after(listed.clone(), stop.clone(), worked));
    let load_balancers = Arc::new(LoadBalancers(all.clone()));
    let (cache, queue) = (all.load_balancers.clone(), all.queues.load_balancers.clone());
    let worked = work(load_balancers, cache, queue, inboxes.load_balancers, many.load_balancers, runtime.clone());
    spawn(workers, "KuryrLoadBalancers", after(listed, stop.clone(), worked));
    spawn(workers, "pending load balancers", load_balancer::pending::run(all.clone(), stop.clone()));
    spawn(workers, "audit of load balancers", audit::run(all, stop));
}

/// Does the work when the lists are there. Not before: of two who wait for the same list kube wakes only one.
async fn after(listed: CancellationToken, stop: CancellationToken, work: impl Future<Output = ()>) {
    if stop.run_until_cancelled(listed.cancelled()).await.is_some() {
        work.await;
    }
}

/// Waits for the lists and for what the cloud is, has everything looked at, and looks at the cloud now and then.
async fn begin(shared: Arc<Services>, networks: Arc<Networks>, listed: CancellationToken, stop: CancellationToken) {
    let synced = async {
        tokio::join!(shared.services.synced(), shared.slices.synced(), shared.load_balancers.synced());
    };
    if stop.run_until_cancelled(synced).await.is_none() {
        return;
    }
    shared.listed.send_replace(true);
    listed.cancel();
    // What goes needs nothing but Octavia itself; the rest waits until the cloud is known.
    shared.queues.services.open();
    shared.queues.load_balancers.open();
    look_over_all(&shared);
    let changed = || {
        look_over_all(&shared);
        shared.tell_policies_of_all();
    };
    stop.run_until_cancelled(cloud::follow(&shared, &networks, changed)).await;
    // A part that ends by itself ends the controller.
    stop.cancelled().await;
}

fn look_over_all(shared: &Services) {
    let queues = &shared.queues;
    for service in shared.services.all() {
        queues.services.look_over(service.namespace().as_deref(), &service.name_any());
    }
    for object in shared.load_balancers.all() {
        queues.load_balancers.look_over(object.namespace().as_deref(), &object.name_any());
    }
}

/// Keeps what decisions read of a Service: its annotations are the user's words.
fn prune_service(service: &mut Service) {
    service.labels_mut().retain(|label, _| facts::is_read(label));
}

/// Keeps of the labels whose the slice is, and for whom.
fn prune_slice(slice: &mut EndpointSlice) {
    slice.annotations_mut().clear();
    slice.labels_mut().retain(|label, _| facts::is_read(label));
}

fn prune_load_balancer(object: &mut KuryrLoadBalancer) {
    object.annotations_mut().clear();
    object.labels_mut().clear();
}
