//! A client that connects again and again, from a pod's network namespace: who answers when.
//!
//! A new connection is begun in each interval whether the earlier ones are answered or not, so that neither a lost packet nor a slow
//! answer keeps the next one from being the first that succeeds.

use super::judge::{Attempt, Judge, Seen};
use crate::{Cluster, inside::Inside, traffic::From};
use anyhow::{Context, Result, anyhow};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::task::AbortOnDropHandle;

/// From one connection to the next, at one address.
const INTERVAL: Duration = Duration::from_millis(20);

/// Where there are many addresses, as many connections a second as to so many of them: the machine has other work.
const AT_FULL_PACE: u32 = 5;

/// How long an answer is waited for: just less than until TCP would send its first packet again.
const ANSWER: Duration = Duration::from_millis(900);

/// How long somebody is waited for.
const PATIENCE: Duration = Duration::from_secs(180);

/// The client. It ends when it is dropped.
pub struct Client {
    inside: Inside,
    interval: Duration,
}

/// An address that is being watched.
pub struct Watch {
    at: SocketAddr,
    seen: AbortOnDropHandle<Seen>,
}

impl Client {
    /// A client in the network namespace of a running pod, which will watch `addresses` at a time.
    ///
    /// # Errors
    /// When the namespace can't be found or entered.
    pub async fn in_pod(cluster: &Cluster, pod: &From, addresses: usize) -> Result<Self> {
        let inside = Inside::of(cluster, pod).await?;
        let addresses = u32::try_from(addresses).unwrap_or(u32::MAX);
        Ok(Self { inside, interval: INTERVAL * addresses.div_ceil(AT_FULL_PACE).max(1) })
    }

    /// Begins to connect to an address, until the judge has seen enough.
    #[must_use]
    pub fn watch(&self, at: SocketAddr, judge: Judge) -> Watch {
        Watch { at, seen: self.inside.spawn(watch(at, self.interval, judge)) }
    }
}

impl Watch {
    /// What the judge has seen.
    ///
    /// # Errors
    /// When it doesn't see enough in time.
    pub async fn seen(self) -> Result<Seen> {
        let seen = timeout(PATIENCE, self.seen).await;
        let seen = seen.map_err(|_| anyhow!("{}: traffic doesn't follow within {} s", self.at, PATIENCE.as_secs()))?;
        seen.with_context(|| format!("watching {}", self.at))
    }
}

async fn watch(at: SocketAddr, every: Duration, mut judge: Judge) -> Seen {
    let mut attempts = JoinSet::new();
    let mut ticks = interval(every);
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
    let answer = timeout(ANSWER, ask(at)).await.ok().and_then(Result::ok).flatten();
    Attempt { begun, ended: Instant::now(), answer }
}

/// The name of the server pod that answers a connection of its own.
async fn ask(at: SocketAddr) -> std::io::Result<Option<String>> {
    let mut stream = TcpStream::connect(at).await?;
    stream.write_all(b"GET /hostname HTTP/1.0\r\n\r\n").await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.trim().to_owned());
    Ok(body.filter(|body| !body.is_empty()))
}
