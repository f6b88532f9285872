//! Load balancers go a few at a time: OVN's provider works off one request after the other, and a Service that is made while 200 others
//! go would wait for all of them.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How many are told to go at a time: enough that Octavia is never idle, and few enough for who waits behind them.
const AT_A_TIME: usize = 4;

/// After this time one that hasn't gone keeps no other from going.
const LONGEST: Duration = Duration::from_secs(60);

/// Those that go, by their KuryrLoadBalancers' uids, and since when.
#[derive(Debug, Default)]
pub struct Departures(Mutex<HashMap<String, Instant>>);

impl Departures {
    /// Whether this one may go now.
    pub fn has_turn(&self, uid: &str) -> bool {
        let mut going = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        going.retain(|_, since| since.elapsed() < LONGEST);
        if !going.contains_key(uid) && going.len() >= AT_A_TIME {
            return false;
        }
        going.entry(uid.to_owned()).or_insert_with(Instant::now);
        true
    }

    /// This one has gone.
    pub fn left(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_few_go_at_a_time_and_none_holds_up_the_others_for_ever() {
        let departures = Departures::default();
        assert!(["a", "b", "c", "d"].iter().all(|uid| departures.has_turn(uid)));
        assert!(!departures.has_turn("e"));
        assert!(departures.has_turn("a"), "it has its turn until it is gone");
        departures.left("b");
        assert!(departures.has_turn("e") && !departures.has_turn("f"));
        tokio::time::advance(LONGEST).await;
        assert!(departures.has_turn("f"));
    }
}
