//! What the daemon knows of the API: one watch each for the node's KuryrPorts, KuryrPoolPorts, KuryrPools and pods.

use crate::{decide::PodSight, metrics::Metrics, settings::Settings};
use futures::{Stream, StreamExt};
use http::Request;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    client::Body,
    core::{DeserializeGuard, PartialObjectMeta},
    runtime::{
        WatchStreamExt,
        reflector::{self, Lookup, ObjectRef, Store, store::Writer},
        watcher,
    },
};
use kuryr_api::{KuryrPool, KuryrPoolPort, KuryrPort, pulse::Pulse};
use kuryr_cni::PodArgs;
use std::{collections::BTreeMap, hash::Hash, sync::Arc};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// Annotation on the mirror of a static pod. Its value is the uid by which the kubelet knows the pod.
pub const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

/// A KuryrPort, or what is left of one that can't be read.
pub type GuardedPort = DeserializeGuard<KuryrPort>;
/// A KuryrPoolPort, or what is left of one that can't be read.
pub type GuardedPoolPort = DeserializeGuard<KuryrPoolPort>;
/// A KuryrPool, or what is left of one that can't be read.
pub type GuardedPool = DeserializeGuard<KuryrPool>;
/// A pod without its spec and status: the daemon of a full node has a hundred of them.
pub type PodMeta = PartialObjectMeta<Pod>;

/// The caches. Cheap to clone.
#[derive(Clone)]
pub struct Caches {
    /// The KuryrPorts of this node.
    pub ports: Store<GuardedPort>,
    /// The KuryrPoolPorts of this node.
    pub pool_ports: Store<GuardedPoolPort>,
    /// The KuryrPools of this node.
    pub pools: Store<GuardedPool>,
    /// The pods of this node.
    pub pods: Store<PodMeta>,
    synced: watch::Receiver<Synced>,
}

/// Which caches hold a complete list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Synced {
    ports: bool,
    pool_ports: bool,
    pools: bool,
    pods: bool,
}

/// What the cache of pods says about the pod of a CNI call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenPod {
    /// For the decision.
    pub sight: PodSight,
    /// The pod's uid in the API, where it is known: what the KuryrPort's name is made of.
    pub uid: Option<String>,
}

impl Caches {
    /// Starts the watches as tasks of `tasks`. `changed` is notified of every change.
    #[must_use]
    pub fn start(
        client: &Client,
        settings: &Settings,
        metrics: &Arc<Metrics>,
        changed: &watch::Sender<()>,
        shutdown: &CancellationToken,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let of_node = format!("spec.nodeName={}", settings.node_name);
        // kube gives up a connection that is silent for 5 s longer.
        let config = watcher::Config::default().fields(&of_node).timeout(settings.timeouts.watch_seconds);
        let limit = settings.timeouts.api();
        let heard = |kind| {
            let pulse = Pulse::default();
            metrics.watch(kind, pulse.clone());
            pulse.of(&prompt(client, limit))
        };
        let (ports, write_ports) = reflector::store();
        let (pool_ports, write_pool_ports) = reflector::store();
        let (pools, write_pools) = reflector::store();
        let (pods, write_pods) = reflector::store();
        let (tell_synced, synced) = watch::channel(Synced::default());
        let follower = Follower {
            metrics: Arc::clone(metrics),
            changed: changed.clone(),
            synced: tell_synced,
            shutdown: shutdown.clone(),
        };
        let stream = watcher(Api::<GuardedPort>::all(heard("KuryrPort")), config.clone());
        tasks.spawn(follower.clone().follow("KuryrPort", stream, write_ports, |all| all.ports = true));
        let stream = watcher(Api::<GuardedPoolPort>::all(heard("KuryrPoolPort")), config.clone());
        tasks.spawn(follower.clone().follow("KuryrPoolPort", stream, write_pool_ports, |all| all.pool_ports = true));
        let stream = watcher(Api::<GuardedPool>::all(heard("KuryrPool")), config.clone());
        tasks.spawn(follower.clone().follow("KuryrPool", stream, write_pools, |all| all.pools = true));
        let stream = watcher(Api::<PodMeta>::all(heard("Pod")), config);
        tasks.spawn(follower.follow("Pod", stream, write_pods, |all| all.pods = true));
        Self { ports, pool_ports, pools, pods, synced }
    }

    /// Whether the cache of KuryrPools holds a complete list. No pod needs it.
    #[must_use]
    pub fn pools_synced(&self) -> bool {
        self.synced.borrow().pools
    }

