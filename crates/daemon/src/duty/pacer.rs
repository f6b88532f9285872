//! When an object's turn comes: one action at a time, backoff after failures, nothing twice.

use super::Action;
use kuryr_core::{backoff::Backoff, error::Class};
use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, Hasher, RandomState},
};
use tokio::time::{Duration, Instant};

#[derive(Debug, Default)]
struct Pace {
    busy: bool,
    failures: u32,
    not_before: Option<Instant>,
    done: Option<u64>,
}

/// The pace of every object that a duty has something to do with.
#[derive(Debug, Default)]
pub(super) struct Pacer {
    objects: HashMap<String, Pace>,
    random: RandomState,
}

impl Pacer {
    /// Whether the action may begin now. If so, it counts as begun.
    pub(super) fn begin(&mut self, key: &str, basis: u64, now: Instant) -> bool {
        let pace = self.objects.entry(key.to_owned()).or_default();
        let early = pace.not_before.is_some_and(|at| at > now);
        if pace.busy || early || pace.done == Some(basis) {
            return false;
        }
        pace.busy = true;
        true
    }

    /// The action has succeeded.
    pub(super) fn done(&mut self, key: String, basis: u64) {
        self.objects.insert(key, Pace { done: Some(basis), ..Pace::default() });
    }

    /// The action has failed. Gives the time until it is tried again.
    pub(super) fn failed(&mut self, key: &str, class: Class, now: Instant) -> Duration {
        let random = self.random();
        let pace = self.objects.entry(key.to_owned()).or_default();
        pace.busy = false;
        // What was done before may be half undone.
        pace.done = None;
        pace.failures = pace.failures.saturating_add(1);
        let delay = Backoff::of(class).delay(pace.failures, random);
        pace.not_before = Some(now + delay);
        delay
    }

    /// Forgets every object that is no longer in the plan: all is well with it.
    pub(super) fn retain<T>(&mut self, plan: &[Action<T>]) {
        let planned: HashSet<&str> = plan.iter().map(|action| action.key.as_str()).collect();
        self.objects.retain(|key, pace| pace.busy || planned.contains(key.as_str()));
    }

    /// The time until the next object's backoff is over.
    pub(super) fn next(&self, now: Instant) -> Option<Duration> {
        let waiting = self.objects.values().filter(|pace| !pace.busy).filter_map(|pace| pace.not_before);
        waiting.min().map(|at| at.saturating_duration_since(now).max(Duration::from_millis(1)))
    }

    /// A number between 0 and 1. Nothing but the spreading of retries depends on it.
    fn random(&self) -> f64 {
        let mut hasher = self.random.build_hasher();
        hasher.write_usize(self.objects.values().map(|pace| pace.failures as usize).sum());
        f64::from(u32::try_from(hasher.finish() >> 32).unwrap_or_default()) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(key: &str) -> Action<()> {
        Action { key: key.into(), basis: 1, what: () }
    }

    #[test]
    fn one_action_per_object_at_a_time() {
        let (mut pacer, now) = (Pacer::default(), Instant::now());
        assert!(pacer.begin("a", 1, now));
        assert!(!pacer.begin("a", 2, now));
        assert!(pacer.begin("b", 1, now));
        pacer.retain::<()>(&[]);
        assert!(!pacer.begin("a", 1, now), "an action under way isn't forgotten");
    }

    #[test]
    fn what_was_done_is_done_again_only_when_something_changed() {
        let (mut pacer, now) = (Pacer::default(), Instant::now());
        assert!(pacer.begin("a", 1, now));
        pacer.done("a".into(), 1);
        pacer.retain(&[action("a")]);
        assert!(!pacer.begin("a", 1, now));
        assert!(pacer.begin("a", 2, now));
        pacer.done("a".into(), 2);
        pacer.retain::<()>(&[]);
        assert!(pacer.begin("a", 2, now), "it was well in between");
    }

    #[test]
    fn a_failure_undoes_what_was_done() {
        let (mut pacer, now) = (Pacer::default(), Instant::now());
        assert!(pacer.begin("a", 1, now));
        pacer.done("a".into(), 1);
        assert!(pacer.begin("a", 2, now));
        let delay = pacer.failed("a", Class::Transient, now);
        assert!(!pacer.begin("a", 1, now));
        assert!(pacer.begin("a", 1, now + delay), "it is as it was before, or not: it is done again");
        pacer.done("a".into(), 1);
        assert_eq!(pacer.next(now + delay), None, "nothing is left to wait for");
    }

    #[test]
    fn failures_back_off_per_object() {
        let (mut pacer, now) = (Pacer::default(), Instant::now());
        assert!(pacer.begin("a", 1, now));
        let first = pacer.failed("a", Class::Transient, now);
        assert!(first >= Duration::from_millis(250) && first <= Duration::from_millis(500), "{first:?}");
        assert!(!pacer.begin("a", 1, now));
        assert!(pacer.begin("b", 1, now));
        assert_eq!(pacer.next(now), Some(first));
        let later = now + first;
        assert!(pacer.begin("a", 1, later));
        assert!(pacer.failed("a", Class::Transient, later) >= Duration::from_millis(500));
        assert_eq!(pacer.next(now + Duration::from_secs(60)), Some(Duration::from_millis(1)));
    }
}
