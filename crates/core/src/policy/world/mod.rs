//! All that policies depend on, and what they become of it, kept up to date change by change.
//!
//! A change costs what it touches: a pod that comes, goes or is relabelled is held against the policies of its namespace and the selectors
//! that mean its namespace, not against other pods. What the world answers is the same as if it had been made anew (a property that tests
//! check), so the order of changes doesn't matter.

mod answers;
mod changes;
mod cluster;
mod cluster_answers;
mod decided;
mod decided_services;
mod entries;
mod groups;
mod nodes;
mod pods;
mod policies;
mod services;
mod settle;

pub use answers::ClosedService;
pub use changes::Changes;

use super::{
    cluster::{ClusterPolicy, Decision, Meant},
    facts::{Name, Namespace, Node, Pod, Policy, Service, Settings, Uid},
    groups::{AddressGroupKey, GroupKey, Vip},
    selector::Pods,
};
use changes::Dirty;
use entries::{
    AddressGroupEntry, ClusterEntry, DecidedEntry, DecisionEntry, GroupEntry, NamespaceEntry, PodEntry, PolicyEntry,
    SelectorEntry, SetEntry, Target, TargetEntry, VipEntry,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

/// A set of policies that have egress rules and select the same pod.
type Set = Arc<BTreeSet<Uid>>;

/// Policies, namespaces, pods, nodes and Services, and what they become.
#[derive(Debug, Clone)]
pub struct World {
    settings: Settings,
    namespaces: BTreeMap<Name, NamespaceEntry>,
    pods: BTreeMap<Uid, PodEntry>,
    /// Which pods have an address: one at most, but for moments.
    addresses: BTreeMap<IpAddr, BTreeSet<Uid>>,
    /// Of these, those outside of the pods' networks.
    strays: BTreeSet<IpAddr>,
    nodes: BTreeMap<Name, Node>,
    /// Of how many nodes an address in the pods' networks is: Kuryr gives each node a port there. They are nobody whom a selector means, and somebody all
    /// the same.
    hosts: BTreeMap<IpAddr, u32>,
    policies: BTreeMap<Uid, PolicyEntry>,
    /// Policies with egress rules that mean others than pods by their labels.
    broad: BTreeSet<Uid>,
    cluster: BTreeMap<Name, ClusterEntry>,
    /// The ClusterNetworkPolicies whose subject a selector is.
    subjects: BTreeMap<Arc<Pods>, BTreeSet<Name>>,
    /// By what pods are meant that are such subjects.
    decided: BTreeMap<Arc<Meant>, DecidedEntry>,
    decisions: BTreeMap<Arc<Decision>, DecisionEntry>,
    selectors: BTreeMap<Arc<Pods>, SelectorEntry>,
    sets: BTreeMap<Set, SetEntry>,
    services: BTreeMap<Uid, Service>,
    vips: BTreeMap<Vip, VipEntry>,
    targets: BTreeMap<Target, TargetEntry>,
    groups: BTreeMap<GroupKey, GroupEntry>,
    address_groups: BTreeMap<AddressGroupKey, AddressGroupEntry>,
}

/// Something has come, has changed, or has gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A policy is there, or is another than before.
    Policy(Policy),
    /// A policy is gone.
    NoPolicy(Uid),
    /// A ClusterNetworkPolicy is there, or is another than before.
    ClusterPolicy(ClusterPolicy),
    /// A ClusterNetworkPolicy is gone.
    NoClusterPolicy(Name),
    /// A namespace is there, or has other labels than before.
    Namespace(Namespace),
    /// A namespace is gone.
    NoNamespace(Name),
    /// A pod is there, or is another than before.
    Pod(Pod),
    /// A pod is gone.
    NoPod(Uid),
    /// A Service has a load balancer, or that has other backends than before.
    Service(Service),
    /// A Service is gone.
    NoService(Uid),
    /// A node is there, or has other addresses than before.
    Node(Node),
    /// A node is gone.
    NoNode(Name),
}

