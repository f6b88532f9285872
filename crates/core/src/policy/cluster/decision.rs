//! Who is allowed at one port: a list that is gone through from its beginning.

use crate::policy::{
    clause::{Peer, PortName},
    facts::{Family, Labels, Pod},
    prefix::PrefixSet,
    selector::Pods,
};
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

/// Who a step of a decision means.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Who {
    /// These,
    pub peer: Peer,
    /// and of them only pods whose port of this name has this number.
    pub named: Option<(PortName, u16)>,
}

/// What a step says of those whom it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// They are allowed.
    Yes,
    /// They aren't.
    No,
    /// The second list decides.
    Next,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Step {
    /// Whom it means.
    pub who: BTreeSet<Who>,
    /// What it says of them.
    pub verdict: Verdict,
}

/// Who is allowed. Equal decisions share an address group.
///
/// Of the steps of each list the first that means somebody counts. Whom no step of the first list means, the second decides on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decision {
    /// The first list: Admin. Empty, unless one of its steps leaves something to the next.
    first: Vec<Step>,
    /// The second: NetworkPolicies or Baseline. It has no [`Verdict::Next`].
    second: Vec<Step>,
    /// What becomes of all others.
    otherwise: bool,
}

/// Somebody at the other end.
#[derive(Debug, Clone, Copy)]
pub struct Someone<'a> {
    /// Their address.
    pub address: IpAddr,
    /// The pod that has it, and the labels of its namespace if they are known. None: it is no pod's.
    pub pod: Option<(&'a Pod, Option<&'a Labels>)>,
}

impl Decision {
    /// Of the same form for lists that differ in nothing but words.
    #[must_use]
    pub fn of(first: Vec<Step>, second: Vec<Step>, otherwise: bool) -> Self {
        let mut first = tidy(first);
        let (mut second, mut otherwise) = (second, otherwise);
        while first.last().is_some_and(|step| step.verdict == Verdict::Next) {
            first.pop();
        }
        if !first.iter().any(|step| step.verdict == Verdict::Next) {
            second.splice(0..0, std::mem::take(&mut first));
        }
        let mut second = tidy(second);
        let all = second.last().filter(|step| step.who.iter().any(Who::is_everybody)).map(|step| step.verdict);
        otherwise = all.map_or(otherwise, |verdict| verdict == Verdict::Yes);
        while second.last().is_some_and(|step| (step.verdict == Verdict::Yes) == otherwise) {
            second.pop();
        }
        Self { first, second, otherwise }
    }

    /// What it says of everybody, if it is the same.
    #[must_use]
    pub const fn of_everybody(&self) -> Option<bool> {
        if self.first.is_empty() && self.second.is_empty() { Some(self.otherwise) } else { None }
    }

    /// The selector, if it says yes to the pods of one and to nobody else.
    #[must_use]
    pub fn selector(&self) -> Option<&Arc<Pods>> {
        let [Step { who, verdict: Verdict::Yes }] = self.second.as_slice() else { return None };
        let who = who.first().filter(|_| who.len() == 1 && self.first.is_empty() && !self.otherwise)?;
        match (&who.peer, &who.named) {
            (Peer::Pods(pods), None) => Some(pods),
            _ => None,
        }
    }

    /// Whether it needs an address group of its own: it is neither the same for all, nor one selector.
    #[must_use]
    pub fn is_mixed(&self) -> bool {
        self.of_everybody().is_none() && self.selector().is_none()
    }

    /// Its lists, and what becomes of all others.
    pub(super) fn parts(&self) -> (&[Step], &[Step], bool) {
        (&self.first, &self.second, self.otherwise)
    }

    /// Whether it says yes to somebody.
    #[must_use]
    pub fn allows(&self, someone: Someone<'_>) -> bool {
        let of = |steps: &[Step]| {
            steps.iter().find(|step| step.who.iter().any(|who| who.means(someone))).map(|step| step.verdict)
        };
        match of(&self.first) {
            None | Some(Verdict::Next) => of(&self.second).map_or(self.otherwise, |verdict| verdict == Verdict::Yes),
            Some(verdict) => verdict == Verdict::Yes,
        }
    }

