//! What becomes of ClusterNetworkPolicies in the world, by hand.

use crate::{
    policy::{
        AddressGroupKey, Direction, Fact, GroupKey, Remote, Rule, World,
        clause::Ports,
        cluster::{
            ClusterPolicy,
            facts::{Peer, Port, PortMatch, Rule as Line, Subject, Transport},
        },
        facts::{Family, LabelSelector, Node, Pod},
        oracle::Cluster,
        tests::table::build::{self, egress, one_port, pods, rule, select, settings, v4, vip4, world},
    },
    service::spec::Protocol::Tcp,
};
use std::collections::BTreeSet;

fn everywhere() -> Peer {
    Peer { namespaces: Some(LabelSelector::default()), ..Peer::default() }
}

fn of_team(team: &str) -> Peer {
    Peer { namespaces: Some(select(&[("team", team)])), ..Peer::default() }
}

fn line(action: &str, peer: Peer, port: Option<i32>) -> Line {
    let port = port.map(|number| Port { number: Some(number), range: None });
    let tcp = port.map(|port| PortMatch { tcp: Some(Transport { port: Some(port) }), ..PortMatch::default() });
    Line { action: action.into(), peers: vec![peer], protocols: tcp.into_iter().collect() }
}

/// For the pods of namespace `a`.
fn policy(name: &str, ingress: Vec<Line>, egress: Vec<Line>) -> ClusterPolicy {
    let subject = Subject { namespaces: Some(select(&[("team", "x")])), pods: None };
    ClusterPolicy { name: name.into(), tier: "Admin".into(), priority: 1, subject, ingress, egress }
}

fn cluster(cluster_policies: Vec<ClusterPolicy>) -> Cluster {
    Cluster { cluster_policies, ..build::cluster(&[]) }
}

/// The one group that decides for a pod.
fn decided(world: &World, pod: &Pod) -> GroupKey {
    let groups = world.groups_of_pod(&pod.uid).unwrap();
    let mut decided = groups.iter().filter(|key| matches!(key, GroupKey::Decided(_)));
    let key = decided.next().unwrap().clone();
    assert_eq!((decided.next(), groups.len()), (None, 2), "the other one is the node's");
    key
}

fn ingress_of(world: &World, pod: &Pod) -> Vec<Rule> {
    let rules = world.rules(&decided(world, pod)).unwrap();
    rules.iter().filter(|rule| rule.direction == Direction::Ingress && rule.family == Family::V4).cloned().collect()
}

#[test]
fn subjects_have_one_group_and_others_what_they_had() {
    let cluster = cluster(vec![policy("p", vec![line("Deny", of_team("y"), None)], vec![])]);
    let world = world(&cluster, settings(true));
    let [first, second] = [0, 1].map(|number| decided(&world, &cluster.pods[number]));
    assert_eq!(first, second);
    assert_eq!(world.pods_with(&first), 3);
    let other = world.groups_of_pod(&cluster.pods[3].uid).unwrap();
    assert_eq!(*other, [GroupKey::OpenIngress, GroupKey::OpenEgress, GroupKey::Node("n1".into())].into());
    assert_eq!(world.groups_deciding(&"p".into()), [first]);
    assert_eq!(world.subjects_of(&"p".into()).unwrap().len(), 3);
    assert_eq!(world.subjects_of(&"other".into()), None);
}

/// Who may is one selector: the address group is that which a NetworkPolicy would have. Else it is one of the decision.
#[test]
fn one_selector_shares_its_address_group() {
    let only = |more: Vec<Line>| {
        let lines = [line("Accept", of_team("y"), None)].into_iter().chain(more).collect();
        let cluster = cluster(vec![policy("p", lines, vec![])]);
        let world = world(&cluster, settings(true));
        let remotes = ingress_of(&world, &cluster.pods[0]).into_iter().map(|rule| rule.remote);
        remotes.collect::<Vec<_>>()
    };
    let deny_all = line("Deny", Peer { nodes: Some(LabelSelector::default()), ..Peer::default() }, None);
    let shared = only(vec![deny_all]);
    assert!(matches!(shared.as_slice(), [Remote::Group(AddressGroupKey::Pods(_))]), "{shared:?}");
    let mixed = only(vec![line("Deny", everywhere(), None)]);
    assert!(mixed.iter().any(|remote| matches!(remote, Remote::Group(AddressGroupKey::Decision(_)))), "{mixed:?}");
}

/// A decision that differs between ports is told of ICMP, too; one that doesn't is a rule for all protocols.
#[test]
fn icmp_is_told_where_ports_differ() {
    let ports = |port| {
        let cluster = cluster(vec![policy("p", vec![line("Deny", everywhere(), port)], vec![])]);
        let world = world(&cluster, settings(true));
        ingress_of(&world, &cluster.pods[0]).into_iter().map(|rule| rule.ports).collect::<BTreeSet<_>>()
    };
    assert_eq!(ports(None), [Ports::All].into());
    assert!(ports(Some(80)).contains(&Ports::Icmp));
    let cluster = cluster(vec![policy("p", vec![line("Deny", everywhere(), Some(80))], vec![])]);
    let world = world(&cluster, settings(true));
    let icmp: Vec<Rule> = ingress_of(&world, &cluster.pods[0]).into_iter().filter(|r| r.ports == Ports::Icmp).collect();
    assert!(matches!(icmp.as_slice(), [Rule { remote: Remote::Any, .. }]), "{icmp:?}");
}

