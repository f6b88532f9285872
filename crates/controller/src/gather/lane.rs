//! The creation of ports of one kind (network and subnets): what waits, what is sent together and when. No IO.

use kuryr_core::{
    aimd::{Bounds, Flight, Pace, Window},
    fair::Queue,
};
use kuryr_openstack::{Error, Kind, neutron::NewPort};
use std::time::Duration;
use tokio::time::Instant;

/// Ports of one request. It begins with what a Neutron creates in some two seconds.
const BATCH: Bounds = Bounds { least: 1, first: 8, most: 20 };

/// Requests on their way at a time. Two, so that a lone pod needn't wait for the end of somebody's bulk.
const PARALLEL: Bounds = Bounds { least: 1, first: 2, most: 8 };

/// A request that takes longer keeps its first pods waiting too long: the next ones are smaller.
const LONGEST: Duration = Duration::from_secs(6);

/// From how many times the best known time per port on further requests at the same time only slow each other down.
const TOLERANCE: f64 = 2.0;

/// While others are on their way, a request that isn't full waits this many times as long for company: its ports would
/// only delay theirs, and each request costs as much as half a port.
const COMPANY: u32 = 20;

/// For whom a port is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Flow {
    /// For something of this namespace that waits for it; empty: for a node.
    Miss(String),
    /// For a pool.
    Refill,
}

/// The order of requests: what waits for its port goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    /// Somebody waits for the port.
    Miss,
    /// Nobody waits for it yet.
    Refill,
}

impl Flow {
    /// The flow's rank.
    #[must_use]
    pub fn rank(&self) -> Rank {
        match self {
            Self::Miss(_) => Rank::Miss,
            Self::Refill => Rank::Refill,
        }
    }
}

/// One port that is asked for.
#[derive(Debug)]
pub struct Request<R> {
    /// The port.
    pub port: NewPort,
    /// To whom the answer goes.
    pub reply: R,
    /// When it was asked for.
    pub since: Instant,
}

/// Ports that are created by one request.
#[derive(Debug)]
pub struct Batch<R> {
    /// What is asked for.
    pub requests: Vec<Request<R>>,
    /// For whom.
    pub rank: Rank,
    /// What the answer is judged by.
    pub sent: Sent,
}

/// How a batch was sent.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    size: usize,
    /// It was as large as allowed: a larger one would have been sent.
    full: bool,
    /// As many were on their way as allowed.
    crowded: bool,
    batch: Flight,
    parallel: Flight,
}

impl Sent {
    /// How a part of it was sent that was asked for alone, as the whole was refused: it says nothing about larger ones.
    #[must_use]
    pub fn part(self, size: usize) -> Self {
        Self { size, full: self.full && size >= self.size, ..self }
    }
}

/// What is to be done now.
#[derive(Debug)]
pub enum Next<R> {
    /// Send this.
    Send(Batch<R>),
    /// Ask again at this time.
    Wait(Instant),
    /// Nothing, until something comes or ends.
    Nothing,
}

/// There is no room: the project's quota or the subnets' addresses are used up.
#[derive(Debug, Clone)]
struct Shortage {
    error: Error,
    /// From then on one request finds out whether there is room again.
    probe_at: Instant,
    /// How many requests in a row were refused for it.
    refusals: u32,
}

/// The creation of ports of one kind.
#[derive(Debug)]
pub struct Lane<R> {
    window: Duration,
    waiting: Queue<Rank, Flow, Request<R>>,
    batch: Window,
    parallel: Window,
    pace: Pace,
    misses: usize,
    refills: usize,
    shortage: Option<Shortage>,
    /// After a shortage: how large a request may be until it is known how much room there is.
    cautious: Option<usize>,
}

impl<R> Lane<R> {
    /// A lane that gathers for `window` at a time.
    #[must_use]
    pub fn new(window: Duration) -> Self {
        Self {
            window,
            waiting: Queue::default(),
            batch: Window::new(BATCH),
            parallel: Window::new(PARALLEL),
            pace: Pace::default(),
            misses: 0,
            refills: 0,
            shortage: None,
            cautious: None,
        }
    }

    /// Why nothing need be asked for now: there is no room, and it isn't time to try again.
    #[must_use]
    pub fn refusal(&self, now: Instant) -> Option<&Error> {
        self.shortage.as_ref().filter(|shortage| now < shortage.probe_at).map(|shortage| &shortage.error)
    }

    /// A port is asked for.
    pub fn push(&mut self, flow: Flow, request: Request<R>) {
        self.waiting.push(flow.rank(), flow, request);
    }

