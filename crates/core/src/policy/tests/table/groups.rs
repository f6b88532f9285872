//! Which groups there are, and who has them.

use super::build::*;

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
    let changes = world.learn([Fact::Pod(relabelled.clone())]);
    assert!(may(&world, 2) && may(&world, 3));
    assert_eq!((changes.pods.len(), changes.groups.len(), changes.address_groups.len()), (0, 0, 1));
    let now_selected = Pod { labels: select(&[("app", "web")]).match_labels, ..relabelled };
    let changes = world.learn([Fact::Pod(now_selected)]);
    assert_eq!((changes.pods.len(), changes.groups.len(), changes.address_groups.len()), (1, 0, 1));
    assert!(!may(&world, 3));
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

/// A policy has rules for the numbers that ports of peers have now, and for no others.
#[test]
fn numbers_that_no_peer_has_any_more_have_no_rule() {
    let policy = egress(&[rule(&[namespaces(select(&[]))], &[named("TCP", "http")])]);
    let cluster = cluster(std::slice::from_ref(&policy));
    let mut world = world(&cluster, settings(true));
    let key = GroupKey::Policy { uid: policy.uid, resolution: [].into() };
    let rules = |world: &World| world.rules(&key).map(std::collections::BTreeSet::len);
    // 80, 81 and 90, for both families.
    assert_eq!(rules(&world), Some(6));
    let nameless = Pod { ports: [].into(), ..cluster.pods[1].clone() };
    assert!(world.learn([Fact::Pod(nameless)]).groups.contains(&key));
    assert_eq!(rules(&world), Some(4));
    assert!(world.learn([Fact::NoPod("pod4".into())]).groups.contains(&key));
    assert_eq!(rules(&world), Some(2));
    assert!(world.learn([Fact::Pod(cluster.pods[1].clone())]).groups.contains(&key));
    assert_eq!(rules(&world), Some(4));
}
