//! One watch and one cache per kind, shared by all reconcilers.
//!
//! A [`Feed`] owns the watch and is the only writer; a [`Cache`] is what reconcilers read. What we write ourselves goes into
//! the cache at once ([`Cache::wrote`]), so that the next step neither waits for the watch to bring it back nor decides on
//! what it knows to be old. Versions decide which of two states is newer: they are comparable integers (KEP-5504).

use super::{Kind, events::Events, health::Health, metrics::Metrics};
use crate::error::kubernetes_reason;
use futures::StreamExt;
use kube::{
    Api, Client, Resource, ResourceExt,
    core::{DeserializeGuard, ObjectMeta},
    runtime::{
        WatchStreamExt,
        reflector::{ObjectRef, Store, store::Writer},
        watcher,
    },
};
use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

/// Server-side length of one watch request, in seconds. kube gives up a connection that is silent for 5 s longer, so a
/// stalled one is noticed within a minute.
const WATCH_SECONDS: u32 = 50;

/// How often an idle feed says that it is alive.
const TICK: Duration = Duration::from_secs(5);

/// How many deleted objects are remembered, so that the late answer to one of our writes doesn't bring one back.
const REMEMBERED_DELETIONS: usize = 4096;

/// Called for every change of an object; the flag says that the object is gone.
pub type Listener<K> = Box<dyn Fn(&K, bool) + Send>;

/// What reconcilers know about the objects of one kind.
pub struct Cache<K: Kind> {
    store: Store<K>,
    writes: mpsc::UnboundedSender<Own<K>>,
    malformed: Malformed,
    heard: Arc<Mutex<Option<Instant>>>,
}

/// Objects that could not be read, by name, with the reason.
type Malformed = Arc<Mutex<BTreeMap<String, String>>>;

/// What we learned from the answers to our own requests.
enum Own<K: Kind> {
    /// The object as the API server answered it to a write.
    Wrote(Box<K>),
    /// The API server says that the object doesn't exist.
    Gone(ObjectRef<K>, String),
}

impl<K: Kind> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            writes: self.writes.clone(),
            malformed: self.malformed.clone(),
            heard: self.heard.clone(),
        }
    }
}

impl<K: Kind> Cache<K> {
    /// The object of that name, if the cache has it. For cluster-scoped kinds the namespace is `None`.
    #[must_use]
    pub fn get(&self, namespace: Option<&str>, name: &str) -> Option<Arc<K>> {
        self.store.get(&object_ref(namespace, name))
    }

    /// All objects.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<K>> {
        self.store.state()
    }

    /// Number of objects.
    #[must_use]
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Objects that could not be read, by name, with the reason.
    #[must_use]
    pub fn malformed(&self) -> BTreeMap<String, String> {
        self.malformed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Time since the watch last brought something. `None` before the first answer.
    #[must_use]
    pub fn silence(&self) -> Option<Duration> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).map(|at| at.elapsed())
    }

    /// The answer to one of our writes. Listeners hear of it as of a watched change.
    pub fn wrote(&self, object: K) {
        // A closed channel means that the controller is stopping: nobody will read the cache.
        let _ = self.writes.send(Own::Wrote(Box::new(object)));
    }

    /// The API server has answered that the object with this uid doesn't exist.
    pub fn gone(&self, namespace: Option<&str>, name: &str, uid: &str) {
        let _ = self.writes.send(Own::Gone(object_ref(namespace, name), uid.to_owned()));
    }

    /// The store behind the cache, for kube's scheduler.
    pub(super) fn store(&self) -> Store<K> {
        self.store.clone()
    }

    /// Waits until the cache holds all objects. `false` if the feed ended before.
    pub async fn synced(&self) -> bool {
        self.store.wait_until_ready().await.is_ok()
    }
}

/// A reference by name.
pub fn object_ref<K: Kind>(namespace: Option<&str>, name: &str) -> ObjectRef<K> {
    let plain = ObjectRef::new(name);
    match namespace {
        Some(namespace) => plain.within(namespace),
        None => plain,
    }
}

