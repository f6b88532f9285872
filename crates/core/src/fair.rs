//! Whose turn it is: flows of work that share something scarce, in ranks.
//!
//! A higher rank goes first, the flows of one rank take turns (round robin), and within a flow it is first come, first
//! served. Lower ranks are not starved: whoever was passed over often enough gets a turn.

use std::collections::{BTreeMap, HashMap, VecDeque};

/// How many turns in a row may pass over a rank that has work. The next one is its own.
const PATIENCE: u32 = 8;

/// What waits for its turn. `R` is the rank, the smallest is the highest; `F` names a flow.
#[derive(Debug)]
pub struct Queue<R, F, T> {
    ranks: BTreeMap<R, Rank<F, T>>,
}

#[derive(Debug)]
struct Rank<F, T> {
    /// Flows that have work, in the order of their turns.
    turns: VecDeque<F>,
    /// Their work. No list is empty.
    work: HashMap<F, VecDeque<T>>,
    /// Turns since its last one that passed it over while it had work.
    passed_over: u32,
}

impl<F, T> Default for Rank<F, T> {
    fn default() -> Self {
        Self { turns: VecDeque::new(), work: HashMap::new(), passed_over: 0 }
    }
}

impl<R, F, T> Default for Queue<R, F, T> {
    fn default() -> Self {
        Self { ranks: BTreeMap::new() }
    }
}

impl<R: Ord + Copy, F: std::hash::Hash + Eq + Clone, T> Queue<R, F, T> {
    /// Adds work to the end of a flow.
    pub fn push(&mut self, rank: R, flow: F, work: T) {
        let rank = self.ranks.entry(rank).or_default();
        let waiting = rank.work.entry(flow.clone()).or_default();
        if waiting.is_empty() {
            rank.turns.push_back(flow);
        }
        waiting.push_back(work);
    }

    /// The rank whose turn it is: the highest that has work, unless a lower one was passed over too often.
    #[must_use]
    pub fn turn(&self) -> Option<R> {
        let busy = || self.ranks.iter().filter(|(_, rank)| !rank.turns.is_empty());
        let overdue = busy().filter(|(_, rank)| rank.passed_over >= PATIENCE).max_by_key(|(_, rank)| rank.passed_over);
        overdue.or_else(|| busy().next()).map(|(rank, _)| *rank)
    }

    /// A turn of this rank: takes up to `most` pieces of work, one of each flow after the other.
    pub fn take(&mut self, rank: R, most: usize) -> Vec<T> {
        let mut taken = Vec::new();
        if let Some(own) = self.ranks.get_mut(&rank) {
            while taken.len() < most {
                let Some(work) = own.pop() else { break };
                taken.push(work);
            }
        }
        if !taken.is_empty() {
            for (other, waiting) in &mut self.ranks {
                let passed_over = *other != rank && !waiting.turns.is_empty();
                waiting.passed_over = if passed_over { waiting.passed_over.saturating_add(1) } else { 0 };
            }
        }
        taken
    }

    /// Takes the next piece of work, whosever turn it is.
    pub fn pop(&mut self) -> Option<T> {
        let rank = self.turn()?;
        self.take(rank, 1).pop()
    }

    /// How much work of this rank waits.
    #[must_use]
    pub fn len(&self, rank: R) -> usize {
        self.ranks.get(&rank).map_or(0, |rank| rank.work.values().map(VecDeque::len).sum())
    }

    /// Nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranks.values().all(|rank| rank.turns.is_empty())
    }

    /// The work of this rank that waits, in no order.
    pub fn iter(&self, rank: R) -> impl Iterator<Item = &T> {
        self.ranks.get(&rank).into_iter().flat_map(|rank| rank.work.values().flatten())
    }
}

impl<F: std::hash::Hash + Eq + Clone, T> Rank<F, T> {
    fn pop(&mut self) -> Option<T> {
        let flow = self.turns.pop_front()?;
        let waiting = self.work.get_mut(&flow)?;
        let work = waiting.pop_front();
        if waiting.is_empty() {
            self.work.remove(&flow);
        } else {
            self.turns.push_back(flow);
        }
        work
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Work: its rank, its flow, and when it came.
    type Work = (u8, u8, usize);

    fn arrivals() -> impl Strategy<Value = Vec<(u8, u8)>> {
        prop::collection::vec((0u8..3, 0u8..4), 0..120)
    }

    fn filled(arrivals: &[(u8, u8)]) -> Queue<u8, u8, Work> {
        let mut queue = Queue::default();
        for (at, (rank, flow)) in arrivals.iter().enumerate() {
            queue.push(*rank, *flow, (*rank, *flow, at));
        }
        queue
    }

    fn drained(mut queue: Queue<u8, u8, Work>) -> Vec<Work> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_a_flow_keeps_its_order(arrivals in arrivals()) {
            let order = drained(filled(&arrivals));
            let mut came: Vec<usize> = order.iter().map(|(_, _, at)| *at).collect();
            for (rank, flow) in (0..3).flat_map(|rank| (0..4).map(move |flow| (rank, flow))) {
                let of_flow: Vec<_> = order.iter().filter(|work| (work.0, work.1) == (rank, flow)).map(|work| work.2).collect();
                prop_assert!(of_flow.is_sorted(), "{of_flow:?}");
            }
            came.sort_unstable();
            prop_assert_eq!(came, (0..arrivals.len()).collect::<Vec<_>>());
        }

        #[test]
        fn flows_of_a_rank_get_the_same_however_much_each_has(busy in 2usize..200, quiet in 1usize..10) {
            let mut arrivals = vec![(0, 1); busy];
            arrivals.extend(vec![(0, 2); quiet]);
            let order = drained(filled(&arrivals));
            let last = order.iter().rposition(|work| work.1 == 2).unwrap();
            prop_assert!(last < 2 * quiet, "the quiet flow's last work came after {last} others");
        }

        #[test]
        fn a_lower_rank_waits_only_so_long(arrivals in arrivals(), refill in any::<bool>()) {
            let mut queue = filled(&arrivals);
            let mut waited: BTreeMap<u8, u32> = BTreeMap::new();
            for turn in 0..300 {
                if refill {
                    queue.push(0, 0, (0, 0, usize::MAX - 300 + turn));
                }
                let busy: Vec<u8> = (0..3).filter(|rank| queue.len(*rank) > 0).collect();
                let Some(work) = queue.pop() else { break };
                for rank in busy {
                    let waits = waited.entry(rank).or_default();
                    *waits = if rank == work.0 { 0 } else { *waits + 1 };
                    prop_assert!(*waits <= PATIENCE + 2, "rank {rank} was passed over {waits} times");
                }
            }
        }

        #[test]
        fn a_higher_rank_goes_first_while_nobody_is_overdue(low in 1usize..20, high in 1usize..8) {
            let mut arrivals = vec![(2, 0); low];
            arrivals.extend(vec![(0, 1); high]);
            let order = drained(filled(&arrivals));
            prop_assert!(order[..high].iter().all(|work| work.0 == 0), "{order:?}");
        }

        #[test]
        fn a_turn_takes_what_it_may_of_one_rank(arrivals in arrivals(), most in 1usize..10) {
            let mut queue = filled(&arrivals);
            let mut taken = 0;
            while let Some(rank) = queue.turn() {
                let (waiting, work) = (queue.len(rank), queue.take(rank, most));
                prop_assert_eq!(work.len(), most.min(waiting));
                prop_assert!(work.iter().all(|work| work.0 == rank));
                taken += work.len();
            }
            prop_assert_eq!(taken, arrivals.len());
            prop_assert!(queue.is_empty());
        }
    }
}
