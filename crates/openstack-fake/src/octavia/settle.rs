//! What is left to do after a request was answered: Octavia's drivers work behind the API.
//!
//! Each change leaves one or more *steps* in the queue of its load balancer. The OVN driver reports after each of them, and
//! each report says that the load balancer is `ACTIVE`: one that was created with everything in it is so before its
//! listeners and members are, and takes the next change although steps of the last one are still to come.

use super::{
    Octavia, Operating, Provisioning,
    object::{Kind, Object},
};
use crate::{neutron::Neutron, uuid::Uuid};
use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

/// When the steps of a change are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settle {
    /// Before the next request. The answer to the change itself says that it is pending.
    AtOnce,
    /// Each step so long after the one before it.
    After(Duration),
    /// As long as the lab's OVN takes on two cores: a load balancer 0.13 s, a listener or pool 0.1 s, the members of a pool
    /// 0.2 s and 0.06 s for each, a deletion 0.2 s and 0.25 s for each pool. (Measured on 2026-11-27: one with a listener, a
    /// pool and three members was `ACTIVE` 0.15 s after its POST was answered and complete 0.7 s after, one with four of each
    /// 2.7 s after; cascades took 0.6 and 2.0 s, a batch 0.3 s.)
    Lab,
    /// When the test says so.
    Manual,
}

/// Which of the attributes that matter to drivers a change has given.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Given {
    pub up: bool,
    pub default_pool: bool,
    pub persistence: bool,
}

/// One step.
#[derive(Debug, Clone)]
pub(super) enum Deed {
    Created(Uuid),
    Changed(Uuid, Given),
    Deleted(Uuid),
    /// A load balancer that is being deleted looks done, because its members go first.
    Emptied(Uuid),
    Members {
        pool: Uuid,
        created: Vec<Uuid>,
        changed: Vec<Uuid>,
        deleted: Vec<Uuid>,
    },
}

#[derive(Debug)]
struct Step {
    deed: Deed,
    /// How long the lab's OVN takes for it.
    takes: Duration,
    fails: bool,
}

/// The steps of all load balancers.
#[derive(Debug)]
pub(super) struct Work {
    settle: Settle,
    queues: HashMap<Uuid, VecDeque<Step>>,
    due: BTreeSet<(Instant, Uuid)>,
    /// Load balancers that are gone, and are to be deleted once more.
    ghosts: HashMap<Uuid, Object>,
    /// Load balancers whose steps are never done.
    stuck: HashSet<Uuid>,
    /// How many of the next changes fail.
    failing: usize,
}

impl Work {
    pub fn new(settle: Settle) -> Self {
        Self {
            settle,
            queues: HashMap::new(),
            due: BTreeSet::new(),
            ghosts: HashMap::new(),
            stuck: HashSet::new(),
            failing: 0,
        }
    }

    /// Adds the steps of one change.
    fn push(&mut self, load_balancer: Uuid, deeds: impl IntoIterator<Item = (Deed, Duration)>) {
        let mut fails = self.failing > 0;
        self.failing = self.failing.saturating_sub(1);
        let queue = self.queues.entry(load_balancer).or_default();
        let was_empty = queue.is_empty();
        for (deed, takes) in deeds {
            queue.push_back(Step { deed, takes, fails: std::mem::take(&mut fails) });
        }
        if was_empty {
            self.schedule(load_balancer, Instant::now());
        }
    }

    /// Says when the next step of a load balancer is done, if there is one.
    fn schedule(&mut self, load_balancer: Uuid, from: Instant) {
        let Some(takes) = self.queues.get(&load_balancer).and_then(VecDeque::front).map(|step| step.takes) else {
            self.queues.remove(&load_balancer);
            return;
        };
        match self.settle {
            Settle::AtOnce => self.due.insert((from, load_balancer)),
            Settle::Lab => self.due.insert((from + takes, load_balancer)),
            Settle::After(delay) => self.due.insert((from + delay, load_balancer)),
            Settle::Manual => false,
        };
    }

    /// Nobody makes these parts any more.
    pub fn drop_creations(&mut self, load_balancer: Uuid, parts: &[Uuid]) {
        if let Some(queue) = self.queues.get_mut(&load_balancer) {
            queue.retain(|step| match &step.deed {
                Deed::Created(id) => !parts.contains(id),
                Deed::Members { pool, .. } => !parts.contains(pool),
                _ => true,
            });
        }
    }

    fn pop(&mut self, load_balancer: Uuid) -> Option<Step> {
        self.queues.get_mut(&load_balancer).and_then(VecDeque::pop_front)
    }

    /// Takes the next load balancer whose time has come.
    fn next_due(&mut self, now: Instant) -> Option<(Instant, Uuid)> {
        loop {
            let next = *self.due.first().filter(|(at, _)| *at <= now)?;
            self.due.remove(&next);
            if !self.stuck.contains(&next.1) {
                return Some(next);
            }
        }
    }

    /// Nothing is left to do for a load balancer.
    pub fn forget(&mut self, load_balancer: Uuid) {
        self.queues.remove(&load_balancer);
        self.ghosts.remove(&load_balancer);
        self.due.retain(|(_, id)| *id != load_balancer);
        self.stuck.remove(&load_balancer);
    }

