//! How many free ports a node keeps: levels, demand, refill and surplus. Pure: times are distances from a start that the
//! caller chooses.

use std::{collections::VecDeque, time::Duration};

/// How many periods of demand are remembered: a burst that comes back within that time finds its ports ready.
const PERIODS: u64 = 5;

/// How long a pod that got its port takes to start, its images being there: most of what it needs then is the processor.
pub const STARTING: Duration = Duration::from_secs(3);

/// For how long pods that start one after another go first: where they come without a pause, the next ones need something, too.
const LONGEST_START: Duration = Duration::from_secs(15);

/// Pods that got their network and are starting. What isn't urgent, as making ports for pods that may come, waits meanwhile: it keeps Neutron,
/// OVN and the node's dataplane busy, and with them whatever runs beside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Starts {
    /// Since when they come without a pause.
    since: Option<Duration>,
    last: Option<Duration>,
}

impl Starts {
    /// A pod got its network. `at` never goes back.
    pub fn one_more(&mut self, at: Duration) {
        let pause = self.last.is_none_or(|last| at.saturating_sub(last) >= STARTING);
        self.since = self.since.filter(|_| !pause).or(Some(at));
        self.last = Some(at);
    }

    /// The time until what isn't urgent is to be done, if no other pod comes. Zero: now.
    #[must_use]
    pub fn calm_in(&self, at: Duration) -> Duration {
        let ends = self.last.zip(self.since).map(|(last, since)| (last + STARTING).min(since + LONGEST_START));
        ends.unwrap_or_default().saturating_sub(at)
    }
}

/// How many free ports the pods of late would have needed: what was claimed, less what had come back and cooled down before. Where
/// pods come as others go, that is what the number of pods swings by, and not how many there were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demand {
    /// Number of the period and ports that were needed at most in it, oldest first.
    periods: VecDeque<(u64, u32)>,
    /// What is needed now, in this period.
    out: (u64, u32),
    /// When ports that came back can be claimed again, earliest first.
    cooling: VecDeque<Duration>,
    last: Option<Duration>,
    starts: Starts,
    /// A predecessor's word was taken.
    recalled: bool,
}

/// What the demand comes to at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DemandNow {
    /// Most ports that were needed within one period, of the current and the last few periods.
    pub peak: u32,
    /// The time until the pool counts as idle, if nothing happens. Zero: it does.
    pub idle_in: Duration,
    /// [`Starts::calm_in`] of the pods that claimed a port.
    pub calm_in: Duration,
}

impl Demand {
    /// A port was claimed or asked for. `at` never goes back; `period` stays the same.
    pub fn claimed(&mut self, at: Duration, period: Duration) {
        self.cool(at, period);
        let (now, out) = self.out;
        let needed = out.saturating_add(1);
        self.out = (now, needed);
        self.count(now, |most| most.max(needed));
        self.starts.one_more(at);
        self.touched(at);
        self.forget(now);
    }

    /// What a predecessor has written down, most ports needed within one period, counts as if they came now. Only the first word of it is
    /// taken: later ones are our own. When its last claim came isn't written: the pool counts as used now.
    pub fn recall(&mut self, peak: u32, at: Duration, period: Duration) {
        if std::mem::replace(&mut self.recalled, true) {
            return;
        }
        self.touched(at);
        if peak == 0 {
            return;
        }
        self.count(number(at, period), |most| most.max(peak));
    }

    /// Changes what was needed in the current period.
    fn count(&mut self, now: u64, change: impl FnOnce(u32) -> u32) {
        let (period, most) = self.periods.pop_back_if(|(last, _)| *last >= now).unwrap_or((now, 0));
        self.periods.push_back((period, change(most)));
    }

    /// What can be claimed again makes up for what was claimed earlier in the same period.
    fn cool(&mut self, at: Duration, period: Duration) {
        let now = number(at, period);
        let mut out = if self.out.0 == now { self.out.1 } else { 0 };
        while let Some(ready) = self.cooling.pop_front_if(|ready| *ready <= at) {
            out = out.saturating_sub(u32::from(number(ready, period) == now));
        }
        self.out = (now, out);
    }

    /// A port came back, and can be claimed again after `cool_down`, which stays the same as `period` does.
    pub fn returned(&mut self, at: Duration, cool_down: Duration, period: Duration) {
        self.cool(at, period);
        self.cooling.push_back(at.saturating_add(cool_down));
        self.touched(at);
    }

    fn touched(&mut self, at: Duration) {
        self.last = self.last.max(Some(at));
    }

    /// Most ports that were needed within one period, of the current and the last few periods.
    #[must_use]
    pub fn peak(&self, at: Duration, period: Duration) -> u32 {
        let now = number(at, period);
        let remembered = self.periods.iter().filter(|(number, _)| number.saturating_add(PERIODS) > now);
        remembered.map(|(_, most)| *most).max().unwrap_or(0)
    }

