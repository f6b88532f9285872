//! A new object goes before everything that is only looked over.

use super::*;
use crate::runtime::{cache::cache, events::Events};
use kube::{Client, runtime::watcher};
use kuryr_api::{KuryrPool, KuryrPoolSpec};
use prometheus_client::registry::Registry;
use std::convert::Infallible as Never;
use tokio::sync::Notify;

const CONVERGED: usize = 5000;

/// Notes the order, and takes a while for each object.
struct Slow {
    queue: Queue<KuryrPool>,
    order: Mutex<Vec<String>>,
    new: Notify,
}

impl Slow {
    fn new(queue: Queue<KuryrPool>) -> Arc<Self> {
        Arc::new(Self { queue, order: Mutex::default(), new: Notify::new() })
    }
}

impl Reconciler for Slow {
    type Object = KuryrPool;

    async fn reconcile(&self, object: Arc<KuryrPool>) -> Result<Next, Error> {
        let name = object.meta().name.clone().unwrap();
        if name.starts_with("later") && !self.queue.has_turn(None, &name) {
            return Ok(Next::Later);
        }
        self.order.lock().unwrap().push(name.clone());
        tokio::time::sleep(Duration::from_millis(10)).await;
        if name == "new" {
            self.new.notify_one();
        }
        Ok(Next::Converged)
    }
}

fn pool(name: &str) -> KuryrPool {
    let spec: KuryrPoolSpec =
        serde_json::from_value(serde_json::json!({ "nodeName": "n", "networkId": "net", "subnetIds": ["s"] })).unwrap();
    let mut pool = KuryrPool::new(name, spec);
    (pool.metadata.uid, pool.metadata.resource_version) = (Some(name.to_owned()), Some("1".to_owned()));
    pool
}

/// Waits until nothing is to be done.
async fn all_done(queue: &Queue<KuryrPool>, health: &Health) {
    while queue.depth() > 0 || !health.running().is_empty() {
        assert!(health.stuck().is_empty(), "liveness stays green while thousands of objects are looked over");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A cache with these pools.
async fn filled(names: impl Iterator<Item = String>, runtime: &Runtime) -> Cache<KuryrPool> {
    // The cache is filled by what we "wrote": the watch never begins.
    let never = tower::service_fn(|_: http::Request<kube::client::Body>| {
        std::future::pending::<Result<http::Response<kube::client::Body>, Never>>()
    });
    let client = Client::new(never, "default");
    let (pools, mut feed) = cache::<KuryrPool>(&client, &runtime.metrics, &Events::new(client.clone()), None, |_| {});
    // Work waits for the first list, here an empty one.
    feed.watched(watcher::Event::Init);
    feed.watched(watcher::Event::InitDone);
    tokio::spawn(feed.run(runtime.health.clone(), runtime.shutdown.clone()));
    let mut count = 0;
    for name in names {
        pools.wrote(pool(&name));
        count += 1;
    }
    while pools.len() < count {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    pools
}

fn runtime() -> Runtime {
    let metrics = Metrics::new(&mut Registry::default());
    let (health, retries, shutdown) = Default::default();
    Runtime { metrics, health, retries, shutdown }
}

#[tokio::test(start_paused = true)]
async fn a_new_object_goes_before_thousands_that_are_only_looked_over() {
    let (runtime, (queue, inbox)) = (runtime(), Queue::new());
    let (health, shutdown) = (runtime.health.clone(), runtime.shutdown.clone());
    let old = || (0..CONVERGED).map(|i| format!("old{i}"));
    let pools = filled(old().chain(["new".to_owned()]), &runtime).await;
    queue.open();
    old().for_each(|name| queue.look_over(None, &name));
    let slow = Slow::new(queue.clone());
    let working = tokio::spawn(work(slow.clone(), pools, queue.clone(), inbox, 4, runtime));

    tokio::time::sleep(Duration::from_millis(25)).await;
    assert!(queue.depth() > CONVERGED - 20, "the backlog has begun");
    let added = Instant::now();
    queue.add(None, "new");
    slow.new.notified().await;
    assert!(added.elapsed() <= Duration::from_millis(12), "it found a place at once: {:?}", added.elapsed());

    all_done(&queue, &health).await;
    let mut order = slow.order.lock().unwrap().clone();
    assert!(order.iter().position(|name| name == "new").unwrap() < 20);
    order.sort();
    order.dedup();
    assert_eq!((order.len(), slow.order.lock().unwrap().len()), (CONVERGED + 1, CONVERGED + 1), "each of them once");
    shutdown.cancel();
    working.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_leaves_places_however_much_of_it_there_is() {
    let (runtime, (queue, inbox)) = (runtime(), Queue::new());
    let (health, shutdown) = (runtime.health.clone(), runtime.shutdown.clone());
    let later = || (0..1000).map(|i| format!("later{i}"));
    let pools = filled(later().chain(["new".to_owned()]), &runtime).await;
    queue.open();
    later().for_each(|name| queue.add(None, &name));
    let slow = Slow::new(queue.clone());
    let working = tokio::spawn(work(slow.clone(), pools, queue.clone(), inbox, 4, runtime));

    tokio::time::sleep(Duration::from_millis(25)).await;
    assert_eq!(health.running().len(), 3, "a quarter of the places is left");
    let added = Instant::now();
    queue.add(None, "new");
    slow.new.notified().await;
    assert!(added.elapsed() <= Duration::from_millis(12), "it found a place at once: {:?}", added.elapsed());
    all_done(&queue, &health).await;
    let order = slow.order.lock().unwrap().clone();
    assert_eq!(order.len(), 1001, "each of them once");
    shutdown.cancel();
    working.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_has_converged_is_looked_over_again_in_parts() {
    let (runtime, (queue, inbox)) = (runtime(), Queue::new());
    let shutdown = runtime.shutdown.clone();
    let all = || (0..450).map(|i| format!("p{i}"));
    let pools = filled(all(), &runtime).await;
    queue.open();
    let slow = Slow::new(queue.clone());
    let working = tokio::spawn(work(slow.clone(), pools, queue.clone(), inbox, 4, runtime));
    tokio::time::sleep(RESYNC / 2).await;
    let half = slow.order.lock().unwrap().len();
    assert!((150..300).contains(&half), "evenly: {half}");
    tokio::time::sleep(RESYNC / 2 + Duration::from_secs(1)).await;
    let mut order = slow.order.lock().unwrap().clone();
    assert_eq!(order.len(), 450);
    order.sort();
    order.dedup();
    assert_eq!(order.len(), 450, "each of them once");
    shutdown.cancel();
    working.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_object_in_the_backlog_that_changes_is_looked_at_once() {
    let (queue, mut inbox) = Queue::<KuryrPool>::new();
    queue.open();
    queue.look_over(None, "a");
    queue.look_over(None, "a");
    queue.add(None, "a");
    assert_eq!(inbox.next().await.unwrap().name, "a");
    queue.taken(&object_ref(None, "a"));
    assert_eq!(queue.depth(), 0);
    assert_eq!(queue.backlog().next(10), None, "a change was quicker");
}
