//! Metrics of the controller.

use super::{policy_metrics::PolicyMetrics, service_metrics::ServiceMetrics};
use kuryr_core::error::Class;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::{sync::atomic::AtomicU64, time::Duration};

/// Buckets from a millisecond to four minutes: a pod's way is measured in both.
const BUCKETS: [f64; 18] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 240.0];

/// The kind of the objects that a measurement is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: String,
}

/// What a reconcile came to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    kind: String,
    result: &'static str,
}

/// How a pod got its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Claimed {
    /// A free port that no pod had before.
    Hit,
    /// A free port that another pod had.
    Recycled,
    /// None was free: one had to be made.
    Miss,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Claims {
    result: Claimed,
}

/// A state of pools' ports.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InState {
    state: &'static str,
}

/// Why an address was released without its node's word.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    why: &'static str,
}

/// All metrics of the controller. A clone counts into the same values.
#[derive(Clone)]
pub struct Metrics {
    reconciles: Family<Outcome, Counter>,
    durations: Family<OfKind, Histogram, fn() -> Histogram>,
    waits: Family<OfKind, Histogram, fn() -> Histogram>,
    depth: Family<OfKind, Gauge>,
    objects: Family<OfKind, Gauge>,
    malformed: Family<OfKind, Gauge>,
    silence: Family<OfKind, Gauge>,
    watch_errors: Family<OfKind, Counter>,
    pods_waiting: Gauge,
    allocation: Histogram,
    adopted: Counter,
    surplus: Counter,
    released: Family<Why, Counter>,
    claims: Family<Claims, Counter>,
    pool_ports: Family<InState, Gauge>,
    leader: Gauge,
    converged: Gauge<f64, AtomicU64>,
    fenced: Counter,
    networks_resolved: Gauge,
    configuration_wrong: Gauge,
    /// What is measured of Services.
    pub services: ServiceMetrics,
    /// Of NetworkPolicies.
    pub policies: PolicyMetrics,
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

impl Metrics {
    /// Registers all metrics.
    pub fn new(registry: &mut Registry) -> Self {
        let new = Self {
            reconciles: Family::default(),
            durations: Family::new_with_constructor(histogram),
            waits: Family::new_with_constructor(histogram),
            depth: Family::default(),
            objects: Family::default(),
            malformed: Family::default(),
            silence: Family::default(),
            watch_errors: Family::default(),
            pods_waiting: Gauge::default(),
            allocation: histogram(),
            adopted: Counter::default(),
            surplus: Counter::default(),
            released: Family::default(),
            claims: Family::default(),
            pool_ports: Family::default(),
            leader: Gauge::default(),
            converged: Gauge::default(),
            fenced: Counter::default(),
            networks_resolved: Gauge::default(),
            configuration_wrong: Gauge::default(),
            services: ServiceMetrics::new(registry),
            policies: PolicyMetrics::new(registry),
        };
        new.clone().register_work(registry);
        new.clone().register_pods(registry);
        new
    }

    /// Of the work itself.
    fn register_work(self, registry: &mut Registry) {
        let m = self;
        registry.register(
            "kuryr_reconciles",
            "Reconciles by kind and result (ok or the class of the error)",
            m.reconciles,
        );
        registry.register("kuryr_reconcile_duration_seconds", "Time that a reconcile took", m.durations);
        registry.register("kuryr_queue_wait_seconds", "Time that an object waited for its reconcile", m.waits);
        registry.register("kuryr_queue_depth", "Objects that wait for their reconcile", m.depth);
        registry.register("kuryr_cached_objects", "Objects in the cache", m.objects);
        registry.register("kuryr_malformed_objects", "Objects that can't be read and are left alone", m.malformed);
        registry.register(
            "kuryr_watch_silence_seconds",
            "Time since the watch last said anything: a change, a bookmark, the beginning of a request",
            m.silence,
        );
        registry.register("kuryr_watch_errors", "Failed watch requests", m.watch_errors);
        registry.register("kuryr_leader", "1 while this controller is the leader, which alone writes", m.leader);
        let help = "Time from the start, or from the end of the wait for another leader, until everything had been looked at; 0 before";
        registry.register("kuryr_converged_seconds", help, m.converged);
        let help = "Writes that were not sent because this controller was not the leader (any more)";
        registry.register("kuryr_fenced_writes", help, m.fenced);
        let help = "1 once Neutron has said what the configured subnets and security groups are; 0 while the controller waits for that, or works with what KuryrPools remember";
        registry.register("kuryr_networks_resolved", help, m.networks_resolved);
        let help = "1 while OpenStack says that the login or a configured subnet or security group is wrong";
        registry.register("kuryr_configuration_wrong", help, m.configuration_wrong);
    }

