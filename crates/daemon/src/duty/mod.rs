//! The daemon's duties towards the API: level-triggered loops that compare what is with what should be.

pub mod confirm;
pub mod hold;
pub mod host_port;
mod pacer;
pub mod repair;
pub mod report;
mod unread;

use crate::{caches::chain, node::Node};
use kuryr_core::error::Class;
use pacer::Pacer;
use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    task::{Id, JoinError, JoinSet},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// How long a duty sleeps at most. A change that nobody told it of is noticed then.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// Time between two looks. What changes meanwhile, as it does all the time while pods come and go, is seen together.
const SHORTEST_SLEEP: Duration = Duration::from_millis(20);

/// A duty that hasn't looked for this long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(120);

/// Something that a duty is to do.
pub struct Action<T> {
    /// The object that it is about: one action per object at a time, with its own backoff.
    pub key: String,
    /// What the decision was made from. The same again isn't done twice: its effect hasn't been seen yet.
    pub basis: u64,
    /// What to do.
    pub what: T,
}

/// A duty: what is to be done, and how.
pub trait Duty: Send + Sync + 'static {
    /// What the plan consists of.
    type What: Send + 'static;

    /// How many of its actions are under way at once.
    const AT_ONCE: usize = 16;

    /// Its name in logs and metrics.
    fn name(&self) -> &'static str;

    /// What is to be done now. Nothing is to be done where all is as it should be. `None`: it can't be said now, or it isn't time to
    /// look; what has failed before stays on record.
    fn plan(&mut self, node: &Node) -> impl Future<Output = Option<Vec<Action<Self::What>>>> + Send;

    /// In how long it wants to plan again though nothing has changed. `None`: it needn't.
    fn again(&self, _now: Instant) -> Option<Duration> {
        None
    }

    /// Does one part of the plan. It ends within some seconds.
    fn act(node: Arc<Node>, what: Self::What) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Why an action has failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The API server refused, or didn't answer.
    #[error("{what}: {}", chain(source))]
    Api {
        /// What was tried on which object.
        what: String,
        /// The refusal.
        source: kube::Error,
    },
    /// The API server didn't answer in time.
    #[error("{what}: no answer of the API server within {seconds} s")]
    Slow {
        /// What was tried on which object.
        what: String,
        /// The limit.
        seconds: u64,
    },
    /// The node's switch failed.
    #[error("{what}: {}", chain(source))]
    Switch {
        /// What was tried.
        what: String,
        /// The failure.
        source: kuryr_datapath::Error,
    },
    /// A defect of ours. The next attempt may see another state.
    #[error("it has panicked: {0}")]
    Panicked(#[source] JoinError),
}

impl Failure {
    fn class(&self) -> Class {
        match self {
            // A JSON patch whose test fails is answered with 422.
            Self::Api { source: kube::Error::Api(status), .. } if matches!(status.code, 409 | 422) => Class::Conflict,
            Self::Api { source: kube::Error::Api(status), .. } if status.code == 400 => Class::Rejected,
            Self::Api { .. } | Self::Slow { .. } | Self::Switch { .. } | Self::Panicked(_) => Class::Transient,
        }
    }
}

/// Makes a request to the API server within the limit. That the object is gone is no failure: then there is nothing left to
/// be done.
async fn request<T>(
    node: &Node,
    what: impl Fn() -> String,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<(), Failure> {
    match tokio::time::timeout(node.settings.timeouts.api(), request).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ok(()),
        Ok(Err(source)) => Err(Failure::Api { what: what(), source }),
        Err(_) => Err(Failure::Slow { what: what(), seconds: node.settings.timeouts.api_seconds }),
    }
}

/// When a duty has last looked.
#[derive(Debug, Clone)]
pub struct Beat {
    /// Name of the duty.
    pub duty: &'static str,
    started: Instant,
    milliseconds: Arc<AtomicU64>,
}

impl Beat {
    fn new(duty: &'static str) -> Self {
        Self { duty, started: Instant::now(), milliseconds: Arc::default() }
    }

    fn now(&self) {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.milliseconds.store(elapsed, Ordering::Relaxed);
    }

    /// For how long it hasn't looked.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_millis(self.milliseconds.load(Ordering::Relaxed)))
    }

    /// Whether it is stuck.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.age() > STUCK_AFTER
    }
}