/// A pod that comes, goes or is relabelled is an address in the decision's address group, and no rule.
#[test]
fn a_pod_is_one_address() {
    let lines = vec![line("Deny", of_team("y"), None), line("Accept", everywhere(), None)];
    let cluster = cluster(vec![policy("p", lines, vec![])]);
    let mut world = world(&cluster, settings(true));
    let key = world.address_groups().find(|key| matches!(key, AddressGroupKey::Decision(_))).unwrap().clone();
    assert_eq!(world.members(&key).unwrap().len(), 6, "both families of the three of namespace a");
    let new = build::pod(7, "a", &[], &[]);
    let changes = world.learn([Fact::Pod(new.clone())]);
    assert_eq!((changes.groups, changes.address_groups), ([].into(), [key.clone()].into()));
    assert!(world.members(&key).unwrap().contains(&v4(7).into()) && world.has_member(&key, &new.uid));
    let moved = Fact::Namespace(build::Namespace { name: "b".into(), labels: select(&[("team", "x")]).match_labels });
    let changes = world.learn([moved]);
    assert!(changes.address_groups.contains(&key));
    assert_eq!(world.members(&key).unwrap().len(), 12);
    let changes = world.learn([Fact::NoPod(new.uid.clone())]);
    assert_eq!(changes.address_groups, [key.clone()].into());
    assert!(!world.has_member(&key, &new.uid));
}

/// Without address groups it is a rule, also for a pod that no selector of any policy means.
#[test]
fn a_pod_that_nothing_names_is_a_rule_without_address_groups() {
    let cluster = cluster(vec![policy("p", vec![line("Deny", of_team("y"), None)], vec![])]);
    let mut world = world(&cluster, settings(false));
    let key = decided(&world, &cluster.pods[0]);
    let from = build::End { address: v4(7), protocol: Tcp, port: 80 };
    assert!(!build::lets(&world, &cluster.pods[0], Direction::Ingress, from));
    let changes = world.learn([Fact::Pod(build::pod(7, "d", &[], &[]))]);
    assert_eq!(changes.groups, [key].into());
    assert!(build::lets(&world, &cluster.pods[0], Direction::Ingress, from));
}

/// An address that two pods have is allowed if both are.
#[test]
fn an_address_of_two_pods_is_a_member_if_both_are_allowed() {
    let lines = vec![line("Deny", of_team("y"), None), line("Accept", everywhere(), None)];
    let cluster = cluster(vec![policy("p", lines, vec![])]);
    let mut world = world(&cluster, settings(true));
    let key = world.address_groups().find(|key| matches!(key, AddressGroupKey::Decision(_))).unwrap().clone();
    let twin = Pod { uid: "twin".into(), ..build::pod(2, "b", &[], &[]) };
    let changes = world.learn([Fact::Pod(twin.clone())]);
    assert!(changes.address_groups.contains(&key) && !world.members(&key).unwrap().contains(&v4(2).into()));
    let _ = world.learn([Fact::Pod(Pod { namespace: "a".into(), ..twin })]);
    assert!(world.members(&key).unwrap().contains(&v4(2).into()));
}

/// Also where the last pod that had it for one reason has it for another now.
#[test]
fn who_keeps_a_decision_is_told_of_its_members() {
    let lines = vec![line("Deny", of_team("y"), None), line("Accept", everywhere(), None)];
    let all = build::cluster(&[egress(&[])]);
    let alone = Cluster { pods: all.pods[..1].to_vec(), cluster_policies: vec![policy("p", lines, vec![])], ..all };
    let mut world = world(&alone, settings(true));
    let key = world.address_groups().find(|key| matches!(key, AddressGroupKey::Decision(_))).unwrap().clone();
    let before = world.members(&key).unwrap();
    let changes = world.learn([Fact::NoPolicy("policy1".into()), Fact::Pod(build::pod(7, "a", &[], &[]))]);
    assert_ne!(world.members(&key).unwrap(), before);
    assert!(changes.address_groups.contains(&key));
}

/// What isn't done as a policy says is told of it.
#[test]
fn what_becomes_of_a_policy_is_told() {
    let deny = vec![line("Deny", of_team("y"), None), line("Deny", Peer::default(), None)];
    let service = one_port(1, Tcp, 80, &[(v4(2), 80), (v4(4), 80)]);
    let cluster = Cluster { services: vec![service], ..cluster(vec![policy("p", vec![], deny[..1].to_vec())]) };
    let mut world = world(&cluster, settings(true));
    let told: Vec<String> = world.services_closed_by(&"p".into()).iter().map(ToString::to_string).collect();
    let closed = "10.96.0.1:80/TCP is closed: only 1 of its 2 backends are allowed, and all of them must be";
    assert_eq!(told, [closed]);
    assert!(world.refusals(&"p".into()).is_empty());
    let changes = world.learn([Fact::ClusterPolicy(policy("p", vec![], deny))]);
    assert!(changes.cluster_policies.contains("p"));
    assert!(world.services_closed_by(&"p".into()).is_empty(), "all of them are denied");
    let told: Vec<&str> = world.refusals(&"p".into()).iter().map(|refusal| refusal.problem.field.as_str()).collect();
    assert_eq!(told, ["spec.egress[1].to[0]"]);
}

