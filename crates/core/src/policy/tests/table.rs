//! The API's text, sentence by sentence, and what the original got wrong. Each case says what is allowed, not how.

use super::{
    random::{one_port, outside, v4, v6, vip4},
    simulation::{lets, settings, world},
};
use crate::{
    policy::{
        Direction, GroupKey, World,
        facts::{
            Abilities, ContainerPort, IpBlock, LabelSelector, Namespace, Peer, Pod, Policy, PolicyPort, PolicyRule,
            PortRef, Requirement, Service, Settings,
        },
        oracle::{Cluster, End},
    },
    service::spec::Protocol::{self, Sctp, Tcp, Udp},
};
use std::net::IpAddr;

fn select(labels: &[(&str, &str)]) -> LabelSelector {
    let match_labels = labels.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    LabelSelector { match_labels, match_expressions: Vec::new() }
}

fn asks(key: &str, operator: &str, values: &[&str]) -> LabelSelector {
    let values = values.iter().map(|&value| value.to_owned()).collect();
    let requirement = Requirement { key: key.into(), operator: operator.into(), values };
    LabelSelector { match_labels: [].into(), match_expressions: vec![requirement] }
}

fn pods(selector: LabelSelector) -> Peer {
    Peer { pod_selector: Some(selector), ..Peer::default() }
}

fn namespaces(selector: LabelSelector) -> Peer {
    Peer { namespace_selector: Some(selector), ..Peer::default() }
}

fn both(namespaces: LabelSelector, pods: LabelSelector) -> Peer {
    Peer { namespace_selector: Some(namespaces), pod_selector: Some(pods), ip_block: None }
}

fn block(cidr: &str, except: &[&str]) -> Peer {
    let except = except.iter().map(|&net| net.to_owned()).collect();
    Peer { ip_block: Some(IpBlock { cidr: cidr.into(), except }), ..Peer::default() }
}

fn port(protocol: &str, number: i32) -> PolicyPort {
    PolicyPort { protocol: Some(protocol.into()), port: Some(PortRef::Number(number)), end_port: None }
}

fn named(protocol: &str, name: &str) -> PolicyPort {
    PolicyPort { protocol: Some(protocol.into()), port: Some(PortRef::Name(name.into())), end_port: None }
}

fn rule(peers: &[Peer], ports: &[PolicyPort]) -> PolicyRule {
    PolicyRule { peers: peers.into(), ports: ports.into() }
}

/// A policy of namespace `a` for pods with `app=web`, about ingress unless told otherwise.
fn policy(number: u8) -> Policy {
    Policy {
        uid: format!("policy{number}").as_str().into(),
        namespace: "a".into(),
        pod_selector: select(&[("app", "web")]),
        policy_types: Vec::new(),
        ingress: None,
        egress: None,
    }
}

fn ingress(rules: &[PolicyRule]) -> Policy {
    Policy { ingress: Some(rules.into()), ..policy(1) }
}

fn egress(rules: &[PolicyRule]) -> Policy {
    Policy { policy_types: vec!["Egress".into()], egress: Some(rules.into()), ..policy(1) }
}

fn pod(number: u8, namespace: &str, labels: &[(&str, &str)], ports: &[(&str, Protocol, u16)]) -> Pod {
    Pod {
        uid: format!("pod{number}").as_str().into(),
        namespace: namespace.into(),
        labels: select(labels).match_labels,
        node: Some("n1".into()),
        host_network: false,
        terminated: false,
        addresses: [v4(number), v6(number)].into(),
        ports: ports
            .iter()
            .map(|&(name, protocol, number)| ContainerPort { name: name.into(), protocol, number })
            .collect(),
    }
}

