//! Creates ports, many by one request.

use super::{
    Ports,
    gate::Gate,
    lane::{Batch, Flow, Lane, Next, Rank, Request, Sent},
    room::{self, Bell, SOME, Sleepers, Woken, bell},
};
use kuryr_openstack::{
    Error, Kind, Method, Neutron,
    neutron::{NetworkId, NewPort, Port},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

/// For how long after the last pod that found no room pools make none for themselves: while pods wait, room comes and goes.
const SCARCE: Duration = Duration::from_secs(30);

/// Where one caller waits.
type Reply = oneshot::Sender<Result<Port, Error>>;

/// Ports that compete with each other: of one network, with addresses of the same subnets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    network: NetworkId,
    subnets: Vec<String>,
}

/// Creates ports. Cheap to clone.
pub struct Creator<P = Neutron>(Arc<Inner<P>>);

impl<P> Clone for Creator<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Inner<P> {
    ports: P,
    window: Duration,
    /// Time until room is looked for again, after so many refusals in a row.
    wait: fn(u32) -> Duration,
    bell: Bell,
    lanes: Mutex<HashMap<Key, Entry>>,
}

/// A pod has found no room.
#[derive(Clone, Copy)]
struct Starved {
    at: Instant,
    /// In the project, not only on its network.
    everywhere: bool,
}

struct Entry {
    lane: Lane<Reply>,
    /// Who waits outside of the lane.
    gates: BTreeMap<Rank, Gate>,
    sleepers: Sleepers,
    /// When a pod last found no room.
    starved: Option<Starved>,
    /// It was the first one for a while, and nobody was told yet.
    news: bool,
    /// When the lane is looked at again.
    timer: Option<Instant>,
    /// Somebody sees to it that room is looked for.
    probing: bool,
}

impl<P: Ports> Creator<P> {
    /// Gathers for `window` at a time.
    pub fn new(ports: P, window: Duration) -> (Self, Woken) {
        Self::patient(ports, window, room::wait)
    }

    /// As [`Self::new`], with another patience where there is no room.
    pub(super) fn patient(ports: P, window: Duration, wait: fn(u32) -> Duration) -> (Self, Woken) {
        let (bell, woken) = bell();
        (Self(Arc::new(Inner { ports, window, wait, bell, lanes: Mutex::default() })), woken)
    }

    /// Whether the port of the object of this name may be asked for now. `false`: so many wait already that it would take the
    /// place of others, of releases for instance; it is woken when its turn has come.
    pub fn admits(&self, object: &str, port: &NewPort, flow: &Flow) -> bool {
        let mut lanes = self.0.lanes();
        let entry = lanes.entry(key(port)).or_insert_with(|| Entry::new(self.0.window));
        self.0.bell.ring(entry.let_in());
        entry.gates.entry(flow.rank()).or_default().admits(object, flow, entry.lane.places(flow.rank()), Instant::now())
    }

    /// Creates a port for the object of this name. Its `description` is what its answer is known by, so no other port may
    /// have the same.
    ///
    /// # Errors
    /// As [`Neutron::create_port`], each caller its own: who asks for something impossible spoils nothing for the others.
    /// Where a quota or a subnet is full, callers are refused without a request, until it is time to find out whether there
    /// is room again; the object is woken then.
    pub async fn create(&self, object: &str, port: NewPort, flow: Flow) -> Result<Port, Error> {
        let key = key(&port);
        let answer = {
            let mut lanes = self.0.lanes();
            let entry = lanes.entry(key.clone()).or_insert_with(|| Entry::new(self.0.window));
            let now = Instant::now();
            if let Some(refusal) = entry.lane.refusal(now).cloned() {
                entry.sleeps(object, flow, &refusal);
                return Err(refusal);
            }
            let (reply, answer) = oneshot::channel();
            entry.lane.push(flow.clone(), Request { port, reply, since: now });
            answer
        };
        self.0.clone().pump(&key);
        let answer = answer.await.unwrap_or_else(|_| Err(ended()));
        if let Err(refusal) = &answer
            && is_full(refusal)
        {
            self.0.with(&key, |entry| entry.sleeps(object, flow, refusal));
        }
        answer
    }

    /// The object of this name needs no port any more, or not for the same.
    pub fn withdraw(&self, object: &str) {
        for entry in self.0.lanes().values_mut() {
            entry.sleepers.remove(object);
            entry.gates.values_mut().for_each(|gate| gate.withdraw(object));
            self.0.bell.ring(entry.let_in());
        }
    }

