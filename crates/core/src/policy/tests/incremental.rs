//! Change by change, the world is what it would be if it were made anew.

use super::{
    cluster::random::{networks, policy as cluster_policy, with_policies},
    random::{NAMESPACES, labels, node, pod, policy, service},
    simulation::{self, facts, world},
};
use crate::policy::{
    AddressGroupKey, Changes, Fact, GroupKey, World,
    facts::{Name, Namespace, Settings, Uid},
    groups::Rule,
    oracle::Cluster,
    world::ClosedService,
};
use ipnet::IpNet;
use proptest::{collection::vec, prelude::*, sample::select};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// Something happens. What goes is the one of this number, if there are so many.
#[derive(Debug, Clone)]
pub enum Event {
    Comes(Box<Fact>),
    NoPod(usize),
    NoNamespace(usize),
    NoPolicy(usize),
    NoService(usize),
    NoNode(usize),
    NoClusterPolicy(usize),
}

pub fn event() -> BoxedStrategy<Event> {
    let namespace = (select(NAMESPACES.to_vec()), labels());
    let namespace = namespace.prop_map(|(name, labels)| Namespace { name: name.into(), labels });
    let comes = prop_oneof![
        8 => (1u8..7).prop_flat_map(pod).prop_map(Fact::Pod).boxed(),
        2 => namespace.prop_map(Fact::Namespace),
        6 => (0u8..5).prop_flat_map(policy).prop_map(Fact::Policy).boxed(),
        5 => (1u8..4).prop_flat_map(service).prop_map(Fact::Service).boxed(),
        1 => (0u8..2).prop_map(|number| Fact::Node(node(number))),
        5 => (0usize..4).prop_flat_map(cluster_policy).prop_map(Fact::ClusterPolicy),
    ];
    prop_oneof![
        27 => comes.prop_map(|fact| Event::Comes(Box::new(fact))),
        3 => (0usize..6).prop_map(Event::NoPod),
        1 => (0usize..3).prop_map(Event::NoNamespace),
        3 => (0usize..5).prop_map(Event::NoPolicy),
        2 => (0usize..3).prop_map(Event::NoService),
        1 => (0usize..2).prop_map(Event::NoNode),
        3 => (0usize..4).prop_map(Event::NoClusterPolicy),
    ]
    .boxed()
}

fn put<T: Clone>(all: &mut Vec<T>, new: &T, same: impl Fn(&T, &T) -> bool) {
    all.retain(|old| !same(old, new));
    all.push(new.clone());
}

fn take<T, K>(all: &mut Vec<T>, number: usize, gone: impl Fn(T) -> K) -> Option<K> {
    (number < all.len()).then(|| gone(all.remove(number)))
}

