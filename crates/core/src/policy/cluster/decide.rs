//! All tiers together: what decides on one pod's connections, at each port.

use super::{
    decision::{Decision, Step, Verdict, Who},
    meant::Tiers,
    pieces::{At, Cuts, Pieces},
    ranked::{Action, Line, Tier},
};
use crate::policy::{
    clause::{Clause, Peer, Port, PortName, Ports},
    groups::Direction,
};
use std::collections::BTreeSet;

/// What decides on the pod's connections in a direction, at all ports: pieces that don't overlap. `numbers` are those of a port's name: the
/// pod's own in ingress, and in egress all that any peer has.
#[must_use]
pub fn decide(
    tiers: &Tiers<'_>,
    direction: Direction,
    numbers: impl Fn(&PortName) -> BTreeSet<u16>,
) -> Pieces<Decision> {
    let list = List::of(tiers, direction);
    let mut cuts = Cuts::default();
    let ports: BTreeSet<&Port> =
        list.lines().flat_map(|line| &line.ports).chain(list.clauses().flat_map(|clause| &clause.ports)).collect();
    for port in ports {
        match port {
            Port::Fixed(ports) => cuts.around(*ports),
            Port::Named(name) => {
                numbers(name).into_iter().for_each(|number| cuts.around(Ports::one(name.protocol, number)));
            }
        }
    }
    cuts.pieces(|at| list.decision(at, direction, &numbers))
}

/// The rules of a direction, in order.
struct List<'a> {
    admin: Vec<&'a Line>,
    /// None: no NetworkPolicy isolates the pod, so that Baseline counts.
    policies: Option<Vec<&'a Clause>>,
    baseline: Vec<&'a Line>,
}

impl<'a> List<'a> {
    fn of(tiers: &Tiers<'a>, direction: Direction) -> Self {
        let mut cluster = tiers.cluster.clone();
        cluster.sort_by(|a, b| a.rank.cmp(&b.rank));
        let lines = |tier: Tier| -> Vec<&'a Line> {
            let policies = cluster.iter().filter(|policy| policy.rank.tier == tier);
            policies.flat_map(|policy| policy.lines(direction)).collect()
        };
        let isolating: Vec<&Vec<Clause>> = tiers
            .policies
            .iter()
            .filter_map(|policy| match direction {
                Direction::Ingress => policy.ingress.as_ref(),
                Direction::Egress => policy.egress.as_ref(),
            })
            .collect();
        let policies = (!isolating.is_empty()).then(|| isolating.into_iter().flatten().collect());
        Self { admin: lines(Tier::Admin), policies, baseline: lines(Tier::Baseline) }
    }

    /// The rules that count.
    fn lines(&self) -> impl Iterator<Item = &'a Line> {
        let baseline = self.baseline.iter().filter(|_| self.policies.is_none());
        self.admin.iter().chain(baseline).copied()
    }

    fn clauses(&self) -> impl Iterator<Item = &'a Clause> {
        self.policies.iter().flatten().copied()
    }

    fn decision(&self, at: At, direction: Direction, numbers: &impl Fn(&PortName) -> BTreeSet<u16>) -> Decision {
        let who = |peers: &BTreeSet<Peer>, ports: &BTreeSet<Port>| {
            let named = ports.iter().filter_map(|port| meant(port, at, direction, numbers));
            let all =
                named.flat_map(|named| peers.iter().map(move |peer| Who { peer: peer.clone(), named: named.clone() }));
            all.collect::<BTreeSet<Who>>()
        };
        let steps = |lines: &[&Line], pass: Verdict| -> Vec<Step> {
            let step = |line: &&Line| {
                let verdict = match line.action {
                    Action::Accept => Verdict::Yes,
                    Action::Deny => Verdict::No,
                    Action::Pass => pass,
                };
                Step { who: who(&line.peers, &line.ports), verdict }
            };
            lines.iter().map(step).collect()
        };
        let admin = steps(&self.admin, Verdict::Next);
        match &self.policies {
            Some(clauses) => {
                let step = |clause: &&Clause| Step { who: who(&clause.peers, &clause.ports), verdict: Verdict::Yes };
                Decision::of(admin, clauses.iter().map(step).collect(), false)
            }
            // Behind Baseline everything is allowed.
            None => Decision::of(admin, steps(&self.baseline, Verdict::Yes), true),
        }
    }
}

/// None: it doesn't mean this port. Else the name and number that the peer must have.
fn meant(
    port: &Port,
    at: At,
    direction: Direction,
    numbers: &impl Fn(&PortName) -> BTreeSet<u16>,
) -> Option<Option<(PortName, u16)>> {
    match (port, at) {
        (Port::Fixed(Ports::All), _) => Some(None),
        (Port::Fixed(ports), Some((protocol, number))) => ports.contains(protocol, number).then_some(None),
        (Port::Named(name), Some((protocol, number)))
            if name.protocol == protocol && numbers(name).contains(&number) =>
        {
            Some((direction == Direction::Egress).then(|| (name.clone(), number)))
        }
        _ => None,
    }
}