    /// The kinds that serving pods needs and whose cache doesn't hold a complete list yet.
    #[must_use]
    pub fn unsynced(&self) -> Vec<&'static str> {
        let synced = *self.synced.borrow();
        [("KuryrPort", synced.ports), ("KuryrPoolPort", synced.pool_ports), ("Pod", synced.pods)]
            .into_iter()
            .filter_map(|(kind, done)| (!done).then_some(kind))
            .collect()
    }

    /// The KuryrPort of this name.
    #[must_use]
    pub fn port(&self, namespace: &str, name: &str) -> Option<Arc<GuardedPort>> {
        self.ports.get(&ObjectRef::new(name).within(namespace))
    }

    /// What is known about the pod of a call.
    #[must_use]
    pub fn pod(&self, call: &PodArgs) -> SeenPod {
        let found = self.pods.get(&ObjectRef::new(&call.name).within(&call.namespace));
        see(found.as_deref(), call.uid.as_deref())
    }

    /// Whether the pod of `uid` is there; or a static pod of this name, see [`crate::decide::OrphanFacts`].
    #[must_use]
    pub fn knows_pod(&self, namespace: &str, name: &str, uid: &str) -> bool {
        self.pods
            .get(&ObjectRef::new(name).within(namespace))
            .is_some_and(|pod| pod.metadata.uid.as_deref() == Some(uid) || mirrored(&pod).is_some())
    }
}

/// The same client, which gives up a request whose answer doesn't begin in time. The end of a list or watch has other limits; but
/// a request that goes by a connection that died without a word would else wait as long as a silent watch may.
fn prompt(client: &Client, limit: Duration) -> Client {
    let (inner, namespace) = (client.clone(), client.default_namespace().to_owned());
    let send = move |request: Request<Body>| {
        let inner = inner.clone();
        async move {
            let late = || kube::Error::Service(format!("no answer within {} s", limit.as_secs()).into());
            tokio::time::timeout(limit, inner.send(request)).await.unwrap_or_else(|_| Err(late()))
        }
    };
    Client::new(tower::service_fn(send), namespace)
}

/// The uid by which the kubelet knows the static pod that `pod` mirrors.
fn mirrored(pod: &PodMeta) -> Option<&str> {
    pod.metadata.annotations.as_ref()?.get(MIRROR_ANNOTATION).map(String::as_str)
}

/// Compares the pod that was `found` under the name with the uid that the runtime gave.
pub(crate) fn see(found: Option<&PodMeta>, wanted: Option<&str>) -> SeenPod {
    let Some(pod) = found else {
        return SeenPod { sight: PodSight::Absent, uid: wanted.map(str::to_owned) };
    };
    let uid = pod.metadata.uid.as_deref();
    if wanted.is_none() || wanted == uid || wanted == mirrored(pod) {
        let terminating = pod.metadata.deletion_timestamp.is_some();
        return SeenPod { sight: PodSight::Present { terminating }, uid: uid.map(str::to_owned) };
    }
    SeenPod { sight: PodSight::Other, uid: wanted.map(str::to_owned) }
}

/// What following any watch needs.
#[derive(Clone)]
struct Follower {
    metrics: Arc<Metrics>,
    changed: watch::Sender<()>,
    synced: watch::Sender<Synced>,
    shutdown: CancellationToken,
}

impl Follower {
    /// Writes what the watch tells into the cache until the daemon stops.
    async fn follow<K>(
        self,
        kind: &'static str,
        stream: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send,
        mut writer: Writer<K>,
        mark: fn(&mut Synced),
    ) where
        K: kube::Resource<DynamicType = ()> + Lookup<DynamicType = ()> + Clone + Send + Sync + Malformed + 'static,
    {
        let mut stream = std::pin::pin!(stream.default_backoff());
        let mut failing_since: Option<Instant> = None;
        while let Some(Some(next)) = self.shutdown.run_until_cancelled(stream.next()).await {
            match next {
                Ok(event) => {
                    if let Some(since) = failing_since.take() {
                        tracing::info!(kind, seconds = since.elapsed().as_secs(), "watch works again");
                    }
                    let event = event.modify(prune);
                    report_malformed(kind, &event);
                    writer.apply_watcher_event(&event);
                    if matches!(event, watcher::Event::InitDone) {
                        self.synced.send_modify(mark);
                    }
                    self.changed.send_replace(());
                }
                Err(error) => {
                    self.metrics.watch_error(kind);
                    if failing_since.is_none() {
                        failing_since = Some(Instant::now());
                        tracing::warn!(kind, error = %chain(&error), "watch failed; trying again");
                    }
                }
            }
        }
    }
}

/// Whether an object's content could be read.
trait Malformed {
    /// What is wrong with it, if anything.
    fn malformed(&self) -> Option<&str>;
}

impl<K> Malformed for DeserializeGuard<K> {
    fn malformed(&self) -> Option<&str> {
        self.0.as_ref().err().map(|invalid| invalid.error.as_str())
    }
}

