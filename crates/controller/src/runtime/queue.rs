//! The work queue of one kind, and the loop that works on it. Written once for all reconcilers.

use super::{
    Kind,
    cache::{Cache, object_ref},
    health::Health,
    metrics::Metrics,
    retry::Retries,
};
use crate::error::Error;
use futures::{StreamExt, channel::mpsc};
use kube::{
    Resource, ResourceExt,
    runtime::{
        controller::{Action, Config, Error as ApplierError, applier},
        reflector::ObjectRef,
    },
};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    convert::Infallible,
    future::Future,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

/// Converged objects are looked over again within this time, whatever may have been missed, a part of them at a time.
const RESYNC: Duration = Duration::from_secs(900);

/// In so many parts. One timer for all of a part: with one each, kube's scheduler holds the name of every converged object.
const RESYNC_PARTS: u32 = 45;

/// What a reconcile came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The world is as it should be. A change of an object starts the next reconcile.
    Converged,
    /// Something is missing that no watched object announces: look again after this time.
    After(Duration),
    /// The wait after a failure isn't over: nothing was tried, and the failure stays counted.
    NotYet(Duration),
    /// Nobody waits for what is to be done, and it may take long: it has its turn with what is only to be looked over, see
    /// [`Queue::has_turn`]. Nothing was tried.
    Later,
}

/// Brings the world to what one kind of objects asks for.
pub trait Reconciler: Send + Sync + 'static {
    /// The kind of objects.
    type Object: Kind;

    /// Makes the next steps for one object. Called again after every change, and never twice at once for one object.
    fn reconcile(&self, object: Arc<Self::Object>) -> impl Future<Output = Result<Next, Error>> + Send;
}

/// Objects that are to be looked at.
///
/// Changes have their turn at once. What is only to be looked over, as everything is when work begins, or what nobody waits for
/// ([`Next::Later`]), waits in a backlog: it never takes more than three quarters of the places, so that a change finds one
/// however long the backlog is.
pub struct Queue<K: Kind> {
    sender: mpsc::UnboundedSender<ObjectRef<K>>,
    since: Arc<Mutex<HashMap<ObjectRef<K>, Instant>>>,
    backlog: Arc<Mutex<Backlog<K>>>,
    room: Arc<Notify>,
    open: Arc<AtomicBool>,
}

/// What is to be looked over when there is nothing better to do.
struct Backlog<K: Kind> {
    order: VecDeque<ObjectRef<K>>,
    /// What of it still waits: a change may have been quicker.
    waiting: HashSet<ObjectRef<K>>,
    /// What of it is being looked over.
    under_way: HashSet<ObjectRef<K>>,
}

impl<K: Kind> Default for Backlog<K> {
    fn default() -> Self {
        Self { order: VecDeque::new(), waiting: HashSet::new(), under_way: HashSet::new() }
    }
}

impl<K: Kind> Backlog<K> {
    fn next(&mut self, most: usize) -> Option<ObjectRef<K>> {
        while self.under_way.len() < most {
            let reference = self.order.pop_front()?;
            if self.waiting.remove(&reference) {
                self.under_way.insert(reference.clone());
                return Some(reference);
            }
        }
        None
    }
}

/// The end of a queue from which [`work`] takes.
pub type Inbox<K> = mpsc::UnboundedReceiver<ObjectRef<K>>;

impl<K: Kind> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            since: self.since.clone(),
            backlog: self.backlog.clone(),
            room: self.room.clone(),
            open: self.open.clone(),
        }
    }
}

impl<K: Kind> Queue<K> {
    /// A queue, and the end from which [`work`] takes.
    #[must_use]
    pub fn new() -> (Self, Inbox<K>) {
        let (sender, receiver) = mpsc::unbounded();
        let (since, backlog, room, open) = Default::default();
        (Self { sender, since, backlog, room, open }, receiver)
    }

    /// Takes objects from now on. Before, work has not begun: when it begins, everything is looked at.
    pub fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
        self.room.notify_one();
    }

    /// Has the object of that name looked at. Adding it twice is the same as once.
    pub fn add(&self, namespace: Option<&str>, name: &str) {
        if !self.open.load(Ordering::SeqCst) {
            return;
        }
        let reference = object_ref(namespace, name);
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.entry(reference.clone()).or_insert_with(Instant::now);
        // A closed channel means that the controller is stopping.
        let _ = self.sender.unbounded_send(reference);
    }

    /// Has the object of that name looked over when there is nothing better to do.
    pub fn look_over(&self, namespace: Option<&str>, name: &str) {
        let reference = object_ref(namespace, name);
        {
            let mut backlog = self.backlog();
            if backlog.waiting.insert(reference.clone()) {
                backlog.order.push_back(reference);
            }
        }
        self.room.notify_one();
    }

    /// Whether the object of that name has its turn with what is only to be looked over, and may take its time.
    #[must_use]
    pub fn has_turn(&self, namespace: Option<&str>, name: &str) -> bool {
        self.backlog().under_way.contains(&object_ref(namespace, name))
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog<K>> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the backlog its turns, as long as this is polled.
    async fn work_off(&self, concurrency: u16) {
        let most = usize::from(concurrency.saturating_mul(3) / 4).max(1);
        loop {
            // What is taken out of it while nothing is taken in would keep its place for ever.
            while self.open.load(Ordering::SeqCst) {
                let next = self.backlog().next(most);
                let Some(reference) = next else { break };
                self.add(reference.namespace.as_deref(), &reference.name);
            }
            self.room.notified().await;
        }
    }

    /// Has all objects looked over, again and again, as long as this is polled.
    async fn look_over_all(&self, cache: &Cache<K>) {
        let pause = RESYNC / RESYNC_PARTS;
        let mut ticks = tokio::time::interval_at(Instant::now() + pause, pause);
        for part in (0..RESYNC_PARTS).cycle() {
            ticks.tick().await;
            for object in cache.all().iter().filter(|object| part_of(&***object) == part) {
                self.look_over(object.meta().namespace.as_deref(), &object.name_any());
            }
        }
    }

    /// Number of objects that wait to be looked at.
    #[must_use]
    pub fn depth(&self) -> usize {
        let backlog = self.backlog().waiting.len();
        self.since.lock().unwrap_or_else(PoisonError::into_inner).len() + backlog
    }

    /// The object's turn has come: how long it waited.
    fn taken(&self, reference: &ObjectRef<K>) -> Option<Duration> {
        self.backlog().waiting.remove(reference);
        self.since.lock().unwrap_or_else(PoisonError::into_inner).remove(reference).map(|at| at.elapsed())
    }

    /// The object was looked at, or is gone.
    fn ended(&self, reference: &ObjectRef<K>) {
        if self.backlog().under_way.remove(reference) {
            self.room.notify_one();
        }
    }
}

