//! Liveness: whether our own loops make progress. Never whether OpenStack or the API server answer, because a restart
//! repairs neither.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// A feed that hasn't come round its loop for this long is stuck: its timer alone brings it round every few seconds.
const STUCK_FEED: Duration = Duration::from_secs(60);

/// A reconcile that has run for this long is stuck. Each of its requests to a slow OpenStack may take three minutes, and the
/// longest reconcile has about ten: a restart in the middle would only begin them anew.
const STUCK_RECONCILE: Duration = Duration::from_secs(3600);

/// What is known about the progress of all loops.
#[derive(Clone, Default)]
pub struct Health(Arc<State>);

#[derive(Default)]
struct State {
    feeds: Mutex<HashMap<String, Instant>>,
    running: Mutex<HashMap<String, Instant>>,
    ready: AtomicBool,
    waits_for: Mutex<&'static str>,
}

/// A reconcile that runs until this is dropped.
pub struct Running {
    health: Health,
    key: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.health.0.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

impl Health {
    /// A feed has come round its loop.
    pub fn alive(&self, feed: &str) {
        let mut feeds = self.0.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        match feeds.get_mut(feed) {
            Some(at) => *at = Instant::now(),
            None => {
                feeds.insert(feed.to_owned(), Instant::now());
            }
        }
    }

    /// The loop has ended as it should.
    pub fn forget(&self, feed: &str) {
        self.0.feeds.lock().unwrap_or_else(PoisonError::into_inner).remove(feed);
    }

    /// A reconcile of the object begins.
    #[must_use]
    pub fn begin(&self, key: &str) -> Running {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), Instant::now());
        Running { health: self.clone(), key: key.to_owned() }
    }

    /// Everything that a decision reads is there: work begins.
    pub fn set_ready(&self, ready: bool) {
        self.0.ready.store(ready, Ordering::Relaxed);
    }

    /// What the start waits for now.
    pub fn waits_for(&self, what: &'static str) {
        *self.0.waits_for.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    /// What the start waits for.
    #[must_use]
    pub fn waiting_for(&self) -> &'static str {
        *self.0.waits_for.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether work has begun.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.ready.load(Ordering::Relaxed)
    }

    /// What is stuck, one line each. Empty: all is well.
    #[must_use]
    pub fn stuck(&self) -> Vec<String> {
        self.stuck_at(Instant::now())
    }

    fn stuck_at(&self, now: Instant) -> Vec<String> {
        let feeds = self.0.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        let running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        let age = |at: &Instant| now.saturating_duration_since(*at);
        let late = |limit: Duration| move |(_, at): &(&String, &Instant)| age(at) > limit;
        let feeds = feeds
            .iter()
            .filter(late(STUCK_FEED))
            .map(|(feed, at)| format!("the watch loop of {feed} has made no progress for {} s", age(at).as_secs()));
        let running = running
            .iter()
            .filter(late(STUCK_RECONCILE))
            .map(|(key, at)| format!("the reconcile of {key} has run for {} s", age(at).as_secs()));
        feeds.chain(running).collect()
    }

    /// Running reconciles and for how many milliseconds each.
    #[must_use]
    pub fn running(&self) -> HashMap<String, u128> {
        let running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.iter().map(|(key, at)| (key.clone(), at.elapsed().as_millis())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_makes_no_progress_is_stuck() {
        let health = Health::default();
        health.alive("Pod");
        let running = health.begin("KuryrPort/default/web");
        let now = Instant::now();
        let after = |seconds| health.stuck_at(now + Duration::from_secs(seconds)).len();
        assert_eq!(after(59), 0);
        assert_eq!(after(61), 1, "the feed");
        assert_eq!(after(1800), 1, "a slow OpenStack isn't a stuck reconcile");
        assert_eq!(after(3601), 2, "the feed and the reconcile");
        drop(running);
        assert_eq!(after(3601), 1, "the feed");
    }
}