/// Pod 1 is selected. 2 and 3 are in its namespace, 4 and 5 in `b`, 6 in `c`.
fn cluster(policies: &[Policy]) -> Cluster {
    let namespace = |name: &str, labels| Namespace { name: name.into(), labels: select(labels).match_labels };
    Cluster {
        namespaces: vec![
            namespace("a", &[("team", "x")]),
            namespace("b", &[("team", "y")]),
            namespace("c", &[("team", "y"), ("zone", "")]),
        ],
        pods: vec![
            pod(1, "a", &[("app", "web")], &[("http", Tcp, 80), ("http", Udp, 81)]),
            pod(2, "a", &[("app", "db")], &[("http", Tcp, 81)]),
            pod(3, "a", &[("app", "")], &[]),
            pod(4, "b", &[("app", "db")], &[("http", Tcp, 90)]),
            pod(5, "b", &[], &[]),
            pod(6, "c", &[("app", "db")], &[("http", Udp, 90)]),
        ],
        policies: policies.into(),
        ..Cluster::default()
    }
}

/// Who of pods 2 to 6 and of the outside (0) may reach pod 1, or be reached by it, at a port. With and without address groups the same.
fn who(cluster: &Cluster, direction: Direction, protocol: Protocol, port: u16) -> Vec<u8> {
    let with = |address_groups| {
        let world = world(cluster, settings(address_groups));
        let may = |address: IpAddr| lets(&world, &cluster.pods[0], direction, End { address, protocol, port });
        assert!((2..=6).all(|number| may(v4(number)) == may(v6(number))) || uses_blocks(cluster));
        (2..=6)
            .map(|number| (number, v4(number)))
            .chain([(0, outside()[0])])
            .filter(|(_, to)| may(*to))
            .map(|(n, _)| n)
            .collect()
    };
    let found: Vec<u8> = with(true);
    assert_eq!(found, with(false));
    found
}

fn uses_blocks(cluster: &Cluster) -> bool {
    let rules = cluster.policies.iter().flat_map(|policy| policy.ingress.iter().chain(&policy.egress).flatten());
    rules.flat_map(|rule| &rule.peers).any(|peer| peer.ip_block.is_some())
}

fn from(policy: &Policy, protocol: Protocol, port: u16) -> Vec<u8> {
    who(&cluster(std::slice::from_ref(policy)), Direction::Ingress, protocol, port)
}

fn to(policy: &Policy, protocol: Protocol, port: u16) -> Vec<u8> {
    who(&cluster(std::slice::from_ref(policy)), Direction::Egress, protocol, port)
}

const ALL: [u8; 6] = [2, 3, 4, 5, 6, 0];
const NOBODY: [u8; 0] = [];

/// "By default, a pod is non-isolated."
#[test]
fn without_a_policy_all_is_allowed() {
    assert_eq!(who(&cluster(&[]), Direction::Ingress, Tcp, 80), ALL);
    assert_eq!(who(&cluster(&[]), Direction::Egress, Sctp, 80), ALL);
    let other = Policy { pod_selector: select(&[("app", "other")]), ..ingress(&[]) };
    assert_eq!(from(&other, Tcp, 80), ALL);
    let elsewhere = Policy { namespace: "b".into(), pod_selector: select(&[]), ..ingress(&[]) };
    assert_eq!(from(&elsewhere, Tcp, 80), ALL);
}

/// "policies that contain an egress section are assumed to affect egress, and all policies (whether or not they contain an ingress section)
/// are assumed to affect ingress." Defects 9 and 15: a type that isn't listed isn't affected, whatever rules there are.
#[test]
fn policy_types_say_what_is_isolated() {
    assert_eq!(from(&policy(1), Tcp, 80), NOBODY);
    assert_eq!(to(&policy(1), Tcp, 80), ALL);
    let sections = Policy { egress: Some(vec![]), ..policy(1) };
    assert_eq!(from(&sections, Tcp, 80), NOBODY);
    assert_eq!(to(&sections, Tcp, 80), NOBODY);
    let rules = [rule(&[pods(select(&[]))], &[])];
    let only_ingress = Policy { policy_types: vec!["Ingress".into()], egress: Some(rules.to_vec()), ..policy(1) };
    assert_eq!(from(&only_ingress, Tcp, 80), NOBODY);
    assert_eq!(to(&only_ingress, Tcp, 80), ALL);
    let only_egress = Policy { ingress: Some(rules.to_vec()), ..egress(&rules) };
    assert_eq!(from(&only_egress, Tcp, 80), ALL);
    assert_eq!(to(&only_egress, Tcp, 80), [2, 3]);
    let no_ingress = Policy { policy_types: vec!["Ingress".into(), "Egress".into()], ingress: None, ..egress(&rules) };
    assert_eq!(from(&no_ingress, Tcp, 80), NOBODY);
    assert_eq!(to(&no_ingress, Tcp, 80), [2, 3]);
}