/// What the loop of a kind needs beside its reconciler.
#[derive(Clone)]
pub struct Runtime {
    /// Where durations and errors are counted.
    pub metrics: Metrics,
    /// Where running reconciles are known, so that a stuck one is noticed.
    pub health: Health,
    /// What failed, how often, and when it is tried again.
    pub retries: Retries,
    /// Ends the loop: running reconciles finish, no new one begins.
    pub shutdown: CancellationToken,
}

/// Works on a queue until the shutdown.
pub async fn work<R: Reconciler>(
    reconciler: Arc<R>,
    cache: Cache<R::Object>,
    queue: Queue<R::Object>,
    inbox: Inbox<R::Object>,
    concurrency: u16,
    runtime: Runtime,
) {
    let stopping = runtime.shutdown.clone().cancelled_owned();
    let requests = inbox.take_until(stopping).map(Ok::<_, Infallible>);
    let retries = runtime.retries.clone();
    let policy = move |object: Arc<R::Object>, error: &Error, _: Arc<()>| {
        Action::requeue(retries.failed(&key(&ObjectRef::from_obj(&*object)), object.meta().generation, error))
    };
    let reconcile = {
        let (queue, runtime) = (queue.clone(), runtime.clone());
        move |object, _| Box::pin(reconcile_once(reconciler.clone(), queue.clone(), runtime.clone(), object))
    };
    let config = Config::default().concurrency(concurrency);
    let results = applier(reconcile, policy, Arc::new(()), cache.store(), requests, config);
    let beside = async { tokio::join!(queue.work_off(concurrency), queue.look_over_all(&cache)) };
    let (mut results, mut beside) = (std::pin::pin!(results), std::pin::pin!(beside));
    loop {
        let result = tokio::select! {
            result = results.next() => result,
            _ = &mut beside => continue,
        };
        let Some(result) = result else { return };
        if let Err(ApplierError::ObjectNotFound(reference)) = result {
            // The object is gone, and with it all that was to be remembered about it.
            let name = object_ref(reference.namespace.as_deref(), &reference.name);
            queue.taken(&name);
            queue.ended(&name);
            runtime.retries.forget(&key(&name));
        }
    }
}

/// One reconcile with its measurements. Errors are told here, once.
async fn reconcile_once<R: Reconciler>(
    reconciler: Arc<R>,
    queue: Queue<R::Object>,
    runtime: Runtime,
    object: Arc<R::Object>,
) -> Result<Action, Error> {
    let kind = <R::Object as kube::Resource>::kind(&());
    let reference = ObjectRef::from_obj(&*object);
    if let Some(waited) = queue.taken(&reference) {
        runtime.metrics.queue_waited(&kind, waited);
    }
    let name = key(&reference);
    let running = runtime.health.begin(&name);
    let started = Instant::now();
    let result = reconciler.reconcile(object).await;
    drop(running);
    queue.ended(&reference);
    runtime.metrics.reconciled(&kind, started.elapsed(), result.as_ref().err().map(Error::class));
    match result {
        Ok(next) => {
            match next {
                Next::NotYet(_) => {}
                Next::Later => queue.look_over(reference.namespace.as_deref(), &reference.name),
                Next::Converged | Next::After(_) => runtime.retries.forget(&name),
            }
            Ok(match next {
                Next::Converged | Next::Later => Action::await_change(),
                Next::After(wait) | Next::NotYet(wait) => Action::requeue(wait),
            })
        }
        Err(error) => {
            let class = error.class();
            if error.is_stale() && runtime.retries.in_a_row(&name, class) == 0 {
                // Somebody else wrote first, as happens: the next attempt knows.
                tracing::debug!(object = name, class = class.as_str(), %error, "reconcile failed");
            } else {
                tracing::warn!(object = name, class = class.as_str(), %error, "reconcile failed");
            }
            Err(error)
        }
    }
}

/// In which part of the objects this one is looked over.
fn part_of<K: Kind>(object: &K) -> u32 {
    let mut hasher = DefaultHasher::new();
    object.meta().uid.hash(&mut hasher);
    u32::try_from(hasher.finish() % u64::from(RESYNC_PARTS)).unwrap_or_default()
}

/// How an object is called in logs, metrics and the table of failures: `Kind/namespace/name`.
pub fn key<K: Kind>(reference: &ObjectRef<K>) -> String {
    let kind = K::kind(&());
    match &reference.namespace {
        Some(namespace) => format!("{kind}/{namespace}/{}", reference.name),
        None => format!("{kind}/{}", reference.name),
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
