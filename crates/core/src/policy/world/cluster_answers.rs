//! What the world answers about ClusterNetworkPolicies.

use super::{ClosedService, World};
use crate::policy::{
    cluster::{Decision, Meant, Refusal},
    facts::{Name, Uid},
    groups::{Direction, GroupKey},
};
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

impl World {
    /// All ClusterNetworkPolicies that it knows of.
    pub fn cluster_policies(&self) -> impl Iterator<Item = &Name> {
        self.cluster.keys()
    }

    /// What of a ClusterNetworkPolicy is refused. Empty: it is followed as it is.
    #[must_use]
    pub fn refusals(&self, policy: &Name) -> &[Refusal] {
        self.cluster.get(policy).map_or(&[], |entry| &entry.refusals)
    }

    /// The pods that are a ClusterNetworkPolicy's subject. None: the policy isn't known.
    #[must_use]
    pub fn subjects_of(&self, policy: &Name) -> Option<&BTreeSet<Uid>> {
        static NOBODY: BTreeSet<Uid> = BTreeSet::new();
        let subject = self.cluster.get(policy)?.ranked.subject.as_ref();
        Some(subject.and_then(|pods| self.selectors.get(pods)).map_or(&NOBODY, |entry| &entry.members))
    }

    /// The groups that a ClusterNetworkPolicy's subjects have because of it: one for all that are meant by the same policies. Other policies' rules
    /// are in them, too.
    #[must_use]
    pub fn groups_deciding(&self, policy: &Name) -> Vec<GroupKey> {
        let decided = self.decided.keys().filter(|meant| meant.cluster.contains(policy));
        decided.cloned().map(GroupKey::Decided).collect()
    }

    /// By what pods are meant whose groups name a decision's address group.
    pub fn meant_with(&self, decision: &Decision) -> impl Iterator<Item = &Arc<Meant>> {
        self.decisions.get(decision).into_iter().flat_map(|entry| &entry.users)
    }

    /// The Services that are closed to subjects of a ClusterNetworkPolicy with egress rules although some of their backends are allowed, by it and
    /// by all other policies of these pods.
    #[must_use]
    pub fn services_closed_by(&self, policy: &Name) -> BTreeSet<ClosedService> {
        let rules = self.cluster.get(policy).map(|entry| entry.ranked.lines(Direction::Egress));
        if rules.is_none_or(<[_]>::is_empty) {
            return BTreeSet::new();
        }
        self.closed_in_part(|meant| meant.cluster.contains(policy), |_| true)
    }

    /// The addresses of pods that are in none of the pods' networks: they are cut out of prefixes one by one where ClusterNetworkPolicies need it. The
    /// configuration is wrong where there are any.
    #[must_use]
    pub const fn outside_networks(&self) -> &BTreeSet<IpAddr> {
        &self.strays
    }
}
