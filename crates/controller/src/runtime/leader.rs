//! Leader election: takes, renews and gives back the Lease. What to do with it is decided in `kuryr_core::lease`.
//!
//! Written here and not taken from a library (kube has none; kube-lease-manager 0.13 was looked at) because of the fence: a
//! library tells a change of leadership through a task or a channel of this very process, so a process that stood still
//! believes its last news when it goes on. The fence needs a time, known before the loss, after which nothing is
//! written, by a clock that counts suspension too.

use super::{
    fence::Fence,
    health::Health,
    lease::{Api, Failure},
};
use crate::settings::Lease as Settings;
use kube::Client;
use kuryr_core::lease::{Candidate, Step};
use serde::Serialize;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How the election is called among the loops that must make progress.
const LOOP: &str = "Lease";

/// This process as a candidate.
pub struct Election {
    /// `None`: there is no election, this process is the only one.
    lease: Option<(Api, Candidate)>,
    fence: Fence,
    health: Health,
    standing: Standing,
    trouble: String,
}

/// What can be seen of the election from outside. Clones are the same one.
#[derive(Clone)]
pub struct Standing {
    fence: Fence,
    holder: Arc<Mutex<Option<String>>>,
    elected: bool,
}

/// The election as `/debug/state` shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// `leader`, `standby`, or `alone` without an election.
    role: &'static str,
    /// Our name in the Lease.
    identity: String,
    /// The Lease's holder as last seen.
    holder: Option<String>,
}

impl Standing {
    /// Whether this process may write now.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.fence.is_open()
    }

    /// What is known.
    #[must_use]
    pub fn seen(&self) -> Seen {
        let role = match (self.elected, self.is_leader()) {
            (false, _) => "alone",
            (true, true) => "leader",
            (true, false) => "standby",
        };
        let holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Seen { role, identity: self.fence.identity().to_owned(), holder }
    }
}

impl Election {
    /// A candidate that has looked at nothing yet. `client` reaches the Lease: it is not behind the fence.
    #[must_use]
    pub fn new(settings: &Settings, client: &Client, fence: Fence, health: Health) -> Self {
        let lease = settings.enabled.then(|| {
            let candidate = Candidate::new(fence.identity(), settings.terms());
            (Api::new(client, settings), candidate)
        });
        let standing = Standing { fence: fence.clone(), holder: Arc::default(), elected: settings.enabled };
        Self { lease, fence, health, standing, trouble: String::new() }
    }