impl Malformed for PodMeta {
    fn malformed(&self) -> Option<&str> {
        None
    }
}

fn report_malformed<K: kube::Resource + Malformed>(kind: &str, event: &watcher::Event<K>) {
    if let watcher::Event::Apply(object) | watcher::Event::InitApply(object) = event
        && let Some(problem) = object.malformed()
    {
        let meta = object.meta();
        tracing::warn!(kind, namespace = meta.namespace, name = meta.name, problem, "object can't be read; it waits");
    }
}

/// Drops what is never looked at.
fn prune<K: kube::Resource>(object: &mut K) {
    let meta = object.meta_mut();
    meta.managed_fields = None;
    meta.labels = None;
    if let Some(annotations) = &mut meta.annotations {
        let kept: BTreeMap<_, _> = annotations.remove_entry(MIRROR_ANNOTATION).into_iter().collect();
        meta.annotations = (!kept.is_empty()).then_some(kept);
    }
}

/// An error with its causes, on one line.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    text
}

/// Remembers since when something is the case, by key.
#[derive(Debug)]
pub struct Since<K> {
    begun: std::collections::HashMap<K, Instant>,
}

impl<K> Default for Since<K> {
    fn default() -> Self {
        Self { begun: std::collections::HashMap::new() }
    }
}

impl<K: Eq + Hash + Clone> Since<K> {
    /// For how long each of `keys` has been the case; what isn't among them is forgotten.
    pub fn update(&mut self, keys: impl IntoIterator<Item = K>, now: Instant) -> BTreeMap<K, Duration>
    where
        K: Ord,
    {
        let before = std::mem::take(&mut self.begun);
        self.begun = keys.into_iter().map(|key| (key.clone(), before.get(&key).copied().unwrap_or(now))).collect();
        self.begun.iter().map(|(key, begun)| (key.clone(), now.saturating_duration_since(*begun))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(uid: &str, mirror: Option<&str>, deleting: bool) -> PodMeta {
        let mut pod: PodMeta = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": "shop", "name": "web-0", "uid": uid, "labels": {"a": "b"},
                         "annotations": {"big": "x"}, "managedFields": [{"manager": "kubelet"}]},
        }))
        .unwrap();
        if let Some(hash) = mirror {
            pod.metadata.annotations.as_mut().unwrap().insert(MIRROR_ANNOTATION.into(), hash.into());
        }
        pod.metadata.deletion_timestamp =
            deleting.then(|| serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
        pod
    }

    #[test]
    fn a_pod_is_known_by_its_uid() {
        let found = pod("1", None, false);
        assert_eq!(see(Some(&found), Some("1")).sight, PodSight::Present { terminating: false });
        assert_eq!(see(Some(&found), Some("2")), SeenPod { sight: PodSight::Other, uid: Some("2".into()) });
        assert_eq!(see(None, Some("2")), SeenPod { sight: PodSight::Absent, uid: Some("2".into()) });
        assert_eq!(see(Some(&pod("1", None, true)), Some("1")).sight, PodSight::Present { terminating: true });
    }

    #[test]
    fn without_a_uid_in_the_call_the_name_decides() {
        let seen = see(Some(&pod("1", None, false)), None);
        assert_eq!(seen, SeenPod { sight: PodSight::Present { terminating: false }, uid: Some("1".into()) });
        assert_eq!(see(None, None), SeenPod { sight: PodSight::Absent, uid: None });
    }

    #[test]
    fn a_static_pod_is_known_by_its_mirror_and_served_under_the_mirrors_uid() {
        let seen = see(Some(&pod("api-uid", Some("hash"), false)), Some("hash"));
        assert_eq!(seen, SeenPod { sight: PodSight::Present { terminating: false }, uid: Some("api-uid".into()) });
    }

    #[test]
    fn pruning_keeps_what_is_looked_at() {
        let mut pruned = pod("1", Some("hash"), true);
        prune(&mut pruned);
        assert_eq!(mirrored(&pruned), Some("hash"));
        assert_eq!(pruned.metadata.annotations.as_ref().unwrap().len(), 1);
        assert_eq!((pruned.metadata.labels, pruned.metadata.managed_fields), (None, None));
        assert!(pruned.metadata.deletion_timestamp.is_some() && pruned.metadata.uid.is_some());
    }

    #[test]
    fn since_counts_only_uninterrupted_time() {
        let (mut since, start) = (Since::default(), Instant::now());
        let later = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(since.update(["a"], start)["a"], Duration::ZERO);
        assert_eq!(since.update(["a", "b"], later(5)), [("a", later(5) - start), ("b", Duration::ZERO)].into());
        assert!(since.update([], later(6)).is_empty());
        assert_eq!(since.update(["a"], later(9))["a"], Duration::ZERO);
    }
}