    /// Whether no port was claimed or came back for as long as demand is remembered.
    #[must_use]
    pub fn is_idle(&self, at: Duration, period: Duration) -> bool {
        self.idle_in(at, period).is_zero()
    }

    /// The time until [`Self::is_idle`], if nothing happens.
    #[must_use]
    pub fn idle_in(&self, at: Duration, period: Duration) -> Duration {
        let remembered = period.saturating_mul(u32::try_from(PERIODS).unwrap_or(u32::MAX));
        self.last.unwrap_or_default().saturating_add(remembered).saturating_sub(at)
    }

    /// All of it.
    #[must_use]
    pub fn now(&self, at: Duration, period: Duration) -> DemandNow {
        DemandNow { peak: self.peak(at, period), idle_in: self.idle_in(at, period), calm_in: self.starts.calm_in(at) }
    }

    fn forget(&mut self, now: u64) {
        while self.periods.front().is_some_and(|(number, _)| number.saturating_add(PERIODS) <= now) {
            self.periods.pop_front();
        }
    }
}

fn number(at: Duration, period: Duration) -> u64 {
    at.as_secs() / period.as_secs().max(1)
}

/// The levels of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Levels {
    /// Fewest free ports.
    pub minimum: u32,
    /// Most free ports.
    pub maximum: u32,
    /// How many of them the node keeps plugged.
    pub plugged: u32,
}

/// What decides the levels of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LevelFacts {
    /// The levels of all pools.
    pub configured: Levels,
    /// The pool's own minimum, where somebody set one.
    pub own_minimum: Option<u32>,
    /// The pool's own maximum, where somebody set one.
    pub own_maximum: Option<u32>,
    /// The pool's own number of plugged ports, where somebody set one.
    pub own_plugged: Option<u32>,
    /// The node runs pods, or pods wait for it.
    pub in_use: bool,
    /// Nothing is to be kept: the node is gone or cordoned for long, or pods no longer get ports of the network.
    pub draining: bool,
}

impl LevelFacts {
    /// The levels in force. A node that runs no pod keeps nothing, unless its pool asks for it. What a pool itself asks for
    /// goes before what all pools have: its own minimum lifts the maximum, its own maximum lowers the minimum.
    #[must_use]
    pub fn levels(&self) -> Levels {
        if self.draining {
            return Levels { minimum: 0, maximum: 0, plugged: 0 };
        }
        let mut maximum = self.own_maximum.unwrap_or(self.configured.maximum);
        if self.own_maximum.is_none() {
            maximum = maximum.max(self.own_minimum.unwrap_or(0));
        }
        let unasked = if self.in_use { self.configured.minimum } else { 0 };
        let plugged = self.own_plugged.unwrap_or(self.configured.plugged);
        Levels { minimum: self.own_minimum.unwrap_or(unasked).min(maximum), maximum, plugged: plugged.min(maximum) }
    }
}

/// What decides a pool's next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolFacts {
    /// The levels in force.
    pub levels: Levels,
    /// Ports that can be claimed, or whose cool-down isn't over.
    pub free: u32,
    /// Free ports that Neutron is still asked for.
    pub creating: u32,
    /// Pods that wait for a port.
    pub waiting: u32,
    /// Most ports that were needed within one period of late.
    pub demand: u32,
    /// Nothing was claimed or came back for as long as demand is remembered.
    pub idle: bool,
    /// Pods that got a port a moment ago are starting: what isn't urgent would slow them down.
    pub starting: bool,
    /// Pods somewhere wait because the quota or the addresses are used up: free ports stand in their way.
    pub no_room: bool,
}

/// A pool's next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolStep {
    /// How many free ports there are to be.
    pub target: u32,
    /// How many are to be made now.
    pub create: u32,
    /// How many are to be deleted now.
    pub delete: u32,
}

impl PoolFacts {
    /// The next step. A pool fills up to its demand and shrinks to it only when it has been idle: a port that is deleted and
    /// made again costs Neutron two writes, one that is kept costs an address.
    #[must_use]
    pub fn step(&self) -> PoolStep {
        let supply = self.free.saturating_add(self.creating);
        if self.no_room {
            // What its own waiting pods will take stays.
            return PoolStep { target: 0, create: 0, delete: supply.saturating_sub(self.waiting) };
        }
        let Levels { minimum, maximum, .. } = self.levels;
        let target = self.demand.max(minimum).min(maximum);
        let kept = if self.idle { target } else { maximum };
        // Pods that wait, or start, go before ports for pods that may come.
        let create = if self.waiting > 0 || self.starting { 0 } else { target.saturating_sub(supply) };
        PoolStep { target, create, delete: supply.saturating_sub(kept) }
    }
}