    /// How many more of this rank may wait here. Whoever finds no place waits outside, and takes nobody's place there.
    #[must_use]
    pub fn places(&self, rank: Rank) -> usize {
        (2 * self.batch.size() * self.parallel.size()).saturating_sub(self.waiting.len(rank))
    }

    /// What is to be done now.
    pub fn next(&mut self, now: Instant) -> Next<R> {
        if let Some(shortage) = self.shortage.as_ref()
            && (self.in_flight() > 0 || now < shortage.probe_at)
        {
            return Next::Nothing;
        }
        let Some(turn) = self.waiting.turn() else { return Next::Nothing };
        // Where it is the refills' turn and they can't go yet, misses may; never the other way round.
        let ranks = [Some(turn), (turn == Rank::Refill).then_some(Rank::Miss)];
        let mut wait = None;
        for rank in ranks.into_iter().flatten().filter(|rank| self.has_room(*rank)) {
            match self.due(rank, now) {
                Some(due) if due <= now => return Next::Send(self.depart(rank)),
                Some(due) => wait = Some(wait.map_or(due, |earlier: Instant| earlier.min(due))),
                None => {}
            }
        }
        wait.map_or(Next::Nothing, Next::Wait)
    }

    /// When the next request of this rank is to be sent. `None`: nothing waits.
    fn due(&self, rank: Rank, now: Instant) -> Option<Instant> {
        if self.waiting.len(rank) >= self.most() {
            return Some(now);
        }
        let first = self.waiting.iter(rank).map(|request| request.since).min()?;
        Some(first + if self.in_flight() == 0 { self.window } else { self.window * COMPANY })
    }

    /// Sends what may be sent together.
    fn depart(&mut self, rank: Rank) -> Batch<R> {
        let requests = self.waiting.take(rank, self.most());
        *self.flying(rank) += 1;
        let sent = Sent {
            size: requests.len(),
            full: requests.len() == self.batch.size(),
            crowded: self.in_flight() >= self.parallel.size(),
            batch: self.batch.depart(),
            parallel: self.parallel.depart(),
        };
        Batch { requests, rank, sent }
    }

    /// How large a request may be.
    fn most(&self) -> usize {
        let most = self.batch.size();
        if self.shortage.is_some() { 1 } else { self.cautious.map_or(most, |cautious| most.min(cautious)) }
    }

    /// Misses don't wait for refills that are on their way; refills wait for both.
    fn has_room(&self, rank: Rank) -> bool {
        let flying = if rank == Rank::Miss { self.misses } else { self.in_flight() };
        flying < self.parallel.size()
    }

    fn in_flight(&self) -> usize {
        self.misses + self.refills
    }

    fn flying(&mut self, rank: Rank) -> &mut usize {
        match rank {
            Rank::Miss => &mut self.misses,
            Rank::Refill => &mut self.refills,
        }
    }

    /// A request was answered: what follows for the next ones.
    pub fn answered(&mut self, sent: Sent, took: Duration, failure: Option<&Error>) {
        match failure.map(Error::kind) {
            None => self.succeeded(sent, took),
            Some(Kind::Unavailable | Kind::Server | Kind::TooManyRequests | Kind::Timeout | Kind::Busy) => {
                self.batch.overload(sent.batch);
                self.parallel.overload(sent.parallel);
            }
            // Requests that run side by side take each other's addresses.
            Some(Kind::Conflict) => {
                self.parallel.overload(sent.parallel);
            }
            Some(_) => {}
        }
    }

    fn succeeded(&mut self, sent: Sent, took: Duration) {
        if took > LONGEST && sent.size > 1 {
            self.batch.overload(sent.batch);
        } else if sent.full {
            self.batch.success(1.0);
        }
        // Only full requests are compared with each other: what a request itself costs weighs more in small ones.
        if !sent.full {
            return;
        }
        let size = u32::try_from(sent.size).unwrap_or(u32::MAX).max(1);
        if self.pace.note(took / size) > TOLERANCE {
            self.parallel.overload(sent.parallel);
        } else if sent.crowded {
            self.parallel.success(1.0 / f64::from(u32::try_from(self.parallel.size()).unwrap_or(u32::MAX)));
        }
    }

    /// So many ports were created at once: there is room, perhaps for more.
    pub fn has_created(&mut self, count: usize) {
        self.shortage = None;
        self.cautious = self.cautious.map(|cautious| cautious.max(count).saturating_mul(2));
        self.cautious = self.cautious.filter(|cautious| *cautious < self.batch.size());
    }