    /// Whether pods wait because the quota, or the addresses of the network, are used up.
    pub fn lacks_room(&self, network: &NetworkId) -> bool {
        self.0.lanes().iter().any(|(key, entry)| entry.starves_pods(key.network == *network))
    }

    /// As [`Self::lacks_room`], but only once in each shortage.
    pub fn is_news(&self, network: &NetworkId) -> bool {
        let mut lanes = self.0.lanes();
        let starving = lanes.iter_mut().filter(|(key, entry)| entry.starves_pods(key.network == *network));
        starving.fold(false, |news, (_, entry)| std::mem::take(&mut entry.news) || news)
    }

    /// There may be room again in this network: a port of it was deleted, or became free. Who waits for room is woken, a
    /// few at first, and more as long as there is room.
    pub fn room(&self, network: &NetworkId) {
        let now = Instant::now();
        for (key, entry) in self.0.lanes().iter_mut() {
            if entry.lane.may_have_room(now, key.network == *network) {
                self.0.bell.ring(entry.sleepers.wake(SOME));
            }
        }
    }
}

impl<P> Inner<P> {
    fn lanes(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, key: &Key, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        self.lanes().get_mut(key).map(change)
    }
}

impl<P: Ports> Inner<P> {
    /// Sends what is to be sent.
    fn pump(self: Arc<Self>, key: &Key) {
        loop {
            let next = self.with(key, |entry| {
                let next = entry.next();
                self.bell.ring(entry.let_in());
                next
            });
            match next {
                Some(Next::Send(batch)) => {
                    let (inner, key) = (self.clone(), key.clone());
                    // In a task of its own: no caller's end ends the request of the others.
                    tokio::spawn(async move { inner.send(key, batch).await });
                }
                Some(Next::Wait(at)) => {
                    let (inner, key) = (self, key.clone());
                    tokio::spawn(async move {
                        sleep_until(at).await;
                        inner.with(&key, |entry| entry.timer = entry.timer.filter(|timer| *timer != at));
                        inner.pump(&key);
                    });
                    return;
                }
                Some(Next::Nothing) | None => return,
            }
        }
    }

    /// Creates the ports of a batch. What Neutron refuses as a whole is asked for in halves, so that what fits is created,
    /// and only who asks for something impossible is refused.
    async fn send(self: Arc<Self>, key: Key, batch: Batch<Reply>) {
        let (rank, sent) = (batch.rank, batch.sent);
        let mut parts = vec![batch.requests];
        while let Some(mut part) = parts.pop() {
            part.retain(|request| !request.reply.is_closed());
            if part.is_empty() {
                continue;
            }
            let begun = Instant::now();
            let created = self.ports.create(part.iter().map(|request| request.port.clone()).collect(), rank).await;
            self.note(&key, sent.part(part.len()), begun.elapsed(), &created);
            match created {
                Ok(ports) => deliver(part, ports),
                Err(error) if part.len() > 1 && may_concern_one(&error) => {
                    tracing::info!(%error, ports = part.len(), "ports were refused together, asking for them in halves");
                    let half = part.split_off(part.len() / 2);
                    parts.extend([half, part]);
                }
                Err(error) => {
                    let full = is_full(&error);
                    let rest = if full { std::mem::take(&mut parts) } else { Vec::new() };
                    refuse(part.into_iter().chain(rest.into_iter().flatten()), &error);
                    if full {
                        self.clone().is_short(&key, &error);
                    }
                }
            }
        }
        self.with(&key, |entry| entry.lane.landed(rank));
        self.pump(&key);
    }

    /// Lets the next requests follow from this answer.
    fn note(&self, key: &Key, sent: Sent, took: Duration, created: &Result<Vec<Port>, Error>) {
        self.with(key, |entry| {
            entry.lane.answered(sent, took, created.as_ref().err());
            if let Ok(ports) = created {
                entry.lane.has_created(ports.len());
                // As long as it goes well, twice as many follow.
                self.bell.ring(entry.sleepers.wake(2 * ports.len().max(1)));
            }
        });
    }

    /// There is no room: everybody who waits is told, and somebody tries again later.
    fn is_short(self: Arc<Self>, key: &Key, error: &Error) {
        let begun = self.with(key, |entry| {
            let (_, refused) = entry.lane.is_short(error.clone(), Instant::now(), self.wait);
            refuse(refused, error);
            !std::mem::replace(&mut entry.probing, true)
        });
        if begun == Some(true) {
            tracing::warn!(%error, network = %key.network, "no room for further ports, trying one now and then");
            let key = key.clone();
            tokio::spawn(async move { self.probe(&key).await });
        }
    }

