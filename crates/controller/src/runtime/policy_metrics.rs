//! Metrics of NetworkPolicies.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::{collections::BTreeMap, time::Duration};

/// Buckets from a few requests to Neutron to what nobody waits for.
const BUCKETS: [f64; 10] = [0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 5.0, 15.0, 60.0, 300.0];

/// Whether a policy is in force (`AsDesired`), or why not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Programmed {
    reason: String,
}

/// What is measured of NetworkPolicies. A clone counts into the same values.
#[derive(Clone)]
pub struct PolicyMetrics {
    programmed: Histogram,
    policies: Family<Programmed, Gauge>,
    pending: Gauge,
    failing: Gauge,
    unsettled: Gauge,
}

impl PolicyMetrics {
    /// Registers all of them.
    pub fn new(registry: &mut Registry) -> Self {
        let new = Self {
            programmed: Histogram::new(BUCKETS),
            policies: Family::default(),
            pending: Gauge::default(),
            failing: Gauge::default(),
            unsettled: Gauge::default(),
        };
        let m = new.clone();
        let help = "Time from the change of a NetworkPolicy until Neutron had it, and all pods that it selects";
        registry.register("kuryr_network_policy_programmed_seconds", help, m.programmed);
        let help = "KuryrNetworkPolicies by the reason of their condition Programmed; AsDesired: they are in force";
        registry.register("kuryr_network_policies", help, m.policies);
        let help = "Security groups and address groups that are to be compared with Neutron or changed there";
        registry.register("kuryr_policy_groups_pending", help, m.pending);
        let help = "Security groups and address groups whose last change failed";
        registry.register("kuryr_policy_groups_failing", help, m.failing);
        let help = "Pods whose ports may not have the security groups that they are to have";
        registry.register("kuryr_policy_pods_unsettled", help, m.unsettled);
        new
    }

    /// A change of a policy is in force.
    pub fn programmed(&self, took: Duration) {
        self.programmed.observe(took.as_secs_f64());
    }

    /// How many policies there are, by the reason of their condition `Programmed`.
    pub fn set_policies(&self, reasons: impl Iterator<Item = String>) {
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        reasons.for_each(|reason| *counts.entry(reason).or_default() += 1);
        self.policies.clear();
        for (reason, count) in counts {
            self.policies.get_or_create(&Programmed { reason }).set(count);
        }
    }

    /// How much is still to be done.
    pub fn set_work(&self, pending: usize, failing: usize, unsettled: usize) {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.pending.set(count(pending));
        self.failing.set(count(failing));
        self.unsettled.set(count(unsettled));
    }
}
