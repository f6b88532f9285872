//! What reconcilers know about the objects of one kind.
//!
//! A [`Feed`] brings what the watch says; what we write ourselves goes into the cache before [`Cache::wrote`] returns, so that the next
//! step neither waits for the watch to bring it back nor decides on what it knows to be old. Versions decide which of two states is
//! newer: they are comparable integers (KEP-5504).

use super::{
    Kind,
    events::Events,
    feed::{Feed, Listener},
    metrics::Metrics,
};
use kube::{
    Client, Resource, ResourceExt,
    core::error_boundary::InvalidObject,
    core::{DeserializeGuard, ObjectMeta},
    runtime::{
        reflector::{ObjectRef, Store, store::Writer},
        watcher,
    },
};
use kuryr_api::pulse::Pulse;
use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How many deleted objects are remembered, so that the late answer to one of our writes doesn't bring one back.
const REMEMBERED_DELETIONS: usize = 4096;

/// What reconcilers know about the objects of one kind.
pub struct Cache<K: Kind> {
    store: Store<K>,
    known: Shared<K>,
    pulse: Pulse,
}

/// What is known, for those who change it: the watch, and whoever has the answer to a write.
pub(super) struct Known<K: Kind> {
    writer: Writer<K>,
    prune: fn(&mut K),
    listeners: Vec<Listener<K>>,
    deleted: Deleted,
    /// Objects that could not be read, by name.
    malformed: BTreeMap<String, InvalidObject>,
    events: Events,
    /// All objects have been listed once.
    listed: bool,
}

/// Listeners are called while it is locked, so that all of them hear of changes in their order.
pub(super) struct Shared<K: Kind>(Arc<Mutex<Known<K>>>);