/// Starts a duty as a task of `tasks`.
pub fn start<D: Duty>(duty: D, node: &Arc<Node>, shutdown: &CancellationToken, tasks: &mut JoinSet<()>) -> Beat {
    let beat = Beat::new(duty.name());
    tasks.spawn(run(duty, Arc::clone(node), beat.clone(), shutdown.clone()));
    beat
}

/// Plans on every change, and acts on what the pacer lets through.
async fn run<D: Duty>(mut duty: D, node: Arc<Node>, beat: Beat, shutdown: CancellationToken) {
    let mut changed = node.changed.subscribe();
    let mut pacer = Pacer::default();
    let mut acting = Acting::default();
    loop {
        beat.now();
        let looked = Instant::now();
        changed.mark_unchanged();
        let plan = duty.plan(&node).await;
        let is_known = plan.is_some();
        if let Some(plan) = &plan {
            pacer.retain(plan);
        }
        for action in plan.unwrap_or_default() {
            if acting.len() < D::AT_ONCE && pacer.begin(&action.key, action.basis, Instant::now()) {
                let Action { key, basis, what } = action;
                acting.begin(key, basis, D::act(Arc::clone(&node), what));
            }
        }
        // Where as many are under way as may be, the end of one of them is the next thing to wait for; where nothing is known, a
        // change or the next look.
        let due = if is_known && acting.len() < D::AT_ONCE { pacer.next(Instant::now()) } else { None };
        let wake = [due, duty.again(Instant::now())].into_iter().flatten().fold(LONGEST_SLEEP, Duration::min);
        tokio::select! {
            _ = changed.changed() => tokio::time::sleep_until(looked + SHORTEST_SLEEP).await,
            Some((key, basis, outcome)) = acting.ended() => {
                settle(duty.name(), &node, &mut pacer, key, basis, &outcome);
            }
            () = tokio::time::sleep(wake) => {}
            () = shutdown.cancelled() => break,
        }
    }
    // Requests that are under way end by their own limits.
    while acting.ended().await.is_some() {}
}

/// The actions that are under way.
#[derive(Default)]
struct Acting {
    tasks: JoinSet<Result<(), Failure>>,
    /// Key and basis of each.
    of: HashMap<Id, (String, u64)>,
}

impl Acting {
    fn len(&self) -> usize {
        self.tasks.len()
    }

    fn begin(&mut self, key: String, basis: u64, act: impl Future<Output = Result<(), Failure>> + Send + 'static) {
        let id = self.tasks.spawn(act).id();
        self.of.insert(id, (key, basis));
    }

    /// The next one that ends: its key, its basis, and how it has ended. `None`: none is under way.
    async fn ended(&mut self) -> Option<(String, u64, Result<(), Failure>)> {
        loop {
            let (id, outcome) = match self.tasks.join_next_with_id().await? {
                Ok((id, outcome)) => (id, outcome),
                Err(error) => (error.id(), Err(Failure::Panicked(error))),
            };
            if let Some((key, basis)) = self.of.remove(&id) {
                return Some((key, basis, outcome));
            }
        }
    }
}

fn settle(duty: &'static str, node: &Node, pacer: &mut Pacer, key: String, basis: u64, outcome: &Result<(), Failure>) {
    match outcome {
        Ok(()) => {
            node.metrics.duty(duty, "done");
            pacer.done(key, basis);
        }
        Err(failure) => {
            let class = failure.class();
            node.metrics.duty(duty, class.as_str());
            let delay = pacer.failed(&key, class, Instant::now());
            tracing::warn!(duty, object = key, error = %failure, retry_ms = delay.as_millis(), "failed; trying again");
        }
    }
}

/// A number that stands for `value`: what a decision was made from.
fn basis(value: &impl std::hash::Hash) -> u64 {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_action_that_panics_has_failed_and_its_object_is_free_again() {
        let (mut acting, mut pacer) = (Acting::default(), Pacer::default());
        let now = Instant::now();
        assert!(pacer.begin("a", 7, now));
        acting.begin("a".to_owned(), 7, async { panic!("of a test") });
        let (key, basis, outcome) = acting.ended().await.unwrap();
        assert_eq!((key.as_str(), basis, acting.len()), ("a", 7, 0));
        let failure = outcome.unwrap_err();
        assert!(failure.to_string().contains("panicked"), "{failure}");
        let delay = pacer.failed(&key, failure.class(), now);
        assert!(pacer.begin("a", 7, now + delay));
        assert!(acting.ended().await.is_none());
    }
}
