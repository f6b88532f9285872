//! What the client counts and measures.

use crate::Priority;
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
struct WaitingLabels {
    service: &'static str,
    /// What the request is for.
    priority: &'static str,
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
    limits: Family<ServiceLabels, Gauge>,
    waiting: Family<WaitingLabels, Gauge>,
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
            limits: Family::default(),
            waiting: Family::default(),
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
        registry.register(
            "openstack_requests_limit",
            "How many requests may be in flight now: what the service is found able to answer in good time",
            metrics.limits.clone(),
        );
        registry.register(
            "openstack_requests_waiting",
            "Requests that wait for their turn, by what they are for",
            metrics.waiting.clone(),
        );
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

    /// Counts a request as waiting until the guard is dropped.
    pub(crate) fn waiting(&self, service: &'static str, priority: Priority) -> InFlight {
        let gauge = self.waiting.get_or_create_owned(&WaitingLabels { service, priority: priority.as_str() });
        gauge.inc();
        InFlight(gauge)
    }

    /// The limit of a service is this now. Its waiting requests are told as none until there are some.
    pub(crate) fn limit(&self, service: &'static str, limit: usize) {
        self.limits.get_or_create(&ServiceLabels { service }).set(i64::try_from(limit).unwrap_or(i64::MAX));
        for priority in Priority::ALL {
            let _ = self.waiting.get_or_create(&WaitingLabels { service, priority: priority.as_str() });
        }
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

/// One request in flight, or one that waits.
#[derive(Debug)]
pub(crate) struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
