//! Candidates with clocks of their own, requests that are late or lost, and candidates that stand still: never two may act.

use super::*;
use proptest::prelude::*;

const TERMS: Terms = Terms {
    duration: Duration::from_secs(15),
    renew_deadline: Duration::from_secs(10),
    retry_period: Duration::from_secs(2),
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn record(holder: &str, version: u64) -> Record {
    Record { holder: holder.to_owned(), duration: TERMS.duration, version: version.to_string() }
}

#[test]
fn the_terms_of_client_go_are_fine_and_others_are_told_why_not() {
    assert_eq!(TERMS.validate(), Ok(()));
    assert_eq!(Terms { renew_deadline: seconds(15), ..TERMS }.validate(), Err(TermsError::NoMargin));
    assert_eq!(Terms { retry_period: seconds(6), ..TERMS }.validate(), Err(TermsError::NoSecondTry));
    assert_eq!(Terms { retry_period: Duration::ZERO, ..TERMS }.validate(), Err(TermsError::NoPause));
}

#[test]
fn a_lease_is_taken_when_there_is_none_when_it_was_given_back_and_when_it_has_run_out() {
    let mut me = Candidate::new("me", TERMS);
    assert_eq!(me.next(seconds(0)), Step::Create);
    me.observed(Some(record("", 1)), seconds(0));
    assert_eq!(me.next(seconds(0)), Step::Write { transition: true });
    me.observed(Some(record("other", 2)), seconds(100));
    assert_eq!(me.next(seconds(100)), Step::Wait(TERMS.retry_period));
    me.observed(Some(record("other", 2)), seconds(114));
    assert_eq!(me.next(seconds(114)), Step::Wait(seconds(1)));
    assert_eq!(me.next(seconds(115)), Step::Write { transition: true });
    me.observed(Some(record("other", 3)), seconds(115));
    assert_eq!(me.next(seconds(115)), Step::Wait(TERMS.retry_period), "it lives");
    me.observed(None, seconds(116));
    assert_eq!(me.next(seconds(116)), Step::Create);
}

#[test]
fn the_holder_acts_until_the_deadline_after_its_last_renewal_was_sent() {
    let mut me = Candidate::new("me", TERMS);
    me.wrote(record("me", 1), seconds(5), seconds(8));
    assert!(me.may_act(seconds(14)));
    assert!(!me.may_act(seconds(15)));
    me.wrote(record("me", 2), seconds(12), seconds(13));
    assert!(me.may_act(seconds(21)) && !me.may_act(seconds(22)));
    me.observed(Some(record("other", 3)), seconds(14));
    assert!(!me.may_act(seconds(14)), "somebody else has it");
}

#[test]
fn a_lease_in_our_own_name_gives_no_right_until_it_was_renewed() {
    let mut me = Candidate::new("me", TERMS);
    me.observed(Some(record("me", 1)), seconds(0));
    assert!(!me.may_act(seconds(0)));
    assert_eq!(me.next(seconds(0)), Step::Write { transition: false }, "no wait for one's own Lease");
}

/// One thing that happens in the simulation.
#[derive(Debug, Clone)]
enum Happening {
    /// Time passes, in milliseconds.
    Pass(u64),
    /// A candidate that waits for nothing makes its next request, as its knowledge says.
    Ask(usize),
    /// The API server carries a candidate's request out.
    Arrive(usize),
    /// A candidate gets the answer to its request.
    Hear(usize),
    /// A candidate's request or answer is lost; it asks anew.
    Lose(usize),
    /// Somebody deletes the Lease.
    Delete,
}

/// A request on its way. A write carries the version that it is conditional on (`None`: there must be no Lease).
#[derive(Debug, Clone)]
enum Request {
    Read,
    Write(Option<u64>),
}

struct Player {
    candidate: Candidate,
    /// What its clock showed at the beginning, and how fast it runs (in percent).
    clock: (u64, u64),
    sent: Option<(Request, Duration)>,
    /// The answer: whether the request succeeded, and the Lease after it.
    answer: Option<(bool, Option<Record>)>,
    reads_next: bool,
}

impl Player {
    fn now(&self, milliseconds: u64) -> Duration {
        Duration::from_millis(self.clock.0 + milliseconds * self.clock.1 / 100)
    }
}

struct World {
    players: Vec<Player>,
    lease: Option<(String, u64)>,
    version: u64,
    time: u64,
}

impl World {
    fn ask(&mut self, i: usize) {
        let player = &mut self.players[i];
        if player.sent.is_some() || player.answer.is_some() {
            return;
        }
        let now = player.now(self.time);
        let known = player.candidate.seen().and_then(|record| record.version.parse().ok());
        let request = match player.candidate.next(now) {
            _ if player.reads_next => Request::Read,
            Step::Wait(_) => Request::Read,
            Step::Create => Request::Write(None),
            Step::Write { .. } => Request::Write(known),
        };
        player.sent = Some((request, now));
    }

    fn arrive(&mut self, i: usize) {
        let Some((request, _)) = self.players[i].sent.clone().filter(|_| self.players[i].answer.is_none()) else {
            return;
        };
        let mut done = true;
        if let Request::Write(condition) = request {
            done = condition == self.lease.as_ref().map(|(_, version)| *version);
            if done {
                self.version += 1;
                self.lease = Some((self.players[i].candidate.identity().to_owned(), self.version));
            }
        }
        let lease = self.lease.as_ref().map(|(holder, version)| record(holder, *version));
        self.players[i].answer = Some((done, lease));
    }

    fn hear(&mut self, i: usize) {
        let (time, player) = (self.time, &mut self.players[i]);
        let Some((done, lease)) = player.answer.take() else { return };
        let Some((request, sent)) = player.sent.take() else { return };
        let now = player.now(time);
        player.reads_next = !done;
        match (request, done, lease) {
            (Request::Read, _, lease) => player.candidate.observed(lease, now),
            (Request::Write(_), true, Some(lease)) => player.candidate.wrote(lease, sent, now),
            // Only the refusal is told, not the Lease.
            (Request::Write(_), ..) => {}
        }
    }

    fn happen(&mut self, happening: &Happening) {
        let one = |i: &usize| i % self.players.len();
        match happening {
            Happening::Pass(milliseconds) => self.time += milliseconds,
            Happening::Ask(i) => self.ask(one(i)),
            Happening::Arrive(i) => self.arrive(one(i)),
            Happening::Hear(i) => self.hear(one(i)),
            Happening::Lose(i) => {
                let i = one(i);
                let player = &mut self.players[i];
                (player.sent, player.answer, player.reads_next) = (None, None, true);
            }
            Happening::Delete => self.lease = None,
        }
    }

    fn acting(&self) -> usize {
        self.players.iter().filter(|player| player.candidate.may_act(player.now(self.time))).count()
    }
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => (0_u64..6_000).prop_map(Happening::Pass),
        1 => (0_u64..40_000).prop_map(Happening::Pass),
        6 => (0_usize..3).prop_map(Happening::Ask),
        6 => (0_usize..3).prop_map(Happening::Arrive),
        6 => (0_usize..3).prop_map(Happening::Hear),
        1 => (0_usize..3).prop_map(Happening::Lose),
    ]
}

