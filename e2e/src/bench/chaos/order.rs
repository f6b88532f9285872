//! In which order components are killed: all of them once a round, each round in another order.

use fastrand::Rng;

/// The rounds. The same parts and seed make the same ones, whatever else is random.
#[derive(Debug)]
pub struct Order {
    parts: Vec<String>,
    rng: Rng,
}

impl Order {
    /// Of these parts. How they are ordered here makes no difference.
    pub fn new(mut parts: Vec<String>, seed: u64) -> Self {
        parts.sort();
        Self { parts, rng: Rng::with_seed(seed) }
    }

    /// All parts.
    pub fn parts(&self) -> &[String] {
        &self.parts
    }

    /// The next round.
    pub fn next_round(&mut self) -> Vec<String> {
        let mut round = self.parts.clone();
        self.rng.shuffle(&mut round);
        round
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Vec<String> {
        (0..20).map(|i| format!("part{i:02}")).collect()
    }

    #[test]
    fn a_round_has_every_part_once() {
        let mut round = Order::new(parts(), 1).next_round();
        round.sort();
        assert_eq!(round, parts());
    }

    #[test]
    fn a_seed_repeats_all_rounds_and_another_makes_others() {
        let rounds = |parts: Vec<String>, seed| {
            let mut order = Order::new(parts, seed);
            [order.next_round(), order.next_round(), order.next_round()]
        };
        let first = rounds(parts(), 7);
        assert_eq!(first, rounds(parts().into_iter().rev().collect(), 7));
        assert_ne!(first, rounds(parts(), 8));
        assert_ne!(first[0], first[1]);
    }
}
