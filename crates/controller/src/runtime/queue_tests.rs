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
    order: Mutex<Vec<String>>,
    new: Notify,
}

impl Reconciler for Slow {
    type Object = KuryrPool;

    async fn reconcile(&self, object: Arc<KuryrPool>) -> Result<Next, Error> {
        let name = object.meta().name.clone().unwrap();
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

#[tokio::test(start_paused = true)]
async fn a_new_object_goes_before_thousands_that_are_only_looked_over() {
    // The cache is filled by what we "wrote": the watch never begins.
    let never = tower::service_fn(|_: http::Request<kube::client::Body>| {
        std::future::pending::<Result<http::Response<kube::client::Body>, Never>>()
    });
    let client = Client::new(never, "default");
    let metrics = Metrics::new(&mut Registry::default());
    let (pools, mut feed) = cache::<KuryrPool>(&client, &metrics, &Events::new(client.clone()), None, |_| {});
    // Work waits for the first list, here an empty one.
    feed.watched(watcher::Event::Init);
    feed.watched(watcher::Event::InitDone);
    let (health, shutdown) = (Health::default(), CancellationToken::new());
    tokio::spawn(feed.run(health.clone(), shutdown.clone()));
    let (queue, inbox) = Queue::new();
    queue.open();
    for i in 0..CONVERGED {
        pools.wrote(pool(&format!("old{i}")));
        queue.look_over(None, &format!("old{i}"));
    }
    pools.wrote(pool("new"));
    while pools.len() <= CONVERGED {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let slow = Arc::new(Slow { order: Mutex::default(), new: Notify::new() });
    let runtime = Runtime { metrics, health: health.clone(), retries: Retries::default(), shutdown: shutdown.clone() };
    let working = tokio::spawn(work(slow.clone(), pools.clone(), queue.clone(), inbox, 4, runtime));

    tokio::time::sleep(Duration::from_millis(25)).await;
    assert!(queue.depth() > CONVERGED - 20, "the backlog has begun");
    let added = Instant::now();
    queue.add(None, "new");
    slow.new.notified().await;
    assert!(added.elapsed() <= Duration::from_millis(12), "it found a place at once: {:?}", added.elapsed());

    while queue.depth() > 0 || !health.running().is_empty() {
        assert!(health.stuck().is_empty(), "liveness stays green while thousands of objects are looked over");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut order = slow.order.lock().unwrap().clone();
    assert!(order.iter().position(|name| name == "new").unwrap() < 20);
    order.sort();
    order.dedup();
    assert_eq!((order.len(), slow.order.lock().unwrap().len()), (CONVERGED + 1, CONVERGED + 1), "each of them once");
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