/// A NetworkPolicy of subjects is told of Services, too, and its rules are in their group.
#[test]
fn a_network_policy_is_part_of_its_pods_group() {
    let network = egress(&[rule(&[pods(select(&[]))], &[])]);
    let service = one_port(1, Tcp, 80, &[(v4(2), 80), (v4(4), 80)]);
    let all = Cluster { services: vec![service], ..build::cluster(std::slice::from_ref(&network)) };
    let all = Cluster { cluster_policies: vec![policy("p", vec![line("Deny", everywhere(), None)], vec![])], ..all };
    let mut world = world(&all, settings(true));
    assert_eq!(world.closed_services(&network.uid).len(), 1);
    assert!(world.services_closed_by(&"p".into()).is_empty(), "it says nothing of egress");
    let GroupKey::Decided(meant) = decided(&world, &all.pods[0]) else { panic!() };
    assert_eq!(meant.policies, [network.uid.clone()].into());
    assert!(world.groups_for(&network.uid).contains(&GroupKey::Decided(meant)));
    let changes = world.learn([Fact::NoService("svc1".into())]);
    assert!(changes.policies.contains(&network.uid));
    let _ = world.learn([Fact::NoClusterPolicy("p".into())]);
    let groups = world.groups_of_pod(&all.pods[0].uid).unwrap();
    assert!(groups.contains(&GroupKey::OpenIngress) && groups.iter().any(|key| key.policy() == Some(&network.uid)));
    assert!(world.groups().all(|key| !matches!(key, GroupKey::Decided(_))));
}

/// Of Services it is asked whether all backends are allowed, and no prefix opens one.
#[test]
fn services_are_open_by_their_backends() {
    let service = one_port(1, Tcp, 80, &[(v4(4), 80)]);
    let lines = |action: &str| vec![line(action, of_team("y"), Some(80)), line("Deny", everywhere(), None)];
    let vips = |action: &str| {
        let policies = vec![policy("p", vec![], lines(action))];
        let world = world(&Cluster { services: vec![service.clone()], ..cluster(policies) }, settings(true));
        let key = world.address_groups().find(|key| matches!(key, AddressGroupKey::DecidedVips { .. }));
        key.and_then(|key| world.members(key)).unwrap_or_default()
    };
    assert_eq!(vips("Accept"), [vip4(1).into()].into());
    assert_eq!(vips("Deny"), BTreeSet::new());
}

/// Pods outside of the configured networks are told.
#[test]
fn pods_outside_of_the_networks_are_told() {
    let cluster = cluster(vec![]);
    assert!(world(&cluster, settings(true)).outside_networks().is_empty());
    assert_eq!(world(&cluster, build::Settings::default()).outside_networks().len(), 12);
}

/// A node in the pods' networks, where it has a port of its own, is nobody whom a selector means, and no stranger either.
#[test]
fn nodes_in_the_pods_networks_are_let_in_where_only_pods_are_denied() {
    let cluster = cluster(vec![policy("p", vec![line("Deny", of_team("y"), None)], vec![])]);
    let mut world = world(&cluster, settings(true));
    let named = ingress_of(&world, &cluster.pods[0]).into_iter().find_map(|rule| match rule.remote {
        Remote::Group(key @ AddressGroupKey::Decision(_)) => Some(key),
        _ => None,
    });
    let (key, address): (_, std::net::IpAddr) = (named.unwrap(), "10.0.0.99".parse().unwrap());
    assert!(settings(true).pod_networks.iter().any(|net| net.contains(&address)));
    let has = |world: &World| world.members(&key).unwrap().contains(&address.into());
    let node = |addresses: &[std::net::IpAddr]| {
        Fact::Node(Node { name: "n9".into(), addresses: addresses.iter().copied().collect() })
    };
    assert!(!has(&world));
    let changes = world.learn([node(&[address])]);
    assert!(has(&world) && changes.address_groups.contains(&key));
    assert!(world.learn([node(&[address, "192.0.2.1".parse().unwrap()])]).address_groups.is_empty());
    let changes = world.learn([Fact::NoNode("n9".into())]);
    assert!(!has(&world) && changes.address_groups.contains(&key));
    // A policy that comes later finds it.
    let _ = world.learn([node(&[address]), Fact::NoClusterPolicy("p".into())]);
    let later = policy("p", vec![line("Deny", of_team("y"), None)], vec![]);
    let _ = world.learn([Fact::ClusterPolicy(later)]);
    assert!(has(&world));
}
