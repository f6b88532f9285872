//! When work that failed is tried again.

use crate::error::Class;
use std::time::Duration;

/// How long work waits after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Wait after the first failure.
    pub first: Duration,
    /// Longest wait.
    pub longest: Duration,
}

impl Backoff {
    /// The waits for a class of failure.
    ///
    /// * Conflict: the other writer is done in a moment.
    /// * Transient: soon at first, because most disturbances pass at once; minutes at most, so that a repaired cloud is
    ///   used again without help.
    /// * Quota: room appears when something is deleted or an administrator raises the quota.
    /// * Rejected: the request itself is wrong. Asking again seldom helps, but what the cloud refers to (a security group, a
    ///   role) can be put right without any change of our object, so it isn't given up for good.
    #[must_use]
    pub const fn of(class: Class) -> Self {
        let (first, longest) = match class {
            Class::Conflict => (Duration::from_millis(50), Duration::from_secs(30)),
            Class::Transient => (Duration::from_millis(500), Duration::from_secs(120)),
            Class::Quota => (Duration::from_secs(30), Duration::from_secs(300)),
            Class::Rejected => (Duration::from_secs(300), Duration::from_secs(1800)),
        };
        Self { first, longest }
    }

    /// The wait before the next try after `failures` failures in a row (1 is the first). It doubles each time up to the
    /// longest; half of it is `random` (0 to 1), so that many objects that failed together don't return together.
    #[must_use]
    pub fn delay(&self, failures: u32, random: f64) -> Duration {
        let doubled = self.first.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1).min(20)));
        doubled.min(self.longest).mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0))
    }
}

/// How often something is asked that will be answered some day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The pause while there are answers.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Pace {
    /// The pause after this one: the first one again after news, else twice as long, up to the longest.
    #[must_use]
    pub fn next(self, pause: Duration, news: bool) -> Duration {
        if news { self.first } else { pause.saturating_mul(2).clamp(self.first, self.longest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLASSES: [Class; 4] = [Class::Rejected, Class::Quota, Class::Conflict, Class::Transient];

    proptest! {
        #[test]
        fn a_delay_stays_between_half_of_the_first_and_the_longest(failures in any::<u32>(), random in any::<f64>(), class in prop::sample::select(&CLASSES[..])) {
            let random = if random.is_nan() { 0.0 } else { random };
            let backoff = Backoff::of(class);
            let delay = backoff.delay(failures, random);
            prop_assert!(delay >= backoff.first.min(backoff.longest) / 2);
            prop_assert!(delay <= backoff.longest);
        }

        #[test]
        fn a_delay_never_shrinks_with_more_failures(failures in 0u32..100, random in 0.0f64..1.0, class in prop::sample::select(&CLASSES[..])) {
            let backoff = Backoff::of(class);
            prop_assert!(backoff.delay(failures + 1, random) >= backoff.delay(failures, random));
        }
    }

    #[test]
    fn it_doubles() {
        let backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(5) };
        let delays = [1, 2, 3, 4].map(|failures| backoff.delay(failures, 1.0).as_secs());
        assert_eq!(delays, [1, 2, 4, 5]);
    }

    #[test]
    fn a_pause_doubles_without_news() {
        let pace = Pace { first: Duration::from_millis(100), longest: Duration::from_millis(350) };
        let mut pause = pace.first;
        let mut pauses = Vec::new();
        for news in [false, false, false, true, false] {
            pause = pace.next(pause, news);
            pauses.push(pause.as_millis());
        }
        assert_eq!(pauses, [200, 350, 350, 100, 200]);
    }
}
