//! One watch per kind, shared by all reconcilers: it fills the [`Cache`](super::cache::Cache).

use super::{Kind, cache::Shared, health::Health, metrics::Metrics};
use crate::error::kubernetes_reason;
use futures::{StreamExt, stream::BoxStream};
use kube::{
    Api, Client,
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt,
        watcher::{self, Config, watcher},
    },
};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Server-side length of one watch request, in seconds, unless it is set: a stalled connection is noticed within a minute.
pub const DEFAULT_WATCH_SECONDS: u32 = 50;

/// How often an idle feed says that it is alive.
const TICK: Duration = Duration::from_secs(5);

/// What a watch brings.
type Events<K> = BoxStream<'static, watcher::Result<watcher::Event<DeserializeGuard<K>>>>;

/// Called for every change of an object, in the order of the changes; the flag says that the object is gone. It must not write to the
/// same cache.
pub type Listener<K> = Box<dyn Fn(&K, bool) + Send>;

/// The watch behind a [`Cache`](super::cache::Cache). With it end the listeners.
pub struct Feed<K: Kind> {
    client: Client,
    fields: Option<&'static str>,
    known: Shared<K>,
    watch_seconds: u32,
    metrics: Metrics,
    trouble: String,
}

impl<K: Kind> Drop for Feed<K> {
    fn drop(&mut self) {
        self.known.lock().fall_silent();
    }
}

impl<K: Kind> Feed<K> {
    pub(super) fn new(client: Client, fields: Option<&'static str>, known: Shared<K>, metrics: Metrics) -> Self {
        Self { client, fields, known, watch_seconds: DEFAULT_WATCH_SECONDS, metrics, trouble: String::new() }
    }

    /// Adds a listener.
    pub fn listen(&mut self, listener: impl Fn(&K, bool) + Send + 'static) {
        self.known.lock().listen(Box::new(listener));
    }

    /// Sets the server-side length of one watch request. kube gives up a connection that is silent for 5 s longer.
    #[must_use]
    pub fn lasting(mut self, seconds: u32) -> Self {
        self.watch_seconds = seconds;
        self
    }

    /// Watches until `shutdown`.
    pub async fn run(mut self, health: Health, shutdown: CancellationToken) {
        let kind = K::kind(&()).into_owned();
        // From the API server's cache, and one object at a time: pages of a list are read from etcd.
        let mut events = self.events(Config::streaming_lists);
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                event = events.next() => match event {
                    Some(Ok(event)) => self.watched(event),
                    Some(Err(error)) if refuses_to_stream(&error) => {
                        tracing::info!(kind, "the API server doesn't stream lists, they are read in pages");
                        events = self.events(|config| config);
                    }
                    Some(Err(error)) => self.failed(&kind, &error),
                    None => return,
                },
                _ = tick.tick() => {}
            }
            health.alive(&kind);
        }
    }

    /// What the API server says of the kind: first what there is, then each change.
    fn events(&self, list: fn(Config) -> Config) -> Events<K> {
        let mut config = list(Config::default().timeout(self.watch_seconds));
        if let Some(fields) = self.fields {
            config = config.fields(fields);
        }
        watcher(Api::all(self.client.clone()), config).default_backoff().boxed()
    }

    pub(super) fn watched(&mut self, event: watcher::Event<DeserializeGuard<K>>) {
        if !self.trouble.is_empty() && !matches!(event, watcher::Event::Init) {
            tracing::info!(kind = %K::kind(&()), "watching again");
            self.trouble.clear();
        }
        self.known.lock().watched(event);
    }

    /// Tells a trouble once, not at each repetition.
    fn failed(&mut self, kind: &str, error: &watcher::Error) {
        self.metrics.watch_failed(kind);
        let reason = match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => kubernetes_reason(error),
            other => other.to_string(),
        };
        if reason != self.trouble {
            tracing::warn!(kind, error = reason, "can't watch, trying again");
            self.trouble = reason;
        }
    }
}

/// Whether the API server is one that lists only in pages: its feature WatchList is off (beta, and on, since Kubernetes 1.34).
fn refuses_to_stream(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 422)
}
