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
