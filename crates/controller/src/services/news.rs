//! What was told of Services' own words: an Event that says the same again is a write for nothing (promise P5).

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

/// What was told last of each Service that something is wrong with, by its uid.
#[derive(Debug, Default)]
pub struct News(Mutex<HashMap<String, BTreeSet<String>>>);

impl News {
    /// What of this wasn't told yet. It counts as told from now on, and what isn't wrong any more may be told again.
    pub fn of(&self, uid: &str, problems: &[String]) -> Vec<String> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now: BTreeSet<String> = problems.iter().cloned().collect();
        let before = if now.is_empty() { told.remove(uid) } else { told.insert(uid.to_owned(), now.clone()) };
        let before = before.unwrap_or_default();
        now.difference(&before).cloned().collect()
    }

    /// The Service is gone.
    pub fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
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
