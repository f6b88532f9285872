//! How many requests a service gets at a time, and whose turn it is.
//!
//! The limit follows what the service can give ([`kuryr_core::aimd`]): it grows while requests that needed it are answered in
//! good time, and is halved when they are turned away or come late. Where requests wait, pods' go first.

use crate::{
    error::{Error, Kind},
    metrics::Metrics,
};
use kuryr_core::{
    aimd::{Bounds, Flight, Pace, Window},
    fair::Queue,
};
use reqwest::Method;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

/// From how many times the best known time of such writes on the service is too busy.
const TOLERANCE: f64 = 4.0;

/// Where the limit begins, and how small it gets: a request that hangs must not hold up all others.
const FIRST: usize = 8;
const LEAST: usize = 2;

/// Longest time for which `Retry-After` holds the whole service back. After it a request finds out, so that an answer of some
/// proxy doesn't stop all work for a day.
const LONGEST_HOLD: Duration = Duration::from_secs(60);

/// What a request is for. The smaller ones go first; none waits for ever, because who was passed over often has its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    /// Somebody waits for it: a pod, a node, a start.
    #[default]
    Pod,
    /// It gives something back.
    Release,
    /// It can wait: pools' refills, comparisons, the sweep.
    Background,
}

impl Priority {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Pod, Self::Release, Self::Background];

    /// The priority as it appears in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Release => "release",
            Self::Background => "background",
        }
    }
}

