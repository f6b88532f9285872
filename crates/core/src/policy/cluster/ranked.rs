//! A ClusterNetworkPolicy as it is evaluated: checked, and in the terms of NetworkPolicies.

use crate::policy::{
    clause::{Peer, Port, Ports},
    facts::Name,
    groups::Direction,
    selector::Pods,
};
use std::{collections::BTreeSet, sync::Arc};

/// A policy, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranked {
    /// Its place among others.
    pub rank: Rank,
    /// The pods that it is about. None: nobody, because what was said can't be meant.
    pub subject: Option<Arc<Pods>>,
    /// What is asked of what comes in, in this order.
    pub ingress: Vec<Line>,
    /// What is asked of what goes out, in this order.
    pub egress: Vec<Line>,
}

/// The order of policies: the first is asked first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank {
    /// The tier.
    pub tier: Tier,
    /// The priority.
    pub priority: u16,
    /// The name: the API leaves open which of two policies with the same priority is first, and this one stays as it is.
    pub name: Name,
}

/// Before or after NetworkPolicies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Before them.
    Admin,
    /// After them, for pods that none of them isolates.
    Baseline,
}

/// What becomes of a connection that a rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// It is allowed.
    Accept,
    /// It isn't.
    Deny,
    /// The next tier decides.
    Pass,
}

/// One rule: each of these peers, at each of these ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What becomes of it.
    pub action: Action,
    /// The peers.
    pub peers: BTreeSet<Peer>,
    /// The ports.
    pub ports: BTreeSet<Port>,
}

impl Line {
    /// "Deny all": what the API wants of a rule that denies or passes and isn't understood.
    #[must_use]
    pub fn deny_all() -> Self {
        Self { action: Action::Deny, peers: [Peer::Anyone].into(), ports: [Port::Fixed(Ports::All)].into() }
    }
}

impl Ranked {
    /// Which pods by their labels it names: its subject, and its peers.
    #[must_use]
    pub fn pods(&self) -> BTreeSet<Arc<Pods>> {
        let peers = self.ingress.iter().chain(&self.egress).flat_map(|line| &line.peers);
        peers.filter_map(Peer::pods).chain(self.subject.clone()).collect()
    }

    /// The rules of a direction.
    #[must_use]
    pub fn lines(&self, direction: Direction) -> &[Line] {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }
}