/// Policies add up, also where one is about ingress and another about egress.
#[test]
fn policies_add_up() {
    let a = Policy { ingress: Some(vec![rule(&[pods(select(&[("app", "db")]))], &[])]), ..policy(1) };
    let b =
        Policy { ingress: Some(vec![rule(&[namespaces(select(&[("team", "y")]))], &[port("TCP", 80)])]), ..policy(2) };
    let c = Policy { uid: "policy3".into(), ..egress(&[rule(&[pods(select(&[]))], &[])]) };
    let cluster = cluster(&[a, b, c]);
    assert_eq!(who(&cluster, Direction::Ingress, Tcp, 80), [2, 4, 5, 6]);
    assert_eq!(who(&cluster, Direction::Ingress, Tcp, 81), [2]);
    assert_eq!(who(&cluster, Direction::Egress, Tcp, 80), [2, 3]);
}

/// "If this field is empty or missing, this rule matches all sources." Defect 8: also a second rule that is empty counts.
#[test]
fn an_empty_rule_allows_all_wherever_it_stands() {
    let narrow = rule(&[pods(select(&[("app", "db")]))], &[port("TCP", 80)]);
    assert_eq!(from(&ingress(&[narrow.clone(), rule(&[], &[])]), Udp, 7), ALL);
    assert_eq!(to(&egress(&[narrow, rule(&[], &[])]), Udp, 7), ALL);
    assert_eq!(from(&ingress(&[rule(&[], &[port("UDP", 81)])]), Udp, 81), ALL);
    assert_eq!(from(&ingress(&[rule(&[], &[port("UDP", 81)])]), Tcp, 81), NOBODY);
    assert_eq!(to(&egress(&[rule(&[], &[port("UDP", 81)])]), Udp, 81), ALL);
    assert_eq!(from(&ingress(&[]), Tcp, 80), NOBODY);
}

/// "Otherwise it selects all Pods in the Namespaces selected by NamespaceSelector." Defect 4: all of these namespaces count.
#[test]
fn namespaces_and_pods_are_selected_together() {
    let y = || select(&[("team", "y")]);
    assert_eq!(from(&ingress(&[rule(&[both(y(), select(&[("app", "db")]))], &[])]), Tcp, 80), [4, 6]);
    assert_eq!(from(&ingress(&[rule(&[namespaces(y())], &[])]), Tcp, 80), [4, 5, 6]);
    assert_eq!(from(&ingress(&[rule(&[namespaces(select(&[]))], &[])]), Tcp, 80), [2, 3, 4, 5, 6]);
    assert_eq!(from(&ingress(&[rule(&[both(select(&[]), select(&[("app", "db")]))], &[])]), Tcp, 80), [2, 4, 6]);
    assert_eq!(from(&ingress(&[rule(&[pods(select(&[]))], &[])]), Tcp, 80), [2, 3]);
    assert_eq!(
        to(&egress(&[rule(&[both(y(), select(&[("app", "db")])), pods(select(&[("app", "")]))], &[])]), Tcp, 80),
        [3, 4, 6]
    );
}

