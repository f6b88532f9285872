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
        // From the API server's cache, and one object at a time: pages of a list may be read from etcd.
        let mut events = self.events(Config::streaming_lists);
        let (mut streams, mut is_whole) = (true, true);
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                event = events.next() => match event {
                    // Cut off, by the time limit of a watch perhaps, and begun anew: pages have no such limit.
                    Some(Ok(watcher::Event::Init)) if streams && !is_whole => {
                        (events, streams) = (self.pages(&kind), false);
                    }
                    Some(Ok(event)) => {
                        is_whole = !matches!(event, watcher::Event::Init | watcher::Event::InitApply(_));
                        self.watched(event);
                    }
                    Some(Err(error)) if streams && refuses_to_stream(&error) => {
                        (events, streams) = (self.pages(&kind), false);
                    }
                    Some(Err(error)) => self.failed(&kind, &error),
                    None => return,
                },
                _ = tick.tick() => {}
            }
            health.alive(&kind);
        }
    }

    fn pages(&self, kind: &str) -> Events<K> {
        tracing::info!(kind, "the API server doesn't stream the list, it is read in pages");
        self.events(|config| config)
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

/// Whether the API server is one that lists only in pages: its feature WatchList is off (422), or its etcd is older than 3.4.31 or
/// 3.5.13 and can't tell how far it is (500). Another error of these kinds does no harm: pages are only slower.
fn refuses_to_stream(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) | watcher::Error::WatchError(status) => {
            matches!(status.code, 422 | 500)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::runtime::{cache::cache, events::Events, health::Health, metrics::Metrics};
    use http::{Request, Response};
    use kube::{Client, client::Body};
    use kuryr_api::KuryrPool;
    use prometheus_client::registry::Registry;
    use serde_json::json;
    use std::{convert::Infallible, time::Duration};
    use tokio_util::sync::CancellationToken;

    fn answer(status: u16, body: &serde_json::Value) -> Response<Body> {
        let body = format!("{body}\n").into_bytes();
        Response::builder().status(status).body(Body::from(body)).unwrap()
    }

    fn refusal(code: u16) -> serde_json::Value {
        json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "R", "message": "no", "code": code })
    }

    /// Waits until the cache is filled by an API server that answers so to who wants a list as a stream.
    async fn filled(streamed: fn() -> Response<Body>) {
        let server = tower::service_fn(move |request: Request<Body>| async move {
            let query = request.uri().query().unwrap_or_default();
            if query.contains("sendInitialEvents=true") {
                return Ok::<_, Infallible>(streamed());
            }
            if query.contains("watch=true") {
                std::future::pending::<()>().await;
            }
            let list = json!({ "kind": "KuryrPoolList", "apiVersion": "kuryr.openstack.org/v1alpha1", "metadata": { "resourceVersion": "1" }, "items": [] });
            Ok(answer(200, &list))
        });
        let client = Client::new(server, "default");
        let metrics = Metrics::new(&mut Registry::default());
        let (pools, feed) = cache::<KuryrPool>(&client, &metrics, &Events::new(client.clone()), None, |_| {});
        let stop = CancellationToken::new();
        tokio::spawn(feed.run(Health::default(), stop.clone()));
        assert!(tokio::time::timeout(Duration::from_secs(600), pools.synced()).await.unwrap());
        stop.cancel();
    }

    #[tokio::test(start_paused = true)]
    async fn lists_come_in_pages_where_the_feature_is_off() {
        filled(|| answer(422, &refusal(422))).await;
    }

    #[tokio::test(start_paused = true)]
    async fn lists_come_in_pages_where_etcd_is_too_old() {
        filled(|| answer(200, &json!({ "type": "ERROR", "object": refusal(500) }))).await;
    }

    #[tokio::test(start_paused = true)]
    async fn lists_come_in_pages_where_a_stream_ends_too_early() {
        filled(|| Response::new(Body::empty())).await;
    }
}
