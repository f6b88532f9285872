//! One watch per kind, shared by all reconcilers: it fills the [`Cache`](super::cache::Cache).

use super::{Kind, cache::Shared, health::Health, metrics::Metrics};
use crate::error::kubernetes_reason;
use futures::{StreamExt, stream::BoxStream};
use http::{Request, Uri};
use kube::{
    Api, Client,
    client::Body,
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
    /// The API server needn't have the kind.
    optional: bool,
    /// How often in a row it has said that it hasn't.
    absent: u32,
}

impl<K: Kind> Drop for Feed<K> {
    fn drop(&mut self) {
        self.known.lock().fall_silent();
    }
}

impl<K: Kind> Feed<K> {
    pub(super) fn new(client: Client, fields: Option<&'static str>, known: Shared<K>, metrics: Metrics) -> Self {
        Self {
            client,
            fields,
            known,
            watch_seconds: DEFAULT_WATCH_SECONDS,
            metrics,
            trouble: String::new(),
            optional: false,
            absent: 0,
        }
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

    /// The kind is another project's, and the API server may not know it: then there are no objects, until it does.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Watches until `shutdown`.
    pub async fn run(mut self, health: Health, shutdown: CancellationToken) {
        let kind = K::kind(&()).into_owned();
        let mut listing = Listing::default();
        let mut events = self.events(&listing);
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                event = events.next() => match event {
                    Some(event) if listing.turns(&event) => {
                        tracing::debug!(kind = %kind, streams = listing.streams, "listing anew");
                        events = self.events(&listing);
                    }
                    Some(Ok(event)) => self.watched(event),
                    Some(Err(error)) if self.optional && may_be_absent(&error) => self.look_for(&kind, &error).await,
                    Some(Err(error)) => self.failed(&kind, &error),
                    None => return,
                },
                _ = tick.tick() => {}
            }
            health.alive(&kind);
        }
    }

    /// What the API server says of the kind: first what there is, then each change.
    fn events(&self, listing: &Listing) -> Events<K> {
        let mut config = Config::default().timeout(self.watch_seconds);
        if listing.streams {
            config = config.streaming_lists();
        }
        if let Some(fields) = self.fields {
            config = config.fields(fields);
        }
        watcher(Api::all(consistent(&self.client)), config).default_backoff().boxed()
    }

    pub(super) fn watched(&mut self, event: watcher::Event<DeserializeGuard<K>>) {
        self.absent = 0;
        if !self.trouble.is_empty() && !matches!(event, watcher::Event::Init) {
            tracing::info!(kind = %K::kind(&()), "watching again");
            self.trouble.clear();
        }
        self.known.lock().watched(event);
    }

    /// The kind can't be watched: there is none, or there is one that can't be read. Of the latter nothing is known, and nobody takes that for none.
    async fn look_for(&mut self, kind: &str, error: &watcher::Error) {
        match presence::<K>(&self.client).await {
            Ok(Presence::Absent) => self.is_absent(kind),
            Ok(Presence::Present) | Err(_) => {
                self.absent = 0;
                self.failed(kind, error);
            }
            Ok(Presence::Otherwise(version)) => {
                self.absent = 0;
                self.metrics.watch_failed(kind);
                let version =
                    format!("the API server serves it as {version} only, and {} is what is read", K::version(&()));
                self.told(kind, version);
            }
        }
    }

    /// There is no such kind. Where there were objects, that is believed when it has been said twice.
    fn is_absent(&mut self, kind: &str) {
        const ABSENT: &str = "the API server doesn't have the kind";
        if self.trouble != ABSENT {
            tracing::info!(kind, "{ABSENT}, looking for it now and then");
            ABSENT.clone_into(&mut self.trouble);
        }
        self.absent = self.absent.saturating_add(1);
        let mut known = self.known.lock();
        if !known.is_listed() || self.absent == 2 {
            known.watched(watcher::Event::Init);
            known.watched(watcher::Event::InitDone);
        }
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
        self.told(kind, reason);
    }

    fn told(&mut self, kind: &str, reason: String) {
        if reason != self.trouble {
            tracing::warn!(kind, error = reason, "can't watch, trying again");
            self.trouble = reason;
        }
    }
}

