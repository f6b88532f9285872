//! The life of one controller: each request that it sends, and when it dies.

use std::{
    collections::HashMap,
    fmt,
    future::pending,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Where in a request a controller dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Moment {
    /// The request is about to be sent and never is.
    Before,
    /// The request has been carried out, its answer is never seen.
    After,
    /// The request is on its way: it is carried out when others have gone on without it. Only requests to OpenStack can be
    /// delayed so; a write to the API server says which state it is for.
    Late,
}

/// A moment in the life of a controller: the `nth` request of this kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Point {
    /// Method and resource, as `PATCH kuryrports/status`.
    pub request: String,
    /// Counted from 0.
    pub nth: usize,
    /// Before or after.
    pub moment: Moment,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} #{}", self.moment, self.request, self.nth)
    }
}

/// The life of one controller. All of its clones are the same one.
#[derive(Clone)]
pub struct Life(Arc<Inner>);

struct Inner {
    death: Option<Point>,
    dead: CancellationToken,
    /// It hears nothing from the API server, and is not heard.
    silent: watch::Sender<bool>,
    state: Mutex<State>,
}

struct State {
    counts: HashMap<String, usize>,
    /// Requests in their order.
    requests: Vec<(String, usize)>,
    /// Lists and watches that were begun.
    looks: (usize, usize),
    /// When a request was last sent or answered.
    stirred: Instant,
}

impl Point {
    /// Before and after each write of a life. What is only read changes nothing, and late ones are left out: the wait for their arrival
    /// doesn't end in some worlds yet.
    pub fn around_writes(requests: &[(String, usize)]) -> Vec<Self> {
        let writes = requests.iter().filter(|(request, _)| !request.starts_with("GET "));
        let around = |(request, nth): &(String, usize)| {
            [Moment::Before, Moment::After].map(|moment| Self { request: request.clone(), nth: *nth, moment })
        };
        writes.flat_map(around).collect()
    }
}

impl Life {
    /// A life that ends at this point, if it is ever reached.
    pub fn new(death: Option<Point>) -> Self {
        let state = State { counts: HashMap::new(), requests: Vec::new(), looks: (0, 0), stirred: Instant::now() };
        let (dead, silent) = (CancellationToken::new(), watch::Sender::new(false));
        Self(Arc::new(Inner { death, dead, silent, state: Mutex::new(state) }))
    }

    /// A request is about to be sent: its number among those of its kind. Nothing leaves the dead: it never returns to them.
    pub async fn before(&self, request: &str) -> usize {
        self.living().await;
        let nth = {
            let mut state = self.0.state.lock().unwrap();
            let count = state.counts.entry(request.to_owned()).or_default();
            let nth = *count;
            *count += 1;
            state.requests.push((request.to_owned(), nth));
            state.stirred = Instant::now();
            nth
        };
        self.reach(request, nth, Moment::Before).await;
        nth
    }

    /// A request has been carried out.
    pub async fn after(&self, request: &str, nth: usize) {
        self.stir();
        self.reach(request, nth, Moment::After).await;
        self.living().await;
    }

    /// Something was answered.
    pub fn stir(&self) {
        self.0.state.lock().unwrap().stirred = Instant::now();
    }

    /// Dies if this is the point. It never returns to the dead.
    async fn reach(&self, request: &str, nth: usize, moment: Moment) {
        if self.ends_at(request, nth, moment) {
            self.end();
            pending::<()>().await;
        }
    }

    /// Whether this is the point at which it ends.
    pub fn ends_at(&self, request: &str, nth: usize, moment: Moment) -> bool {
        self.0
            .death
            .as_ref()
            .is_some_and(|death| (death.request.as_str(), death.nth, death.moment) == (request, nth, moment))
    }

    async fn living(&self) {
        if self.0.dead.is_cancelled() {
            pending::<()>().await;
        }
    }

    /// It ends now: nothing more leaves.
    pub fn end(&self) {
        self.0.dead.cancel();
    }

    /// Waits for its end.
    pub async fn ended(&self) {
        self.0.dead.cancelled().await;
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.0.dead.is_cancelled()
    }

    /// From now on, or no more, nothing passes between it and the API server; connections stay open.
    pub fn silence(&self, silent: bool) {
        self.0.silent.send_replace(silent);
    }

    /// Waits until something may pass.
    pub async fn heard(&self) {
        // This life has the sender.
        let _ = self.0.silent.subscribe().wait_for(|silent| !silent).await;
    }

    /// A list is begun, or a watch, or a list that goes on as a watch.
    pub fn looks(&self, lists: bool, watches: bool) {
        let (all_lists, all_watches) = &mut self.0.state.lock().unwrap().looks;
        *all_lists += usize::from(lists);
        *all_watches += usize::from(watches);
    }

    /// How many lists and how many watches were begun.
    pub fn lists_and_watches(&self) -> (usize, usize) {
        self.0.state.lock().unwrap().looks
    }

    /// All requests in their order, with their numbers.
    pub fn requests(&self) -> Vec<(String, usize)> {
        self.0.state.lock().unwrap().requests.clone()
    }

    /// For how long nothing has been sent or answered.
    pub fn idle(&self) -> Duration {
        self.0.state.lock().unwrap().stirred.elapsed()
    }
}