fn world(clocks: &[(u64, u64)]) -> World {
    let player = |(i, clock): (usize, &(u64, u64))| Player {
        candidate: Candidate::new(format!("candidate-{i}"), TERMS),
        clock: *clock,
        sent: None,
        answer: None,
        reads_next: true,
    };
    World { players: clocks.iter().enumerate().map(player).collect(), lease: None, version: 0, time: 0 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Clocks differ by anything and run up to 10 % too slow or too fast.
    #[test]
    fn never_two_act_at_once(
        clocks in prop::collection::vec((0_u64..1_000_000_000, 90_u64..=110), 3),
        happenings in prop::collection::vec(happening(), 1..200),
    ) {
        let mut world = world(&clocks);
        for happening in &happenings {
            world.happen(happening);
            prop_assert!(world.acting() <= 1, "{happening:?} of {happenings:?}");
        }
    }

    /// Whatever happened before: when all requests come through again, somebody acts soon, and goes on acting.
    #[test]
    fn somebody_acts_in_the_end(
        clocks in prop::collection::vec((0_u64..1_000_000_000, 90_u64..=110), 3),
        happenings in prop::collection::vec(prop_oneof![20 => happening(), 1 => Just(Happening::Delete)], 0..100),
    ) {
        let mut world = world(&clocks);
        for happening in &happenings {
            world.happen(happening);
        }
        // Twice the duration, because a clock may be slow, and a round for each request that is still on its way.
        for round in 0..60 {
            for i in 0..3 {
                for happening in [Happening::Arrive(i), Happening::Hear(i), Happening::Ask(i), Happening::Arrive(i), Happening::Hear(i)] {
                    world.happen(&happening);
                }
            }
            prop_assert!(round < 20 || world.acting() == 1, "round {round}");
            world.happen(&Happening::Pass(1_000));
        }
    }
}
