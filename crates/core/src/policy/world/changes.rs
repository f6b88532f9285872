//! What a change has touched.

use super::{Set, Target};
use crate::policy::{
    cluster::{Decision, Meant},
    facts::{Name, Uid},
    groups::{AddressGroupKey, GroupKey, Vip},
    selector::Pods,
};
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

/// Whose answers may be others than before a change. What isn't named here has the same answer as before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Pods, whose groups may be others.
    pub pods: BTreeSet<Uid>,
    /// Security groups, which may have come, gone, or have other rules.
    pub groups: BTreeSet<GroupKey>,
    /// Address groups, which may have come, gone, or have other members.
    pub address_groups: BTreeSet<AddressGroupKey>,
    /// Policies, of which something else may be to be told (`problems`, `closed_services`).
    pub policies: BTreeSet<Uid>,
    /// ClusterNetworkPolicies, of which something else may be to be told (`refusals`, `services_closed_by`).
    pub cluster_policies: BTreeSet<Name>,
}

impl Changes {
    /// Whether nothing is another.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let told = self.policies.is_empty() && self.cluster_policies.is_empty();
        self.pods.is_empty() && self.groups.is_empty() && self.address_groups.is_empty() && told
    }

    /// Takes in what another change has touched.
    pub fn merge(&mut self, other: Self) {
        self.pods.extend(other.pods);
        self.groups.extend(other.groups);
        self.address_groups.extend(other.address_groups);
        self.policies.extend(other.policies);
        self.cluster_policies.extend(other.cluster_policies);
    }
}

impl Changes {
    /// Something else may be to be told of all policies that mean these pods.
    pub(super) fn tell(&mut self, meant: &Meant) {
        self.policies.extend(meant.policies.iter().cloned());
        self.cluster_policies.extend(meant.cluster.iter().cloned());
    }
}

/// What is still to be worked out after a change of facts.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    /// Pods, whose groups are to be worked out.
    pub pods: BTreeSet<Uid>,
    /// Selectors whose pods, or these pods' addresses, are others.
    pub members: BTreeSet<Arc<Pods>>,
    /// Selectors among whose pods there are other named ports.
    pub ports: BTreeSet<Arc<Pods>>,
    /// Selectors that a policy no longer has.
    pub unused: BTreeSet<Arc<Pods>>,
    /// Backends, which other policies may allow now.
    pub targets: BTreeSet<Target>,
    /// Load balancers' ports, which may be open to others now.
    pub vips: BTreeSet<Vip>,
    /// Sets of policies that no pod had before.
    pub sets: BTreeSet<Set>,
    /// By what pods are meant whose decisions are to be worked out.
    pub meant: BTreeSet<Arc<Meant>>,
    /// Addresses whose pods are others, or have other labels or ports.
    pub addresses: BTreeSet<IpAddr>,
    /// Addresses outside of the pods' networks have come or gone.
    pub strays: bool,
    /// Decisions that somebody no longer has.
    pub undecided: BTreeSet<Arc<Decision>>,
    /// Policies, whose groups' rules are to be worked out.
    pub policies: BTreeSet<Uid>,
    /// Groups, whose rules are to be worked out.
    pub groups: BTreeSet<GroupKey>,
    /// What is known to be touched.
    pub changes: Changes,
}
