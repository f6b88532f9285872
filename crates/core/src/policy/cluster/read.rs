//! Reads a policy: what it says, and what of it is refused.

use super::{
    facts::{self, ClusterPolicy, NamespacedPod, PortMatch, Rule, Subject, Transport},
    pieces::TRANSPORTS,
    ranked::{Action, Line, Rank, Ranked, Tier},
};
use crate::{
    policy::{
        clause::{Peer, Port, PortName, Ports},
        facts::LabelSelector,
        groups::Direction,
        prefix::PrefixSet,
        problem::Problem,
        read::read_selector,
        selector::{Namespaces, Pods, Selector},
    },
    service::{address, spec::Protocol},
};
use std::{collections::BTreeSet, fmt, sync::Arc};

/// Something of a policy that isn't done as it says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// Whether it could be meant.
    pub reason: Reason,
    /// The field, what it says, and what must be there instead.
    pub problem: Problem,
}

/// Why something is refused: the reason of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It can't be meant, or only a newer version of the API knows it.
    Invalid,
    /// It can be meant, and security groups can't do it (yet).
    Unsupported,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { field, value, wanted } = &self.problem;
        let told: String = value.chars().take(80).collect();
        let told = told.escape_debug();
        write!(
            f,
            "{field} is `{told}`, but must be {wanted}: an Accept rule with it matches nothing, another denies all"
        )
    }
}

/// What a policy says. A rule with something that is refused is closed, as the API wants it: it accepts nothing, or denies everything. If it is
/// the policy's subject that can't be read, so are all its rules; if it is its place, they also count as Admin's with priority 0.
#[must_use]
pub fn read(policy: &ClusterPolicy) -> (Ranked, Vec<Refusal>) {
    let mut reader = Reader::default();
    let rank = reader.rank(policy);
    let subject = reader.subject(&policy.subject);
    let broken = !reader.refusals.is_empty();
    let ingress = reader.lines(&policy.ingress, Direction::Ingress, broken);
    let egress = reader.lines(&policy.egress, Direction::Egress, broken);
    (Ranked { rank, subject, ingress, egress }, reader.refusals)
}

#[derive(Default)]
struct Reader {
    refusals: Vec<Refusal>,
}

impl Reader {
    fn refuse(&mut self, reason: Reason, field: impl Into<String>, value: impl Into<String>, wanted: &'static str) {
        self.refusals.push(Refusal { reason, problem: Problem { field: field.into(), value: value.into(), wanted } });
    }

    fn invalid(&mut self, field: impl Into<String>, value: impl Into<String>, wanted: &'static str) {
        self.refuse(Reason::Invalid, field, value, wanted);
    }

    fn rank(&mut self, policy: &ClusterPolicy) -> Rank {
        let tier = match policy.tier.as_str() {
            "Admin" => Some(Tier::Admin),
            "Baseline" => Some(Tier::Baseline),
            other => {
                self.invalid("spec.tier", other, "Admin or Baseline");
                None
            }
        };
        let priority = u16::try_from(policy.priority).ok().filter(|priority| *priority <= 1000);
        if priority.is_none() {
            self.invalid("spec.priority", policy.priority.to_string(), "from 0 to 1000");
        }
        let (tier, priority) = tier.zip(priority).unwrap_or((Tier::Admin, 0));
        Rank { tier, priority, name: policy.name.clone() }
    }

    fn subject(&mut self, subject: &Subject) -> Option<Arc<Pods>> {
        let pods = match (&subject.namespaces, &subject.pods) {
            (Some(namespaces), None) => self.namespaces(namespaces, "spec.subject.namespaces"),
            (None, Some(pods)) => self.pods(pods, "spec.subject.pods"),
            _ => {
                self.invalid("spec.subject", format!("{subject:?}"), "either namespaces or pods");
                return None;
            }
        };
        Some(Arc::new(pods))
    }

    fn namespaces(&mut self, namespaces: &LabelSelector, field: &str) -> Pods {
        Pods { namespaces: Namespaces::Matching(self.selector(namespaces, field)), pods: Selector::everything() }
    }

    fn pods(&mut self, pods: &NamespacedPod, field: &str) -> Pods {
        let namespaces = self.selector(&pods.namespace_selector, &format!("{field}.namespaceSelector"));
        let pods = self.selector(&pods.pod_selector, &format!("{field}.podSelector"));
        Pods { namespaces: Namespaces::Matching(namespaces), pods }
    }

    fn selector(&mut self, selector: &LabelSelector, field: &str) -> Selector {
        let mut problems = Vec::new();
        let selector = read_selector(selector, field, &mut problems);
        self.refusals.extend(problems.into_iter().map(|problem| Refusal { reason: Reason::Invalid, problem }));
        selector
    }

