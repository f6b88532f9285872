//! What was asked, when, and how it ended: so that tests can count writes.

use crate::{Call, Service};
use hyper::Method;
use serde_json::Value;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// One request in the journal.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Counts the requests of the whole cloud, from 1.
    pub number: u64,
    /// When it arrived, since the start of the cloud.
    pub at: Duration,
    /// Who was asked.
    pub service: Service,
    /// Method.
    pub method: Method,
    /// The collection that it was about, as `ports`.
    pub resource: String,
    /// Path below the version's root.
    pub path: String,
    /// Query without the question mark.
    pub query: String,
    /// Body, unless [`Config::journal_bodies`](crate::Config::journal_bodies) is off.
    pub body: Option<Arc<Value>>,
    /// How many objects it creates.
    pub items: usize,
    /// Whether the service carried it out. An answer that was lost, or turned into a 504, doesn't change that.
    pub carried_out: bool,
    /// Status that the client got. `None`: none yet, or never.
    pub status: Option<u16>,
    /// How long it took; `None` while it is under way.
    pub took: Option<Duration>,
}

impl Entry {
    /// Whether it is a request that would change something. Logins don't count.
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.method != Method::GET && self.resource != "tokens"
    }
}

/// The journal of a cloud.
pub(crate) struct Journal {
    began: Instant,
    keep_bodies: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Requests since the start; the number of the last one.
    requests: u64,
    /// Requests that were cleared.
    cleared: u64,
    entries: Vec<Entry>,
    in_flight: usize,
    peak: usize,
}

impl Journal {
    pub fn new(keep_bodies: bool) -> Self {
        Self { began: Instant::now(), keep_bodies, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request that has arrived and gives it its number.
    pub fn begin(&self, call: &mut Call) {
        let at = self.began.elapsed();
        let mut state = self.lock();
        state.requests += 1;
        call.number = state.requests;
        state.in_flight += 1;
        state.peak = state.peak.max(state.in_flight);
        state.entries.push(Entry {
            number: call.number,
            at,
            service: call.service,
            method: call.method.clone(),
            resource: call.resource().to_owned(),
            path: call.path.clone(),
            query: call.query.clone(),
            body: call.body.clone().filter(|_| self.keep_bodies),
            items: call.items(),
            carried_out: false,
            status: None,
            took: None,
        });
    }

    /// Notes that the service has done what it was asked for.
    pub fn carried_out(&self, number: u64) {
        self.change(number, |entry| entry.carried_out = true);
    }

    /// Notes how a request has ended.
    pub fn end(&self, number: u64, status: Option<u16>) {
        let now = self.began.elapsed();
        self.lock().in_flight -= 1;
        self.change(number, |entry| {
            entry.status = status;
            entry.took = Some(now.saturating_sub(entry.at));
        });
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut Entry)) {
        let mut state = self.lock();
        let place = number.checked_sub(state.cleared + 1).and_then(|place| usize::try_from(place).ok());
        if let Some(entry) = place.and_then(|place| state.entries.get_mut(place)) {
            change(entry);
        }
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.lock().entries.clone()
    }

    pub fn count(&self, which: impl Fn(&Entry) -> bool) -> usize {
        self.lock().entries.iter().filter(|entry| which(entry)).count()
    }

    pub fn peak(&self) -> usize {
        self.lock().peak
    }

    /// Forgets everything but the numbering; the peak begins at what is in flight now.
    pub fn clear(&self) {
        let mut state = self.lock();
        state.cleared = state.requests;
        state.entries.clear();
        state.peak = state.in_flight;
    }
}