    pub fn stick(&mut self, load_balancer: Uuid) {
        self.stuck.insert(load_balancer);
    }

    /// Its steps are done again. False: they always were.
    pub fn unstick(&mut self, load_balancer: Uuid) -> bool {
        let was_stuck = self.stuck.remove(&load_balancer);
        if was_stuck && !self.due.iter().any(|(_, id)| *id == load_balancer) {
            self.schedule(load_balancer, Instant::now());
        }
        was_stuck
    }

    pub fn has_steps(&self, load_balancer: Uuid) -> bool {
        self.queues.contains_key(&load_balancer)
    }

    pub fn fail_next(&mut self, changes: usize) {
        self.failing = changes;
    }

    /// Changes when steps are done from now on, those that wait included.
    pub fn set_settle(&mut self, settle: Settle) {
        self.settle = settle;
        self.due.clear();
        let now = Instant::now();
        let waiting: Vec<Uuid> = self.queues.keys().copied().collect();
        waiting.into_iter().for_each(|id| self.schedule(id, now));
    }
}

impl Octavia {
    /// Leaves the steps of a change to the driver.
    pub(super) fn leave(&mut self, load_balancer: Uuid, deeds: impl IntoIterator<Item = Deed>) {
        let timed: Vec<_> = deeds.into_iter().map(|deed| (deed.clone(), self.takes(&deed))).collect();
        self.work.push(load_balancer, timed);
    }

    /// How long the lab's OVN takes for a step: see [`Settle::Lab`].
    fn takes(&self, deed: &Deed) -> Duration {
        let kind = |id: &Uuid| self.store.get(*id).map(|object| object.kind);
        let times = |each: u64, many: usize| each * u64::try_from(many).unwrap_or(u64::MAX);
        Duration::from_millis(match deed {
            Deed::Created(id) if kind(id) == Some(Kind::LoadBalancer) => 130,
            Deed::Created(_) | Deed::Changed(..) => 100,
            Deed::Emptied(id) => 50 + times(250, self.store.children(*id, Kind::Pool).count()),
            Deed::Deleted(_) => 200,
            Deed::Members { created, changed, deleted, .. } => {
                200 + times(60, created.len() + changed.len() + deleted.len())
            }
        })
    }

    /// Whether something has to be done now.
    pub fn is_due(&self) -> bool {
        self.work.due.first().is_some_and(|(at, _)| *at <= Instant::now())
    }

    /// Does all steps whose time has come.
    pub fn advance(&mut self, neutron: &mut Neutron) {
        let now = Instant::now();
        while let Some((at, load_balancer)) = self.work.next_due(now) {
            self.step(neutron, load_balancer);
            self.work.schedule(load_balancer, at);
        }
    }

    /// Does all steps of all load balancers but those that are stuck.
    pub fn settle_all(&mut self, neutron: &mut Neutron) {
        let waiting: Vec<Uuid> = self.work.queues.keys().copied().collect();
        for load_balancer in waiting.into_iter().filter(|id| !self.work.stuck.contains(id)).collect::<Vec<_>>() {
            while self.step(neutron, load_balancer) {}
            self.work.forget(load_balancer);
        }
    }

    /// Does the next step of a load balancer. False: there is none.
    fn step(&mut self, neutron: &mut Neutron, load_balancer: Uuid) -> bool {
        let Some(Step { deed, fails, .. }) = self.work.pop(load_balancer) else { return false };
        if let Some(mut ghost) = self.work.ghosts.remove(&load_balancer) {
            // OVN has nothing of it any more, and the driver stumbles: it is there again.
            ghost.set(Provisioning::Error, Some(Operating::Error));
            self.store.insert(ghost);
            self.work.queues.remove(&load_balancer);
            return true;
        }
        let provider = self.provider_of(load_balancer);
        let is_whole = matches!(deed, Deed::Created(id) | Deed::Deleted(id) if id == load_balancer);
        let is_gone = matches!(deed, Deed::Deleted(id) if id == load_balancer);
        if fails {
            self.fail(neutron, load_balancer, provider, &deed);
            if is_whole {
                self.work.queues.remove(&load_balancer);
            }
        } else if is_gone {
            self.drop_load_balancer(neutron, load_balancer);
        } else {
            self.report(neutron, load_balancer, provider, deed);
        }
        true
    }

    /// Ends a load balancer and gives its addresses back.
    pub(super) fn drop_load_balancer(&mut self, neutron: &mut Neutron, load_balancer: Uuid) {
        self.free_vips(neutron, load_balancer);
        let watched = self.subnets_of(&self.store.descendants(load_balancer));
        let gone = self.store.remove(load_balancer);
        self.free_monitors(neutron, watched);
        let again = self.work.queues.get(&load_balancer).is_some_and(|queue| !queue.is_empty());
        if let Some(gone) = gone.filter(|_| again) {
            self.work.ghosts.insert(load_balancer, gone);
            return;
        }
        self.work.queues.remove(&load_balancer);
        self.work.stuck.remove(&load_balancer);
    }
}