/// The watch behind a [`Cache`].
pub struct Feed<K: Kind> {
    client: Client,
    fields: Option<&'static str>,
    prune: fn(&mut K),
    writer: Writer<K>,
    own: mpsc::UnboundedReceiver<Own<K>>,
    listeners: Vec<Listener<K>>,
    deleted: Deleted,
    malformed: Malformed,
    heard: Arc<Mutex<Option<Instant>>>,
    metrics: Metrics,
    events: Events,
    trouble: String,
}

/// A new cache and the feed that fills it. `fields` is a field selector; `prune` drops what no decision reads.
pub fn cache<K: Kind>(
    client: &Client,
    metrics: &Metrics,
    events: &Events,
    fields: Option<&'static str>,
    prune: fn(&mut K),
) -> (Cache<K>, Feed<K>) {
    let writer = Writer::default();
    let (writes, own) = mpsc::unbounded_channel();
    let (malformed, heard) = (Malformed::default(), Arc::default());
    let cache = Cache { store: writer.as_reader(), writes, malformed, heard };
    let feed = Feed {
        client: client.clone(),
        fields,
        prune,
        writer,
        own,
        listeners: Vec::new(),
        deleted: Deleted::default(),
        malformed: cache.malformed.clone(),
        heard: cache.heard.clone(),
        metrics: metrics.clone(),
        events: events.clone(),
        trouble: String::new(),
    };
    (cache, feed)
}

impl<K: Kind> Feed<K> {
    /// Adds a listener.
    pub fn listen(&mut self, listener: impl Fn(&K, bool) + Send + 'static) {
        self.listeners.push(Box::new(listener));
    }

