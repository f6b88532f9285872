//! A new object goes before everything that is only looked over.

use super::*;
use crate::runtime::{cache::cache, events::Events};
use kube::{Client, runtime::watcher};
use kuryr_api::{KuryrPool, KuryrPoolSpec};
use prometheus_client::registry::Registry;
use std::convert::Infallible as Never;
use tokio::{sync::Notify, task::JoinHandle};

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

/// Four places that work on a queue, slowly.
struct Works {
    queue: Queue<KuryrPool>,
    slow: Arc<Slow>,
    runtime: Runtime,
    working: JoinHandle<()>,
}

impl Works {
    /// Begins with these objects, and with what `ask` asks for.
    async fn on(names: impl Iterator<Item = String>, ask: impl FnOnce(&Queue<KuryrPool>)) -> Self {
        let metrics = Metrics::new(&mut Registry::default());
        let (health, retries, shutdown) = Default::default();
        let runtime = Runtime { metrics, health, retries, shutdown };
        let (queue, inbox) = Queue::new();
        let pools = filled(names, &runtime).await;
        queue.open();
        ask(&queue);
        let slow = Slow::new(queue.clone());
        let working = tokio::spawn(work(slow.clone(), pools, queue.clone(), inbox, 4, runtime.clone()));
        Self { queue, slow, runtime, working }
    }

    /// A new object finds a place at once.
    async fn takes_new_at_once(&self) {
        let added = Instant::now();
        self.queue.add(None, "new");
        self.slow.new.notified().await;
        assert!(added.elapsed() <= Duration::from_millis(12), "it found a place at once: {:?}", added.elapsed());
    }

    /// Waits until nothing is to be done.
    async fn are_done(&self) {
        let health = &self.runtime.health;
        while self.queue.depth() > 0 || !health.running().is_empty() {
            assert!(health.stuck().is_empty(), "liveness stays green while thousands of objects are looked over");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends it: the objects in the order in which they were looked at, each of them once.
    async fn end(self) -> Vec<String> {
        self.runtime.shutdown.cancel();
        self.working.await.unwrap();
        let order = self.slow.order.lock().unwrap().clone();
        assert_eq!(order.iter().collect::<HashSet<_>>().len(), order.len(), "each of them once");
        order
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_object_goes_before_thousands_that_are_only_looked_over() {
    let old = || (0..CONVERGED).map(|i| format!("old{i}"));
    let ask = |queue: &Queue<KuryrPool>| old().for_each(|name| queue.look_over(None, &name));
    let works = Works::on(old().chain(["new".to_owned()]), ask).await;
    tokio::time::sleep(Duration::from_millis(25)).await;
    assert!(works.queue.depth() > CONVERGED - 20, "the backlog has begun");
    works.takes_new_at_once().await;
    works.are_done().await;
    let order = works.end().await;
    assert!(order.iter().position(|name| name == "new").unwrap() < 20);
    assert_eq!(order.len(), CONVERGED + 1);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_leaves_places_however_much_of_it_there_is() {
    let later = || (0..1000).map(|i| format!("later{i}"));
    let ask = |queue: &Queue<KuryrPool>| later().for_each(|name| queue.add(None, &name));
    let works = Works::on(later().chain(["new".to_owned()]), ask).await;
    tokio::time::sleep(Duration::from_millis(25)).await;
    assert_eq!(works.runtime.health.running().len(), 3, "a quarter of the places is left");
    works.takes_new_at_once().await;
    works.are_done().await;
    assert_eq!(works.end().await.len(), 1001);
}

#[tokio::test(start_paused = true)]
async fn what_has_converged_is_looked_over_again_in_parts() {
    let works = Works::on((0..450).map(|i| format!("p{i}")), |_| ()).await;
    tokio::time::sleep(RESYNC / 2).await;
    let half = works.slow.order.lock().unwrap().len();
    assert!((150..300).contains(&half), "evenly: {half}");
    tokio::time::sleep(RESYNC / 2 + Duration::from_secs(1)).await;
    assert_eq!(works.end().await.len(), 450);
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

#[tokio::test(start_paused = true)]
async fn the_backlog_waits_until_the_queue_is_open() {
    let (queue, mut inbox) = Queue::<KuryrPool>::new();
    queue.look_over(None, "a");
    let working = tokio::spawn({
        let queue = queue.clone();
        async move { queue.work_off(4).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(queue.backlog().under_way.is_empty(), "it would keep its place for ever");
    queue.open();
    assert_eq!(inbox.next().await.unwrap().name, "a");
    working.abort();
}
