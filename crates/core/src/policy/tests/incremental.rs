//! Change by change, the world is what it would be if it were made anew.

use super::{
    random::{NAMESPACES, cluster, labels, node, pod, policy, service},
    simulation::{settings, world},
};
use crate::policy::{
    AddressGroupKey, Changes, GroupKey, World,
    facts::{Namespace, Node, Pod, Policy, Service, Uid},
    groups::Rule,
    oracle::Cluster,
    world::ClosedService,
};
use ipnet::IpNet;
use proptest::{collection::vec, prelude::*, sample::select};
use std::collections::{BTreeMap, BTreeSet};

/// Something happens.
#[derive(Debug, Clone)]
pub enum Event {
    Pod(Pod),
    NoPod(usize),
    Namespace(Namespace),
    NoNamespace(usize),
    Policy(Policy),
    NoPolicy(usize),
    Service(Service),
    NoService(usize),
    Node(Node),
    NoNode(usize),
}

pub fn event() -> impl Strategy<Value = Event> {
    let namespace = (select(NAMESPACES.to_vec()), labels());
    let namespace = namespace.prop_map(|(name, labels)| Namespace { name: name.into(), labels });
    prop_oneof![
        8 => (1u8..7).prop_flat_map(pod).prop_map(Event::Pod),
        3 => (0usize..6).prop_map(Event::NoPod),
        2 => namespace.prop_map(Event::Namespace),
        1 => (0usize..3).prop_map(Event::NoNamespace),
        6 => (0u8..5).prop_flat_map(policy).prop_map(Event::Policy),
        3 => (0usize..5).prop_map(Event::NoPolicy),
        5 => (1u8..4).prop_flat_map(service).prop_map(Event::Service),
        2 => (0usize..3).prop_map(Event::NoService),
        1 => (0u8..2).prop_map(|number| Event::Node(node(number))),
        1 => (0usize..2).prop_map(Event::NoNode),
    ]
}

fn put<T>(all: &mut Vec<T>, new: &T, same: impl Fn(&T, &T) -> bool)
where
    T: Clone,
{
    all.retain(|old| !same(old, new));
    all.push(new.clone());
}

/// Takes out the one of this number, if there are so many.
fn take<T>(all: &mut Vec<T>, number: usize) -> Option<T> {
    (number < all.len()).then(|| all.remove(number))
}

pub fn happen(event: &Event, cluster: &mut Cluster, world: &mut World) -> Changes {
    let none = Changes::default;
    match event {
        Event::Pod(pod) => {
            put(&mut cluster.pods, pod, |a, b| a.uid == b.uid);
            world.upsert_pod(pod)
        }
        Event::Namespace(namespace) => {
            put(&mut cluster.namespaces, namespace, |a, b| a.name == b.name);
            world.upsert_namespace(namespace)
        }
        Event::Policy(policy) => {
            put(&mut cluster.policies, policy, |a, b| a.uid == b.uid);
            world.upsert_policy(policy)
        }
        Event::Service(service) => {
            put(&mut cluster.services, service, |a, b| a.uid == b.uid);
            world.upsert_service(service)
        }
        Event::Node(node) => {
            put(&mut cluster.nodes, node, |a, b| a.name == b.name);
            world.upsert_node(node)
        }
        Event::NoPod(number) => take(&mut cluster.pods, *number).map_or_else(none, |pod| world.remove_pod(&pod.uid)),
        Event::NoNamespace(number) => take(&mut cluster.namespaces, *number)
            .map_or_else(none, |namespace| world.remove_namespace(&namespace.name)),
        Event::NoPolicy(number) => {
            take(&mut cluster.policies, *number).map_or_else(none, |policy| world.remove_policy(&policy.uid))
        }
        Event::NoService(number) => {
            take(&mut cluster.services, *number).map_or_else(none, |service| world.remove_service(&service.uid))
        }
        Event::NoNode(number) => {
            take(&mut cluster.nodes, *number).map_or_else(none, |node| world.remove_node(&node.name))
        }
    }
}

