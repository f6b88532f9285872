//! What must never be closed, not even for a moment: an attempt every few ms, and the gaps between those that succeed.

use super::{probe, table::Protocol};
use crate::inside::Inside;
use anyhow::{Context, Result};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// From one attempt to the next.
const EVERY: Duration = Duration::from_millis(5);

/// How long an answer is waited for: less than until the kernel would send a lost packet again, which would hide that it was lost.
const PATIENCE: Duration = Duration::from_millis(900);

/// Attempts that fail for so long, all of them, are a closed moment. What is shorter is the dataplane's (ovn-controller presumably replaces OpenFlow
/// rules one after the other): 75 ms at most were measured on two quiet processors, in one of six runs. A wrong order of requests to Neutron would show
/// for as long as a request and what OVN makes of it take.
const CLOSED: Duration = Duration::from_millis(100);

/// One attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// When it was begun.
    pub begun: Instant,
    /// Whether it was answered.
    pub answered: bool,
}

/// Attempts that failed one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// When the first of them was begun, since the very first attempt.
    pub after: Duration,
    /// From then until one succeeded.
    pub length: Duration,
    /// How many they were.
    pub attempts: usize,
}

/// A client that goes on until it is told to end.
pub struct Steady {
    at: SocketAddr,
    protocol: Protocol,
    end: CancellationToken,
    attempts: AbortOnDropHandle<Vec<Attempt>>,
}

/// All attempts of a client.
#[derive(Debug, Clone)]
pub struct Record {
    /// Where to.
    pub at: SocketAddr,
    /// How.
    pub protocol: Protocol,
    /// In the order in which they were begun.
    pub attempts: Vec<Attempt>,
}

impl Steady {
    /// Begins, from inside of a pod.
    #[must_use]
    pub fn begin(inside: &Inside, protocol: Protocol, at: SocketAddr) -> Self {
        let end = CancellationToken::new();
        let attempts = inside.spawn(attempt_until(end.clone(), protocol, at));
        Self { at, protocol, end, attempts }
    }

    /// Begins no more attempts, and waits for those that were begun.
    ///
    /// # Errors
    /// When the pod's inside has ended before.
    pub async fn end(self) -> Result<Record> {
        self.end.cancel();
        let mut attempts = self.attempts.await.context("attempts from inside of a pod")?;
        attempts.sort_by_key(|attempt| attempt.begun);
        Ok(Record { at: self.at, protocol: self.protocol, attempts })
    }
}

impl Record {
    /// The moments in which it was closed.
    #[must_use]
    pub fn gaps(&self) -> Vec<Gap> {
        let Some(first) = self.attempts.first().map(|attempt| attempt.begun) else { return Vec::new() };
        let mut gaps = Vec::new();
        for run in self.attempts.chunk_by(|one, next| !one.answered && !next.answered) {
            let failed = run.iter().filter(|attempt| !attempt.answered).count();
            let (begun, last) = (run[0].begun, run[run.len() - 1].begun);
            let length = last + EVERY - begun;
            if failed > 0 && length >= CLOSED {
                gaps.push(Gap { after: begun - first, length, attempts: failed });
            }
        }
        gaps
    }

    /// How many attempts weren't answered.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.attempts.iter().filter(|attempt| !attempt.answered).count()
    }
}

/// An attempt is begun whether the earlier ones are answered or not.
async fn attempt_until(end: CancellationToken, protocol: Protocol, at: SocketAddr) -> Vec<Attempt> {
    let mut running = JoinSet::new();
    let mut ended = Vec::new();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => { running.spawn(attempt(protocol, at)); }
            Some(Ok(attempt)) = running.join_next() => ended.push(attempt),
            () = end.cancelled() => break,
        }
    }
    while let Some(attempt) = running.join_next().await {
        ended.extend(attempt.ok());
    }
    ended
}

async fn attempt(protocol: Protocol, at: SocketAddr) -> Attempt {
    let begun = Instant::now();
    let outcome = probe::once(protocol, at, PATIENCE).await;
    Attempt { begun, answered: outcome == probe::Outcome::Open }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(answered: &[bool]) -> Record {
        let begin = Instant::now();
        let attempts =
            (0..).zip(answered).map(|(nth, answered)| Attempt { begun: begin + EVERY * nth, answered: *answered });
        let at = SocketAddr::from(([127, 0, 0, 1], 1));
        Record { at, protocol: Protocol::Tcp, attempts: attempts.collect() }
    }

    #[test]
    fn failures_that_last_are_a_gap_and_others_are_lost() {
        let all = record(&[&[true, false, true, true][..], &[false; 20], &[true, false]].concat());
        assert_eq!(all.lost(), 22);
        assert_eq!(all.gaps(), [Gap { after: EVERY * 4, length: CLOSED, attempts: 20 }]);
        assert_eq!(record(&[]).gaps(), []);
        assert_eq!((record(&[false; 11]).gaps().len(), record(&[false; 20]).gaps().len()), (0, 1));
    }

    #[tokio::test]
    async fn attempts_go_on_until_the_end() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let end = CancellationToken::new();
        let stop = async {
            for _ in 0..10 {
                listener.accept().await.unwrap();
            }
            end.cancel();
        };
        let running = attempt_until(end.clone(), Protocol::Tcp, listener.local_addr().unwrap());
        let (attempts, ()) = tokio::join!(running, stop);
        assert!(attempts.len() >= 10 && attempts.iter().all(|attempt| attempt.answered));
    }
}