/// How a list is got. As a stream it comes from the API server's cache, one object at a time; pages may be read from etcd. So each list is
/// first asked for as a stream, and in pages where that is refused, or ends too early.
#[derive(Debug)]
struct Listing {
    streams: bool,
    begun: bool,
    whole: bool,
}

impl Default for Listing {
    fn default() -> Self {
        Self { streams: true, begun: false, whole: false }
    }
}

impl Listing {
    /// Takes in what the watch has brought. `true`: it is to begin anew, in the other way.
    fn turns<T>(&mut self, event: &watcher::Result<watcher::Event<T>>) -> bool {
        let turn = match event {
            // Cut off, by the time limit of a watch perhaps, and begun anew: pages have no such limit.
            Ok(watcher::Event::Init) if self.streams => self.begun && !self.whole,
            // The list in pages was got, and has grown too old: the next one may come as a stream again.
            Ok(watcher::Event::Init) => self.whole,
            Err(error) => self.streams && !self.whole && refuses_to_stream(error),
            Ok(_) => false,
        };
        if turn {
            *self = Self { streams: !self.streams, ..Self::default() };
            return true;
        }
        match event {
            Ok(watcher::Event::Init) => (self.begun, self.whole) = (true, false),
            Ok(watcher::Event::InitDone) => self.whole = true,
            _ => {}
        }
        false
    }
}

/// The same client, whose streamed lists are as new as the API server's store when they are asked for, as those in pages are: kube
/// asks for version 0, whatever the API server's cache has, which may be older than what is known here.
fn consistent(client: &Client) -> Client {
    let (inner, namespace) = (client.clone(), client.default_namespace().to_owned());
    let send = move |mut request: Request<Body>| {
        if let Some(uri) = unversioned(request.uri()) {
            *request.uri_mut() = uri;
        }
        let inner = inner.clone();
        async move { inner.send(request).await }
    };
    Client::new(tower::service_fn(send), namespace)
}

/// The same request for a streamed list, without a version. `None`: it is another one.
fn unversioned(uri: &Uri) -> Option<Uri> {
    let query = uri.query().filter(|query| query.contains("sendInitialEvents=true"))?;
    let kept: Vec<_> = query.split('&').filter(|pair| *pair != "resourceVersion=0").collect();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{}?{}", uri.path(), kept.join("&")).parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// Whether the kind may be missing: there is nothing at its path, or nobody may look (rights come before paths).
fn may_be_absent(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => matches!(status.code, 403 | 404),
        _ => false,
    }
}

/// Whether the API server has a kind.
enum Presence {
    /// As it is watched.
    Present,
    /// As another version only.
    Otherwise(String),
    /// Not at all.
    Absent,
}

/// Asks the API server's discovery, which everybody may.
async fn presence<K: Kind>(client: &Client) -> Result<Presence, kube::Error> {
    let (group, version) = (K::group(&()), K::version(&()));
    let has = async |version: &str| match client.list_api_group_resources(&format!("{group}/{version}")).await {
        Ok(list) => Ok(list.resources.iter().any(|resource| resource.name == K::plural(&()))),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(error),
    };
    if has(&version).await? {
        return Ok(Presence::Present);
    }
    let groups = client.list_api_groups().await?.groups;
    for other in groups.into_iter().filter(|of| of.name == group).flat_map(|of| of.versions) {
        if other.version != version && has(&other.version).await? {
            return Ok(Presence::Otherwise(other.version));
        }
    }
    Ok(Presence::Absent)
}