/// What the world is told of an event.
pub fn happen(event: &Event, cluster: &mut Cluster) -> Option<Fact> {
    match event {
        Event::Comes(fact) => {
            match &**fact {
                Fact::Pod(pod) => put(&mut cluster.pods, pod, |a, b| a.uid == b.uid),
                Fact::Namespace(namespace) => put(&mut cluster.namespaces, namespace, |a, b| a.name == b.name),
                Fact::Policy(policy) => put(&mut cluster.policies, policy, |a, b| a.uid == b.uid),
                Fact::Service(service) => put(&mut cluster.services, service, |a, b| a.uid == b.uid),
                Fact::Node(node) => put(&mut cluster.nodes, node, |a, b| a.name == b.name),
                Fact::ClusterPolicy(policy) => put(&mut cluster.cluster_policies, policy, |a, b| a.name == b.name),
                _ => {}
            }
            Some(Fact::clone(fact))
        }
        Event::NoPod(number) => take(&mut cluster.pods, *number, |pod| Fact::NoPod(pod.uid)),
        Event::NoNamespace(number) => take(&mut cluster.namespaces, *number, |one| Fact::NoNamespace(one.name)),
        Event::NoPolicy(number) => take(&mut cluster.policies, *number, |policy| Fact::NoPolicy(policy.uid)),
        Event::NoService(number) => take(&mut cluster.services, *number, |service| Fact::NoService(service.uid)),
        Event::NoNode(number) => take(&mut cluster.nodes, *number, |node| Fact::NoNode(node.name)),
        Event::NoClusterPolicy(number) => {
            take(&mut cluster.cluster_policies, *number, |policy| Fact::NoClusterPolicy(policy.name))
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
    cluster: BTreeMap<Name, OfCluster>,
    outside: BTreeSet<IpAddr>,
}

/// All answers about a ClusterNetworkPolicy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OfCluster {
    refusals: Vec<String>,
    subjects: BTreeSet<Uid>,
    closed: BTreeSet<ClosedService>,
    groups: Vec<GroupKey>,
}

fn answers(world: &World) -> Answers {
    let uids = |stem: &'static str| (0..7).map(move |number| Uid::from(format!("{stem}{number}")));
    Answers {
        pods: uids("pod").map(|uid| (uid.clone(), world.groups_of_pod(&uid).cloned())).collect(),
        groups: world.groups().map(|key| (key.clone(), world.rules(key).unwrap().clone())).collect(),
        address_groups: world.address_groups().map(|key| (key.clone(), world.members(key).unwrap())).collect(),
        closed: uids("policy").map(|uid| (uid.clone(), world.closed_services(&uid))).collect(),
        selected: uids("policy").map(|uid| (uid.clone(), world.selected(&uid).cloned())).collect(),
        cluster: world.cluster_policies().map(|name| (name.clone(), of_cluster(world, name))).collect(),
        outside: world.outside_networks().clone(),
    }
}

fn of_cluster(world: &World, name: &Name) -> OfCluster {
    OfCluster {
        refusals: world.refusals(name).iter().map(ToString::to_string).collect(),
        subjects: world.subjects_of(name).unwrap().clone(),
        closed: world.services_closed_by(name),
        groups: world.groups_deciding(name),
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
fn check_changes(exact: bool, before: &Answers, after: &Answers, changes: &Changes) -> Result<(), TestCaseError> {
    let missed = &differing(&before.pods, &after.pods) - &changes.pods;
    prop_assert!(missed.is_empty(), "pods {missed:?}");
    let missed = &differing(&before.groups, &after.groups) - &changes.groups;
    prop_assert!(missed.is_empty(), "groups {missed:?}");
    let missed = &differing(&before.address_groups, &after.address_groups) - &changes.address_groups;
    prop_assert!(missed.is_empty(), "address groups {missed:?}");
    let missed = &differing(&before.closed, &after.closed) - &changes.policies;
    prop_assert!(missed.is_empty(), "closed Services of {missed:?}");
    let told = |answers: &Answers| -> BTreeMap<Name, (Vec<String>, BTreeSet<ClosedService>)> {
        let all = answers.cluster.iter();
        all.map(|(name, it)| (name.clone(), (it.refusals.clone(), it.closed.clone()))).collect()
    };
    let missed = &differing(&told(before), &told(after)) - &changes.cluster_policies;
    prop_assert!(missed.is_empty(), "what is told of {missed:?}");
    // Pods and groups are told exactly, where nothing begins anew.
    prop_assert!(!exact || (&changes.pods - &differing(&before.pods, &after.pods)).is_empty());
    prop_assert!(!exact || (&changes.groups - &differing(&before.groups, &after.groups)).is_empty());
    Ok(())
}

fn settings() -> impl Strategy<Value = Settings> {
    (any::<bool>(), networks())
        .prop_map(|(address_groups, pod_networks)| Settings { pod_networks, ..simulation::settings(address_groups) })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn a_world_that_changed_is_as_one_made_anew(
        start in with_policies(), events in vec(event(), 1..16), settings in settings(),
    ) {
        let mut cluster = start;
        let mut changing = world(&cluster, settings.clone());
        for event in &events {
            let before = answers(&changing);
            let fact = happen(event, &mut cluster);
            let changes = changing.learn(fact.clone());
            let after = answers(&changing);
            let exact = !matches!(&fact, Some(Fact::Pod(_) | Fact::Policy(_)));
            check_changes(exact, &before, &after, &changes)?;
            prop_assert_eq!(&after, &answers(&world(&cluster, settings.clone())), "after {:?}", event);
            prop_assert!(changing.learn(fact).is_empty(), "the same once more is no change");
        }
    }

    #[test]
    fn what_is_learnt_at_once_is_as_what_is_learnt_one_by_one(
        start in with_policies(), events in vec(event(), 1..16), settings in settings(),
    ) {
        let mut cluster = start;
        let mut changing = World::new(settings.clone());
        for fact in facts(&cluster) {
            let _ = changing.learn([fact]);
        }
        let before = answers(&changing);
        let all: Vec<Fact> = events.iter().filter_map(|event| happen(event, &mut cluster)).collect();
        let changes = changing.learn(all);
        let after = answers(&changing);
        prop_assert_eq!(&after, &answers(&world(&cluster, settings)));
        check_changes(false, &before, &after, &changes)?;
    }

    #[test]
    fn a_world_from_which_all_is_gone_is_empty(
        start in with_policies(), at_once in any::<bool>(), settings in settings(),
    ) {
        let mut changing = world(&start, settings.clone());
        let gone: Vec<Fact> = facts(&start).into_iter().map(|fact| match fact {
            Fact::Pod(pod) => Fact::NoPod(pod.uid),
            Fact::Service(service) => Fact::NoService(service.uid),
            Fact::Policy(policy) => Fact::NoPolicy(policy.uid),
            Fact::ClusterPolicy(policy) => Fact::NoClusterPolicy(policy.name),
            Fact::Namespace(namespace) => Fact::NoNamespace(namespace.name),
            Fact::Node(node) => Fact::NoNode(node.name),
            other => other,
        }).collect();
        if at_once {
            let _ = changing.learn(gone);
        } else {
            gone.into_iter().for_each(|fact| drop(changing.learn([fact])));
        }
        prop_assert_eq!(format!("{changing:?}"), format!("{:?}", World::new(settings)));
    }
}