    /// A port was refused because there is no room: when the next try may be made (after `wait` of the refusals in a row),
    /// and whoever waits, for whom there is none either.
    pub fn is_short(
        &mut self,
        error: Error,
        now: Instant,
        wait: impl FnOnce(u32) -> Duration,
    ) -> (Instant, Vec<Request<R>>) {
        let refusals = self.shortage.as_ref().map_or(0, |shortage| shortage.refusals).saturating_add(1);
        let probe_at = now + wait(refusals);
        self.shortage = Some(Shortage { error, probe_at, refusals });
        self.cautious = Some(1);
        let mut refused = self.waiting.take(Rank::Miss, usize::MAX);
        refused.extend(self.waiting.take(Rank::Refill, usize::MAX));
        (probe_at, refused)
    }

    /// There may be room again: one request may find out at once. `false` when there was no shortage of this kind.
    pub fn may_have_room(&mut self, now: Instant, of_network: bool) -> bool {
        let concerned = self.lacks_room(of_network);
        if let Some(shortage) = self.shortage.as_mut().filter(|_| concerned) {
            shortage.probe_at = shortage.probe_at.min(now);
        }
        concerned
    }

    /// There is no room for ports of the network (`of_network`: of ours) either.
    #[must_use]
    pub fn lacks_room(&self, of_network: bool) -> bool {
        // A quota is the project's: it is used up for all networks, and whatever is deleted makes room.
        self.shortage.as_ref().is_some_and(|shortage| of_network || shortage.error.kind() == Kind::OverQuota)
    }

    /// When the next try may be made where there is no room.
    #[must_use]
    pub fn probe_at(&self) -> Option<Instant> {
        self.shortage.as_ref().map(|shortage| shortage.probe_at)
    }

    /// A request has ended, with all that followed from it.
    pub fn landed(&mut self, rank: Rank) {
        let flying = self.flying(rank);
        *flying = flying.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kuryr_openstack::Method;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);
    const WINDOW: Duration = Duration::from_millis(5);

    fn request(now: Instant, number: usize) -> Request<usize> {
        Request { port: NewPort::on("net".into()), reply: number, since: now }
    }

    fn pod() -> Flow {
        Flow::Miss("shop".to_owned())
    }

    fn numbers(batch: &Batch<usize>) -> Vec<usize> {
        batch.requests.iter().map(|request| request.reply).collect()
    }

    fn sent(next: Next<usize>) -> Batch<usize> {
        match next {
            Next::Send(batch) => batch,
            other => unreachable!("nothing was sent: {other:?}"),
        }
    }

    fn failure(kind: Kind) -> Error {
        Error::new(kind, Method::POST, "/v2.0/ports", "no")
    }

    #[test]
    fn a_lone_port_waits_for_the_window_only() {
        let now = Instant::now();
        let mut lane = Lane::new(WINDOW);
        assert!(matches!(lane.next(now), Next::Nothing));
        lane.push(pod(), request(now, 1));
        assert!(matches!(lane.next(now), Next::Wait(at) if at == now + WINDOW));
        assert_eq!(numbers(&sent(lane.next(now + WINDOW))), [1]);
        assert!(matches!(lane.next(now + WINDOW), Next::Nothing));
        // Another one finds a request on its way: it waits a little longer for company, not for the other's end.
        lane.push(pod(), request(now, 2));
        assert!(matches!(lane.next(now + WINDOW), Next::Wait(at) if at == now + WINDOW * COMPANY));
        assert_eq!(numbers(&sent(lane.next(now + WINDOW * COMPANY))), [2]);
    }

    #[test]
    fn a_full_batch_goes_at_once_and_the_rest_when_one_has_ended() {
        let now = Instant::now();
        let mut lane = Lane::new(WINDOW);
        for number in 0..30 {
            lane.push(pod(), request(now, number));
        }
        let batches = [sent(lane.next(now)), sent(lane.next(now))];
        assert_eq!(batches.each_ref().map(|batch| batch.requests.len()), [8, 8]);
        assert!(matches!(lane.next(now + MS * 1000), Next::Nothing), "two are on their way");
        lane.answered(batches[0].sent, MS * 2000, None);
        lane.landed(Rank::Miss);
        assert_eq!(sent(lane.next(now)).requests.len(), 9, "it went well: one more");
    }