/// Defects 11 and 12: `{}` selects all, and an empty value is a value. Also of namespaces.
#[test]
fn selectors_mean_what_they_say() {
    let all = Policy { pod_selector: select(&[]), ..ingress(&[rule(&[], &[named("TCP", "http")])]) };
    assert_eq!(from(&all, Tcp, 80), ALL);
    assert_eq!(from(&all, Tcp, 81), NOBODY);
    assert_eq!(from(&ingress(&[rule(&[pods(select(&[("app", "")]))], &[])]), Tcp, 80), [3]);
    assert_eq!(from(&ingress(&[rule(&[namespaces(select(&[("zone", "")]))], &[])]), Tcp, 80), [6]);
    let everywhere = |selector| ingress(&[rule(&[both(select(&[]), selector)], &[])]);
    assert_eq!(from(&everywhere(asks("app", "In", &["", "db"])), Tcp, 80), [2, 3, 4, 6]);
    assert_eq!(from(&everywhere(asks("app", "NotIn", &["db"])), Tcp, 80), [3, 5]);
    assert_eq!(from(&everywhere(asks("app", "Exists", &[])), Tcp, 80), [2, 3, 4, 6]);
    assert_eq!(from(&everywhere(asks("app", "DoesNotExist", &[])), Tcp, 80), [5]);
    let contradiction =
        LabelSelector { match_labels: select(&[("app", "db")]).match_labels, ..asks("app", "NotIn", &["db"]) };
    assert_eq!(from(&everywhere(contradiction), Tcp, 80), NOBODY);
}

/// Defect 5: what is excepted is out, however many exceptions there are.
#[test]
fn exceptions_of_blocks_are_out() {
    let rest = block("10.0.0.0/29", &["10.0.0.2/31", "10.0.0.4/31"]);
    assert_eq!(from(&ingress(&[rule(&[rest.clone()], &[])]), Tcp, 80), [6]);
    assert_eq!(to(&egress(&[rule(&[rest], &[])]), Tcp, 80), [6]);
    let world_but = block("0.0.0.0/0", &["10.0.0.0/8"]);
    assert_eq!(to(&egress(&[rule(&[world_but], &[port("TCP", 80)])]), Tcp, 80), [0]);
    assert_eq!(from(&ingress(&[rule(&[block("10.0.0.0/8", &["10.0.0.0/8"])], &[])]), Tcp, 80), NOBODY);
}

/// Defect 6: "endPort indicates that the range of ports from port to endPort if set, inclusive, should be allowed".
#[test]
fn ranges_have_both_their_ends() {
    let range = PolicyPort { end_port: Some(82), ..port("TCP", 80) };
    let policy = ingress(&[rule(&[pods(select(&[("app", "db")]))], &[range])]);
    let open: Vec<u16> = (78..85).filter(|port| !from(&policy, Tcp, *port).is_empty()).collect();
    assert_eq!(open, [80, 81, 82]);
}

/// Defect 7: "If this field is not provided, this matches all port names and numbers" of the protocol, which is TCP by default.
#[test]
fn a_protocol_alone_means_all_its_ports() {
    let only = |protocol: Option<&str>| {
        let port = PolicyPort { protocol: protocol.map(str::to_owned), ..PolicyPort::default() };
        ingress(&[rule(&[pods(select(&[("app", "db")]))], &[port])])
    };
    assert_eq!(from(&only(Some("SCTP")), Sctp, 4711), [2]);
    assert_eq!(from(&only(Some("SCTP")), Tcp, 80), NOBODY);
    assert_eq!(from(&only(None), Tcp, 4711), [2]);
    assert_eq!(from(&only(None), Udp, 81), NOBODY);
}

