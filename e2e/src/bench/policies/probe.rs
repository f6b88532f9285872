//! A client that tries to reach the server again and again, from a pod's network namespace.
//!
//! An attempt is begun in each interval whether the earlier ones are answered or not: what is closed is silent, and the next attempt
//! must not wait for it.

use super::judge::{Attempt, Judge, Until};
use crate::{
    Cluster,
    inside::Inside,
    policies::{probe, steady::Steady, table::Protocol},
    traffic::From,
    wait::{eventually, holds},
};
use anyhow::{Context, Result, anyhow};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::task::AbortOnDropHandle;

/// From one attempt to the next.
const INTERVAL: Duration = Duration::from_millis(10);

/// How long an answer is waited for: less than until the kernel sends a lost packet again.
const ANSWER: Duration = Duration::from_millis(300);

/// How long a change is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A pod from which the server is asked.
pub struct Client {
    inside: Inside,
    at: SocketAddr,
}

/// A client at work. It ends when it is dropped.
pub struct Watch {
    until: Until,
    seen: AbortOnDropHandle<Instant>,
}

impl Client {
    /// A client in the network namespace of a running pod, for a server at this address.
    ///
    /// # Errors
    /// When the namespace can't be found or entered.
    pub async fn in_pod(cluster: &Cluster, pod: &From, at: SocketAddr) -> Result<Self> {
        Ok(Self { inside: Inside::of(cluster, pod).await?, at })
    }

    /// Begins to try until the server is open or closed to the pod.
    #[must_use]
    pub fn watch(&self, until: Until) -> Watch {
        Watch { until, seen: self.inside.spawn(watch(self.at, Judge::new(until))) }
    }

    /// Begins to try without an end, to find moments in which it is closed.
    #[must_use]
    pub fn steady(&self) -> Steady {
        Steady::begin(&self.inside, Protocol::Tcp, self.at)
    }

    /// Waits until the server is open to the pod.
    ///
    /// # Errors
    /// When it doesn't come to that.
    pub async fn is_open(&self) -> Result<()> {
        eventually(&format!("{} to be open", self.at), PATIENCE, async || {
            let outcome = self.inside.spawn(probe::once(Protocol::Tcp, self.at, ANSWER)).await?;
            holds(outcome.got_through(), || format!("it is {outcome}"))
        })
        .await
    }
}

impl Watch {
    /// When it came to what is waited for.
    ///
    /// # Errors
    /// When it doesn't.
    pub async fn seen(self) -> Result<Instant> {
        let seen = timeout(PATIENCE, self.seen).await;
        let seen = seen.map_err(|_| anyhow!("the server isn't {:?} within {} s", self.until, PATIENCE.as_secs()))?;
        seen.context("watching the server")
    }
}

async fn watch(at: SocketAddr, mut judge: Judge) -> Instant {
    let mut attempts = JoinSet::new();
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => { attempts.spawn(attempt(at)); }
            Some(Ok(attempt)) = attempts.join_next() => if let Some(seen) = judge.take(&attempt) { return seen },
        }
    }
}

async fn attempt(at: SocketAddr) -> Attempt {
    let begun = Instant::now();
    let through = probe::once(Protocol::Tcp, at, ANSWER).await.got_through();
    Attempt { begun, ended: Instant::now(), through }
}