    /// Watches until `shutdown`.
    pub async fn run(mut self, health: Health, shutdown: CancellationToken) {
        let kind = K::kind(&()).into_owned();
        let mut config = watcher::Config::default().timeout(WATCH_SECONDS);
        if let Some(fields) = self.fields {
            config = config.fields(fields);
        }
        let api: Api<DeserializeGuard<K>> = Api::all(self.client.clone());
        let mut events = watcher(api, config).default_backoff().boxed();
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                Some(own) = self.own.recv() => self.own(own),
                event = events.next() => match event {
                    Some(Ok(event)) => self.watched(event),
                    Some(Err(error)) => self.failed(&kind, &error),
                    None => return,
                },
                _ = tick.tick() => {}
            }
            health.alive(&kind);
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
        if reason != self.trouble {
            tracing::warn!(kind, error = reason, "can't watch, trying again");
            self.trouble = reason;
        }
    }

    fn own(&mut self, own: Own<K>) {
        match own {
            Own::Wrote(object) => {
                let present = self.writer.as_reader().get(&ObjectRef::from_obj(&*object));
                let is_there = present.is_some_and(|present| present.uid() == object.uid());
                if is_there || !object.uid().is_some_and(|uid| self.deleted.contains(&uid)) {
                    self.put(*object);
                }
            }
            Own::Gone(reference, uid) => {
                let cached = self.writer.as_reader().get(&reference);
                if let Some(object) = cached.filter(|object| object.uid().as_deref() == Some(&uid)) {
                    self.remove(&object);
                }
            }
        }
    }

    fn watched(&mut self, event: watcher::Event<DeserializeGuard<K>>) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        if !self.trouble.is_empty() && !matches!(event, watcher::Event::Init) {
            tracing::info!(kind = %K::kind(&()), "watching again");
            self.trouble.clear();
        }
        match event {
            watcher::Event::Init => {
                self.malformed.lock().unwrap_or_else(PoisonError::into_inner).clear();
                self.writer.apply_watcher_event(&watcher::Event::Init);
            }
            watcher::Event::InitApply(object) => {
                if let Some(object) = self.readable(object) {
                    self.writer.apply_watcher_event(&watcher::Event::InitApply(object));
                }
            }
            watcher::Event::InitDone => self.replaced(),
            watcher::Event::Apply(object) => {
                if let Some(object) = self.readable(object) {
                    self.put(object);
                }
            }
            watcher::Event::Delete(object) => match object.0 {
                Ok(object) => self.remove(&object),
                Err(invalid) => self.remove_malformed(&invalid.metadata),
            },
        }
    }

    /// Takes over a new list. Listeners hear of everything that is there, and of what is no longer there.
    fn replaced(&mut self) {
        let reader = self.writer.as_reader();
        let before = reader.state();
        self.writer.apply_watcher_event(&watcher::Event::InitDone);
        let after = reader.state();
        let uids: HashSet<_> = after.iter().filter_map(|object| object.uid()).collect();
        for lost in before.iter().filter(|object| object.uid().is_none_or(|uid| !uids.contains(&uid))) {
            // No watch will say that it is gone: a late answer to one of our writes would bring it back for good.
            if let Some(uid) = lost.uid() {
                self.deleted.insert(uid);
            }
            self.tell(lost, true);
        }
        for object in after {
            self.tell(&object, false);
        }
    }

    fn put(&mut self, mut object: K) {
        let present = self.writer.as_reader().get(&ObjectRef::from_obj(&object));
        if present.is_some_and(|present| version(&*present) >= version(&object)) {
            return;
        }
        object.managed_fields_mut().clear();
        (self.prune)(&mut object);
        self.writer.apply_watcher_event(&watcher::Event::Apply(object.clone()));
        self.tell(&object, false);
    }

    fn remove(&mut self, object: &K) {
        self.malformed.lock().unwrap_or_else(PoisonError::into_inner).remove(&named(object.meta()));
        if let Some(uid) = object.uid() {
            self.deleted.insert(uid);
        }
        let present = self.writer.as_reader().get(&ObjectRef::from_obj(object));
        // A later object of the same name stays.
        if present.is_some_and(|present| present.uid() == object.uid()) {
            self.writer.apply_watcher_event(&watcher::Event::Delete(object.clone()));
        }
        self.tell(object, true);
    }

    /// An object that can't be read is gone: so is the last readable state of it.
    fn remove_malformed(&mut self, meta: &ObjectMeta) {
        self.malformed.lock().unwrap_or_else(PoisonError::into_inner).remove(&named(meta));
        let reference = object_ref(meta.namespace.as_deref(), meta.name.as_deref().unwrap_or_default());
        if let Some(last) = self.writer.as_reader().get(&reference).filter(|last| last.uid() == meta.uid) {
            self.remove(&last);
        }
    }

    fn tell(&self, object: &K, gone: bool) {
        for listener in &self.listeners {
            listener(object, gone);
        }
    }

    /// One object that can't be read affects only itself: it is remembered and named, the watch goes on.
    fn readable(&mut self, object: DeserializeGuard<K>) -> Option<K> {
        let mut malformed = self.malformed.lock().unwrap_or_else(PoisonError::into_inner);
        match object.0 {
            Ok(mut object) => {
                malformed.remove(&named(object.meta()));
                object.managed_fields_mut().clear();
                (self.prune)(&mut object);
                Some(object)
            }
            Err(invalid) => {
                let name = named(&invalid.metadata);
                tracing::warn!(kind = %K::kind(&()), name, error = invalid.error, "this object can't be read: it is left alone until it is repaired");
                if malformed.insert(name, invalid.error.clone()).is_none() {
                    self.events.malformed::<K>(&invalid);
                }
                None
            }
        }
    }
}

/// `namespace/name`, or the name alone.
fn named(meta: &ObjectMeta) -> String {
    let name = meta.name.as_deref().unwrap_or_default();
    meta.namespace.as_ref().map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"))
}