/// Defect 16: a name has its number in each pod, for each protocol.
#[test]
fn names_of_ports_are_of_a_pod_and_a_protocol() {
    assert_eq!(from(&ingress(&[rule(&[], &[named("TCP", "http")])]), Tcp, 80), ALL);
    assert_eq!(from(&ingress(&[rule(&[], &[named("TCP", "http")])]), Udp, 81), NOBODY);
    assert_eq!(from(&ingress(&[rule(&[], &[named("UDP", "http")])]), Udp, 81), ALL);
    let out = |peers: &[Peer]| egress(&[rule(peers, &[named("TCP", "http")])]);
    let everywhere = [namespaces(select(&[]))];
    assert_eq!(to(&out(&everywhere), Tcp, 81), [2]);
    assert_eq!(to(&out(&everywhere), Tcp, 90), [4]);
    assert_eq!(to(&out(&everywhere), Tcp, 80), NOBODY);
    assert_eq!(to(&out(&[]), Tcp, 90), [4]);
    assert_eq!(to(&out(&[block("10.0.0.0/30", &[])]), Tcp, 81), [2]);
    assert_eq!(to(&out(&[block("10.0.0.0/30", &[])]), Tcp, 90), NOBODY);
}

/// Pods that one policy selects have different groups where a name has different numbers.
#[test]
fn a_policy_has_a_group_for_each_number_of_a_name() {
    let policy = Policy { pod_selector: select(&[]), ..ingress(&[rule(&[], &[named("TCP", "http")])]) };
    let cluster = cluster(std::slice::from_ref(&policy));
    let world = world(&cluster, settings(true));
    assert_eq!(world.groups_for(&policy.uid).len(), 3);
    let end = |port| End { address: v4(5), protocol: Tcp, port };
    let open = |pod: usize| [80, 81].map(|port| lets(&world, &cluster.pods[pod], Direction::Ingress, end(port)));
    assert_eq!([open(0), open(1), open(2)], [[true, false], [false, true], [false, false]]);
}

/// Pods on their node's network and pods that have ended are no peers by label; the latter's address may be another's.
#[test]
fn pods_without_an_address_of_their_own_are_no_peers() {
    let mut cluster = cluster(&[ingress(&[rule(&[pods(select(&[]))], &[])])]);
    cluster.pods[1].host_network = true;
    cluster.pods[2].terminated = true;
    assert_eq!(who(&cluster, Direction::Ingress, Tcp, 80), NOBODY);
    let world = world(&cluster, settings(true));
    assert_eq!(world.groups_of_pod(&"pod2".into()), None);
    assert_eq!(world.groups_of_pod(&"pod3".into()), None);
}

/// Defect 2: another label is another peer and another selection, at once.
#[test]
fn a_pod_that_is_relabelled_is_another_peer() {
    let cluster = cluster(&[ingress(&[rule(&[pods(select(&[("app", "db")]))], &[])])]);
    let mut world = world(&cluster, settings(true));
    let end = |number| End { address: v4(number), protocol: Tcp, port: 80 };
    let may = |world: &World, number| lets(world, &cluster.pods[0], Direction::Ingress, end(number));
    assert!(may(&world, 2) && !may(&world, 3));
    let relabelled = Pod { labels: select(&[("app", "db")]).match_labels, ..cluster.pods[2].clone() };
    let changes = world.upsert_pod(&relabelled);
    assert!(may(&world, 2) && may(&world, 3));
    assert_eq!((changes.pods.len(), changes.groups.len(), changes.address_groups.len()), (0, 0, 1));
    let now_selected = Pod { labels: select(&[("app", "web")]).match_labels, ..relabelled };
    let changes = world.upsert_pod(&now_selected);
    assert_eq!((changes.pods.len(), changes.groups.len(), changes.address_groups.len()), (1, 0, 1));
    assert!(!may(&world, 3));
}

/// What pod 1 may send to over a Service at 10.96.0.1:80, with these backends.
fn over_service(policies: &[Policy], service: &Service) -> bool {
    let with = |address_groups| {
        let cluster = Cluster { services: vec![service.clone()], ..cluster(policies) };
        let world = world(&cluster, settings(address_groups));
        lets(&world, &cluster.pods[0], Direction::Egress, End { address: vip4(1), protocol: Tcp, port: 80 })
    };
    assert_eq!(with(true), with(false));
    with(true)
}