/// Whether the API server is one that lists only in pages: its feature WatchList is off (422), or its etcd is older than 3.4.31 or
/// 3.5.13 and can't tell how far it is (500).
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
    use super::*;
    use crate::runtime::{cache::cache, events::Events};
    use http::Response;
    use kuryr_api::KuryrPool;
    use prometheus_client::registry::Registry;
    use serde_json::json;
    use std::convert::Infallible;

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
                assert!(!query.contains("resourceVersion="), "{query}");
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

    /// What becomes of a feed of a kind that may be missing: whether it is known that there are no objects.
    async fn comes_to_know(list: u16, versions: &'static [&'static str]) -> bool {
        let server = tower::service_fn(move |request: Request<Body>| async move {
            let path = request.uri().path();
            let group = "kuryr.openstack.org";
            let version = path.strip_prefix(&format!("/apis/{group}/")).filter(|rest| !rest.contains('/'));
            if path == "/apis" {
                let all: Vec<_> = versions
                    .iter()
                    .map(|version| json!({ "groupVersion": format!("{group}/{version}"), "version": version }))
                    .collect();
                let groups = json!({ "kind": "APIGroupList", "groups": [{ "name": group, "versions": all }] });
                return Ok::<_, Infallible>(answer(200, &groups));
            }
            Ok(match version {
                Some(version) if versions.contains(&version) => {
                    let resource = json!({ "name": "kuryrpools", "singularName": "", "namespaced": false, "kind": "KuryrPool", "verbs": [] });
                    answer(200, &json!({ "kind": "APIResourceList", "groupVersion": "g/v", "resources": [resource] }))
                }
                Some(_) => answer(404, &refusal(404)),
                None => answer(list, &refusal(list)),
            })
        });
        let client = Client::new(server, "default");
        let metrics = Metrics::new(&mut Registry::default());
        let (pools, feed) = cache::<KuryrPool>(&client, &metrics, &Events::new(client.clone()), None, |_| {});
        let stop = CancellationToken::new();
        tokio::spawn(feed.optional().run(Health::default(), stop.clone()));
        let known = tokio::time::timeout(Duration::from_secs(600), pools.synced()).await.is_ok();
        stop.cancel();
        known
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_isnt_there_counts_as_none() {
        for (list, versions, known) in [
            (404, &[][..], true),
            // Rights are asked for first, also for what isn't there.
            (403, &[], true),
            (403, &["v1alpha1"], false),
            (404, &["v1beta1"], false),
            (403, &["v1beta1"], false),
        ] {
            assert_eq!(comes_to_know(list, versions).await, known, "{list} {versions:?}");
        }
    }

    #[tokio::test]
    async fn what_was_there_is_gone_when_that_is_said_twice() {
        let client = Client::new(
            tower::service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(answer(500, &json!({}))) }),
            "default",
        );
        let metrics = Metrics::new(&mut Registry::default());
        let (pools, mut feed) = cache::<KuryrPool>(&client, &metrics, &Events::new(client.clone()), None, |_| {});
        let pool = json!({ "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPool", "metadata": { "name": "p", "uid": "u" }, "spec": { "nodeName": "n", "networkId": "net", "subnetIds": [] } });
        let pool: KuryrPool = serde_json::from_value(pool).unwrap();
        feed.watched(watcher::Event::Init);
        feed.watched(watcher::Event::InitApply(DeserializeGuard(Ok(pool))));
        feed.watched(watcher::Event::InitDone);
        feed.is_absent("KuryrPool");
        assert_eq!(pools.len(), 1, "once may be a slip");
        feed.is_absent("KuryrPool");
        assert_eq!(pools.len(), 0);
    }

    fn refused(code: u16) -> watcher::Result<watcher::Event<()>> {
        let status = serde_json::from_value(refusal(code)).unwrap();
        Err(watcher::Error::WatchError(Box::new(status)))
    }

    #[test]
    fn each_list_is_asked_for_as_a_stream_and_in_pages_only_where_that_fails() {
        use watcher::Event::{Apply, Init, InitApply, InitDone};
        for (events, expected) in [
            // Got as a stream: later refusals are those of a watch, which goes on where it was.
            (vec![Ok(Init), Ok(InitApply(())), Ok(InitDone), refused(500), refused(422), Ok(Apply(()))], vec![]),
            // The versions are too old, and the next list is a stream again.
            (vec![Ok(Init), Ok(InitDone), refused(410), Ok(Init), Ok(InitDone)], vec![]),
            (vec![Ok(Init), refused(422)], vec![1]),
            (vec![refused(422)], vec![0]),
            (vec![Ok(Init), refused(503), Ok(Init)], vec![2]),
            (vec![Ok(Init), Ok(InitApply(())), Ok(Init)], vec![2]),
            // In pages: a refusal is only a failure there, and when they are too old a stream is tried again.
            (
                vec![Ok(Init), refused(422), Ok(Init), refused(500), Ok(Init), Ok(InitDone), refused(410), Ok(Init)],
                vec![1, 7],
            ),
        ] {
            let mut listing = Listing::default();
            let turns: Vec<usize> =
                events.iter().enumerate().filter(|(_, event)| listing.turns(event)).map(|(index, _)| index).collect();
            assert_eq!(turns, expected, "{events:?}");
        }
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
