//! When a failed attempt is repeated, and after what delay.

use crate::{
    Settings,
    endpoint::Repeat,
    error::{Error, Kind},
};
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::time::Duration;

/// Repetitions of a request that was forbidden: enough for a worker that is just reading its policy rules.
const FORBIDDEN_REPETITIONS: usize = 2;

/// The repetitions of one request.
#[derive(Debug)]
pub(crate) struct Retry {
    repeat: Repeat,
    delays: ExponentialBackoff,
    forbidden: usize,
}

impl Retry {
    pub fn new(repeat: Repeat, settings: &Settings) -> Self {
        let delays = ExponentialBuilder::default()
            .with_min_delay(settings.first_delay)
            .with_max_delay(settings.max_delay)
            .with_max_times(settings.attempts.saturating_sub(1))
            .with_jitter()
            .build();
        Self { repeat, delays, forbidden: 0 }
    }

    /// The delay before the next attempt, `None` when there shall be none. `room` is the time left for the request.
    pub fn after(&mut self, error: &Error, room: Duration) -> Option<Duration> {
        if !self.may_repeat(error.kind()) {
            return None;
        }
        let delay = self.delays.next()?.max(error.retry_after().unwrap_or_default());
        (delay < room).then_some(delay)
    }

    /// Whether an attempt that failed so may be repeated.
    ///
    /// A request that creates something ([`Repeat::Never`]) is repeated only when it was certainly not carried out: it
    /// wasn't sent, or it was turned away before the service looked at it (429, 403). A 503 isn't among these: it comes
    /// from proxies as well as from the service and doesn't tell which. The price of leaving it to the caller is one
    /// list request, that of being wrong an object that nobody knows.
    fn may_repeat(&mut self, kind: Kind) -> bool {
        match kind {
            Kind::NotConnected | Kind::TooManyRequests => true,
            Kind::Forbidden => {
                self.forbidden += 1;
                self.forbidden <= FORBIDDEN_REPETITIONS
            }
            Kind::Unavailable | Kind::Server | Kind::Timeout | Kind::ConnectionLost => self.repeat != Repeat::Never,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Details;
    use proptest::prelude::*;
    use reqwest::Method;

    const ROOM: Duration = Duration::from_secs(1000);

    fn error(kind: Kind, retry_after: Option<Duration>) -> Error {
        Details { retry_after, ..Details::new(kind, Method::GET, "/", "") }.into()
    }

    #[test]
    fn delays_grow_and_end() {
        let mut retry = Retry::new(Repeat::Safe, &Settings::default());
        let unavailable = error(Kind::Unavailable, None);
        let delays: Vec<Duration> = std::iter::from_fn(|| retry.after(&unavailable, ROOM)).collect();
        assert_eq!(delays.len(), Settings::default().attempts - 1);
        for (i, delay) in (0_u32..).zip(&delays) {
            let least = Settings::default().first_delay * 2_u32.pow(i);
            assert!((least..=2 * least).contains(delay), "{i}: {delay:?}");
        }
    }

    #[test]
    fn a_creation_is_repeated_only_when_it_was_not_carried_out() {
        for (kind, repeated) in [
            (Kind::NotConnected, true),
            (Kind::TooManyRequests, true),
            (Kind::Forbidden, true),
            (Kind::Unavailable, false),
            (Kind::Server, false),
            (Kind::Timeout, false),
            (Kind::ConnectionLost, false),
            (Kind::Malformed, false),
            (Kind::Conflict, false),
        ] {
            let after = Retry::new(Repeat::Never, &Settings::default()).after(&error(kind, None), ROOM);
            assert_eq!(after.is_some(), repeated, "{kind:?}");
        }
    }

    proptest! {
        #[test]
        fn a_delay_is_never_shorter_than_asked_and_fits_the_room(asked in 0_u64..100_000, room in 0_u64..100_000) {
            let (asked, room) = (Duration::from_millis(asked), Duration::from_millis(room));
            let mut retry = Retry::new(Repeat::Safe, &Settings::default());
            match retry.after(&error(Kind::Unavailable, Some(asked)), room) {
                Some(delay) => prop_assert!(delay >= asked && delay < room),
                None => prop_assert!(room <= asked.max(2 * Settings::default().first_delay)),
            }
        }
    }
}
