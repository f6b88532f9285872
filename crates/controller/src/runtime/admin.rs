//! The admin server: `/live`, `/ready`, `/metrics`, `/debug/state`.

use super::{Kind, cache::Cache, health::Health, leader::Standing, metrics::Metrics, queue::Queue, retry::Retries};
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::{encoding::text::encode, registry::Registry};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio_util::sync::CancellationToken;

/// Content type of the OpenMetrics text format.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Reads the state of one kind, and sets its metrics: its name and what `/debug/state` says of it.
type Reader = Box<dyn Fn(&Metrics) -> (String, Value) + Send>;

/// Sets values that are only read when somebody asks.
type Setter = Box<dyn Fn(&Metrics) + Send>;

/// What the server shows.
#[derive(Clone)]
pub struct Admin(Arc<Shown>);

struct Shown {
    registry: Registry,
    health: Health,
    metrics: Metrics,
    retries: Retries,
    standing: Standing,
    kinds: Mutex<Vec<Reader>>,
    readers: Mutex<Vec<Setter>>,
}

impl Admin {
    /// A server that shows these.
    #[must_use]
    pub fn new(registry: Registry, health: Health, metrics: Metrics, retries: Retries, standing: Standing) -> Self {
        let (kinds, readers) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Shown { registry, health, metrics, retries, standing, kinds, readers }))
    }

    /// Shows a kind's cache and queue too.
    pub fn show<K: Kind>(&self, cache: Cache<K>, queue: Queue<K>) {
        let read = move |metrics: &Metrics| {
            let kind = K::kind(&()).into_owned();
            let (malformed, silence) = (cache.malformed(), cache.silence());
            metrics.set_kind(&kind, cache.len(), malformed.len(), queue.depth(), silence);
            let state = json!({
                "objects": cache.len(),
                "malformed": malformed,
                "queued": queue.depth(),
                "watchSilenceSeconds": silence.map(|silence| silence.as_secs()),
            });
            (kind, state)
        };
        self.0.kinds.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(read));
    }

    /// What sets further values that are only read when somebody asks.
    pub fn read_also(&self, read: impl Fn(&Metrics) + Send + 'static) {
        self.0.readers.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(read));
    }

    /// Shows no kind any more, until new caches and queues are shown.
    pub fn clear(&self) {
        self.0.kinds.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.0.readers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Serves until `shutdown`.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, listener: tokio::net::TcpListener, shutdown: CancellationToken) -> std::io::Result<()> {
        let app = Router::new()
            .route("/live", get(live))
            .route("/ready", get(ready))
            .route("/metrics", get(metrics))
            .route("/debug/state", get(state))
            .with_state(self);
        axum::serve(listener, app).with_graceful_shutdown(shutdown.cancelled_owned()).await
    }

    /// Reads the state of every kind, and with it sets the values that are only read when somebody asks.
    fn read(&self) -> BTreeMap<String, Value> {
        self.0.metrics.set_leader(self.0.standing.is_leader());
        for read in self.0.readers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            read(&self.0.metrics);
        }
        let kinds = self.0.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.iter().map(|read| read(&self.0.metrics)).collect()
    }
}

async fn live(State(admin): State<Admin>) -> Response {
    let stuck = admin.0.health.stuck();
    if stuck.is_empty() {
        return "alive\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, stuck.join("\n") + "\n").into_response()
}

async fn ready(State(admin): State<Admin>) -> Response {
    if admin.0.health.is_ready() {
        return "ready\n".into_response();
    }
    let waits = format!("starting: waiting for {}\n", admin.0.health.waiting_for());
    (StatusCode::SERVICE_UNAVAILABLE, waits).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    admin.read();
    let mut text = String::new();
    match encode(&mut text, &admin.0.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn state(State(admin): State<Admin>) -> Json<Value> {
    Json(json!({
        "ready": admin.0.health.is_ready(),
        "election": admin.0.standing.seen(),
        "stuck": admin.0.health.stuck(),
        "kinds": admin.read(),
        "runningMilliseconds": admin.0.health.running(),
        "failing": admin.0.retries.all(),
    }))
}