impl Fact {
    /// The kind and the name of what it is about.
    fn about(&self) -> (u8, Uid) {
        match self {
            Self::Policy(Policy { uid, .. }) | Self::NoPolicy(uid) => (0, uid.clone()),
            Self::Namespace(Namespace { name, .. }) | Self::NoNamespace(name) => (1, name.clone()),
            Self::Pod(Pod { uid, .. }) | Self::NoPod(uid) => (2, uid.clone()),
            Self::Service(Service { uid, .. }) | Self::NoService(uid) => (3, uid.clone()),
            Self::Node(Node { name, .. }) | Self::NoNode(name) => (4, name.clone()),
            Self::ClusterPolicy(ClusterPolicy { name, .. }) | Self::NoClusterPolicy(name) => (5, name.clone()),
        }
    }
}

impl World {
    /// A world without anything in it.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let mut world = Self {
            settings,
            namespaces: BTreeMap::new(),
            pods: BTreeMap::new(),
            addresses: BTreeMap::new(),
            strays: BTreeSet::new(),
            nodes: BTreeMap::new(),
            hosts: BTreeMap::new(),
            policies: BTreeMap::new(),
            broad: BTreeSet::new(),
            cluster: BTreeMap::new(),
            subjects: BTreeMap::new(),
            decided: BTreeMap::new(),
            decisions: BTreeMap::new(),
            selectors: BTreeMap::new(),
            sets: BTreeMap::new(),
            services: BTreeMap::new(),
            vips: BTreeMap::new(),
            targets: BTreeMap::new(),
            groups: BTreeMap::new(),
            address_groups: BTreeMap::new(),
        };
        let open = Dirty { groups: [GroupKey::OpenIngress, GroupKey::OpenEgress].into(), ..Dirty::default() };
        world.settle(open);
        world
    }

    /// Takes in what has come, gone or changed. Together it costs less than one by one: what follows is worked out once.
    #[must_use]
    pub fn learn(&mut self, facts: impl IntoIterator<Item = Fact>) -> Changes {
        let (mut changes, mut dirty) = (Changes::default(), Dirty::default());
        let mut touched = BTreeSet::new();
        for fact in facts {
            // What is told of one thing twice is worked out in between; so is what begins anew.
            if !touched.insert(fact.about()) || self.begins_anew(&fact) {
                changes.merge(self.settle(std::mem::take(&mut dirty)));
            }
            if self.begins_anew(&fact) {
                changes.merge(self.forget(&fact));
            }
            self.take_in(&fact, &mut dirty);
        }
        changes.merge(self.settle(dirty));
        changes
    }

    fn take_in(&mut self, fact: &Fact, dirty: &mut Dirty) {
        match fact {
            Fact::Policy(policy) => self.put_policy(policy, dirty),
            Fact::NoPolicy(uid) => self.drop_policy(uid, dirty),
            Fact::ClusterPolicy(policy) => self.put_cluster_policy(policy, dirty),
            Fact::NoClusterPolicy(name) => self.drop_cluster_policy(name, dirty),
            Fact::Namespace(namespace) => {
                self.relabel_namespace(&namespace.name, Some(namespace.labels.clone()), dirty);
            }
            Fact::NoNamespace(name) => self.relabel_namespace(name, None, dirty),
            Fact::Pod(pod) => self.put_pod(pod, dirty),
            Fact::NoPod(uid) => self.drop_pod(uid, dirty),
            Fact::Service(service) => self.put_service(&service.uid, Some(service), dirty),
            Fact::NoService(uid) => self.put_service(uid, None, dirty),
            Fact::Node(node) => self.put_node(&node.name, Some(node), dirty),
            Fact::NoNode(name) => self.put_node(name, None, dirty),
        }
    }

    /// Whether it is about a thing that is known, and yet another one: elsewhere, or without a port of its own from now on.
    fn begins_anew(&self, fact: &Fact) -> bool {
        match fact {
            Fact::Policy(policy) => {
                self.policies.get(&policy.uid).is_some_and(|entry| entry.compiled.namespace != policy.namespace)
            }
            Fact::Pod(pod) => self.pods.get(&pod.uid).is_some_and(|PodEntry { pod: old, .. }| {
                old.namespace != pod.namespace || old.counts() != pod.counts()
            }),
            _ => false,
        }
    }

    fn forget(&mut self, fact: &Fact) -> Changes {
        let mut dirty = Dirty::default();
        match fact {
            Fact::Policy(policy) => self.drop_policy(&policy.uid, &mut dirty),
            Fact::Pod(pod) => self.drop_pod(&pod.uid, &mut dirty),
            _ => {}
        }
        self.settle(dirty)
    }
}
