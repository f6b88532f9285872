//! Who has answered connections, and whether traffic has followed a change. Pure.

use std::time::Instant;

/// So many connections in a row that reach others, and the one that was to go gets no more. Where it still had a third of all, that
/// many would miss it once in ten million times.
const ENOUGH: usize = 40;

/// A connection.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// When it was begun.
    pub begun: Instant,
    /// When it was answered, or given up.
    pub ended: Instant,
    /// The name of who answered.
    pub answer: Option<String>,
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Until {
    /// Somebody answers.
    Answered,
    /// This one answers.
    By(String),
    /// This one answers no more, but others do. A connection that nobody answered may have been sent to it.
    NoMoreBy(String),
}

/// What was waited for has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// When.
    pub at: Instant,
    /// Connections that nobody answered until then.
    pub lost: usize,
}

/// Judges attempts as they end.
#[derive(Debug)]
pub struct Judge {
    until: Until,
    lost: usize,
    last: Option<Instant>,
    since: Vec<Instant>,
}

impl Judge {
    /// One that waits for this.
    #[must_use]
    pub const fn new(until: Until) -> Self {
        Self { until, lost: 0, last: None, since: Vec::new() }
    }

    /// Takes in an attempt that has ended. `Some`: what was waited for has come.
    pub fn take(&mut self, attempt: &Attempt) -> Option<Seen> {
        let answer = attempt.answer.as_ref();
        self.lost += usize::from(answer.is_none());
        let at = match &self.until {
            Until::Answered => answer.map(|_| attempt.ended),
            Until::By(awaited) => (answer == Some(awaited)).then_some(attempt.ended),
            Until::NoMoreBy(gone) if answer.is_none_or(|name| name == gone) => {
                let last = self.last.map_or(attempt.begun, |last| last.max(attempt.begun));
                self.last = Some(last);
                self.since.retain(|begun| *begun > last);
                None
            }
            Until::NoMoreBy(_) => {
                if self.last.is_none_or(|last| attempt.begun > last) {
                    self.since.push(attempt.begun);
                }
                (self.since.len() >= ENOUGH).then(|| self.since.iter().min().copied()).flatten()
            }
        };
        at.map(|at| Seen { at, lost: self.lost })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Attempts begun a tenth of a second after each other, each of which takes a hundredth.
    fn mk_attempts(start: Instant, answers: &[Option<&str>]) -> Vec<Attempt> {
        let attempt = |(index, answer): (u32, &Option<&str>)| {
            let begun = start + Duration::from_millis(100) * index;
            Attempt { begun, ended: begun + Duration::from_millis(10), answer: answer.map(str::to_owned) }
        };
        (0..).zip(answers).map(attempt).collect()
    }

    fn judged(until: Until, attempts: &[Attempt]) -> Option<Seen> {
        let mut judge = Judge::new(until);
        attempts.iter().find_map(|attempt| judge.take(attempt))
    }

    #[test]
    fn the_first_answer_counts_when_it_has_come() {
        let start = Instant::now();
        let attempts = mk_attempts(start, &[None, None, Some("one"), Some("two")]);
        let at = start + Duration::from_millis(210);
        assert_eq!(judged(Until::Answered, &attempts), Some(Seen { at, lost: 2 }));
        let at = start + Duration::from_millis(310);
        assert_eq!(judged(Until::By("two".to_owned()), &attempts), Some(Seen { at, lost: 2 }));
        assert_eq!(judged(Until::By("three".to_owned()), &attempts), None);
    }

    #[test]
    fn who_has_gone_is_missed_by_many_in_a_row() {
        let start = Instant::now();
        let mut answers = vec![Some("one"); ENOUGH - 1];
        answers.extend([Some("two"), None]);
        answers.extend(vec![Some("one"); ENOUGH]);
        let attempts = mk_attempts(start, &answers);
        let gone = || Until::NoMoreBy("two".to_owned());
        let at = attempts[ENOUGH + 1].begun;
        assert_eq!(judged(gone(), &attempts), Some(Seen { at, lost: 1 }));
        assert_eq!(judged(gone(), &attempts[..attempts.len() - 1]), None);
    }

    #[test]
    fn a_lost_connection_may_have_been_sent_to_who_has_gone() {
        let start = Instant::now();
        let mut answers = vec![Some("one"), Some("two"), None, Some("one"), None];
        answers.extend(vec![Some("one"); ENOUGH]);
        let attempts = mk_attempts(start, &answers);
        let at = attempts[5].begun;
        assert_eq!(judged(Until::NoMoreBy("two".to_owned()), &attempts), Some(Seen { at, lost: 2 }));
    }

    #[test]
    fn an_answer_that_comes_late_counts_where_its_connection_was_begun() {
        let start = Instant::now();
        let mut attempts = mk_attempts(start, &vec![Some("one"); ENOUGH + 3]);
        attempts[2].answer = Some("two".to_owned());
        let late = attempts.remove(2);
        attempts.insert(20, late);
        let at = start + Duration::from_millis(300);
        assert_eq!(judged(Until::NoMoreBy("two".to_owned()), &attempts), Some(Seen { at, lost: 0 }));
    }
}
