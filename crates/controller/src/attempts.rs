//! Which Neutron ports may have been asked for already: what makes creation happen once.
//!
//! An object that this process has just written has no port yet, whatever else happened: its first request needs no
//! look at Neutron. Every other object may have one, from a request of a predecessor or one whose answer was lost, and that
//! request may even still be on its way: Neutron is asked first, and asked again a while later.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// After this time a request whose answer was lost has either been carried out or never will be. Neutron creates a port in
/// well under a second, and in some seconds under heavy load.
const SETTLED: Duration = Duration::from_secs(30);

/// What this process knows about requests to create ports, by the uid of the KuryrPoolPort.
#[derive(Default)]
pub struct Attempts {
    state: Mutex<State>,
}

struct State {
    /// Since when this process is the one that writes.
    began: Instant,
    /// Names of objects that this process is writing at this moment.
    writing: HashSet<String>,
    /// Whether a port may have been asked for, by the object's uid.
    asked: HashMap<String, bool>,
    /// A request may be under way until this moment.
    unsettled: HashMap<String, Instant>,
    /// Neutron went away while it worked on a request of the object.
    broken: HashSet<String>,
}

impl Default for State {
    fn default() -> Self {
        let (writing, asked, unsettled, broken) = Default::default();
        Self { began: Instant::now(), writing, asked, unsettled, broken }
    }
}

/// An object is being written until this is dropped.
pub struct Writing<'a> {
    attempts: &'a Attempts,
    name: String,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.attempts.state().writing.remove(&self.name);
    }
}

impl Attempts {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this process is the one that writes: whatever was asked for before was asked for by a predecessor.
    pub fn begin(&self) {
        *self.state() = State::default();
    }

    /// This process begins to write the object of this name. The watch may bring it before the answer does.
    #[must_use]
    pub fn writing(&self, name: &str) -> Writing<'_> {
        self.state().writing.insert(name.to_owned());
        Writing { attempts: self, name: name.to_owned() }
    }

    /// Whether it will be known in a moment who has written the object of this name.
    #[must_use]
    pub fn is_writing(&self, name: &str) -> bool {
        self.state().writing.contains(name)
    }

    /// This process has written the object: nobody can have asked for its port, unless it is known that somebody did.
    pub fn born(&self, uid: &str) {
        self.state().asked.entry(uid.to_owned()).or_insert(false);
    }

    /// A port of this object is about to be asked for. Whether this is the first time: yes at most once, and only for an
    /// object that this process has written.
    #[must_use]
    pub fn first(&self, uid: &str) -> bool {
        self.state().asked.insert(uid.to_owned(), true) == Some(false)
    }

    /// The first request was refused, so still nobody has a port of this object.
    pub fn refused(&self, uid: &str) {
        self.state().asked.insert(uid.to_owned(), false);
    }

    /// A request was sent whose outcome is not known.
    pub fn lost(&self, uid: &str) {
        let settled = Instant::now() + SETTLED;
        self.state().unsettled.insert(uid.to_owned(), settled);
    }

    /// Neutron went away while it worked on a request: the port of that request may be half made. Neutron writes a port to its own
    /// database first and to OVN's then, and what comes between them only its maintenance mends, minutes later.
    pub fn broke_off(&self, uid: &str) {
        self.state().broken.insert(uid.to_owned());
    }

    /// Whether a port that is found may be half made.
    #[must_use]
    pub fn may_be_half_made(&self, uid: &str) -> bool {
        self.state().broken.contains(uid)
    }

    /// The port of the request that broke off isn't used.
    pub fn discarded(&self, uid: &str) {
        self.state().broken.remove(uid);
    }

    /// Neutron is to be looked at once more, as soon as the object's port is recorded.
    pub fn look_again(&self, uid: &str) {
        self.state().unsettled.entry(uid.to_owned()).or_insert_with(Instant::now);
    }

    /// The object was not written by this process: a predecessor may have sent a request just before it ended
    /// or lost the Lease.
    pub fn inherited(&self, uid: &str) {
        let mut state = self.state();
        let settled = state.began + SETTLED;
        if settled > Instant::now() {
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
        let state = self.state();
        state.unsettled.get(uid).map(|at| at.saturating_duration_since(now))
    }

    /// Neutron was looked at once more.
    pub fn settled(&self, uid: &str) {
        self.state().unsettled.remove(uid);
    }

    /// The object is gone.
    pub fn forget(&self, uid: &str) {
        let mut state = self.state();
        state.asked.remove(uid);
        state.unsettled.remove(uid);
        state.broken.remove(uid);
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
        attempts.born("b");
        assert!(!attempts.first("b"), "the answer to the write came after somebody had asked");
        attempts.refused("a");
        assert!(attempts.first("a"));
    }

    #[test]
    fn an_object_is_being_written_until_the_answer() {
        let attempts = Attempts::default();
        let writing = attempts.writing("n-1");
        assert!(attempts.is_writing("n-1") && !attempts.is_writing("n-2"));
        drop(writing);
        assert!(!attempts.is_writing("n-1"));
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
        attempts.look_again("a");
        assert_eq!(attempts.unsettled("a"), Some(Duration::ZERO));
        attempts.lost("b");
        attempts.look_again("b");
        assert!(attempts.unsettled("b").is_some_and(|left| !left.is_zero()), "a lost request still has its time");
    }

    #[test]
    fn a_predecessor_may_have_asked_only_just_before_this_process_took_over() {
        let now = Instant::now();
        let young = Attempts::default();
        young.inherited("a");
        assert!(young.unsettled_at("a", now).is_some());
        let Some(long_ago) = now.checked_sub(SETTLED * 2) else { return };
        let old = Attempts { state: Mutex::new(State { began: long_ago, ..State::default() }) };
        old.inherited("a");
        assert_eq!(old.unsettled_at("a", now), None);
        old.born("a");
        old.begin();
        old.inherited("a");
        assert!(
            old.unsettled_at("a", now).is_some() && !old.first("a"),
            "somebody else may have been at work in between"
        );
    }
}
