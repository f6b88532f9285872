//! Reads a policy: what it says, and what is wrong with it.

use super::{
    clause::{Clause, Compiled, Peer, Port, PortName, Ports},
    facts::{self, LabelSelector, Policy, PolicyPort, PolicyRule, PortRef, Requirement},
    prefix::PrefixSet,
    problem::Problem,
    selector::{Allowed, Namespaces, Pods, Selector},
};
use crate::service::{address, spec::Protocol};
use std::{collections::BTreeSet, sync::Arc};

/// What a policy says. One with problems isolates the pods that it selects in the directions that it is about, and allows nothing: what is
/// wrong in it may have been meant to forbid. Where it is the pod selector that is wrong, the rest of that selects.
#[must_use]
pub fn read(policy: &Policy) -> (Compiled, Vec<Problem>) {
    let mut reader = Reader { policy, problems: Vec::new() };
    let selector = reader.selector(&policy.pod_selector, "spec.podSelector");
    let (ingress, egress) = reader.directions();
    let ingress = ingress.then(|| reader.clauses(policy.ingress.as_ref(), "spec.ingress"));
    let egress = egress.then(|| reader.clauses(policy.egress.as_ref(), "spec.egress"));
    let problems = reader.problems;
    let closed = |clauses: Vec<Clause>| if problems.is_empty() { clauses } else { Vec::new() };
    let (ingress, egress) = (ingress.map(closed), egress.map(closed));
    (Compiled { uid: policy.uid.clone(), namespace: policy.namespace.clone(), selector, ingress, egress }, problems)
}

struct Reader<'a> {
    policy: &'a Policy,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn problem(&mut self, field: impl Into<String>, value: impl Into<String>, wanted: &'static str) {
        self.problems.push(Problem { field: field.into(), value: value.into(), wanted });
    }

    /// Whether the policy is about ingress, and about egress. A type that isn't known may be about anything.
    fn directions(&mut self) -> (bool, bool) {
        let types = &self.policy.policy_types;
        if types.is_empty() {
            return (true, self.policy.egress.is_some());
        }
        let has = |name: &str| types.iter().any(|kind| kind == name);
        let (ingress, egress) = (has("Ingress"), has("Egress"));
        let unknown = types.iter().position(|kind| kind != "Ingress" && kind != "Egress");
        if let Some(index) = unknown {
            self.problem(format!("spec.policyTypes[{index}]"), &*types[index], "Ingress or Egress");
        }
        (ingress || unknown.is_some(), egress || unknown.is_some())
    }

    fn clauses(&mut self, rules: Option<&Vec<PolicyRule>>, field: &str) -> Vec<Clause> {
        let peers = if field == "spec.ingress" { "from" } else { "to" };
        let rules = rules.into_iter().flatten().enumerate();
        rules.map(|(index, rule)| self.clause(rule, &format!("{field}[{index}]"), peers)).collect()
    }

    /// Lists that are empty mean everybody and all ports. What a list loses because it can't match doesn't make it empty in that sense.
    fn clause(&mut self, rule: &PolicyRule, field: &str, list: &str) -> Clause {
        let mut peers = BTreeSet::new();
        for (index, peer) in rule.peers.iter().enumerate() {
            peers.extend(self.peer(peer, &format!("{field}.{list}[{index}]")));
        }
        if rule.peers.is_empty() {
            peers.insert(Peer::Anyone);
        }
        let mut ports = BTreeSet::new();
        for (index, port) in rule.ports.iter().enumerate() {
            ports.extend(self.port(port, &format!("{field}.ports[{index}]")));
        }
        if rule.ports.is_empty() {
            ports.insert(Port::Fixed(Ports::All));
        }
        Clause { peers, ports }
    }

    /// None: nobody.
    fn peer(&mut self, peer: &facts::Peer, field: &str) -> Option<Peer> {
        match (&peer.ip_block, &peer.namespace_selector, &peer.pod_selector) {
            (Some(block), None, None) => self.block(block, field),
            (None, None, None) | (Some(_), _, _) => {
                self.problem(
                    field,
                    format!("{peer:?}"),
                    "either an ipBlock, or a podSelector, a namespaceSelector or both",
                );
                None
            }
            (None, namespaces, pods) => {
                let pods = pods
                    .as_ref()
                    .map_or_else(Selector::everything, |pods| self.selector(pods, &format!("{field}.podSelector")));
                let namespaces = namespaces.as_ref().map_or_else(
                    || Namespaces::Named(self.policy.namespace.clone()),
                    |selector| Namespaces::Matching(self.selector(selector, &format!("{field}.namespaceSelector"))),
                );
                let nobody = pods == Selector::Nothing || namespaces == Namespaces::Matching(Selector::Nothing);
                (!nobody).then(|| Peer::Pods(Arc::new(Pods { namespaces, pods })))
            }
        }
    }

    fn block(&mut self, block: &facts::IpBlock, field: &str) -> Option<Peer> {
        let Some(whole) = address::cidr(&block.cidr) else {
            self.problem(format!("{field}.ipBlock.cidr"), &*block.cidr, "a network, as 10.0.0.0/8");
            return None;
        };
        let mut out = Vec::new();
        for (index, text) in block.except.iter().enumerate() {
            match address::cidr(text) {
                Some(except) => out.push(except),
                None => self.problem(format!("{field}.ipBlock.except[{index}]"), &**text, "a network, as 10.0.0.0/8"),
            }
        }
        let rest = PrefixSet::from_iter([whole]).without(&out);
        (!rest.prefixes().is_empty()).then(|| Peer::Block(Arc::new(rest)))
    }

    fn port(&mut self, port: &PolicyPort, field: &str) -> Option<Port> {
        let protocol = match port.protocol.as_deref() {
            None | Some("TCP") => Protocol::Tcp,
            Some("UDP") => Protocol::Udp,
            Some("SCTP") => Protocol::Sctp,
            Some(other) => {
                self.problem(format!("{field}.protocol"), other, "TCP, UDP or SCTP");
                return None;
            }
        };
        match (&port.port, port.end_port) {
            (None, None) => Some(Port::Fixed(Ports::Protocol(protocol))),
            (Some(PortRef::Name(name)), None) if !name.is_empty() => {
                Some(Port::Named(PortName { protocol, name: name.clone() }))
            }
            (Some(PortRef::Number(first)), last) => self.range(protocol, *first, last.unwrap_or(*first), field),
            (Some(PortRef::Name(_)), None) => {
                self.problem(format!("{field}.port"), "", "a number or a name");
                None
            }
            (_, Some(last)) => {
                self.problem(format!("{field}.endPort"), last.to_string(), "left out where `port` isn't a number");
                None
            }
        }
    }

    fn range(&mut self, protocol: Protocol, first: i32, last: i32, field: &str) -> Option<Port> {
        let number = |number: i32| u16::try_from(number).ok().filter(|number| *number > 0);
        let Some(first) = number(first) else {
            self.problem(format!("{field}.port"), first.to_string(), "a number from 1 to 65535");
            return None;
        };
        let Some(last) = number(last).filter(|last| first <= *last) else {
            self.problem(format!("{field}.endPort"), last.to_string(), "a number from `port` to 65535");
            return None;
        };
        // Neutron takes the range of all ports for no range at all.
        let all = (first, last) == (1, u16::MAX);
        Some(Port::Fixed(if all { Ports::Protocol(protocol) } else { Ports::Range { protocol, first, last } }))
    }

    fn selector(&mut self, selector: &LabelSelector, field: &str) -> Selector {
        read_selector(selector, field, &mut self.problems)
    }
}