    /// The addresses to which it says yes if no pod has them.
    #[must_use]
    pub fn outside(&self) -> PrefixSet {
        let mut yes = PrefixSet::default();
        let (left, next) = sort_out(&self.first, everywhere(), &mut yes);
        let (left, _) = sort_out(&self.second, union(&left, &next), &mut yes);
        if self.otherwise { union(&yes, &left) } else { yes }
    }
}

/// Without steps that mean nobody and whom an earlier step means; neighbours that say the same are one. Nothing follows on everybody.
fn tidy(steps: Vec<Step>) -> Vec<Step> {
    let mut tidied: Vec<Step> = Vec::new();
    let mut seen = BTreeSet::new();
    for Step { who, verdict } in steps {
        let mut who: BTreeSet<Who> = who.into_iter().filter(|who| seen.insert(who.clone())).collect();
        let everybody = who.iter().any(Who::is_everybody);
        match tidied.last_mut() {
            _ if who.is_empty() => {}
            Some(last) if last.verdict == verdict => last.who.append(&mut who),
            _ => tidied.push(Step { who, verdict }),
        }
        if everybody {
            break;
        }
    }
    // Who means everybody means the others of the step, too.
    if let Some(last) = tidied.last_mut().filter(|last| last.who.iter().any(Who::is_everybody)) {
        last.who.retain(Who::is_everybody);
    }
    tidied
}

/// What is left of some addresses after a list, and what it leaves to the next.
fn sort_out(steps: &[Step], mut left: PrefixSet, yes: &mut PrefixSet) -> (PrefixSet, PrefixSet) {
    let mut next = PrefixSet::default();
    for step in steps {
        let meant: PrefixSet = step.who.iter().flat_map(|who| who.addresses().prefixes().clone()).collect();
        let rest = left.without(meant.prefixes());
        let hit = left.without(rest.prefixes());
        match step.verdict {
            Verdict::Yes => *yes = union(yes, &hit),
            Verdict::Next => next = union(&next, &hit),
            Verdict::No => {}
        }
        left = rest;
    }
    (left, next)
}

/// All addresses of both families.
#[must_use]
pub fn everywhere() -> PrefixSet {
    let [v4, v6] = Family::BOTH.map(PrefixSet::all);
    union(&v4, &v6)
}

fn union(a: &PrefixSet, b: &PrefixSet) -> PrefixSet {
    a.prefixes().union(b.prefixes()).copied().collect()
}

impl Who {
    fn is_everybody(&self) -> bool {
        self.peer == Peer::Anyone && self.named.is_none()
    }

    /// Whether it means somebody.
    fn means(&self, Someone { address, pod }: Someone<'_>) -> bool {
        let selects = |pods: &Pods| {
            pod.is_some_and(|(pod, labels)| pods.in_namespace(&pod.namespace, labels) && pods.pods.matches(&pod.labels))
        };
        let peer = match &self.peer {
            Peer::Anyone => true,
            Peer::Block(block) => block.contains(address),
            Peer::Pods(pods) => selects(pods),
        };
        // Only pods of namespaces that are known have names of ports, but for those that are meant by name (as in `evaluate`).
        let known = || matches!(self.peer, Peer::Pods(_)) || selects(&Pods::everywhere());
        let has = |(name, number): &(PortName, u16)| {
            pod.is_some_and(|(pod, _)| {
                let mut ports = pod.ports.iter();
                ports.any(|it| it.name == name.name && it.protocol == name.protocol && it.number == *number)
            })
        };
        peer && self.named.as_ref().is_none_or(|named| has(named) && known())
    }

    /// The addresses that it means, whoever has them.
    fn addresses(&self) -> PrefixSet {
        match (&self.peer, &self.named) {
            (Peer::Anyone, None) => everywhere(),
            (Peer::Block(block), None) => PrefixSet::clone(block),
            _ => PrefixSet::default(),
        }
    }
}