impl<K: Kind> Clone for Shared<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Kind> Shared<K> {
    pub(super) fn lock(&self) -> MutexGuard<'_, Known<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Kind> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), known: self.known.clone(), pulse: self.pulse.clone() }
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
        let known = self.known.lock();
        known.malformed.iter().map(|(name, invalid)| (name.clone(), invalid.error.clone())).collect()
    }

    /// Tells of the objects that can't be read once more: as long as this controller didn't lead, nobody heard of it.
    pub fn tell_malformed(&self) {
        let known = self.known.lock();
        known.malformed.values().for_each(|invalid| known.events.malformed::<K>(invalid));
    }

    /// Time since the watch last said anything: a change, a bookmark, the beginning of an answer. `None` before the first.
    #[must_use]
    pub fn silence(&self) -> Option<Duration> {
        self.pulse.silence()
    }

    /// The answer to one of our writes. Listeners have heard of it, as of a watched change, when this returns.
    pub fn wrote(&self, object: K) {
        self.known.lock().wrote(object);
    }

    /// The API server has answered that the object with this uid doesn't exist.
    pub fn gone(&self, namespace: Option<&str>, name: &str, uid: &str) {
        let mut known = self.known.lock();
        let cached = self.get(namespace, name);
        if let Some(object) = cached.filter(|object| object.uid().as_deref() == Some(uid)) {
            known.remove(&object);
        }
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

/// A new cache and the feed that fills it. `fields` is a field selector; `prune` drops what no decision reads.
pub fn cache<K: Kind>(
    client: &Client,
    metrics: &Metrics,
    events: &Events,
    fields: Option<&'static str>,
    prune: fn(&mut K),
) -> (Cache<K>, Feed<K>) {
    let (writer, pulse) = (Writer::default(), Pulse::default());
    let store = writer.as_reader();
    let (listeners, deleted, malformed) = Default::default();
    let known = Known { writer, prune, listeners, deleted, malformed, events: events.clone(), listed: false };
    let known = Shared(Arc::new(Mutex::new(known)));
    let feed = Feed::new(pulse.of(client), fields, known.clone(), metrics.clone());
    (Cache { store, known, pulse }, feed)
}

impl<K: Kind> Known<K> {
    pub(super) fn listen(&mut self, listener: Listener<K>) {
        self.listeners.push(listener);
    }

    /// Whether all objects have been listed once.
    pub(super) const fn is_listed(&self) -> bool {
        self.listed
    }

    /// Nobody listens any more. What listeners hold may hold the cache.
    pub(super) fn fall_silent(&mut self) {
        self.listeners.clear();
    }

    fn wrote(&mut self, object: K) {
        let present = self.writer.as_reader().get(&ObjectRef::from_obj(&object));
        let is_there = present.is_some_and(|present| present.uid() == object.uid());
        if is_there || !object.uid().is_some_and(|uid| self.deleted.contains(&uid)) {
            self.put(object);
        }
    }

    pub(super) fn watched(&mut self, event: watcher::Event<DeserializeGuard<K>>) {
        match event {
            watcher::Event::Init => {
                self.malformed.clear();
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

    /// Takes over a new list. Listeners hear of everything that is new, of what has changed since the last one, and of what is
    /// no longer there: a list that shows nothing new makes no work. Of what is there and can't be read the last readable state stays, as
    /// where a watch brings it.
    fn replaced(&mut self) {
        self.listed = true;
        let reader = self.writer.as_reader();
        let before = reader.state();
        self.writer.apply_watcher_event(&watcher::Event::InitDone);
        let after = reader.state();
        let uids: HashSet<_> = after.iter().filter_map(|object| object.uid()).collect();
        for lost in before.iter().filter(|object| object.uid().is_none_or(|uid| !uids.contains(&uid))) {
            let unreadable = self.malformed.get(&named(lost.meta()));
            if unreadable.is_some_and(|there| there.metadata.uid == lost.uid()) {
                self.writer.apply_watcher_event(&watcher::Event::Apply(K::clone(lost)));
                continue;
            }
            // No watch will say that it is gone: a late answer to one of our writes would bring it back for good.
            if let Some(uid) = lost.uid() {
                self.deleted.insert(uid);
            }
            self.tell(lost, true);
        }
        let known: HashMap<_, _> = before.iter().map(|object| (object.uid(), version(&**object))).collect();
        for object in after {
            if known.get(&object.uid()) != Some(&version(&*object)) {
                self.tell(&object, false);
            }
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
        self.malformed.remove(&named(object.meta()));
        if let Some(uid) = object.uid() {
            self.deleted.insert(uid);
        }
        let present = self.writer.as_reader().get(&ObjectRef::from_obj(object));
        let later = present.filter(|present| present.uid() != object.uid());
        if later.is_none() {
            self.writer.apply_watcher_event(&watcher::Event::Delete(object.clone()));
        }
        self.tell(object, true);
        // A later object of the same name stays: who knows objects by their names hears of it again.
        if let Some(later) = later {
            self.tell(&later, false);
        }
    }

    /// An object that can't be read is gone: so is the last readable state of it.
    fn remove_malformed(&mut self, meta: &ObjectMeta) {
        self.malformed.remove(&named(meta));
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
        match object.0 {
            Ok(mut object) => {
                self.malformed.remove(&named(object.meta()));
                object.managed_fields_mut().clear();
                (self.prune)(&mut object);
                Some(object)
            }
            Err(invalid) => {
                let name = named(&invalid.metadata);
                tracing::warn!(kind = %K::kind(&()), name, error = invalid.error, "this object can't be read: it is left alone until it is repaired");
                if !self.malformed.contains_key(&name) {
                    self.events.malformed::<K>(&invalid);
                }
                self.malformed.insert(name, invalid);
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

    /// What listeners are told: uid, version, and whether it is gone.
    fn listened(feed: &mut Feed<KuryrPort>) -> Arc<Mutex<Vec<(String, u64, bool)>>> {
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = told.clone();
        feed.listen(move |port: &KuryrPort, gone| {
            heard.lock().unwrap().push((port.uid().unwrap(), version(port), gone));
        });
        told
    }

    fn known(cache: &Cache<KuryrPort>) -> Option<(String, u64)> {
        cache.get(Some("shop"), "p-1").map(|port| (port.uid().unwrap(), version(&*port)))
    }

    #[tokio::test]
    async fn a_late_answer_brings_nothing_back_that_a_new_list_no_longer_has() {
        let (cache, mut feed) = unwatched();
        let told = listened(&mut feed);
        listed(&mut feed, vec![port("a", 1)]);
        listed(&mut feed, vec![]);
        assert_eq!(*told.lock().unwrap(), [("a".to_owned(), 1, false), ("a".to_owned(), 1, true)]);
        cache.wrote(port("a", 2));
        assert_eq!(known(&cache), None);
        cache.wrote(port("b", 3));
        assert_eq!(known(&cache), Some(("b".into(), 3)), "a later object of the same name is another one");
    }

    #[tokio::test]
    async fn a_new_list_tells_only_what_is_other_than_before() {
        let (_cache, mut feed) = unwatched();
        let told = listened(&mut feed);
        listed(&mut feed, vec![port("a", 1)]);
        listed(&mut feed, vec![port("a", 1)]);
        assert_eq!(told.lock().unwrap().split_off(0), [("a".to_owned(), 1, false)]);
        listed(&mut feed, vec![port("a", 2)]);
        listed(&mut feed, vec![port("b", 3)]);
        let changes = [("a".to_owned(), 2, false), ("a".to_owned(), 2, true), ("b".to_owned(), 3, false)];
        assert_eq!(*told.lock().unwrap(), changes);
    }

    #[tokio::test]
    async fn what_a_new_list_has_and_nobody_can_read_stays_as_it_was() {
        let (cache, mut feed) = unwatched();
        listed(&mut feed, vec![port("u", 1)]);
        let heard = listened(&mut feed);
        let invalid = InvalidObject { error: "no such variant".to_owned(), metadata: port("u", 2).metadata };
        feed.watched(watcher::Event::Init);
        feed.watched(watcher::Event::InitApply(DeserializeGuard(Err(invalid))));
        feed.watched(watcher::Event::InitDone);
        assert_eq!(known(&cache), Some(("u".to_owned(), 1)));
        assert!(heard.lock().unwrap().is_empty() && cache.malformed().len() == 1);
        listed(&mut feed, Vec::new());
        assert_eq!((known(&cache), cache.malformed().len()), (None, 0), "until it goes");
    }

    #[tokio::test]
    async fn the_late_end_of_an_earlier_object_takes_nothing_from_a_later_one_of_its_name() {
        let (cache, mut feed) = unwatched();
        let told = listened(&mut feed);
        listed(&mut feed, vec![port("a", 1)]);
        cache.gone(Some("shop"), "p-1", "a");
        cache.wrote(port("b", 3));
        told.lock().unwrap().clear();
        feed.watched(watcher::Event::Delete(DeserializeGuard(Ok(port("a", 2)))));
        assert_eq!(
            told.lock().unwrap().last(),
            Some(&("b".to_owned(), 3, false)),
            "whoever goes by names knows it again"
        );
        assert_eq!(known(&cache), Some(("b".into(), 3)));
    }

    #[tokio::test]
    async fn an_object_that_a_list_left_out_and_a_watch_brings_is_kept_current_again() {
        let (cache, mut feed) = unwatched();
        listed(&mut feed, vec![port("a", 1)]);
        listed(&mut feed, vec![]);
        feed.watched(watcher::Event::Apply(DeserializeGuard(Ok(port("a", 2)))));
        cache.wrote(port("a", 4));
        assert_eq!(known(&cache), Some(("a".into(), 4)));
        cache.wrote(port("a", 3));
        feed.watched(watcher::Event::Apply(DeserializeGuard(Ok(port("a", 3)))));
        assert_eq!(known(&cache), Some(("a".into(), 4)), "an older state changes nothing");
        cache.gone(Some("shop"), "p-1", "other");
        assert!(known(&cache).is_some(), "another object was gone");
        feed.watched(watcher::Event::Delete(DeserializeGuard(Ok(port("a", 5)))));
        cache.wrote(port("a", 4));
        assert_eq!(known(&cache), None);
    }
}
