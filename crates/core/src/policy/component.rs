//! What of Neutron's groups can be changed independently of each other.
//!
//! The order of requests matters only between groups and the address groups that their rules name. So what is to be changed falls into
//! parts that don't wait for each other: a policy that takes long keeps no pod's address from the address groups of others.

use super::{
    World,
    groups::{AddressGroupKey, GroupKey, Rule},
    observed::{Desired, Observed, ObservedRule},
    world::Changes,
};
use std::collections::{BTreeMap, BTreeSet};

/// A security group or an address group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A security group.
    Group(GroupKey),
    /// An address group.
    AddressGroup(AddressGroupKey),
}

impl Key {
    /// The security group.
    #[must_use]
    pub const fn group(&self) -> Option<&GroupKey> {
        match self {
            Self::Group(key) => Some(key),
            Self::AddressGroup(_) => None,
        }
    }

    /// A short text that no other key of its kind has, and that is the same in every version of Kuryr.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        match self {
            Self::Group(key) => key.fingerprint(),
            Self::AddressGroup(key) => key.fingerprint(),
        }
    }

    /// The address group.
    #[must_use]
    pub const fn address_group(&self) -> Option<&AddressGroupKey> {
        match self {
            Self::AddressGroup(key) => Some(key),
            Self::Group(_) => None,
        }
    }
}

/// Some groups that are changed together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Component {
    /// What is to be looked at.
    pub keys: BTreeSet<Key>,
    /// These, and the address groups that their rules name: nobody else may change them meanwhile.
    pub touched: BTreeSet<Key>,
}

impl Component {
    /// What there is to be of it.
    #[must_use]
    pub fn desired(&self, world: &World) -> Desired {
        let groups = self.keys.iter().filter_map(Key::group);
        let address_groups = self.keys.iter().filter_map(Key::address_group);
        Desired::of_keys(world, groups, address_groups)
    }

    /// Whether both touch the same.
    #[must_use]
    pub fn meets(&self, others: &BTreeSet<Key>) -> bool {
        !self.touched.is_disjoint(others)
    }
}

impl Changes {
    /// The groups that a change has touched.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        let groups = self.groups.iter().cloned().map(Key::Group);
        groups.chain(self.address_groups.iter().cloned().map(Key::AddressGroup))
    }
}

/// Splits what is to be looked at into parts that nothing connects: neither the rules that there are nor those that there are to be.
#[must_use]
pub fn components(pending: &BTreeSet<Key>, world: &World, observed: &Observed) -> Vec<Component> {
    let mut all: Vec<Component> = Vec::new();
    // The component of each key that is touched, by its place; components that are merged into another one stay empty.
    let mut places: BTreeMap<Key, usize> = BTreeMap::new();
    for key in pending {
        let mut touched: BTreeSet<Key> = [key.clone()].into();
        if let Key::Group(group) = key {
            touched.extend(named(group, world, observed).into_iter().map(Key::AddressGroup));
        }
        let mut component = Component { keys: [key.clone()].into(), touched };
        let meets: BTreeSet<usize> = component.touched.iter().filter_map(|key| places.get(key).copied()).collect();
        for place in meets {
            let Some(other) = all.get_mut(place).map(std::mem::take) else { continue };
            component.keys.extend(other.keys);
            component.touched.extend(other.touched);
        }
        let place = all.len();
        places.extend(component.touched.iter().map(|key| (key.clone(), place)));
        all.push(component);
    }
    all.retain(|component| !component.keys.is_empty());
    all
}

/// The address groups that a group's rules name, or are to name.
fn named(group: &GroupKey, world: &World, observed: &Observed) -> BTreeSet<AddressGroupKey> {
    let has = observed.groups.get(group).into_iter().flat_map(|has| has.rules.values());
    let has = has.filter_map(ObservedRule::rule);
    let rules = world.rules(group).into_iter().flatten().chain(has);
    rules.filter_map(Rule::address_group).cloned().collect()
}
