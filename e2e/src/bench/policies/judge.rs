//! Whether packets have followed a change of policies: which attempts got through. Pure.

use std::time::Instant;

/// So many attempts in a row that don't get through, and what was open is closed. A busy machine loses single packets, not those
/// of a third of a second.
const ENOUGH: usize = 30;

/// An attempt to get through.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// When it was begun.
    pub begun: Instant,
    /// When it was answered, or given up.
    pub ended: Instant,
    /// Whether packets got through.
    pub through: bool,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Packets get through.
    Open,
    /// Packets don't get through any more.
    Closed,
}

/// Judges attempts as they end.
#[derive(Debug)]
pub struct Judge {
    until: Until,
    /// When the last attempt that got through was begun.
    last: Option<Instant>,
    /// When those were begun that didn't, since then.
    since: Vec<Instant>,
}

impl Judge {
    /// One that waits for this.
    #[must_use]
    pub const fn new(until: Until) -> Self {
        Self { until, last: None, since: Vec::new() }
    }

    /// Takes in an attempt that has ended. `Some`: what was waited for has come, then. It is open when the first answer has come, and
    /// closed when the first attempt was begun that got none, and after which none did.
    pub fn take(&mut self, attempt: &Attempt) -> Option<Instant> {
        match (self.until, attempt.through) {
            (Until::Open, through) => through.then_some(attempt.ended),
            (Until::Closed, true) => {
                let last = self.last.map_or(attempt.begun, |last| last.max(attempt.begun));
                self.last = Some(last);
                self.since.retain(|begun| *begun > last);
                None
            }
            (Until::Closed, false) => {
                if self.last.is_none_or(|last| attempt.begun > last) {
                    self.since.push(attempt.begun);
                }
                (self.since.len() >= ENOUGH).then(|| self.since.iter().min().copied()).flatten()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const EVERY: Duration = Duration::from_millis(10);

    fn mk_attempts(start: Instant, through: &[bool]) -> Vec<Attempt> {
        let attempt = |(nth, through): (u32, &bool)| {
            let begun = start + EVERY * nth;
            Attempt { begun, ended: begun + EVERY / 2, through: *through }
        };
        (0..).zip(through).map(attempt).collect()
    }

    fn judged(until: Until, attempts: &[Attempt]) -> Option<Instant> {
        let mut judge = Judge::new(until);
        attempts.iter().find_map(|attempt| judge.take(attempt))
    }

    #[test]
    fn it_is_open_when_the_first_answer_has_come() {
        let start = Instant::now();
        let attempts = mk_attempts(start, &[false, false, true, false]);
        assert_eq!(judged(Until::Open, &attempts), Some(start + EVERY * 2 + EVERY / 2));
        assert_eq!(judged(Until::Open, &attempts[..2]), None);
    }

    #[test]
    fn it_is_closed_after_the_last_that_got_through_and_many_in_a_row_must_say_so() {
        let start = Instant::now();
        let mut through = vec![true, false, true];
        through.extend(vec![false; ENOUGH]);
        let attempts = mk_attempts(start, &through);
        assert_eq!(judged(Until::Closed, &attempts), Some(start + EVERY * 3));
        assert_eq!(judged(Until::Closed, &attempts[..attempts.len() - 1]), None);
    }

    #[test]
    fn an_answer_that_comes_late_counts_where_its_attempt_was_begun() {
        let start = Instant::now();
        let mut attempts = mk_attempts(start, &[false; ENOUGH + 3]);
        attempts[2].through = true;
        let late = attempts.remove(2);
        attempts.insert(20, late);
        assert_eq!(judged(Until::Closed, &attempts), Some(start + EVERY * 3));
    }
}