    /// What can be seen of it from outside.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing.clone()
    }

    /// Waits until this process is the leader; then the fence is open. Whether it had to wait for another one.
    pub async fn win(&mut self) -> bool {
        if self.lease.is_none() {
            self.fence.open_until(Duration::MAX);
            return false;
        }
        let mut waited = false;
        loop {
            self.health.alive(LOOP);
            let wait = match self.look_and_take().await {
                Ok(None) => return waited,
                Ok(Some(wait)) => {
                    waited = true;
                    wait
                }
                Err(failure) => {
                    self.failed(&failure);
                    self.retry_period()
                }
            };
            // So that candidates that saw the same thing don't ask at the same moment for ever.
            tokio::time::sleep(wait.mul_f64(1.0 + 0.2 * fastrand::f64())).await;
        }
    }

    /// Renews the Lease. Returns when it is lost: then the fence is closed.
    pub async fn keep(&mut self) {
        if self.lease.is_none() {
            return std::future::pending().await;
        }
        while let Some(left) = self.left() {
            self.health.alive(LOOP);
            tokio::time::sleep(self.retry_period().min(left)).await;
            // Late, as after a standstill, is too late: others may have the Lease, and what was decided before is old.
            let Some(left) = self.left() else { break };
            match tokio::time::timeout(left, self.renew()).await {
                Ok(Ok(())) => {}
                Ok(Err(failure)) => self.failed(&failure),
                Err(_) => break,
            }
        }
        self.step_down();
    }

    /// Closes the fence and gives the Lease back, so that another one needn't wait until it runs out. Nothing of ours may still
    /// be at work.
    pub async fn give_back(&mut self) {
        let held = self.left().is_some();
        self.step_down();
        let Some((api, _)) = self.lease.as_mut().filter(|_| held) else { return };
        match api.give_back().await {
            Ok(()) => tracing::info!("the Lease is given back"),
            Err(failure) => {
                tracing::warn!(%failure, "the Lease could not be given back: others wait until it runs out");
            }
        }
    }

    fn step_down(&mut self) {
        self.fence.close();
        self.health.forget(LOOP);
        if let Some((_, candidate)) = &mut self.lease {
            candidate.stepped_down();
        }
    }

    /// How long we may still act. `None`: no more.
    fn left(&self) -> Option<Duration> {
        let until = self.lease.as_ref()?.1.until()?;
        Some(until.saturating_sub(self.fence.now())).filter(|left| !left.is_zero())
    }

    fn retry_period(&self) -> Duration {
        self.lease.as_ref().map_or(Duration::ZERO, |(_, candidate)| candidate.terms().retry_period)
    }

    /// Looks at the Lease, and takes it if that may be. Else: when to look again.
    async fn look_and_take(&mut self) -> Result<Option<Duration>, Failure> {
        let Some((api, candidate)) = &mut self.lease else { return Ok(None) };
        let record = api.read().await?;
        candidate.observed(record, self.fence.now());
        self.show();
        let Some((_, candidate)) = &self.lease else { return Ok(None) };
        match candidate.next(self.fence.now()) {
            Step::Wait(wait) => Ok(Some(wait)),
            Step::Create => self.write(true).await.map(|()| None),
            Step::Write { transition } => self.write(transition).await.map(|()| None),
        }
    }

    /// Renews without looking first; when somebody has written the Lease, it is looked at.
    async fn renew(&mut self) -> Result<(), Failure> {
        match self.write(false).await {
            Err(Failure::Changed) => {}
            done => return done,
        }
        let Some((api, candidate)) = &mut self.lease else { return Ok(()) };
        let record = api.read().await?;
        candidate.observed(record, self.fence.now());
        self.show();
        // It may still be ours, as after a write whose answer was lost.
        if self.left().is_some() { self.write(false).await } else { Ok(()) }
    }

    /// Writes the Lease in our name, and opens the fence for the time that this gives.
    async fn write(&mut self, transition: bool) -> Result<(), Failure> {
        let Some((api, candidate)) = &mut self.lease else { return Ok(()) };
        let sent = self.fence.now();
        let record = api.write(candidate.identity(), candidate.terms(), transition).await?;
        candidate.wrote(record, sent, self.fence.now());
        if let Some(until) = candidate.until() {
            self.fence.open_until(until);
        }
        self.show();
        if !self.trouble.is_empty() {
            tracing::info!("the Lease can be written again");
            self.trouble.clear();
        }
        Ok(())
    }

    /// Tells a trouble once, not at each repetition.
    fn failed(&mut self, failure: &Failure) {
        let text = failure.to_string();
        // Somebody was quicker: the next look says who.
        if matches!(failure, Failure::Changed) || text == self.trouble {
            return;
        }
        let seconds_left = self.left().map_or(0, |left| left.as_secs());
        tracing::warn!(error = text, seconds_left, "the Lease can't be read or written, trying again");
        self.trouble = text;
    }

    /// Shows who holds the Lease; a new other holder is told in the log.
    fn show(&self) {
        let Some((_, candidate)) = &self.lease else { return };
        let holder = candidate.seen().map(|record| record.holder.clone()).filter(|holder| !holder.is_empty());
        let mut shown = self.standing.holder.lock().unwrap_or_else(PoisonError::into_inner);
        if *shown != holder
            && let Some(other) = holder.as_deref().filter(|holder| *holder != candidate.identity())
        {
            tracing::info!(holder = other, "another controller is the leader, standing by");
        }
        *shown = holder;
    }
}

#[cfg(test)]
#[path = "leader_tests.rs"]
mod tests;
