//! What was told of users' own words: an Event that says the same again is a write for nothing (promise P5).

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// What was told last of each object that something is wrong with, by its uid.
#[derive(Debug, Default)]
pub struct News {
    told: Mutex<HashMap<String, BTreeSet<String>>>,
    written: Mutex<HashMap<String, Instant>>,
}

impl News {
    /// What of this wasn't told yet. It counts as told from now on, and what isn't wrong any more may be told again.
    pub fn of(&self, uid: &str, problems: &[String]) -> Vec<String> {
        let mut told = lock(&self.told);
        let now: BTreeSet<String> = problems.iter().cloned().collect();
        let before = if now.is_empty() { told.remove(uid) } else { told.insert(uid.to_owned(), now.clone()) };
        let before = before.unwrap_or_default();
        now.difference(&before).cloned().collect()
    }

    /// The object is gone.
    pub fn forget(&self, uid: &str) {
        lock(&self.told).remove(uid);
        lock(&self.written).remove(uid);
    }

    /// The object's status has been written.
    pub fn wrote(&self, uid: &str) {
        lock(&self.written).insert(uid.to_owned(), Instant::now());
    }

    /// How long to wait until the object's status may be written again, where it is written once in a period at most.
    pub fn wait(&self, uid: &str, period: Duration) -> Option<Duration> {
        let left = period.saturating_sub(lock(&self.written).get(uid)?.elapsed());
        (!left.is_zero()).then_some(left)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_once_as_long_as_it_is() {
        let news = News::default();
        let problems = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        assert_eq!(news.of("u", &problems(&["a", "b"])), ["a", "b"]);
        assert_eq!(news.of("u", &problems(&["a", "c"])), ["c"]);
        assert_eq!(news.of("u", &problems(&["a", "c"])), [""; 0]);
        assert_eq!(news.of("v", &problems(&["a"])), ["a"]);
        assert_eq!(news.of("u", &[]), [""; 0]);
        assert_eq!(news.of("u", &problems(&["a"])), ["a"], "it was put right in between");
        news.forget("u");
        assert_eq!(news.of("u", &problems(&["a"])), ["a"]);
    }
}
