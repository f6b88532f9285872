//! What people write, by hand.

use crate::policy::{
    clause::Ports,
    cluster::{
        ClusterPolicy, Ranges, Tiers, Whom, decide,
        facts::{NamespacedPod, Peer, Port, PortMatch, Rule, Subject, Transport},
        grants,
        ranked::{Action, Line, Tier},
        read::{Reason, read},
    },
    facts::LabelSelector,
    groups::Direction,
};
use crate::service::spec::Protocol;
use std::collections::BTreeSet;

fn labels(key: &str, value: &str) -> LabelSelector {
    LabelSelector { match_labels: [(key.to_owned(), value.to_owned())].into(), ..LabelSelector::default() }
}

fn rule(action: &str, peer: Peer) -> Rule {
    Rule { action: action.into(), peers: vec![peer], protocols: Vec::new() }
}

fn namespaces(selector: LabelSelector) -> Peer {
    Peer { namespaces: Some(selector), ..Peer::default() }
}

fn policy(tier: &str, ingress: Vec<Rule>, egress: Vec<Rule>) -> ClusterPolicy {
    let subject = Subject { namespaces: Some(LabelSelector::default()), pods: None };
    ClusterPolicy { name: "p".into(), tier: tier.into(), priority: 1, subject, ingress, egress }
}

fn ingress(policy: &ClusterPolicy) -> BTreeSet<(Ports, Whom)> {
    let ranked = read(policy).0;
    let tiers = Tiers { cluster: vec![&ranked], policies: Vec::new() };
    let pods = ["10.0.0.0/8".parse::<ipnet::IpNet>().unwrap()].into_iter().collect();
    let ranges = Ranges { pods, ..Ranges::default() };
    let decisions = decide(&tiers, Direction::Ingress, |_| BTreeSet::new());
    grants(Direction::Ingress, &decisions, &ranges).into_iter().map(|grant| (grant.ports, grant.whom)).collect()
}

#[test]
fn a_policy_without_rules_leaves_everything_open_with_one_rule() {
    let open = BTreeSet::from([(Ports::All, Whom::Anyone)]);
    assert_eq!(ingress(&policy("Admin", vec![], vec![])), open);
    assert_eq!(ingress(&policy("Baseline", vec![rule("Pass", namespaces(LabelSelector::default()))], vec![])), open);
}

#[test]
fn one_that_is_allowed_and_others_that_are_denied_share_the_address_group_of_network_policies() {
    let rules = vec![rule("Accept", namespaces(labels("a", "b"))), rule("Deny", namespaces(LabelSelector::default()))];
    let granted = ingress(&policy("Admin", rules, vec![]));
    // Addresses that are no pods' aren't denied.
    let whom: Vec<&Whom> = granted.iter().map(|(_, whom)| whom).collect();
    assert!(matches!(whom.as_slice(), [Whom::Prefixes(_), Whom::Decided(_)]), "{whom:?}");
    let mut all = policy("Admin", vec![rule("Accept", namespaces(labels("a", "b")))], vec![]);
    all.ingress.push(rule("Deny", Peer::default()));
    let granted = ingress(&all);
    let whom: Vec<&Whom> = granted.iter().map(|(_, whom)| whom).collect();
    assert!(matches!(whom.as_slice(), [Whom::Pods(_)]), "{whom:?}");
}

#[test]
fn a_denied_port_cuts_its_protocol_in_three() {
    let port = Port { number: Some(80), range: None };
    let tcp = PortMatch { tcp: Some(Transport { port: Some(port) }), ..PortMatch::default() };
    let deny = Rule { protocols: vec![tcp], ..rule("Deny", namespaces(LabelSelector::default())) };
    let protocol = Protocol::Tcp;
    let ports: BTreeSet<Ports> = ingress(&policy("Admin", vec![deny], vec![])).into_iter().map(|it| it.0).collect();
    let expected = [
        Ports::Range { protocol, first: 1, last: 79 },
        Ports::one(protocol, 80),
        Ports::Range { protocol, first: 81, last: 65535 },
        Ports::Protocol(Protocol::Udp),
        Ports::Protocol(Protocol::Sctp),
        Ports::Icmp,
    ];
    assert_eq!(ports, expected.into());
}

#[test]
fn what_is_refused_is_closed() {
    let nodes = || Peer { nodes: Some(LabelSelector::default()), ..Peer::default() };
    let rules = vec![rule("Accept", nodes()), rule("Pass", nodes()), rule("Deny", Peer::default())];
    let (ranked, refusals) = read(&policy("Baseline", vec![], rules));
    assert_eq!(ranked.egress, [Line::deny_all(), Line::deny_all()]);
    let told: Vec<_> = refusals.iter().map(|it| (it.reason, it.problem.field.as_str())).collect();
    let expected = [
        (Reason::Unsupported, "spec.egress[0].to[0].nodes"),
        (Reason::Unsupported, "spec.egress[1].to[0].nodes"),
        (Reason::Invalid, "spec.egress[2].to[0]"),
    ];
    assert_eq!(told, expected);
}

#[test]
fn what_has_no_place_comes_first_and_denies() {
    let all = || namespaces(LabelSelector::default());
    let (ranked, refusals) = read(&policy("Middle", vec![rule("Accept", all()), rule("Deny", all())], vec![]));
    assert_eq!((ranked.rank.tier, ranked.rank.priority), (Tier::Admin, 0));
    assert_eq!(ranked.ingress.iter().map(|line| line.action).collect::<Vec<_>>(), [Action::Deny]);
    assert_eq!(refusals.len(), 1);
    let mut nobody = policy("Admin", vec![rule("Deny", all())], vec![]);
    nobody.subject = Subject { pods: Some(NamespacedPod::default()), ..nobody.subject };
    assert_eq!(read(&nobody).0.subject, None);
}
