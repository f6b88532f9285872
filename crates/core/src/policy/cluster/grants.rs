//! What the security group of pods allows, and of whom the address groups are.

use super::{
    decision::{Decision, Someone, everywhere},
    pieces::{Pieces, contains},
};
use crate::{
    policy::{clause::Ports, facts::Backend, groups::Direction, prefix::PrefixSet, selector::Pods},
    service::spec::Protocol,
};
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

/// Where prefixes meet pods and Services.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges {
    /// The pods' networks. In these only pods are anybody, where it matters who somebody is: so a pod that comes or goes never changes a prefix.
    pub pods: PrefixSet,
    /// The addresses of pods that are elsewhere. There should be none: they are cut out of prefixes one by one.
    pub strays: PrefixSet,
    /// The Services' range. What is sent there is decided by the backends ([`admits`]).
    pub services: PrefixSet,
}

/// Something that is allowed: a rule, but for the family.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grant {
    /// Which way.
    pub direction: Direction,
    /// At which ports.
    pub ports: Ports,
    /// From or to whom.
    pub whom: Whom,
}

/// Who is at the other end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Whom {
    /// Everybody.
    Anyone,
    /// These addresses.
    Prefixes(PrefixSet),
    /// The pods that a selector matches: the address group is that of NetworkPolicies.
    Pods(Arc<Pods>),
    /// The pods to which a decision says yes: an address group of its own.
    Decided(Arc<Decision>),
}

/// What the decisions allow.
#[must_use]
pub fn grants(direction: Direction, decisions: &Pieces<Decision>, ranges: &Ranges) -> BTreeSet<Grant> {
    let of_piece = |(ports, decision): (&Ports, &Decision)| {
        let whom = match decision.of_everybody() {
            Some(false) => Vec::new(),
            Some(true) if opens(direction, *ports) => vec![Whom::Anyone],
            Some(true) => vec![Whom::Prefixes(everywhere().without(ranges.services.prefixes()))],
            None => of_some(direction, decision, ranges),
        };
        whom.into_iter().map(|whom| Grant { direction, ports: *ports, whom }).collect::<Vec<_>>()
    };
    decisions.iter().flat_map(of_piece).collect()
}

/// Whether a piece that is open to everybody opens the Services, too: in egress only if all backends are allowed at whatever port.
fn opens(direction: Direction, ports: Ports) -> bool {
    direction == Direction::Ingress || ports == Ports::All
}

fn of_some(direction: Direction, decision: &Decision, ranges: &Ranges) -> Vec<Whom> {
    let pods = decision.selector().map(|pods| Whom::Pods(Arc::clone(pods)));
    let pods = pods.unwrap_or_else(|| Whom::Decided(Arc::new(decision.clone())));
    let outside = outside(direction, decision, ranges);
    let outside = (!outside.prefixes().is_empty()).then_some(Whom::Prefixes(outside));
    std::iter::once(pods).chain(outside).collect()
}

/// The addresses that are no pods'.
fn outside(direction: Direction, decision: &Decision, ranges: &Ranges) -> PrefixSet {
    let outside = decision.outside().without(ranges.pods.prefixes()).without(ranges.strays.prefixes());
    match direction {
        Direction::Ingress => outside,
        Direction::Egress => outside.without(ranges.services.prefixes()),
    }
}

/// The addresses of pods to which a decision says yes. One that two pods have (for a moment) is only in it if it says yes to both.
pub fn members<'a>(decision: &Decision, pods: impl IntoIterator<Item = Someone<'a>>) -> BTreeSet<IpAddr> {
    let (mut yes, mut no) = (BTreeSet::new(), BTreeSet::new());
    for someone in pods {
        if decision.allows(someone) {
            yes.insert(someone.address)
        } else {
            no.insert(someone.address)
        };
    }
    &yes - &no
}

/// Whether what goes out may reach a backend of a Service. `pods` are those that have its address: none, if it isn't a pod's. A Service's port is
/// open if this holds of all its backends.
#[must_use]
pub fn admits(
    decisions: &Pieces<Decision>,
    protocol: Protocol,
    backend: Backend,
    pods: &[Someone<'_>],
    ranges: &Ranges,
) -> bool {
    let piece = decisions.iter().find(|(ports, _)| contains(**ports, Some((protocol, backend.port))));
    let Some((ports, decision)) = piece else { return false };
    match decision.of_everybody() {
        Some(false) => false,
        Some(true) => opens(Direction::Egress, *ports) || !ranges.services.contains(backend.address),
        None if pods.is_empty() => outside(Direction::Egress, decision, ranges).contains(backend.address),
        None => pods.iter().all(|pod| decision.allows(*pod)),
    }
}