    fn lines(&mut self, rules: &[Rule], direction: Direction, broken: bool) -> Vec<Line> {
        let field = if direction == Direction::Ingress { "spec.ingress" } else { "spec.egress" };
        let mut lines = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            let before = self.refusals.len();
            let line = self.line(rule, direction, &format!("{field}[{index}]"));
            let closed = broken || self.refusals.len() > before;
            match line.action {
                Action::Accept if closed => {}
                Action::Deny | Action::Pass if closed => lines.push(Line::deny_all()),
                _ => lines.push(line),
            }
        }
        lines
    }

    fn line(&mut self, rule: &Rule, direction: Direction, field: &str) -> Line {
        let action = match rule.action.as_str() {
            "Accept" => Action::Accept,
            "Deny" => Action::Deny,
            "Pass" => Action::Pass,
            other => {
                self.invalid(format!("{field}.action"), other, "Accept, Deny or Pass");
                Action::Deny
            }
        };
        let list = format!("{field}.{}", if direction == Direction::Ingress { "from" } else { "to" });
        if rule.peers.is_empty() {
            self.invalid(&*list, "", "at least one peer");
        }
        let mut peers = BTreeSet::new();
        for (index, peer) in rule.peers.iter().enumerate() {
            peers.extend(self.peer(peer, direction, &format!("{list}[{index}]")));
        }
        let mut ports = BTreeSet::new();
        for (index, port) in rule.protocols.iter().enumerate() {
            ports.extend(self.ports(port, &format!("{field}.protocols[{index}]")));
        }
        if rule.protocols.is_empty() {
            ports.insert(Port::Fixed(Ports::All));
        }
        let named = ports.iter().any(|port| matches!(port, Port::Named(_)));
        if named && direction == Direction::Egress && peers.iter().any(|peer| matches!(peer, Peer::Block(_))) {
            self.invalid(&*list, "networks", "pods or namespaces beside destinationNamedPort");
        }
        Line { action, peers, ports }
    }

    /// None: it is refused.
    fn peer(&mut self, peer: &facts::Peer, direction: Direction, field: &str) -> Option<Peer> {
        let facts::Peer { namespaces, pods, nodes, networks, domain_names } = peer;
        let outside = nodes.is_some() || !networks.is_empty() || !domain_names.is_empty();
        let set =
            [namespaces.is_some(), pods.is_some(), nodes.is_some(), !networks.is_empty(), !domain_names.is_empty()];
        if set.into_iter().filter(|set| *set).count() != 1 || (outside && direction == Direction::Ingress) {
            self.invalid(
                field,
                format!("{peer:?}"),
                "exactly one kind of peer that this version knows in this direction",
            );
            return None;
        }
        match (namespaces, pods) {
            (Some(namespaces), _) => {
                Some(Peer::Pods(Arc::new(self.namespaces(namespaces, &format!("{field}.namespaces")))))
            }
            (_, Some(pods)) => Some(Peer::Pods(Arc::new(self.pods(pods, &format!("{field}.pods"))))),
            _ if !networks.is_empty() => self.networks(networks, field),
            _ => {
                let which = if nodes.is_some() { "nodes" } else { "domainNames" };
                self.refuse(Reason::Unsupported, format!("{field}.{which}"), format!("{peer:?}"), "said with networks");
                None
            }
        }
    }

    fn networks(&mut self, networks: &[String], field: &str) -> Option<Peer> {
        let mut all = Vec::new();
        for (index, text) in networks.iter().enumerate() {
            match address::cidr(text) {
                Some(net) => all.push(net),
                None => self.invalid(format!("{field}.networks[{index}]"), &**text, "a network, as 10.0.0.0/8"),
            }
        }
        (!all.is_empty()).then(|| Peer::Block(Arc::new(all.into_iter().collect::<PrefixSet>())))
    }

    fn ports(&mut self, port: &PortMatch, field: &str) -> Vec<Port> {
        let transports = [(Protocol::Tcp, &port.tcp), (Protocol::Udp, &port.udp), (Protocol::Sctp, &port.sctp)];
        let set: Vec<_> = transports.into_iter().filter_map(|(protocol, it)| Some((protocol, it.as_ref()?))).collect();
        match (set.as_slice(), port.named.as_deref()) {
            ([(protocol, transport)], None) => {
                let field = format!("{field}.{}", protocol.to_string().to_lowercase());
                self.transport(*protocol, transport, &field).map(Port::Fixed).into_iter().collect()
            }
            ([], Some(name)) if !name.is_empty() => {
                TRANSPORTS.map(|protocol| Port::Named(PortName { protocol, name: name.to_owned() })).into()
            }
            _ => {
                self.invalid(field, format!("{port:?}"), "exactly one of tcp, udp, sctp and destinationNamedPort");
                Vec::new()
            }
        }
    }

    fn transport(&mut self, protocol: Protocol, transport: &Transport, field: &str) -> Option<Ports> {
        let Some(port) = transport.port else { return Some(Ports::Protocol(protocol)) };
        let number = |number: i32| u16::try_from(number).ok().filter(|number| *number > 0);
        let range = match (port.number, port.range) {
            (Some(one), None) => number(one).map(|one| (one, one)),
            (None, Some((start, end))) => number(start).zip(number(end)).filter(|(start, end)| start < end),
            _ => None,
        };
        if range.is_none() {
            self.invalid(
                format!("{field}.destinationPort"),
                format!("{port:?}"),
                "a number or a range from 1 to 65535",
            );
        }
        range.map(|(first, last)| Ports::Range { protocol, first, last })
    }
}
