//! What there is to be in Neutron, and what there is.

use super::{
    World,
    component::Key,
    groups::{AddressGroupKey, GroupKey, Remote, Rule},
    world::Changes,
};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};

/// What there is to be of some groups, or of all. None: there must be no such group. What isn't named here is left alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Desired {
    /// Security groups and their rules.
    pub groups: BTreeMap<GroupKey, Option<BTreeSet<Rule>>>,
    /// Address groups and their members.
    pub address_groups: BTreeMap<AddressGroupKey, Option<BTreeSet<IpNet>>>,
}

impl Desired {
    /// All that there is to be.
    #[must_use]
    pub fn all(world: &World) -> Self {
        let groups = world.groups().map(|key| (key.clone(), world.rules(key).cloned()));
        let address_groups = world.address_groups().map(|key| (key.clone(), world.members(key)));
        Self { groups: groups.collect(), address_groups: address_groups.collect() }
    }

    /// What a change has touched, and the address groups that its groups need.
    #[must_use]
    pub fn of(world: &World, changes: &Changes) -> Self {
        Self::of_keys(world, changes.groups.iter(), changes.address_groups.iter())
    }

    /// What there is to be of these, and of the address groups that their rules name.
    #[must_use]
    pub fn of_keys<'a>(
        world: &World,
        groups: impl Iterator<Item = &'a GroupKey>,
        address_groups: impl Iterator<Item = &'a AddressGroupKey>,
    ) -> Self {
        let groups: BTreeMap<GroupKey, Option<BTreeSet<Rule>>> =
            groups.map(|key| (key.clone(), world.rules(key).cloned())).collect();
        let needed = groups.values().flatten().flatten().filter_map(Rule::address_group).cloned();
        let keys: BTreeSet<AddressGroupKey> = address_groups.cloned().chain(needed).collect();
        let with_members = |key: AddressGroupKey| {
            let members = world.members(&key);
            (key, members)
        };
        let address_groups = keys.into_iter().map(with_members).collect();
        Self { groups, address_groups }
    }

    /// All that it says something of.
    #[must_use]
    pub fn keys(&self) -> BTreeSet<Key> {
        let groups = self.groups.keys().cloned().map(Key::Group);
        groups.chain(self.address_groups.keys().cloned().map(Key::AddressGroup)).collect()
    }

    /// With all else that is there gone.
    #[must_use]
    pub fn and_nothing_else(mut self, observed: &Observed) -> Self {
        for key in observed.groups.keys() {
            self.groups.entry(key.clone()).or_default();
        }
        for key in observed.address_groups.keys() {
            self.address_groups.entry(key.clone()).or_default();
        }
        self
    }

    /// How far a group is from what it is to be. None: it isn't there.
    ///
    /// A port may have it as soon as nothing is superfluous: what is missing is only closed still.
    #[must_use]
    pub fn distance(&self, key: &GroupKey, observed: &Observed) -> Option<Distance> {
        let rules = self.groups.get(key).cloned().flatten().unwrap_or_default();
        let has = observed.groups.get(key)?;
        let theirs: Vec<&Rule> = has.rules.values().filter_map(ObservedRule::rule).collect();
        let mut distance = Distance {
            missing: rules.iter().filter(|rule| !theirs.contains(rule)).count(),
            superfluous: has.rules.values().filter(|has| has.rule().is_none_or(|rule| !rules.contains(rule))).count(),
        };
        for key in rules.iter().filter_map(Rule::address_group).collect::<BTreeSet<_>>() {
            let Some(Some(members)) = self.address_groups.get(key) else { continue };
            let has = observed.address_groups.get(key).map(|group| &group.members);
            distance.missing += has.map_or(members.len(), |has| members.difference(has).count());
            distance.superfluous += has.map_or(0, |has| has.difference(members).count());
        }
        Some(distance)
    }
}

/// How far a group is from what it is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Distance {
    /// Rules, and members of address groups that they name, that aren't there.
    pub missing: usize,
    /// Those that are there and must not be.
    pub superfluous: usize,
}

/// What Neutron has that carries our mark.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// Security groups.
    pub groups: BTreeMap<GroupKey, ObservedGroup>,
    /// Address groups.
    pub address_groups: BTreeMap<AddressGroupKey, ObservedAddressGroup>,
}

impl Observed {
    /// All that there is.
    #[must_use]
    pub fn keys(&self) -> BTreeSet<Key> {
        let groups = self.groups.keys().cloned().map(Key::Group);
        groups.chain(self.address_groups.keys().cloned().map(Key::AddressGroup)).collect()
    }
}

/// A security group that Neutron has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedGroup {
    /// Its id.
    pub id: String,
    /// Its rules, by id.
    pub rules: BTreeMap<String, ObservedRule>,
    /// Ports have it. It can't be deleted then, and what it allows is still in force.
    pub in_use: bool,
}

/// A rule that Neutron has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObservedRule {
    /// One as Kuryr makes them.
    Rule(Rule),
    /// Another one: of a remote group, of an address group that isn't Kuryr's, of another protocol.
    Foreign,
}

impl ObservedRule {
    /// The rule, if it is one that Kuryr could have made.
    #[must_use]
    pub const fn rule(&self) -> Option<&Rule> {
        match self {
            Self::Rule(rule) => Some(rule),
            Self::Foreign => None,
        }
    }
}

/// An address group that Neutron has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedAddressGroup {
    /// Its id.
    pub id: String,
    /// Its addresses.
    pub members: BTreeSet<IpNet>,
}

impl Rule {
    /// The address group that it names.
    #[must_use]
    pub const fn address_group(&self) -> Option<&AddressGroupKey> {
        match &self.remote {
            Remote::Group(key) => Some(key),
            Remote::Any | Remote::Prefix(_) => None,
        }
    }
}