/// What a selector says. What can't be read of it isn't asked for.
pub(super) fn read_selector(selector: &LabelSelector, field: &str, problems: &mut Vec<Problem>) -> Selector {
    let labels = selector.match_labels.iter();
    let mut all: Vec<(String, Allowed)> =
        labels.map(|(key, value)| (key.clone(), Allowed::only([value.clone()].into()))).collect();
    for (index, requirement) in selector.match_expressions.iter().enumerate() {
        match allowed(requirement, &format!("{field}.matchExpressions[{index}]")) {
            Ok(allowed) => all.push((requirement.key.clone(), allowed)),
            Err(problem) => problems.push(problem),
        }
    }
    Selector::of(all)
}

fn allowed(requirement: &Requirement, field: &str) -> Result<Allowed, Problem> {
    let values: BTreeSet<String> = requirement.values.iter().cloned().collect();
    let told = requirement.values.join(", ");
    let (field, value, wanted) = match (requirement.operator.as_str(), values.is_empty()) {
        ("In", false) => return Ok(Allowed::only(values)),
        ("NotIn", false) => return Ok(Allowed::not(values)),
        ("Exists", true) => return Ok(Allowed::present()),
        ("DoesNotExist", true) => return Ok(Allowed::missing()),
        ("In" | "NotIn", true) => (format!("{field}.values"), told, "at least one value"),
        ("Exists" | "DoesNotExist", false) => (format!("{field}.values"), told, "left out"),
        (other, _) => (format!("{field}.operator"), other.to_owned(), "In, NotIn, Exists or DoesNotExist"),
    };
    Err(Problem { field, value, wanted })
}
