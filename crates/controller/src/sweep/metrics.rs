//! Metrics of the sweep.

use jiff::Timestamp;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use std::collections::BTreeMap;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// All reasons: those that nothing is found for are shown as 0.
const REASONS: [&str; 5] = ["orphan", "surplus", "in_use", "missing", "changed"];

/// Metrics of the sweep. A clone counts into the same values.
#[derive(Clone, Default)]
pub struct SweepMetrics {
    found: Family<Reason, Gauge>,
    removed: Family<Reason, Counter>,
    failures: Counter,
    refused: Gauge,
    marked: Gauge,
    last: Gauge,
}

impl SweepMetrics {
    /// Registers all metrics.
    pub fn new(registry: &mut Registry) -> Self {
        let new = Self::default();
        let m = new.clone();
        let help = "Neutron ports that the last sweep found not to be as they should, by reason";
        registry.register("kuryr_sweep_found", help, m.found);
        registry.register("kuryr_sweep_removed", "Neutron ports that the sweep has removed, by reason", m.removed);
        registry.register("kuryr_sweep_failures", "Sweeps that could not be carried through", m.failures);
        let help = "1 while so many ports have no object that the sweep removes none";
        registry.register("kuryr_sweep_refused", help, m.refused);
        let help = "Neutron ports with this cluster's mark at the last sweep";
        registry.register("kuryr_sweep_marked_ports", help, m.marked);
        let help = "Time of the last sweep that was carried through, in seconds since 1970; 0: none yet";
        registry.register("kuryr_sweep_last_success_timestamp_seconds", help, m.last);
        for reason in REASONS {
            new.found.get_or_create(&Reason { reason }).set(0);
        }
        new
    }

    /// A sweep was carried through.
    pub fn swept(&self, found: &BTreeMap<&'static str, usize>, marked: usize, refused: bool) {
        let count = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        for reason in REASONS {
            let found = found.get(reason).copied().unwrap_or_default();
            self.found.get_or_create(&Reason { reason }).set(count(found));
        }
        self.marked.set(count(marked));
        self.refused.set(refused.into());
        self.last.set(Timestamp::now().as_second());
    }

    /// A port was removed.
    pub fn removed(&self, reason: &'static str) {
        self.removed.get_or_create(&Reason { reason }).inc();
    }

    /// A sweep could not be carried through.
    pub fn failed(&self) {
        self.failures.inc();
    }
}
