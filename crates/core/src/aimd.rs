//! How many at a time: a window that grows by one and shrinks by half (additive increase, multiplicative decrease), and the
//! measure of slowness that it follows.
//!
//! It is TCP's rule (RFC 5681, 3.1): whoever follows it takes what a shared service can give, and gives way when it can't.

use std::time::Duration;

/// What part of the window an overload leaves.
const DECREASE: f64 = 0.5;

/// The share of a single measurement in the smoothed time: about the last five count.
const SMOOTHING: f64 = 0.25;

/// How fast the best known time forgets: after some hundred slower requests, they are what the service needs.
const FORGETTING: f64 = 0.01;

/// Between which values a window moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// It never gets smaller; at least 1.
    pub least: usize,
    /// Where it begins.
    pub first: usize,
    /// It never gets larger.
    pub most: usize,
}

/// How many at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    least: f64,
    most: f64,
    size: f64,
    /// Grows with every decrease.
    flight: u64,
}

/// The flight that a request belongs to: those that were sent between two decreases. What they all suffer from is one
/// overload, not several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flight(u64);

impl Window {
    /// A window of its first size. Bounds that contradict each other are put in order: at least 1, `least` before `most`.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        let least = bounds.least.max(1);
        let most = bounds.most.max(least);
        let size = float(bounds.first.clamp(least, most));
        Self { least: float(least), most: float(most), size, flight: 0 }
    }

    /// How many may be at a time.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and what came from a usize")]
    pub fn size(&self) -> usize {
        self.size as usize
    }

    /// A request is sent: the flight that it belongs to.
    #[must_use]
    pub fn depart(&self) -> Flight {
        Flight(self.flight)
    }

    /// A request that needed the window's room has succeeded in good time. `share` is its part of a whole round: a round of
    /// successes adds one. (Where there was room left, a success doesn't say that more would do.)
    pub fn success(&mut self, share: f64) {
        self.size = (self.size + share.clamp(0.0, 1.0)).min(self.most);
    }

    /// A request of this flight was turned away, or came late. Halves the window, once per flight; whether it did.
    pub fn overload(&mut self, flight: Flight) -> bool {
        if flight.0 != self.flight {
            return false;
        }
        self.flight = self.flight.wrapping_add(1);
        self.size = (self.size * DECREASE).max(self.least);
        true
    }
}

#[expect(clippy::cast_precision_loss, reason = "a limit of more than 2^52 is none")]
fn float(count: usize) -> f64 {
    count as f64
}

/// How long requests of one kind take, compared with how long they take when the service isn't busy.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Pace(Option<Seconds>);

#[derive(Debug, Clone, Copy, PartialEq)]
struct Seconds {
    best: f64,
    recent: f64,
}

impl Pace {
    /// Notes that a request took this long. Answers how many times as long as the best known time requests take of late.
    pub fn note(&mut self, took: Duration) -> f64 {
        // No time at all would make everything else infinitely slow.
        let took = took.as_secs_f64().max(0.001);
        let seconds = self.0.map_or(Seconds { best: took, recent: took }, |known| Seconds {
            best: if took < known.best { took } else { known.best + FORGETTING * (took - known.best) },
            recent: known.recent + SMOOTHING * (took - known.recent),
        });
        self.0 = Some(seconds);
        seconds.recent / seconds.best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone, Copy)]
    enum Event {
        Success(f64),
        Overload,
        LateOverload,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![(0.0f64..2.0).prop_map(Event::Success), Just(Event::Overload), Just(Event::LateOverload)]
    }

    proptest! {
        #[test]
        fn it_stays_within_its_bounds(
            least in 0usize..50, first in 0usize..50, most in 0usize..50, events in prop::collection::vec(event(), 0..200),
        ) {
            let mut window = Window::new(Bounds { least, first, most });
            let bounds = least.max(1)..=most.max(least).max(1);
            let before = window.depart();
            for event in events {
                match event {
                    Event::Success(share) => window.success(share),
                    Event::Overload => {
                        let flight = window.depart();
                        window.overload(flight);
                    }
                    Event::LateOverload => {
                        window.overload(before);
                    }
                }
                prop_assert!(bounds.contains(&window.size()), "{window:?}");
            }
        }

        #[test]
        fn one_flight_halves_once_whatever_its_size(first in 2usize..1000, late in 1usize..50) {
            let mut window = Window::new(Bounds { least: 1, first, most: 1000 });
            let flights: Vec<_> = (0..late).map(|_| window.depart()).collect();
            let halved = flights.into_iter().filter(|flight| window.overload(*flight)).count();
            prop_assert_eq!(halved, 1);
            prop_assert_eq!(window.size(), first / 2);
            let next = window.depart();
            prop_assert!(window.overload(next), "what was sent afterwards is another matter");
        }

        #[test]
        fn it_recovers_by_one_a_round(first in 2usize..100, most in 100usize..200) {
            let mut window = Window::new(Bounds { least: 1, first, most });
            let flight = window.depart();
            window.overload(flight);
            for _ in 0..most {
                let before = window.size();
                for _ in 0..before {
                    window.success(1.0 / float(before));
                }
                prop_assert!(window.size() <= before + 1);
                // The sum of the shares may be a rounding error short of one.
                window.success(1e-9);
                prop_assert_eq!(window.size(), (before + 1).min(most));
            }
            prop_assert_eq!(window.size(), most);
        }

        #[test]
        fn a_steady_service_is_never_slow(millis in 1u64..10_000, count in 1usize..500) {
            let mut pace = Pace::default();
            for _ in 0..count {
                let ratio = pace.note(Duration::from_millis(millis));
                prop_assert!((ratio - 1.0).abs() < 1e-9);
            }
        }

        #[test]
        fn a_lasting_change_is_noticed_soon_and_taken_for_normal_in_the_end(millis in 10u64..1000, factor in 3u32..10) {
            let quick = Duration::from_millis(millis);
            let mut pace = Pace::default();
            for _ in 0..20 {
                pace.note(quick);
            }
            let ratios: Vec<f64> = (0..1000).map(|_| pace.note(quick * factor)).collect();
            prop_assert!(ratios[0] < f64::from(factor), "one late answer isn't a slow service");
            prop_assert!(ratios[..8].iter().any(|ratio| *ratio > 2.0), "{:?}", &ratios[..8]);
            prop_assert!(ratios[999] < 1.5);
            let after = (0..40).map(|_| pace.note(quick)).last();
            prop_assert!(after.is_some_and(|ratio| ratio < 1.1), "quick again: known at once");
        }
    }
}
