//! A client that connects again and again, from a pod's network namespace: who answers when.
//!
//! A new connection is begun in each interval whether the earlier ones are answered or not, so that neither a lost packet nor a slow
//! answer keeps the next one from being the first that succeeds.

use super::judge::{Attempt, Judge, Seen};
use crate::{Cluster, traffic::From};
use anyhow::{Context, Result, anyhow};
use kuryr_lab::engine::netns;
use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::{Builder, Handle},
    sync::oneshot,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

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
    runtime: Handle,
    end: CancellationToken,
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
        let namespace = namespace_of(cluster, pod).await?;
        let (tell, told) = oneshot::channel();
        let end = CancellationToken::new();
        let until = end.clone();
        // All sockets of a runtime with one thread are made on that thread.
        thread::Builder::new().name("client".to_owned()).spawn(move || {
            let run = || -> Result<()> {
                let runtime = Builder::new_current_thread().enable_all().build().context("making a runtime")?;
                drop(tell.send(runtime.handle().clone()));
                runtime.block_on(until.cancelled());
                Ok(())
            };
            // Who asked hears of a failure by the end of the channel.
            drop(netns::enter(&namespace.to_string_lossy(), run));
        })?;
        let runtime = told.await.with_context(|| format!("no client can run in {pod:?}"))?;
        let addresses = u32::try_from(addresses).unwrap_or(u32::MAX);
        Ok(Self { runtime, end, interval: INTERVAL * addresses.div_ceil(AT_FULL_PACE).max(1) })
    }

    /// Begins to connect to an address, until the judge has seen enough.
    #[must_use]
    pub fn watch(&self, at: SocketAddr, judge: Judge) -> Watch {
        let seen = self.runtime.spawn(watch(at, self.interval, judge));
        Watch { at, seen: AbortOnDropHandle::new(seen) }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.end.cancel();
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

/// The file of a pod's network namespace: that of any process inside.
async fn namespace_of(cluster: &Cluster, pod: &From) -> Result<PathBuf> {
    let name = cluster.shell(pod, "readlink /proc/self/ns/net").await?;
    let inode = name.trim().strip_prefix("net:[").and_then(|rest| rest.strip_suffix(']')?.parse::<u64>().ok());
    let inode = inode.with_context(|| format!("`{name}` names no network namespace"))?;
    let processes = fs::read_dir("/proc").context("reading /proc")?.flatten();
    let mut files = processes.map(|process| process.path().join("ns/net"));
    files.find(|file| is(file, inode)).with_context(|| format!("no process is in the network namespace of {pod:?}"))
}

fn is(file: &Path, inode: u64) -> bool {
    fs::metadata(file).is_ok_and(|found| found.ino() == inode)
}