/// The time until a port that has been cooling down for that long may be claimed. Zero: now.
#[must_use]
pub fn cool_in(cooling_for: Option<Duration>, cool_down: Duration) -> Duration {
    cooling_for.map_or(Duration::ZERO, |ago| cool_down.saturating_sub(ago))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn levels() -> impl Strategy<Value = Levels> {
        (0_u32..20, 0_u32..40, 0_u32..50).prop_map(|(minimum, more, plugged)| Levels {
            minimum,
            maximum: minimum + more,
            plugged,
        })
    }

    fn facts() -> impl Strategy<Value = PoolFacts> {
        let counts = (0_u32..60, 0_u32..60, 0_u32..5, 0_u32..100);
        (levels(), counts, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(levels, (free, creating, waiting, demand), idle, starting, no_room)| PoolFacts {
                levels,
                free,
                creating,
                waiting,
                demand,
                idle,
                starting,
                no_room,
            },
        )
    }

    proptest! {
        #[test]
        fn a_step_leads_to_where_there_is_no_next(facts in facts()) {
            let step = facts.step();
            prop_assert!(step.create == 0 || step.delete == 0, "nothing is made and deleted at once");
            let supply = facts.free + facts.creating + step.create - step.delete;
            let after = PoolFacts { free: supply, creating: 0, ..facts };
            let then = after.step();
            prop_assert_eq!((then.create, then.delete), (0, 0), "{:?}", after);
        }

        #[test]
        fn a_pool_never_has_more_than_its_maximum_and_fills_to_its_minimum(facts in facts()) {
            let step = facts.step();
            let supply = facts.free + facts.creating + step.create - step.delete;
            prop_assert!(facts.no_room || supply <= facts.levels.maximum);
            prop_assert!(facts.no_room || facts.waiting > 0 || facts.starting || supply >= facts.levels.minimum);
            prop_assert!(step.target <= facts.levels.maximum);
        }

        #[test]
        fn levels_are_in_order_and_own_ones_win(
            configured in levels(), own_minimum in prop::option::of(0_u32..50), own_maximum in prop::option::of(0_u32..50),
            own_plugged in prop::option::of(0_u32..50), in_use: bool, draining: bool,
        ) {
            // The API server refuses a minimum above the maximum.
            prop_assume!(own_minimum.zip(own_maximum).is_none_or(|(least, most)| least <= most));
            let facts = LevelFacts { configured, own_minimum, own_maximum, own_plugged, in_use, draining };
            let levels = facts.levels();
            prop_assert!(levels.minimum <= levels.maximum && levels.plugged <= levels.maximum);
            if draining {
                prop_assert_eq!(levels, Levels { minimum: 0, maximum: 0, plugged: 0 });
            } else {
                prop_assert!(own_minimum.is_none_or(|minimum| levels.minimum == minimum));
                prop_assert!(own_maximum.is_none_or(|maximum| levels.maximum == maximum));
                prop_assert!(in_use || own_minimum.is_some() || levels.minimum == 0, "nothing for a node without pods");
            }
        }

        #[test]
        fn demand_is_what_would_have_been_needed_in_the_remembered_periods(
            events in prop::collection::vec((0_u64..900, any::<bool>()), 0..80), cool_down in 0_u64..90, later in 0_u64..900,
        ) {
            let mut events = events;
            events.sort_unstable();
            let (second, mut demand) = (Duration::from_secs, Demand::default());
            // When there was one more that could be claimed, or one less.
            let mut changes = Vec::new();
            for (at, claims) in &events {
                if *claims {
                    demand.claimed(second(*at), MINUTE);
                    changes.push((*at, 1));
                } else {
                    demand.returned(second(*at), second(cool_down), MINUTE);
                    changes.push((at + cool_down, -1));
                }
            }
            changes.sort_by_key(|(at, change)| (*at, *change));
            let now = events.last().map_or(0, |(at, _)| *at) + later;
            let current = now / 60;
            let needed = |period: u64| {
                let of_period: Vec<_> = changes.iter().filter(|(at, _)| at / 60 == period).map(|(_, change)| *change).collect();
                let from = |first: usize| of_period[first..].iter().scan(0_i32, |sum, change| { *sum += change; Some(*sum) }).max();
                (0..of_period.len()).filter_map(from).max().unwrap_or(0).max(0)
            };
            let expected = (current.saturating_sub(PERIODS - 1)..=current).map(needed).max().unwrap_or(0);
            prop_assert_eq!(demand.peak(second(now), MINUTE), u32::try_from(expected).unwrap());
        }
    }

    /// A pool of which nobody wants anything now.
    fn quiet(levels: Levels) -> PoolFacts {
        let (free, creating, waiting, demand) = (0, 0, 0, 5);
        PoolFacts { levels, free, creating, waiting, demand, idle: false, starting: false, no_room: false }
    }

    #[test]
    fn a_pool_keeps_what_came_back_until_it_has_been_idle() {
        let levels = Levels { minimum: 3, maximum: 32, plugged: 3 };
        let facts = PoolFacts { free: 20, ..quiet(levels) };
        assert_eq!(facts.step(), PoolStep { target: 5, create: 0, delete: 0 });
        assert_eq!(PoolFacts { idle: true, ..facts }.step().delete, 15);
        assert_eq!(PoolFacts { free: 40, ..facts }.step().delete, 8);
        let short = PoolFacts { free: 1, creating: 1, ..facts };
        assert_eq!(short.step().create, 3);
        assert_eq!(PoolFacts { waiting: 1, ..short }.step().create, 0, "pods that wait go first");
        assert_eq!(PoolFacts { starting: true, ..short }.step().create, 0, "pods that start go first");
    }

    #[test]
    fn free_ports_make_room_for_pods_that_wait() {
        let levels = Levels { minimum: 3, maximum: 32, plugged: 3 };
        let facts = PoolFacts { free: 4, creating: 2, no_room: true, ..quiet(levels) };
        assert_eq!(facts.step(), PoolStep { target: 0, create: 0, delete: 6 });
        assert_eq!(PoolFacts { waiting: 2, ..facts }.step().delete, 4, "its own pods take two");
    }

    #[test]
    fn idleness_begins_after_the_last_claim_or_return() {
        let mut demand = Demand::default();
        assert!(demand.is_idle(MINUTE * 5, MINUTE));
        assert!(!demand.is_idle(MINUTE, MINUTE), "what was before the start isn't known");
        demand.claimed(MINUTE * 4, MINUTE);
        demand.returned(MINUTE * 7, MINUTE, MINUTE);
        assert_eq!(demand.idle_in(MINUTE * 10, MINUTE), MINUTE * 2);
        assert!(demand.is_idle(MINUTE * 12, MINUTE));
    }

    #[test]
    fn the_demand_that_a_predecessor_knew_is_taken_over_once_and_forgotten_as_any() {
        let mut demand = Demand::default();
        demand.claimed(MINUTE, MINUTE);
        demand.recall(7, MINUTE, MINUTE);
        demand.recall(9, MINUTE, MINUTE);
        assert_eq!(demand.peak(MINUTE, MINUTE), 7);
        assert_eq!(demand.peak(MINUTE * 5, MINUTE), 7);
        assert_eq!(demand.peak(MINUTE * 6, MINUTE), 0);
        let mut standby = Demand::default();
        standby.recall(0, MINUTE * 60, MINUTE);
        assert!(!standby.is_idle(MINUTE * 61, MINUTE), "a standby's clock has run while another one served claims");
        let mut busy = Demand::default();
        (0..9).for_each(|_| busy.claimed(MINUTE, MINUTE));
        busy.recall(7, MINUTE, MINUTE);
        assert_eq!(busy.peak(MINUTE, MINUTE), 9);
    }

    #[test]
    fn pods_start_after_a_claim_and_not_after_a_return() {
        let mut demand = Demand::default();
        demand.returned(MINUTE, MINUTE, MINUTE);
        assert_eq!(demand.now(MINUTE, MINUTE).calm_in, Duration::ZERO);
        demand.claimed(MINUTE, MINUTE);
        assert_eq!(demand.now(MINUTE, MINUTE).calm_in, STARTING);
        assert_eq!(demand.now(MINUTE + STARTING, MINUTE).calm_in, Duration::ZERO);
    }

    #[test]
    fn pods_that_start_without_a_pause_go_first_for_a_while_only() {
        let (mut starts, second) = (Starts::default(), Duration::from_secs(1));
        for at in 100..120 {
            starts.one_more(second * at);
            let expected = STARTING.min((second * 100 + LONGEST_START).saturating_sub(second * at));
            assert_eq!(starts.calm_in(second * at), expected, "at {at}");
        }
        starts.one_more(second * 130);
        assert_eq!(starts.calm_in(second * 130), STARTING, "after a pause it begins anew");
    }

    #[test]
    fn a_released_port_cools_down_and_a_new_one_needn_t() {
        assert_eq!(cool_in(None, MINUTE), Duration::ZERO);
        assert_eq!(cool_in(Some(Duration::from_secs(20)), MINUTE), Duration::from_secs(40));
        assert_eq!(cool_in(Some(MINUTE * 2), MINUTE), Duration::ZERO);
    }
}