/// All answers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answers {
    pods: BTreeMap<Uid, Option<BTreeSet<GroupKey>>>,
    groups: BTreeMap<GroupKey, BTreeSet<Rule>>,
    address_groups: BTreeMap<AddressGroupKey, BTreeSet<IpNet>>,
    closed: BTreeMap<Uid, BTreeSet<ClosedService>>,
    selected: BTreeMap<Uid, Option<BTreeSet<Uid>>>,
}

fn answers(world: &World) -> Answers {
    let uids = |stem: &'static str| (0..7).map(move |number| Uid::from(format!("{stem}{number}")));
    Answers {
        pods: uids("pod").map(|uid| (uid.clone(), world.groups_of_pod(&uid).cloned())).collect(),
        groups: world.groups().map(|key| (key.clone(), world.rules(key).unwrap().clone())).collect(),
        address_groups: world.address_groups().map(|key| (key.clone(), world.members(key).unwrap())).collect(),
        closed: uids("policy").map(|uid| (uid.clone(), world.closed_services(&uid))).collect(),
        selected: uids("policy").map(|uid| (uid.clone(), world.selected(&uid).cloned())).collect(),
    }
}

/// The keys whose values differ.
fn differing<K, V>(a: &BTreeMap<K, V>, b: &BTreeMap<K, V>) -> BTreeSet<K>
where
    K: Ord + Clone,
    V: PartialEq,
{
    a.keys().chain(b.keys()).filter(|key| a.get(key) != b.get(key)).cloned().collect()
}

/// A change names all that is another than before.
fn check_changes(event: &Event, before: &Answers, after: &Answers, changes: &Changes) -> Result<(), TestCaseError> {
    let missed = &differing(&before.pods, &after.pods) - &changes.pods;
    prop_assert!(missed.is_empty(), "pods {missed:?}");
    let missed = &differing(&before.groups, &after.groups) - &changes.groups;
    prop_assert!(missed.is_empty(), "groups {missed:?}");
    let missed = &differing(&before.address_groups, &after.address_groups) - &changes.address_groups;
    prop_assert!(missed.is_empty(), "address groups {missed:?}");
    let missed = &differing(&before.closed, &after.closed) - &changes.policies;
    prop_assert!(missed.is_empty(), "closed Services of {missed:?}");
    // Pods and groups are told exactly, where nothing begins anew.
    let moved = matches!(event, Event::Pod(_) | Event::Policy(_));
    prop_assert!(moved || (&changes.pods - &differing(&before.pods, &after.pods)).is_empty());
    prop_assert!(moved || (&changes.groups - &differing(&before.groups, &after.groups)).is_empty());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn a_world_that_changed_is_as_one_made_anew(
        start in cluster(), events in vec(event(), 1..16), address_groups in any::<bool>(),
    ) {
        let mut cluster = start;
        let mut changing = world(&cluster, settings(address_groups));
        for event in &events {
            let before = answers(&changing);
            let changes = happen(event, &mut cluster, &mut changing);
            let after = answers(&changing);
            check_changes(event, &before, &after, &changes)?;
            prop_assert_eq!(&after, &answers(&world(&cluster, settings(address_groups))), "after {:?}", event);
            // The same once more is no change.
            let mut again = cluster.clone();
            let repeats = !matches!(event, Event::NoPod(_) | Event::NoNamespace(_) | Event::NoPolicy(_) | Event::NoService(_) | Event::NoNode(_));
            prop_assert!(!repeats || happen(event, &mut again, &mut changing).is_empty());
        }
    }

    #[test]
    fn a_world_from_which_all_is_gone_is_empty(start in cluster()) {
        let mut changing = world(&start, settings(true));
        for pod in &start.pods {
            let _ = changing.remove_pod(&pod.uid);
        }
        for service in &start.services {
            let _ = changing.remove_service(&service.uid);
        }
        for policy in &start.policies {
            let _ = changing.remove_policy(&policy.uid);
        }
        for namespace in &start.namespaces {
            let _ = changing.remove_namespace(&namespace.name);
        }
        for node in &start.nodes {
            let _ = changing.remove_node(&node.name);
        }
        prop_assert_eq!(format!("{changing:?}"), format!("{:?}", World::new(settings(true))));
    }
}
