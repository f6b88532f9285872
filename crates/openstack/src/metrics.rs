//! What the client counts and measures.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::time::Duration;

/// Bounds of the duration histogram in seconds: a GET takes 20 ms, a bulk of a hundred ports half a minute.
const BUCKETS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

/// What a request was.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    service: &'static str,
    method: String,
    resource: &'static str,
}

/// What a request was and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    service: &'static str,
    method: String,
    resource: &'static str,
    /// `2xx` and so on, or the kind of the failure when there was no answer.
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceLabels {
    service: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LoginLabels {
    result: &'static str,
}

/// The client's metrics. Cheap to clone; all clones count into the same.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Family<OutcomeLabels, Counter>,
    durations: Family<RequestLabels, Histogram, fn() -> Histogram>,
    in_flight: Family<ServiceLabels, Gauge>,
    retries: Family<RequestLabels, Counter>,
    logins: Family<LoginLabels, Counter>,
}

impl Metrics {
    /// Makes the metrics and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            in_flight: Family::default(),
            retries: Family::default(),
            logins: Family::default(),
        };
        registry.register(
            "openstack_requests",
            "HTTP requests to OpenStack, every attempt counted, by status class",
            metrics.requests.clone(),
        );
        registry.register(
            "openstack_request_duration_seconds",
            "Time of one attempt from sending to the end of the answer",
            metrics.durations.clone(),
        );
        registry.register("openstack_requests_in_flight", "Requests being answered now", metrics.in_flight.clone());
        registry.register("openstack_retries", "Attempts after the first one of a request", metrics.retries.clone());
        registry.register("openstack_logins", "Logins to Keystone by result", metrics.logins.clone());
        metrics
    }

    /// Counts a request as in flight until the guard is dropped, also when the caller is cancelled.
    pub(crate) fn in_flight(&self, service: &'static str) -> InFlight {
        let gauge = self.in_flight.get_or_create_owned(&ServiceLabels { service });
        gauge.inc();
        InFlight(gauge)
    }

    pub(crate) fn finished(
        &self,
        service: &'static str,
        method: &reqwest::Method,
        resource: &'static str,
        status: &'static str,
        took: Duration,
    ) {
        let method = method.to_string();
        self.durations
            .get_or_create(&RequestLabels { service, method: method.clone(), resource })
            .observe(took.as_secs_f64());
        self.requests.get_or_create(&OutcomeLabels { service, method, resource, status }).inc();
    }

    pub(crate) fn retried(&self, service: &'static str, method: &reqwest::Method, resource: &'static str) {
        self.retries.get_or_create(&RequestLabels { service, method: method.to_string(), resource }).inc();
    }

    pub(crate) fn logged_in(&self, succeeded: bool) {
        let result = if succeeded { "success" } else { "failure" };
        self.logins.get_or_create(&LoginLabels { result }).inc();
    }
}

/// One request in flight.
#[derive(Debug)]
pub(crate) struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
