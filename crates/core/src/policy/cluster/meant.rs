//! What two pods must have in common to have one group.

use super::ranked::Ranked;
use crate::policy::{
    clause::{Compiled, Port, PortName, Resolution},
    facts::{Name, Uid},
    groups::Direction,
    selector::Pods,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

/// By what a pod is meant that is the subject of a ClusterNetworkPolicy. Pods with the same have the same decisions, and share a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Meant {
    /// The ClusterNetworkPolicies whose subject it is: at least one.
    pub cluster: BTreeSet<Name>,
    /// The NetworkPolicies that select it.
    pub policies: BTreeSet<Uid>,
    /// The numbers of its own ports that their ingress rules name.
    pub numbers: Resolution,
}

impl fmt::Display for Meant {
    /// For people, and for fingerprints: the text doesn't change from one version of Kuryr to the next.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "subjects of {:?}", self.cluster)?;
        if !self.policies.is_empty() {
            write!(f, " with policies {:?}", self.policies)?;
        }
        self.numbers.iter().try_for_each(|(name, numbers)| write!(f, ", {name} is {numbers:?}"))
    }
}

/// The policies by which a pod is meant.
#[derive(Debug, Clone, Default)]
pub struct Tiers<'a> {
    /// The ClusterNetworkPolicies whose subject it is, in any order.
    pub cluster: Vec<&'a Ranked>,
    /// The NetworkPolicies that select it.
    pub policies: Vec<&'a Compiled>,
}

impl Tiers<'_> {
    /// The names of ports of the pod itself that ingress rules have.
    #[must_use]
    pub fn ingress_names(&self) -> BTreeSet<&PortName> {
        let cluster = self.cluster.iter().flat_map(|policy| policy.lines(Direction::Ingress));
        let cluster = cluster.flat_map(|line| &line.ports).filter_map(Port::name);
        cluster.chain(self.policies.iter().flat_map(|policy| policy.ingress_names())).collect()
    }

    /// The numbers that a name in egress rules may mean: those that `numbers` says pods of a selector have, for each peer beside the name.
    #[must_use]
    pub fn egress_numbers<N>(&self, numbers: impl Fn(&Arc<Pods>, &PortName) -> N) -> BTreeMap<PortName, BTreeSet<u16>>
    where
        N: IntoIterator<Item = u16>,
    {
        let lines = self.cluster.iter().flat_map(|policy| policy.lines(Direction::Egress));
        let lines = lines.map(|line| (&line.peers, &line.ports));
        let clauses = self.policies.iter().flat_map(|policy| policy.egress.iter().flatten());
        let clauses = clauses.map(|clause| (&clause.peers, &clause.ports));
        let mut all: BTreeMap<PortName, BTreeSet<u16>> = BTreeMap::new();
        for (peers, ports) in lines.chain(clauses) {
            for name in ports.iter().filter_map(Port::name) {
                for peer in peers {
                    // Only pods have names of ports.
                    let pods = peer.pods().unwrap_or_else(|| Arc::new(Pods::everywhere()));
                    all.entry(name.clone()).or_default().extend(numbers(&pods, name));
                }
            }
        }
        all
    }
}
