//! Who waits outside of a lane. A lane has few places: an object whose port is being asked for keeps a place among the running
//! reconciles, and those are needed by releases and by other namespaces, too.

use super::{lane::Flow, room::Sleepers};
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;

/// Whoever was let in and doesn't come within this time isn't expected any more: it is gone, or has found another port.
const EXPECTED: Duration = Duration::from_secs(5);

/// Those of one rank who wait outside.
#[derive(Debug, Default)]
pub struct Gate {
    outside: Sleepers,
    /// Who was let in and hasn't come yet.
    expected: HashMap<String, Instant>,
}

impl Gate {
    /// Whether this object may come in, `places` being free. Who may not has its turn, and is told by [`Self::let_in`]. Nobody
    /// overtakes those who wait already.
    pub fn admits(&mut self, object: &str, flow: &Flow, places: usize, now: Instant) -> bool {
        if self.expected.remove(object).is_some() {
            return true;
        }
        let free = self.outside.is_empty() && self.expects(now) < places;
        if !free {
            self.outside.add(object, flow.clone());
        }
        free
    }

    /// The object wants nothing any more.
    pub fn withdraw(&mut self, object: &str) {
        self.outside.remove(object);
        self.expected.remove(object);
    }

    /// Lets in as many as there are places for, in fair order: their names.
    pub fn let_in(&mut self, places: usize, now: Instant) -> Vec<String> {
        if self.outside.is_empty() {
            return Vec::new();
        }
        let free = places.saturating_sub(self.expects(now));
        let names = self.outside.wake(free);
        self.expected.extend(names.iter().map(|name| (name.clone(), now)));
        names
    }

    fn expects(&mut self, now: Instant) -> usize {
        self.expected.retain(|_, since| now.duration_since(*since) < EXPECTED);
        self.expected.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(namespace: &str) -> Flow {
        Flow::Miss(namespace.to_owned())
    }

    #[test]
    fn nobody_is_outside_while_there_are_places() {
        let (mut gate, now) = (Gate::default(), Instant::now());
        assert!(gate.admits("a", &of("shop"), 1, now) && gate.let_in(9, now).is_empty());
    }

    #[test]
    fn namespaces_take_turns_and_nobody_overtakes() {
        let (mut gate, now) = (Gate::default(), Instant::now());
        for name in ["a-1", "a-2", "a-3"] {
            assert!(!gate.admits(name, &of("a"), 0, now));
        }
        assert!(!gate.admits("b-1", &of("b"), 0, now));
        assert!(!gate.admits("c-1", &of("c"), 2, now), "others were there before");
        assert_eq!(gate.let_in(2, now), ["a-1", "b-1"]);
        assert!(gate.let_in(2, now).is_empty(), "the places are theirs");
        assert!(gate.admits("b-1", &of("b"), 2, now));
        assert_eq!(gate.let_in(2, now), ["c-1"]);
    }

    #[test]
    fn who_wants_nothing_any_more_keeps_no_place() {
        let (mut gate, now) = (Gate::default(), Instant::now());
        for name in ["a-1", "a-2", "a-3"] {
            gate.admits(name, &of("a"), 0, now);
        }
        assert_eq!(gate.let_in(1, now), ["a-1"]);
        gate.withdraw("a-1");
        gate.withdraw("a-2");
        assert_eq!(gate.let_in(1, now), ["a-3"]);
    }

    #[test]
    fn who_does_not_come_keeps_no_place() {
        let (mut gate, now) = (Gate::default(), Instant::now());
        for name in ["a-1", "a-2"] {
            gate.admits(name, &of("a"), 0, now);
        }
        assert_eq!(gate.let_in(1, now), ["a-1"]);
        assert_eq!(gate.let_in(1, now + EXPECTED), ["a-2"]);
        assert!(!gate.admits("a-3", &of("a"), 1, now + EXPECTED), "a-2 is expected");
        assert!(gate.admits("a-2", &of("a"), 1, now + EXPECTED));
    }
}