    #[test]
    fn misses_wait_for_no_refill_and_refills_for_both() {
        let now = Instant::now();
        let mut lane = Lane::new(WINDOW);
        for number in 0..24 {
            lane.push(Flow::Refill, request(now, number));
        }
        assert_eq!(sent(lane.next(now)).rank, Rank::Refill);
        assert_eq!(sent(lane.next(now)).rank, Rank::Refill);
        assert!(matches!(lane.next(now), Next::Nothing));
        for number in 100..124 {
            lane.push(pod(), request(now, number));
        }
        for _ in 0..2 {
            let batch = sent(lane.next(now));
            assert!(numbers(&batch).iter().all(|number| *number >= 100), "{batch:?}");
        }
        lane.landed(Rank::Refill);
        assert!(matches!(lane.next(now), Next::Nothing), "as many misses as may be are on their way");
        lane.landed(Rank::Miss);
        assert_eq!(sent(lane.next(now)).rank, Rank::Miss);
        lane.landed(Rank::Miss);
        assert!(matches!(lane.next(now), Next::Nothing), "a miss and a refill are on their way");
        lane.landed(Rank::Refill);
        assert_eq!(sent(lane.next(now)).rank, Rank::Refill);
    }

    #[test]
    fn refills_are_not_starved_by_misses_that_never_end() {
        let now = Instant::now();
        let mut lane = Lane::new(WINDOW);
        lane.push(Flow::Refill, request(now, 999));
        for number in 0..400 {
            lane.push(pod(), request(now, number));
        }
        let mut under_way = Vec::new();
        for turn in 0..20 {
            while let Next::Send(batch) = lane.next(now + WINDOW * COMPANY) {
                if batch.rank == Rank::Refill {
                    assert!(turn > 2);
                    return;
                }
                under_way.push(batch);
            }
            let ended = under_way.remove(0);
            lane.landed(ended.rank);
        }
        unreachable!("the refill never had its turn");
    }

    #[test]
    fn trouble_makes_requests_fewer_and_smaller_and_conflicts_fewer() {
        let now = Instant::now();
        let full = |lane: &mut Lane<usize>| {
            (0..50).for_each(|number| lane.push(pod(), request(now, number)));
            sent(lane.next(now)).sent
        };
        for (kind, batch, parallel) in
            [(Kind::Unavailable, 4, 1), (Kind::Timeout, 4, 1), (Kind::Conflict, 8, 1), (Kind::BadRequest, 8, 2)]
        {
            let mut lane = Lane::new(WINDOW);
            let sent = full(&mut lane);
            lane.answered(sent, MS, Some(&failure(kind)));
            lane.answered(sent, MS, Some(&failure(kind)));
            assert_eq!((lane.batch.size(), lane.parallel.size()), (batch, parallel), "{kind:?}");
        }
        let mut lane = Lane::new(WINDOW);
        let sent = full(&mut lane);
        lane.answered(sent, MS, Some(&failure(Kind::BadRequest)));
        (0..8).for_each(|_| lane.answered(sent.part(1), MS, None));
        let next = full(&mut lane);
        lane.answered(next, MS * 8 * 3 / 2, None);
        assert_eq!((lane.batch.size(), lane.parallel.size()), (9, 2), "parts of a refused request don't set the pace");
        let mut lane = Lane::new(WINDOW);
        let sent = full(&mut lane);
        lane.answered(sent, LONGEST * 2, None);
        assert_eq!(lane.batch.size(), 4, "its first pods waited too long");
    }

    #[test]
    fn where_there_is_no_room_one_port_tries_now_and_then_and_more_as_long_as_it_goes_well() {
        let now = Instant::now();
        let mut lane = Lane::new(WINDOW);
        for number in 0..20 {
            lane.push(pod(), request(now, number));
        }
        let first = sent(lane.next(now));
        let (probe_at, refused) = lane.is_short(failure(Kind::OverQuota), now, |refusals| MS * 1000 * refusals);
        lane.landed(first.rank);
        assert_eq!((probe_at, refused.len()), (now + MS * 1000, 12), "whoever waits is told at once");
        assert!(lane.refusal(now).is_some() && lane.refusal(probe_at).is_none());
        // The next try is refused as well: it takes longer until another.
        (0..5).for_each(|number| lane.push(pod(), request(probe_at, number)));
        assert_eq!(numbers(&sent(lane.next(probe_at))), [0], "one port");
        assert!(matches!(lane.next(probe_at + MS * 500), Next::Nothing), "the others wait for its answer");
        let (again_at, refused) = lane.is_short(failure(Kind::OverQuota), probe_at, |refusals| MS * 1000 * refusals);
        lane.landed(Rank::Miss);
        assert_eq!((again_at, refused.len()), (probe_at + MS * 2000, 4));
        // Something was deleted.
        assert!(lane.may_have_room(now, false), "a quota is the project's");
        assert!(lane.refusal(now).is_none());
        (0..64).for_each(|number| lane.push(pod(), request(now, number)));
        let mut sizes = Vec::new();
        for _ in 0..6 {
            let size = sent(lane.next(now + MS * 1000)).requests.len();
            lane.landed(Rank::Miss);
            lane.has_created(size);
            sizes.push(size);
        }
        assert_eq!(sizes, [1, 2, 4, 8, 8, 8]);
        let mut lane = Lane::<usize>::new(WINDOW);
        let _ = lane.is_short(failure(Kind::AddressesExhausted), now, |_| MS);
        assert!(!lane.may_have_room(now, false), "another network's addresses are of no use here");
        assert!(lane.may_have_room(now, true));
    }