    /// Wakes somebody when it is time to find out whether there is room, until there is.
    async fn probe(&self, key: &Key) {
        let probe_at = || self.with(key, |entry| entry.lane.probe_at()).flatten();
        let mut woken = None;
        while let Some(at) = probe_at() {
            // Whom it woke may be gone, or have other things to do: then others are woken after the same time.
            let at = if woken == Some(at) { Instant::now() + (self.wait)(1) } else { at };
            sleep_until(at).await;
            if let Some(due) = probe_at().filter(|due| *due <= Instant::now()) {
                woken = Some(due);
                self.with(key, |entry| self.bell.ring(entry.sleepers.wake(SOME)));
            }
        }
        self.with(key, |entry| entry.probing = false);
        tracing::info!(network = %key.network, "there is room for ports again");
    }
}

impl Entry {
    fn new(window: Duration) -> Self {
        let (gates, sleepers) = Default::default();
        let (starved, news, timer, probing) = (None, false, None, false);
        Self { lane: Lane::new(window), gates, sleepers, starved, news, timer, probing }
    }

    /// What is to be done now. A timer is asked for once.
    fn next(&mut self) -> Next<Reply> {
        match self.lane.next(Instant::now()) {
            // A timer that rings earlier will set the next one.
            Next::Wait(at) if self.timer.is_some_and(|timer| timer <= at) => Next::Nothing,
            Next::Wait(at) => {
                self.timer = Some(at);
                Next::Wait(at)
            }
            next => next,
        }
    }

    /// Lets in who waits outside, as long as there are places: their names.
    fn let_in(&mut self) -> Vec<String> {
        let now = Instant::now();
        self.gates.iter_mut().flat_map(|(rank, gate)| gate.let_in(self.lane.places(*rank), now)).collect()
    }

    /// The object waits for room.
    fn sleeps(&mut self, object: &str, flow: Flow, refusal: &Error) {
        if flow.rank() == Rank::Miss {
            self.news |= !self.starves_pods(true);
            self.starved = Some(Starved { at: Instant::now(), everywhere: refusal.kind() == Kind::OverQuota });
        }
        self.sleepers.add(object, flow);
    }

    /// Pods wait because there is no room, or did a moment ago, which concerns the network, too.
    fn starves_pods(&self, of_network: bool) -> bool {
        let sleep = self.lane.lacks_room(of_network) && self.sleepers.len(Rank::Miss) > 0;
        let concerned = self.starved.filter(|starved| of_network || starved.everywhere);
        sleep || concerned.is_some_and(|starved| starved.at.elapsed() < SCARCE)
    }
}

fn key(port: &NewPort) -> Key {
    let fixed = port.fixed_ips.iter().flatten();
    let mut subnets: Vec<_> = fixed.filter_map(|fixed| fixed.subnet_id.as_ref()).map(ToString::to_string).collect();
    subnets.sort();
    Key { network: port.network_id.clone(), subnets }
}

/// Whether a refusal may be about one of the ports only. Everything else, as missing rights, is about all of them, or
/// leaves open whether they were created.
fn may_concern_one(error: &Error) -> bool {
    let about_a_port = matches!(error.kind(), Kind::BadRequest | Kind::Conflict | Kind::NotFound);
    (about_a_port || is_full(error)) && !error.outcome_unknown()
}

/// Whether there is no room for a port.
fn is_full(error: &Error) -> bool {
    matches!(error.kind(), Kind::OverQuota | Kind::AddressesExhausted)
}

/// Gives each caller the port that has its description.
fn deliver(requests: Vec<Request<Reply>>, ports: Vec<Port>) {
    let mut ports: HashMap<String, Port> = ports.into_iter().map(|port| (port.description.clone(), port)).collect();
    for request in requests {
        let port = ports.remove(request.port.description.as_deref().unwrap_or_default());
        // A caller that is gone looks for the port when it comes again: it knows that it has asked.
        let _ = request.reply.send(port.ok_or_else(unanswered));
    }
}

fn refuse(requests: impl IntoIterator<Item = Request<Reply>>, error: &Error) {
    for request in requests {
        let _ = request.reply.send(Err(error.clone()));
    }
}

/// The answer to a bulk request lacks a port.
fn unanswered() -> Error {
    let message = "the answer to the bulk request lacks the port";
    Error::new(Kind::Malformed, Method::POST, "/v2.0/ports", message).with_outcome_unknown(true)
}

/// The task that had the request has ended without an answer.
fn ended() -> Error {
    Error::new(Kind::Busy, Method::POST, "/v2.0/ports", "the controller is stopping").with_outcome_unknown(true)
}