/// Writes whose times are comparable: method, resource, and whether it is about many objects. What a read takes depends on
/// what it finds.
type Class = (Method, &'static str, bool);

/// The limit of one service.
pub(crate) struct Limiter {
    service: &'static str,
    metrics: Metrics,
    state: Mutex<State>,
}

struct State {
    window: Window,
    in_flight: usize,
    waiting: Queue<Priority, (), oneshot::Sender<Turn>>,
    paces: HashMap<Class, Pace>,
    /// The service has asked for silence until then.
    held: Option<Instant>,
}

/// One request's turn. It ends when this is dropped.
pub(crate) struct Turn {
    limiter: Arc<Limiter>,
    flight: Flight,
    /// As many were in flight as allowed.
    crowded: bool,
}

impl Limiter {
    /// A limit of at most `most` requests.
    pub fn new(service: &'static str, most: usize, metrics: Metrics) -> Arc<Self> {
        let window = Window::new(Bounds { least: LEAST.min(most), first: FIRST, most });
        metrics.limit(service, window.size());
        let state = State { window, in_flight: 0, waiting: Queue::default(), paces: HashMap::new(), held: None };
        Arc::new(Self { service, metrics, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn. Who stops waiting takes none.
    pub async fn turn(self: &Arc<Self>, priority: Priority) -> Option<Turn> {
        let (sender, receiver) = oneshot::channel();
        self.state().waiting.push(priority, (), sender);
        self.grant();
        let _waiting = self.metrics.waiting(self.service, priority);
        receiver.await.ok()
    }

    /// Gives turns to those who wait, as far as the limit goes.
    fn grant(self: &Arc<Self>) {
        // A turn that can't be handed over ends here: without the lock, because its end takes it.
        while let Some((waiting, turn)) = self.next() {
            drop(waiting.send(turn));
        }
    }

    fn next(self: &Arc<Self>) -> Option<(oneshot::Sender<Turn>, Turn)> {
        let mut state = self.state();
        if state.held.is_some() {
            return None;
        }
        while state.in_flight < state.window.size() {
            let waiting = state.waiting.pop()?;
            if waiting.is_closed() {
                continue;
            }
            state.in_flight += 1;
            let crowded = state.in_flight >= state.window.size();
            let turn = Turn { limiter: self.clone(), flight: state.window.depart(), crowded };
            return Some((waiting, turn));
        }
        None
    }

    /// Sends nothing for this time.
    fn hold(self: &Arc<Self>, time: Duration) {
        let until = Instant::now() + time.min(LONGEST_HOLD);
        let before = {
            let mut state = self.state();
            let before = state.held;
            state.held = Some(before.map_or(until, |held| held.max(until)));
            before
        };
        if before.is_none() {
            tracing::warn!(service = self.service, seconds = time.as_secs_f64(), "the service asks for silence");
            let limiter = self.clone();
            tokio::spawn(async move {
                while let Some(until) = limiter.held() {
                    sleep_until(until).await;
                }
                limiter.grant();
            });
        }
    }

    /// Until when nothing is sent; `None`, and the end of the silence, when its time has come.
    fn held(&self) -> Option<Instant> {
        let mut state = self.state();
        state.held = state.held.filter(|until| *until > Instant::now());
        state.held
    }
}

impl Turn {
    /// The request was answered, or failed: the limit follows from it. `class` and `items` for writes only.
    pub fn ended(self, class: Option<Class>, items: usize, took: Duration, failure: Option<&Error>) {
        let (limiter, overload) = (self.limiter.clone(), failure.is_some_and(is_overload));
        {
            let mut state = limiter.state();
            let late = class.filter(|_| failure.is_none()).is_some_and(|class| {
                let items = u32::try_from(items).unwrap_or(u32::MAX).max(1);
                state.paces.entry(class).or_default().note(took / items) > TOLERANCE
            });
            if overload || late {
                if state.window.overload(self.flight) {
                    tracing::debug!(
                        service = limiter.service,
                        limit = state.window.size(),
                        late,
                        "fewer requests at a time"
                    );
                }
            } else if self.crowded && failure.is_none() {
                let round = state.window.size();
                state.window.success(1.0 / f64::from(u32::try_from(round).unwrap_or(u32::MAX)));
            }
            limiter.metrics.limit(limiter.service, state.window.size());
        }
        let silence = failure.filter(|error| is_overload(error)).and_then(Error::retry_after);
        if let Some(time) = silence.filter(|time| !time.is_zero()) {
            limiter.hold(time);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.limiter.state().in_flight -= 1;
        self.limiter.grant();
    }
}

/// Whether the service has more to do than it can: it says so (429, 503), a proxy before it does (504), or it is silent.
fn is_overload(error: &Error) -> bool {
    matches!(error.kind(), Kind::TooManyRequests | Kind::Unavailable | Kind::Timeout) || error.status() == Some(504)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Details;
    use futures::FutureExt;
    use prometheus_client::registry::Registry;

    const MS: Duration = Duration::from_millis(1);

    fn limiter(most: usize) -> Arc<Limiter> {
        Limiter::new("network", most, Metrics::register(&mut Registry::default()))
    }

    fn failure(kind: Kind, retry_after: Option<Duration>) -> Error {
        Details { retry_after, ..Details::new(kind, Method::GET, "/", "") }.into()
    }

    fn size(limiter: &Limiter) -> usize {
        limiter.state().window.size()
    }

    async fn turns(limiter: &Arc<Limiter>, count: usize) -> Vec<Turn> {
        let mut turns = Vec::new();
        for _ in 0..count {
            turns.push(limiter.turn(Priority::Pod).await.unwrap());
        }
        turns
    }

    #[tokio::test]
    async fn pods_go_first_and_nobody_waits_for_ever() {
        let limiter = limiter(1);
        let mut turn = turns(&limiter, 1).await.pop();
        let mut waiting: Vec<_> = [vec![Priority::Background; 2], vec![Priority::Release; 2], vec![Priority::Pod; 12]]
            .concat()
            .into_iter()
            .map(|priority| (priority, limiter.turn(priority).boxed()))
            .collect();
        for (_, waits) in &mut waiting {
            assert!(waits.now_or_never().is_none());
        }
        let mut order = Vec::new();
        while !waiting.is_empty() {
            drop(turn.take());
            let at = waiting.iter_mut().position(|(_, waits)| {
                turn = waits.now_or_never().flatten();
                turn.is_some()
            });
            order.push(waiting.remove(at.unwrap()).0);
        }
        assert!(order[..8].iter().all(|priority| *priority == Priority::Pod), "{order:?}");
        let last_pod = order.iter().rposition(|priority| *priority == Priority::Pod).unwrap();
        assert!(order[..last_pod].contains(&Priority::Release) && order[..last_pod].contains(&Priority::Background));
    }

    #[tokio::test]
    async fn who_stops_waiting_takes_no_turn() {
        let limiter = limiter(1);
        let turn = turns(&limiter, 1).await;
        let (mut gone, mut stays) = (limiter.turn(Priority::Pod).boxed(), limiter.turn(Priority::Pod).boxed());
        assert!((&mut gone).now_or_never().is_none() && (&mut stays).now_or_never().is_none());
        // It stops in the moment in which it gets its turn.
        drop(turn);
        drop(gone);
        stays.await.unwrap();
        assert_eq!(limiter.state().in_flight, 0);
    }

    #[tokio::test]
    async fn the_limit_follows_what_the_service_can_give() {
        let limiter = limiter(16);
        let class = || Some((Method::POST, "ports", false));
        for _ in 0..20 {
            for turn in turns(&limiter, size(&limiter)).await {
                turn.ended(class(), 1, MS * 300, None);
            }
        }
        assert!(size(&limiter) > FIRST, "it grows where it was needed: {}", size(&limiter));
        let before = size(&limiter);
        for turn in turns(&limiter, 1).await {
            turn.ended(class(), 1, MS * 300, None);
        }
        assert_eq!(size(&limiter), before, "one alone says nothing");
        for turn in turns(&limiter, before).await {
            turn.ended(class(), 1, MS, Some(&failure(Kind::Unavailable, None)));
        }
        assert_eq!(size(&limiter), before / 2, "one overload");
        for turn in turns(&limiter, size(&limiter)).await {
            turn.ended(class(), 20, MS * 6000, None);
        }
        assert!(size(&limiter) >= before / 2, "twenty ports take longer than one");
        for _ in 0..3 {
            for turn in turns(&limiter, size(&limiter)).await {
                turn.ended(class(), 1, MS * 3000, None);
            }
        }
        assert_eq!(size(&limiter), LEAST, "ten times as slow");
        for (kind, status) in [(Kind::NotFound, None), (Kind::Conflict, None), (Kind::NotConnected, None)] {
            let before = size(&limiter);
            let error = Error::from(Details { status, ..Details::new(kind, Method::GET, "/", "") });
            turns(&limiter, 1).await.into_iter().for_each(|turn| turn.ended(None, 1, MS, Some(&error)));
            assert_eq!(size(&limiter), before, "{kind:?} says nothing about its load");
        }
    }

    #[tokio::test]
    async fn a_service_that_asks_for_silence_gets_it() {
        let limiter = limiter(4);
        let turn = turns(&limiter, 1).await.remove(0);
        let begun = Instant::now();
        turn.ended(None, 1, MS, Some(&failure(Kind::TooManyRequests, Some(MS * 200))));
        let (first, second) = tokio::join!(limiter.turn(Priority::Background), limiter.turn(Priority::Pod));
        assert!(begun.elapsed() >= MS * 200 && first.is_some() && second.is_some());
        // What the silence is asked for by an answer that isn't about load (a 404 with the header) holds nothing.
        drop((first, second));
        let turn = turns(&limiter, 1).await.remove(0);
        turn.ended(None, 1, MS, Some(&failure(Kind::NotFound, Some(LONGEST_HOLD))));
        assert!(limiter.turn(Priority::Pod).now_or_never().flatten().is_some());
    }
}
