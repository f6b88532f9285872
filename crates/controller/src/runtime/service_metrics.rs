//! Metrics of Services.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::{collections::BTreeMap, time::Duration};

/// Buckets from a tenth of a second, which no Octavia is quicker than, to half an hour: an amphora may take minutes.
const BUCKETS: [f64; 14] = [0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0, 8.0, 15.0, 60.0, 240.0, 600.0, 1800.0];

/// Why a load balancer isn't ready, or that it is (`AsDesired`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ready {
    reason: String,
}

/// What is measured of Services. A clone counts into the same values.
#[derive(Clone)]
pub struct ServiceMetrics {
    ready: Histogram,
    load_balancers: Family<Ready, Gauge>,
    parts_left: Gauge,
}

impl ServiceMetrics {
    /// Registers all of them.
    pub fn new(registry: &mut Registry) -> Self {
        let new =
            Self { ready: Histogram::new(BUCKETS), load_balancers: Family::default(), parts_left: Gauge::default() };
        let m = new.clone();
        let help = "Time from the creation of a KuryrLoadBalancer until its Service was served";
        registry.register("kuryr_service_ready_seconds", help, m.ready);
        let help = "KuryrLoadBalancers by the reason of their condition Ready; AsDesired: it is";
        registry.register("kuryr_load_balancers", help, m.load_balancers);
        let help =
            "Listeners and pools in Octavia whose load balancer is gone: nobody but its operator can delete them";
        registry.register("kuryr_octavia_parts_left", help, m.parts_left);
        new
    }

    /// A Service is served for the first time.
    pub fn served(&self, took: Duration) {
        self.ready.observe(took.as_secs_f64());
    }

    /// How many KuryrLoadBalancers there are, by the reason of their condition `Ready`.
    pub fn set_load_balancers(&self, reasons: impl Iterator<Item = String>) {
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        reasons.for_each(|reason| *counts.entry(reason).or_default() += 1);
        self.load_balancers.clear();
        for (reason, count) in counts {
            self.load_balancers.get_or_create(&Ready { reason }).set(count);
        }
    }

    /// How many listeners and pools have no load balancer any more.
    pub fn set_parts_left(&self, parts: usize) {
        self.parts_left.set(i64::try_from(parts).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;

    #[test]
    fn reasons_that_nobody_has_any_more_are_gone() {
        let mut registry = Registry::default();
        let metrics = ServiceMetrics::new(&mut registry);
        metrics.set_load_balancers(["Creating", "AsDesired", "Creating"].map(str::to_owned).into_iter());
        let text = |registry: &Registry| {
            let mut text = String::new();
            encode(&mut text, registry).unwrap();
            text
        };
        assert!(text(&registry).contains("kuryr_load_balancers{reason=\"Creating\"} 2"));
        metrics.set_load_balancers(["AsDesired".to_owned()].into_iter());
        let now = text(&registry);
        assert!(now.contains("kuryr_load_balancers{reason=\"AsDesired\"} 1") && !now.contains("Creating\"}"), "{now}");
    }
}
