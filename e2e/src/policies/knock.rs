//! Whoever must never be reached, not even for a moment: somebody knocks at addresses all the time, and somebody listens.

use super::{
    probe::{self, Outcome},
    table::Protocol,
};
use crate::inside::Inside;
use anyhow::{Context, Result};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_util::task::AbortOnDropHandle;

/// From one knock at an address to the next.
const EVERY: Duration = Duration::from_millis(10);

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_millis(300);

/// What came of all knocks at an address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Heard {
    /// How often somebody knocked since it was last begun.
    pub knocks: usize,
    /// How often packets got through in all: to a server, or to who says that there is none.
    pub through: usize,
}

/// Knocks at one port of many addresses, over TCP, from inside of a pod.
pub struct Knocker {
    port: u16,
    heard: Shared<Heard>,
    doors: BTreeMap<IpAddr, AbortOnDropHandle<()>>,
}

type Shared<T> = Arc<Mutex<BTreeMap<IpAddr, T>>>;

impl Knocker {
    /// One that knocks at nothing yet.
    #[must_use]
    pub fn new(port: u16) -> Self {
        Self { port, heard: Arc::default(), doors: BTreeMap::new() }
    }

    /// Begins to knock at an address, unless it does already. Knocks are counted anew.
    pub fn begin(&mut self, inside: &Inside, ip: IpAddr) {
        if let Entry::Vacant(door) = self.doors.entry(ip) {
            lock(&self.heard).entry(ip).or_default().knocks = 0;
            door.insert(inside.spawn(knock(SocketAddr::new(ip, self.port), self.heard.clone())));
        }
    }

    /// Stops to knock at an address. What was heard stays.
    pub fn end(&mut self, ip: IpAddr) {
        self.doors.remove(&ip);
    }

    /// What was heard so far.
    #[must_use]
    pub fn heard(&self) -> BTreeMap<IpAddr, Heard> {
        lock(&self.heard).clone()
    }
}

/// Each knock is a connection of its own, begun whether the earlier ones are answered or not.
async fn knock(at: SocketAddr, heard: Shared<Heard>) {
    let mut knocks: JoinSet<Outcome> = JoinSet::new();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => { knocks.spawn(probe::once(Protocol::Tcp, at, PATIENCE)); }
            Some(Ok(outcome)) = knocks.join_next() => {
                let mut all = lock(&heard);
                let one = all.entry(at.ip()).or_default();
                one.knocks += 1;
                one.through += usize::from(outcome.got_through());
            }
        }
    }
}

/// Listens inside of a pod, over TCP, and counts who comes.
pub struct Listener {
    came: Shared<usize>,
    _accepts: AbortOnDropHandle<()>,
}

impl Listener {
    /// Listens at a port of all addresses of the pod.
    ///
    /// # Errors
    /// When somebody does already.
    pub async fn at(inside: &Inside, port: u16) -> Result<Self> {
        let listening = inside.spawn(TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))).await?;
        let listener = listening.with_context(|| format!("listening at {port}"))?;
        let came: Shared<usize> = Arc::default();
        Ok(Self { _accepts: inside.spawn(accept(listener, came.clone())), came })
    }

    /// How often each address has come so far.
    #[must_use]
    pub fn came(&self) -> BTreeMap<IpAddr, usize> {
        lock(&self.came).clone()
    }
}

async fn accept(listener: TcpListener, came: Shared<usize>) {
    loop {
        if let Ok((_, peer)) = listener.accept().await {
            *lock(&came).entry(peer.ip().to_canonical()).or_default() += 1;
        }
    }
}

fn lock<T>(shared: &Shared<T>) -> MutexGuard<'_, BTreeMap<IpAddr, T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
