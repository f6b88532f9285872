//! All that policies depend on, and what they become of it, kept up to date change by change.
//!
//! A change costs what it touches: a pod that comes, goes or is relabelled is held against the policies of its namespace and the selectors
//! that mean its namespace, not against other pods. What the world answers is the same as if it had been made anew (a property that tests
//! check), so the order of changes doesn't matter.

mod answers;
mod changes;
mod entries;
mod groups;
mod pods;
mod policies;
mod services;
mod settle;

pub use answers::ClosedService;
pub use changes::Changes;

use super::{
    facts::{Name, Namespace, Node, Pod, Policy, Service, Settings, Uid},
    groups::{AddressGroupKey, GroupKey, Vip},
    selector::Pods,
};
use changes::Dirty;
use entries::{
    AddressGroupEntry, GroupEntry, NamespaceEntry, PodEntry, PolicyEntry, SelectorEntry, SetEntry, Target, TargetEntry,
    VipEntry,
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
    nodes: BTreeMap<Name, Node>,
    policies: BTreeMap<Uid, PolicyEntry>,
    /// Policies with egress rules that mean others than pods by their labels.
    broad: BTreeSet<Uid>,
    selectors: BTreeMap<Arc<Pods>, SelectorEntry>,
    sets: BTreeMap<Set, SetEntry>,
    services: BTreeMap<Uid, Service>,
    vips: BTreeMap<Vip, VipEntry>,
    targets: BTreeMap<Target, TargetEntry>,
    groups: BTreeMap<GroupKey, GroupEntry>,
    address_groups: BTreeMap<AddressGroupKey, AddressGroupEntry>,
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
            nodes: BTreeMap::new(),
            policies: BTreeMap::new(),
            broad: BTreeSet::new(),
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

    /// A policy is there, or is another than before.
    pub fn upsert_policy(&mut self, policy: &Policy) -> Changes {
        let moves = |entry: &PolicyEntry| entry.compiled.namespace != policy.namespace;
        let mut changes = Changes::default();
        if self.policies.get(&policy.uid).is_some_and(moves) {
            changes = self.remove_policy(&policy.uid);
        }
        let mut dirty = Dirty::default();
        self.put_policy(policy, &mut dirty);
        changes.merge(self.settle(dirty));
        changes
    }

    /// A policy is gone.
    pub fn remove_policy(&mut self, uid: &Uid) -> Changes {
        let mut dirty = Dirty::default();
        self.drop_policy(uid, &mut dirty);
        self.settle(dirty)
    }

    /// A namespace is there, or has other labels than before.
    pub fn upsert_namespace(&mut self, namespace: &Namespace) -> Changes {
        let mut dirty = Dirty::default();
        self.relabel_namespace(&namespace.name, Some(namespace.labels.clone()), &mut dirty);
        self.settle(dirty)
    }

    /// A namespace is gone.
    pub fn remove_namespace(&mut self, name: &Name) -> Changes {
        let mut dirty = Dirty::default();
        self.relabel_namespace(name, None, &mut dirty);
        self.settle(dirty)
    }

    /// A pod is there, or is another than before.
    pub fn upsert_pod(&mut self, pod: &Pod) -> Changes {
        let begins_anew = |old: &Pod| old.namespace != pod.namespace || old.counts() != pod.counts();
        let mut changes = Changes::default();
        if self.pods.get(&pod.uid).is_some_and(|entry| begins_anew(&entry.pod)) {
            changes = self.remove_pod(&pod.uid);
        }
        let mut dirty = Dirty::default();
        self.put_pod(pod, &mut dirty);
        changes.merge(self.settle(dirty));
        changes
    }

    /// A pod is gone.
    pub fn remove_pod(&mut self, uid: &Uid) -> Changes {
        let mut dirty = Dirty::default();
        self.drop_pod(uid, &mut dirty);
        self.settle(dirty)
    }

    /// A node is there, or has other addresses than before.
    pub fn upsert_node(&mut self, node: &Node) -> Changes {
        self.nodes.insert(node.name.clone(), node.clone());
        self.settle(Dirty { groups: [GroupKey::Node(node.name.clone())].into(), ..Dirty::default() })
    }

    /// A node is gone.
    pub fn remove_node(&mut self, name: &Name) -> Changes {
        self.nodes.remove(name);
        self.settle(Dirty { groups: [GroupKey::Node(name.clone())].into(), ..Dirty::default() })
    }

    /// A Service has a load balancer, or that has other backends than before.
    pub fn upsert_service(&mut self, service: &Service) -> Changes {
        let mut dirty = Dirty::default();
        self.put_service(&service.uid, Some(service), &mut dirty);
        self.settle(dirty)
    }

    /// A Service is gone.
    pub fn remove_service(&mut self, uid: &Uid) -> Changes {
        let mut dirty = Dirty::default();
        self.put_service(uid, None, &mut dirty);
        self.settle(dirty)
    }
}
