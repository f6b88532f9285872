//! Which Neutron ports may have been asked for already: what makes creation happen once.
//!
//! An object that this process has just written has no port yet, whatever else happened: its first request needs no
//! look at Neutron. Every other object may have one, from a request of a predecessor or one whose answer was lost, and that
//! request may even still be on its way: Neutron is asked first, and asked again a while later.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// After this time a request whose answer was lost has either been carried out or never will be. Neutron creates a port in
/// well under a second, and in some seconds under heavy load.
const SETTLED: Duration = Duration::from_secs(30);

/// What this process knows about requests to create ports, by the uid of the KuryrPoolPort.
pub struct Attempts {
    started: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Written by this process, no port asked for yet.
    born: HashSet<String>,
    /// A request may be under way until this moment.
    unsettled: HashMap<String, Instant>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self { started: Instant::now(), state: Mutex::default() }
    }
}

impl Attempts {
    /// This process has written the object.
    pub fn born(&self, uid: &str) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).born.insert(uid.to_owned());
    }

    /// Whether nobody can have asked for a port of this object. The answer is yes at most once.
    #[must_use]
    pub fn first(&self, uid: &str) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).born.remove(uid)
    }

    /// A request was sent whose outcome is not known.
    pub fn lost(&self, uid: &str) {
        let settled = Instant::now() + SETTLED;
        self.state.lock().unwrap_or_else(PoisonError::into_inner).unsettled.insert(uid.to_owned(), settled);
    }

    /// The object was not written by this process: a predecessor may have sent a request just before it ended.
    pub fn inherited(&self, uid: &str) {
        let settled = self.started + SETTLED;
        if settled > Instant::now() {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.unsettled.entry(uid.to_owned()).or_insert(settled);
        }
    }

    /// Whether a request may still be under way: the time that is left, zero when it has just passed and Neutron is to be
    /// looked at once more. `None`: nothing is under way.
    #[must_use]
    pub fn unsettled(&self, uid: &str) -> Option<Duration> {
        self.unsettled_at(uid, Instant::now())
    }

    fn unsettled_at(&self, uid: &str, now: Instant) -> Option<Duration> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.unsettled.get(uid).map(|at| at.saturating_duration_since(now))
    }

    /// Neutron was looked at once more, or the object is gone.
    pub fn settled(&self, uid: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.unsettled.remove(uid);
        state.born.remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_object_is_first_once() {
        let attempts = Attempts::default();
        attempts.born("a");
        assert!(attempts.first("a"));
        assert!(!attempts.first("a"));
        assert!(!attempts.first("b"), "written by somebody else");
    }

    #[test]
    fn a_lost_request_settles_in_time() {
        let attempts = Attempts::default();
        let now = Instant::now();
        assert_eq!(attempts.unsettled_at("a", now), None);
        attempts.lost("a");
        assert!(attempts.unsettled_at("a", now).is_some_and(|left| left >= SETTLED));
        assert_eq!(attempts.unsettled_at("a", now + SETTLED * 2), Some(Duration::ZERO), "look once more");
        attempts.settled("a");
        assert_eq!(attempts.unsettled_at("a", now), None);
    }

    #[test]
    fn a_predecessor_may_have_asked_only_just_before_this_process_began() {
        let now = Instant::now();
        let young = Attempts { started: now, state: Mutex::default() };
        young.inherited("a");
        assert!(young.unsettled_at("a", now).is_some());
        let Some(long_ago) = now.checked_sub(SETTLED * 2) else { return };
        let old = Attempts { started: long_ago, state: Mutex::default() };
        old.inherited("a");
        assert_eq!(old.unsettled_at("a", now), None);
    }
}