    /// A Neutron as the lab's: a request costs something, each port more, and all requests share what it can do.
    struct Server {
        request: f64,
        port: f64,
        /// How many requests it works on at full speed.
        workers: f64,
    }

    /// What came of a burst: POSTs, and when each port was there.
    struct Burst {
        posts: usize,
        done: Vec<Duration>,
    }

    /// Ports asked for at these times, in milliseconds and in this order; each millisecond is looked at.
    fn simulate(server: &Server, arrivals: &[u32]) -> Burst {
        let start = Instant::now();
        let mut lane = Lane::new(WINDOW);
        let mut under_way: Vec<(Batch<usize>, f64, Instant)> = Vec::new();
        let mut burst = Burst { posts: 0, done: Vec::new() };
        let mut coming = arrivals.iter().enumerate().peekable();
        for ms in 0..600_000 {
            let now = start + MS * ms;
            while let Some((number, _)) = coming.next_if(|(_, at)| **at <= ms) {
                lane.push(pod(), request(now, number));
            }
            while let Next::Send(batch) = lane.next(now) {
                let count = u32::try_from(batch.requests.len()).unwrap();
                burst.posts += 1;
                under_way.push((batch, server.request + server.port * f64::from(count), now));
            }
            let sharing = f64::from(u32::try_from(under_way.len()).unwrap());
            for (_, left, _) in &mut under_way {
                *left -= (server.workers / sharing).min(1.0);
            }
            for (batch, _, begun) in under_way.extract_if(.., |(_, left, _)| *left <= 0.0) {
                lane.answered(batch.sent, now - begun, None);
                lane.landed(batch.rank);
                burst.done.extend(batch.requests.iter().map(|_| now - start));
            }
            if burst.done.len() == arrivals.len() {
                break;
            }
        }
        burst
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn a_burst_costs_few_requests_and_no_time(spread in 0u32..2500, count in 20u32..60) {
            let server = Server { request: 130.0, port: 250.0, workers: 1.0 };
            let arrivals: Vec<u32> = (0..count).map(|number| number * spread / count).collect();
            let burst = simulate(&server, &arrivals);
            prop_assert_eq!(burst.done.len(), arrivals.len(), "each port is made once");
            // The first ones go alone, because nothing tells that more will come.
            prop_assert!(burst.posts <= arrivals.len() / 5 + 2, "{} requests for {} ports", burst.posts, arrivals.len());
            let alone = MS * u32::try_from(arrivals.len()).unwrap() * 380;
            let took = burst.done.last().copied().unwrap_or_default();
            prop_assert!(took <= alone + MS * 110, "{took:?}, one by one {alone:?}");
        }

        #[test]
        fn forty_pods_cost_a_fifth_of_a_request_each(spread in 0u32..3000) {
            let server = Server { request: 130.0, port: 250.0, workers: 1.0 };
            let arrivals: Vec<u32> = (0..40).map(|number| number * spread / 40).collect();
            let posts = simulate(&server, &arrivals).posts;
            prop_assert!(posts <= 8, "{posts}");
        }
    }

    #[test]
    fn a_neutron_with_many_workers_gets_more_at_a_time() {
        for workers in [4, 8] {
            let server = Server { request: 130.0, port: 100.0, workers: f64::from(workers) };
            let burst = simulate(&server, &[0; 1600]);
            let of_second_half = burst.done[1599] - burst.done[800];
            let rate = 800.0 / of_second_half.as_secs_f64();
            assert!(rate > 9.4 * f64::from(workers) * 0.7, "{rate} a second with {workers} workers");
        }
    }
}
