//! Who waits for room: objects whose port was refused because a quota or a subnet is full.

use super::lane::{Flow, Rank};
use kuryr_core::fair::Queue;
use std::{collections::HashSet, time::Duration};
use tokio::sync::mpsc;

/// How many are woken when there may be room: some of them may be gone by now.
pub const SOME: usize = 4;

/// Time until one request finds out whether there is room again, after so many refusals in a row.
#[must_use]
pub fn wait(refusals: u32) -> Duration {
    const FIRST: Duration = Duration::from_secs(5);
    const LONGEST: Duration = Duration::from_secs(120);
    FIRST.saturating_mul(2u32.saturating_pow(refusals.saturating_sub(1).min(10))).min(LONGEST)
}

/// The names of the objects whose turn has come: they are to be reconciled at once.
pub struct Woken(mpsc::UnboundedReceiver<String>);

impl Woken {
    /// The next one. `None` when nobody can be woken any more.
    pub async fn next(&mut self) -> Option<String> {
        self.0.recv().await
    }
}

/// Where the woken are told.
#[derive(Debug, Clone)]
pub struct Bell(mpsc::UnboundedSender<String>);

/// A bell, and where it is heard.
#[must_use]
pub fn bell() -> (Bell, Woken) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Bell(sender), Woken(receiver))
}

impl Bell {
    /// Tells those who are woken.
    pub fn ring(&self, names: Vec<String>) {
        for name in names {
            // Nobody listens any more: the controller is stopping.
            let _ = self.0.send(name);
        }
    }
}

/// Those who wait for room of one kind. Each is there once.
#[derive(Debug, Default)]
pub struct Sleepers {
    order: Queue<Rank, Flow, String>,
    names: HashSet<String>,
}

impl Sleepers {
    /// The object of this name waits.
    pub fn add(&mut self, name: &str, flow: Flow) {
        if self.names.insert(name.to_owned()) {
            self.order.push(flow.rank(), flow, name.to_owned());
        }
    }

    /// Nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// How many of this rank there are.
    #[must_use]
    pub fn len(&self, rank: Rank) -> usize {
        self.order.len(rank)
    }

    /// The object waits no more: its turn is nobody's.
    pub fn remove(&mut self, name: &str) {
        self.names.remove(name);
    }

    /// Wakes up to `most`, in fair order.
    pub fn wake(&mut self, most: usize) -> Vec<String> {
        let mut woken = Vec::new();
        while woken.len() < most {
            let Some(name) = self.order.pop() else { break };
            if self.names.remove(&name) {
                woken.push(name);
            }
        }
        woken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_woken_once_and_pods_before_pools() {
        let mut sleepers = Sleepers::default();
        sleepers.add("pool-1", Flow::Refill);
        for _ in 0..2 {
            for name in ["a-1", "a-2", "a-3"] {
                sleepers.add(name, Flow::Miss("a".to_owned()));
            }
            sleepers.add("b-1", Flow::Miss("b".to_owned()));
        }
        assert_eq!(sleepers.wake(2), ["a-1", "b-1"]);
        assert_eq!(sleepers.wake(SOME), ["a-2", "a-3", "pool-1"]);
        assert!(sleepers.wake(SOME).is_empty());
        sleepers.add("a-1", Flow::Miss("a".to_owned()));
        assert_eq!(sleepers.wake(SOME), ["a-1"], "refused once more, it waits once more");
    }

    #[test]
    fn who_waits_no_more_takes_nobodys_turn() {
        let mut sleepers = Sleepers::default();
        for name in ["a-1", "a-2", "a-3"] {
            sleepers.add(name, Flow::Miss("a".to_owned()));
        }
        sleepers.remove("a-1");
        assert_eq!(sleepers.wake(1), ["a-2"]);
        sleepers.remove("a-3");
        assert!(sleepers.is_empty() && sleepers.wake(9).is_empty());
    }

    #[test]
    fn the_probes_become_rarer_up_to_a_limit() {
        let waits = [1, 2, 3, 6, 7, u32::MAX].map(|refusals| wait(refusals).as_secs());
        assert_eq!(waits, [5, 10, 20, 120, 120, 120]);
    }
}