/// Defect 10: a Service is allowed by what is behind it, at the port that is there.
#[test]
fn a_service_is_open_by_its_backends_ports() {
    let db = |port| egress(&[rule(&[pods(select(&[("app", "db")]))], &[port])]);
    let service = one_port(1, Tcp, 80, &[(v4(2), 81)]);
    assert!(over_service(&[db(port("TCP", 81))], &service));
    assert!(!over_service(&[db(port("TCP", 80))], &service));
    assert!(over_service(&[db(named("TCP", "http"))], &service));
    assert!(over_service(&[egress(&[rule(&[], &[port("TCP", 81)])])], &service));
    assert!(!over_service(&[egress(&[rule(&[], &[port("TCP", 80)])])], &service));
    assert!(over_service(&[egress(&[rule(&[], &[])])], &service));
    assert!(over_service(&[egress(&[rule(&[block("10.0.0.0/30", &[])], &[])])], &service));
}

/// A prefix that has Services' addresses doesn't open them.
#[test]
fn a_block_opens_no_service() {
    let service = one_port(1, Tcp, 80, &[(v4(2), 81)]);
    assert!(!over_service(&[egress(&[rule(&[block("10.96.0.0/16", &[])], &[])])], &service));
    assert!(!over_service(&[egress(&[rule(&[block("0.0.0.0/0", &["10.0.0.0/24"])], &[])])], &service));
    assert!(!over_service(&[egress(&[rule(&[block("10.96.0.1/32", &[])], &[port("TCP", 80)])])], &service));
}