    /// Of pods and their ports.
    fn register_pods(self, registry: &mut Registry) {
        let m = self;
        registry.register("kuryr_pods_waiting", "Pods that wait for their Neutron port", m.pods_waiting);
        let help = "Time from the moment that the controller saw the pod scheduled until its addresses were published";
        registry.register("kuryr_pod_allocation_seconds", help, m.allocation);
        registry.register(
            "kuryr_neutron_ports_adopted",
            "Neutron ports found again after a lost answer or a restart",
            m.adopted,
        );
        let help = "Second Neutron ports of the same object, left by a lost answer, that were deleted";
        registry.register("kuryr_neutron_ports_surplus", help, m.surplus);
        let help = "KuryrPorts released without their node's word, because it was gone or silent";
        registry.register("kuryr_ports_released_without_node", help, m.released);
        let help = "Ports that pods got: Hit (a free one), Recycled (a free one that another pod had) or Miss (made for the pod)";
        registry.register("kuryr_pool_claims", help, m.claims);
        registry.register("kuryr_pool_ports", "Ports of all pools by state", m.pool_ports);
    }

    /// A reconcile has ended.
    pub fn reconciled(&self, kind: &str, took: Duration, failure: Option<Class>) {
        let result = failure.map_or("ok", Class::as_str);
        self.reconciles.get_or_create(&Outcome { kind: kind.to_owned(), result }).inc();
        self.durations.get_or_create(&OfKind { kind: kind.to_owned() }).observe(took.as_secs_f64());
    }

    /// An object's turn has come.
    pub fn queue_waited(&self, kind: &str, waited: Duration) {
        self.waits.get_or_create(&OfKind { kind: kind.to_owned() }).observe(waited.as_secs_f64());
    }

    /// A watch request has failed.
    pub fn watch_failed(&self, kind: &str) {
        self.watch_errors.get_or_create(&OfKind { kind: kind.to_owned() }).inc();
    }

    /// A pod's addresses are published.
    pub fn allocated(&self, took: Duration) {
        self.allocation.observe(took.as_secs_f64());
    }

    /// A Neutron port was found again.
    pub fn adopted(&self) {
        self.adopted.inc();
    }

    /// A second Neutron port of an object was deleted.
    pub fn surplus_deleted(&self) {
        self.surplus.inc();
    }

    /// A pod got a port.
    pub fn claimed(&self, result: Claimed) {
        self.claims.get_or_create(&Claims { result }).inc();
    }

    /// Sets the number of ports of all pools in each state.
    pub fn set_pool_ports(&self, states: &[(&'static str, u32)]) {
        for (state, ports) in states {
            self.pool_ports.get_or_create(&InState { state }).set(i64::from(*ports));
        }
    }

    /// An address was released without its node's word.
    pub fn released_without_node(&self, why: &'static str) {
        self.released.get_or_create(&Why { why }).inc();
    }

    /// A write was not sent because of the fence.
    pub fn fenced(&self) {
        self.fenced.inc();
    }

    /// Everything has been looked at once, this long after work could begin. Zero: not yet.
    pub fn set_converged(&self, took: Duration) {
        self.converged.set(took.as_secs_f64());
    }

    /// Sets whether this controller is the leader.
    pub fn set_leader(&self, is_leader: bool) {
        self.leader.set(is_leader.into());
    }

    /// Sets whether Neutron has said what the configured networks are, and whether OpenStack calls the configuration wrong.
    pub fn set_networks(&self, resolved: bool, wrong: bool) {
        self.networks_resolved.set(resolved.into());
        self.configuration_wrong.set(wrong.into());
    }

    /// Sets the values that are only read when somebody asks.
    pub fn set_kind(&self, kind: &str, objects: usize, malformed: usize, depth: usize, silence: Option<Duration>) {
        let label = OfKind { kind: kind.to_owned() };
        let count = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        self.objects.get_or_create(&label).set(count(objects));
        self.malformed.get_or_create(&label).set(count(malformed));
        self.depth.get_or_create(&label).set(count(depth));
        if let Some(silence) = silence {
            self.silence.get_or_create(&label).set(i64::try_from(silence.as_secs()).unwrap_or(i64::MAX));
        }
    }

    /// Sets the number of pods that wait for their port.
    pub fn set_pods_waiting(&self, pods: usize) {
        self.pods_waiting.set(i64::try_from(pods).unwrap_or(i64::MAX));
    }
}