/// `metadata.resourceVersion` as the number that it is.
fn version<K: Resource>(object: &K) -> u64 {
    object.meta().resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// The uids of the last deleted objects.
#[derive(Default)]
struct Deleted {
    uids: HashSet<String>,
    order: VecDeque<String>,
}

impl Deleted {
    fn insert(&mut self, uid: String) {
        if self.uids.insert(uid.clone()) {
            self.order.push_back(uid);
        }
        if self.order.len() > REMEMBERED_DELETIONS
            && let Some(oldest) = self.order.pop_front()
        {
            self.uids.remove(&oldest);
        }
    }

    fn contains(&self, uid: &str) -> bool {
        self.uids.contains(uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kuryr_api::{InterfaceRequest, KuryrPort, KuryrPortSpec};
    use prometheus_client::registry::Registry;

    fn port(uid: &str, version: u64) -> KuryrPort {
        let interfaces = vec![InterfaceRequest { name: "eth0".into() }];
        let spec = KuryrPortSpec { pod_name: "p".into(), pod_uid: "u".into(), node_name: "n".into(), interfaces };
        let mut port = KuryrPort::new("p-1", spec);
        port.metadata.namespace = Some("shop".into());
        port.metadata.uid = Some(uid.into());
        port.metadata.resource_version = Some(version.to_string());
        port
    }

    /// A cache whose watch never begins: the tests say what it brings.
    fn unwatched() -> (Cache<KuryrPort>, Feed<KuryrPort>) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::try_from(kube::Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
        let metrics = Metrics::new(&mut Registry::default());
        let events = Events::new(client.clone());
        cache(&client, &metrics, &events, None, |_| {})
    }

    fn listed(feed: &mut Feed<KuryrPort>, ports: Vec<KuryrPort>) {
        feed.watched(watcher::Event::Init);
        for port in ports {
            feed.watched(watcher::Event::InitApply(DeserializeGuard(Ok(port))));
        }
        feed.watched(watcher::Event::InitDone);
    }

    fn known(cache: &Cache<KuryrPort>) -> Option<(String, u64)> {
        cache.get(Some("shop"), "p-1").map(|port| (port.uid().unwrap(), version(&*port)))
    }

    #[tokio::test]
    async fn a_late_answer_brings_nothing_back_that_a_new_list_no_longer_has() {
        let (cache, mut feed) = unwatched();
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = told.clone();
        feed.listen(move |port: &KuryrPort, gone| heard.lock().unwrap().push((version(port), gone)));
        listed(&mut feed, vec![port("a", 1)]);
        listed(&mut feed, vec![]);
        assert_eq!(*told.lock().unwrap(), [(1, false), (1, true)]);
        feed.own(Own::Wrote(Box::new(port("a", 2))));
        assert_eq!(known(&cache), None);
        feed.own(Own::Wrote(Box::new(port("b", 3))));
        assert_eq!(known(&cache), Some(("b".into(), 3)), "a later object of the same name is another one");
    }

    #[tokio::test]
    async fn an_object_that_a_list_left_out_and_a_watch_brings_is_kept_current_again() {
        let (cache, mut feed) = unwatched();
        listed(&mut feed, vec![port("a", 1)]);
        listed(&mut feed, vec![]);
        feed.watched(watcher::Event::Apply(DeserializeGuard(Ok(port("a", 2)))));
        feed.own(Own::Wrote(Box::new(port("a", 4))));
        assert_eq!(known(&cache), Some(("a".into(), 4)));
        feed.own(Own::Wrote(Box::new(port("a", 3))));
        feed.watched(watcher::Event::Apply(DeserializeGuard(Ok(port("a", 3)))));
        assert_eq!(known(&cache), Some(("a".into(), 4)), "an older state changes nothing");
        feed.own(Own::Gone(object_ref(Some("shop"), "p-1"), "other".into()));
        assert!(known(&cache).is_some(), "another object was gone");
        feed.watched(watcher::Event::Delete(DeserializeGuard(Ok(port("a", 5)))));
        feed.own(Own::Wrote(Box::new(port("a", 4))));
        assert_eq!(known(&cache), None);
    }
}
