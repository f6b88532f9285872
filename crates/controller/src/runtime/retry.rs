//! What failed, how often, and when it is tried again.

use crate::error::Error;
use kuryr_core::{backoff::Backoff, error::Class};
use serde::Serialize;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Longest wait that a server (`Retry-After`) can ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(1800);

/// The failures of all objects, by the object's key.
#[derive(Clone, Default)]
pub struct Retries(Arc<Mutex<HashMap<String, Failure>>>);

struct Failure {
    count: u32,
    class: Class,
    generation: Option<i64>,
    message: String,
    next: Instant,
}

/// One failing object, as `/debug/state` shows it.
#[derive(Debug, Serialize)]
pub struct Failing {
    object: String,
    failures: u32,
    class: &'static str,
    error: String,
    retry_in_seconds: u64,
}

impl Retries {
    /// Counts a failure of the object in this generation and says how long it waits.
    pub fn failed(&self, key: &str, generation: Option<i64>, error: &Error) -> Duration {
        let class = error.class();
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = failures.entry(key.to_owned()).or_insert_with(|| Failure {
            count: 0,
            class,
            generation,
            message: String::new(),
            next: Instant::now(),
        });
        // Another class is another trouble: it starts with a short wait of its own.
        entry.count = if entry.class == class { entry.count.saturating_add(1) } else { 1 };
        // A server that says when to come again is believed, but not for ever.
        let asked = error.retry_after().unwrap_or_default().min(LONGEST_ASKED);
        let wait = Backoff::of(class).delay(entry.count, fastrand::f64()).max(asked);
        (entry.class, entry.generation, entry.message) = (class, generation, error.to_string());
        entry.next = Instant::now() + wait;
        wait
    }

    /// Time until a failed object may be tried again. Changes of an object start a reconcile at any time; what must not be
    /// repeated that soon (a request to OpenStack) asks here. A new generation is a new request: it needn't wait.
    #[must_use]
    pub fn remaining(&self, key: &str, generation: Option<i64>) -> Option<Duration> {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failure = failures.get(key).filter(|failure| failure.generation == generation)?;
        let left = failure.next.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// What the object waits for may be there now: it may be tried again at once. Its failures stay counted.
    pub fn hasten(&self, key: &str) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(failure) = failures.get_mut(key) {
            failure.next = Instant::now();
        }
    }

    /// How many failures of this class in a row the object has had.
    #[must_use]
    pub fn in_a_row(&self, key: &str, class: Class) -> u32 {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(key).filter(|failure| failure.class == class).map_or(0, |failure| failure.count)
    }

    /// The object's failures are over, or the object is gone.
    pub fn forget(&self, key: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Nothing has failed yet.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// All failing objects.
    #[must_use]
    pub fn all(&self) -> Vec<Failing> {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let failing = |(object, failure): (&String, &Failure)| Failing {
            object: object.clone(),
            failures: failure.count,
            class: failure.class.as_str(),
            error: failure.message.clone(),
            retry_in_seconds: failure.next.saturating_duration_since(now).as_secs(),
        };
        failures.iter().map(failing).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    fn failure(code: u16) -> Error {
        Error::kubernetes("write", "KuryrPort shop/web")(kube::Error::Api(
            Status::failure("no", "No").with_code(code).boxed(),
        ))
    }

    #[test]
    fn failures_are_counted_by_class_and_hold_requests_back_until_the_generation_changes() {
        let retries = Retries::default();
        for count in 1..=3 {
            retries.failed("a", Some(1), &failure(500));
            assert_eq!(retries.in_a_row("a", Class::Transient), count);
        }
        assert_eq!(retries.in_a_row("a", Class::Conflict), 0);
        assert_eq!(retries.in_a_row("b", Class::Transient), 0);
        assert!(retries.remaining("a", Some(1)).is_some_and(|left| left > Duration::from_millis(500)));
        assert_eq!(retries.remaining("a", Some(2)), None, "a new request needn't wait");
        retries.hasten("a");
        assert_eq!((retries.remaining("a", Some(1)), retries.in_a_row("a", Class::Transient)), (None, 3));
        retries.failed("a", Some(1), &failure(409));
        assert_eq!(retries.in_a_row("a", Class::Conflict), 1, "another trouble");
        let mut overloaded = Status::failure("no", "TooManyRequests").with_code(429);
        overloaded.details = serde_json::from_value(serde_json::json!({ "retryAfterSeconds": 90 })).unwrap();
        let overloaded = Error::kubernetes("write", "KuryrPort shop/web")(kube::Error::Api(overloaded.boxed()));
        assert_eq!(retries.failed("a", Some(1), &overloaded), Duration::from_secs(90), "as the server asks");
        retries.forget("a");
        assert_eq!((retries.all().len(), retries.remaining("a", Some(1))), (0, None));
    }
}