/// All backends must be allowed: by one policy, or by several together. What isn't is told.
#[test]
fn a_service_with_a_backend_that_is_not_allowed_is_closed() {
    let db = egress(&[rule(&[pods(select(&[("app", "db")]))], &[])]);
    let other = Policy { uid: "policy2".into(), ..egress(&[rule(&[pods(select(&[("app", "")]))], &[])]) };
    let service = one_port(1, Tcp, 80, &[(v4(2), 80), (v4(3), 80)]);
    assert!(!over_service(&[db.clone()], &service));
    assert!(over_service(&[db.clone(), other.clone()], &service));
    assert!(!over_service(&[db.clone()], &one_port(1, Tcp, 80, &[])));
    let told = |policies: &[Policy]| {
        let world = world(&Cluster { services: vec![service.clone()], ..cluster(policies) }, settings(true));
        world.closed_services(&db.uid).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let closed = "10.96.0.1:80/TCP is closed: only 1 of its 2 backends are allowed, and all of them must be";
    assert_eq!(told(&[db.clone()]), [closed]);
    assert!(told(&[db.clone(), other]).is_empty());
}

/// "A Pod cannot block access to itself": over its own Service neither, in both directions.
#[test]
fn a_pod_reaches_itself_over_its_service() {
    let closed = Policy { policy_types: vec!["Ingress".into(), "Egress".into()], ..policy(1) };
    let alone = one_port(1, Tcp, 80, &[(v4(1), 80)]);
    assert!(over_service(&[closed.clone()], &alone));
    assert!(!over_service(&[closed.clone()], &one_port(1, Tcp, 80, &[(v4(1), 80), (v4(2), 80)])));
    let cluster = Cluster { services: vec![alone], ..cluster(&[closed]) };
    let hairpin = End { address: vip4(1), protocol: Tcp, port: 80 };
    let lets_in = |settings| lets(&world(&cluster, settings), &cluster.pods[0], Direction::Ingress, hairpin);
    assert!(lets_in(settings(true)));
    // A load balancer that shows its own address would let in everybody: it isn't let in.
    assert!(!lets_in(Settings { abilities: Abilities { address_groups: true, source_kept: false }, ..settings(true) }));
}

/// What can't be meant closes the policy, and is told.
#[test]
fn an_invalid_policy_allows_nothing_and_says_why() {
    let fine = rule(&[pods(select(&[]))], &[]);
    let one = |peer: Peer, port: PolicyPort| ingress(&[fine.clone(), rule(&[peer], &[port])]);
    let any = || pods(select(&[]));
    let cases = [
        (
            one(pods(asks("app", "Gt", &["1"])), port("TCP", 80)),
            "spec.ingress[1].from[0].podSelector.matchExpressions[0].operator",
        ),
        (
            one(namespaces(asks("app", "In", &[])), port("TCP", 80)),
            "spec.ingress[1].from[0].namespaceSelector.matchExpressions[0].values",
        ),
        (
            one(namespaces(asks("app", "Exists", &["1"])), port("TCP", 80)),
            "spec.ingress[1].from[0].namespaceSelector.matchExpressions[0].values",
        ),
        (one(Peer::default(), port("TCP", 80)), "spec.ingress[1].from[0]"),
        (
            one(Peer { pod_selector: Some(select(&[])), ..block("::/0", &[]) }, port("TCP", 80)),
            "spec.ingress[1].from[0]",
        ),
        (one(block("10.0.0.0/33", &[]), port("TCP", 80)), "spec.ingress[1].from[0].ipBlock.cidr"),
        (
            one(block("10.0.0.0/8", &["10.0.0.0/16", "ten"]), port("TCP", 80)),
            "spec.ingress[1].from[0].ipBlock.except[1]",
        ),
        (one(any(), port("ICMP", 80)), "spec.ingress[1].ports[0].protocol"),
        (one(any(), port("TCP", 65536)), "spec.ingress[1].ports[0].port"),
        (one(any(), named("TCP", "")), "spec.ingress[1].ports[0].port"),
        (one(any(), PolicyPort { end_port: Some(79), ..port("TCP", 80) }), "spec.ingress[1].ports[0].endPort"),
        (one(any(), PolicyPort { end_port: Some(81), ..named("TCP", "http") }), "spec.ingress[1].ports[0].endPort"),
        (one(any(), PolicyPort { end_port: Some(81), ..PolicyPort::default() }), "spec.ingress[1].ports[0].endPort"),
        (Policy { policy_types: vec!["Both".into()], ..ingress(&[fine.clone()]) }, "spec.policyTypes[0]"),
        (
            Policy { pod_selector: asks("app", "Lt", &["9"]), ..ingress(&[fine.clone()]) },
            "spec.podSelector.matchExpressions[0].operator",
        ),
    ];
    for (policy, field) in cases {
        assert_eq!(from(&policy, Tcp, 80), NOBODY, "{policy:?}");
        let world = world(&cluster(std::slice::from_ref(&policy)), settings(true));
        let told: Vec<String> = world.problems(&policy.uid).iter().map(ToString::to_string).collect();
        assert!(told.len() == 1 && told[0].starts_with(&format!("{field} is `")), "{told:?}");
    }
}

/// Policies share an address group where they mean the same pods, however they say it.
#[test]
fn equal_selectors_share_an_address_group() {
    let written = [select(&[("app", "db")]), asks("app", "In", &["db"]), asks("app", "In", &["db", "db"])];
    let policies = (1..).zip(written).map(|(number, selector)| {
        let ingress = Some(vec![rule(&[pods(selector)], &[port("TCP", 80 + i32::from(number))])]);
        Policy { ingress, ..policy(number) }
    });
    let world = world(&cluster(&policies.collect::<Vec<_>>()), settings(true));
    assert_eq!(world.address_groups().count(), 1);
}

/// What pods have: their policies' groups, an open one for what no policy isolates, and their node's.
#[test]
fn groups_of_a_pod() {
    let world = world(&cluster(&[ingress(&[])]), settings(true));
    let node = GroupKey::Node("n1".into());
    let of_policy = GroupKey::Policy { uid: "policy1".into(), resolution: [].into() };
    let groups = |uid: &str| world.groups_of_pod(&uid.into()).cloned();
    assert_eq!(groups("pod1"), Some([node.clone(), of_policy, GroupKey::OpenEgress].into()));
    assert_eq!(groups("pod2"), Some([node, GroupKey::OpenIngress, GroupKey::OpenEgress].into()));
    assert_eq!(groups("other"), None);
}
