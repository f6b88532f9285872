//! In what Neutron's state differs from what there is to be.

use crate::policy::{
    groups::{AddressGroupKey, GroupKey, Rule},
    observed::{Desired, Observed, ObservedGroup, ObservedRule},
};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};

/// All differences.
#[derive(Debug, Default)]
pub struct Difference {
    pub new_address_groups: BTreeMap<AddressGroupKey, BTreeSet<IpNet>>,
    pub new_groups: BTreeMap<GroupKey, BTreeSet<Rule>>,
    /// Of groups that there are, in the order of groups.
    pub new_rules: Vec<(GroupKey, Rule)>,
    pub old_rules: Vec<OldRule>,
    /// Of address groups that there are.
    pub members: BTreeMap<AddressGroupKey, Members>,
    pub old_groups: Vec<(GroupKey, String)>,
    pub old_address_groups: Vec<(AddressGroupKey, String)>,
}

/// A rule that is superfluous.
#[derive(Debug)]
pub struct OldRule {
    pub key: GroupKey,
    pub id: String,
    pub address_group: Option<AddressGroupKey>,
}

/// Members that come and go.
#[derive(Debug)]
pub struct Members {
    pub new: BTreeSet<IpNet>,
    pub lost: BTreeSet<IpNet>,
}

impl Difference {
    pub fn of(desired: &Desired, observed: &Observed) -> Self {
        let mut difference = Self::default();
        for (key, rules) in &desired.groups {
            match (rules, observed.groups.get(key)) {
                (Some(rules), Some(has)) => difference.rules(key, rules, has),
                (Some(rules), None) => drop(difference.new_groups.insert(key.clone(), rules.clone())),
                // What ports still have is still in force: its rules stay until they have others.
                (None, Some(has)) if !has.in_use => difference.old_groups.push((key.clone(), has.id.clone())),
                (None, _) => {}
            }
        }
        let kept = difference.named_after(observed);
        for (key, members) in &desired.address_groups {
            match (members, observed.address_groups.get(key)) {
                (Some(members), Some(has)) => {
                    let (new, lost) = (members - &has.members, &has.members - members);
                    if !new.is_empty() || !lost.is_empty() {
                        difference.members.insert(key.clone(), Members { new, lost });
                    }
                }
                (Some(members), None) => drop(difference.new_address_groups.insert(key.clone(), members.clone())),
                (None, Some(has)) if !kept.contains(key) => {
                    difference.old_address_groups.push((key.clone(), has.id.clone()));
                }
                (None, _) => {}
            }
        }
        difference.without_unknown_groups(observed);
        difference
    }

    /// A rule that is there twice is left alone while it is wanted: with one of two OVN forgets what both allow (docs/neutron-groups.md).
    fn rules(&mut self, key: &GroupKey, wanted: &BTreeSet<Rule>, has: &ObservedGroup) {
        let mut found = BTreeSet::new();
        for (id, rule) in &has.rules {
            let rule = rule.rule();
            if !rule.is_some_and(|rule| {
                found.insert(rule);
                wanted.contains(rule)
            }) {
                let address_group = rule.and_then(Rule::address_group).cloned();
                self.old_rules.push(OldRule { key: key.clone(), id: id.clone(), address_group });
            }
        }
        let missing = wanted.iter().filter(|rule| !found.contains(rule));
        self.new_rules.extend(missing.map(|rule| (key.clone(), rule.clone())));
    }

    /// The address groups that rules name when all superfluous ones are gone.
    fn named_after(&self, observed: &Observed) -> BTreeSet<AddressGroupKey> {
        let old: BTreeSet<(&GroupKey, &String)> = self.old_rules.iter().map(|old| (&old.key, &old.id)).collect();
        let gone: BTreeSet<&GroupKey> = self.old_groups.iter().map(|(key, _)| key).collect();
        let groups = observed.groups.iter().filter(|(key, _)| !gone.contains(key));
        let stays = |key: &GroupKey, id: &String| !old.contains(&(key, id));
        let rules = groups.flat_map(|(key, has)| has.rules.iter().filter(move |(id, _)| stays(key, id)));
        rules.filter_map(|(_, rule)| ObservedRule::rule(rule).and_then(Rule::address_group).cloned()).collect()
    }

    /// A rule for an address group that there isn't can't be made: it stays missing, which is closed.
    fn without_unknown_groups(&mut self, observed: &Observed) {
        let new = &self.new_address_groups;
        let known = |key: &AddressGroupKey| new.contains_key(key) || observed.address_groups.contains_key(key);
        self.new_rules.retain(|(_, rule)| rule.address_group().is_none_or(known));
        for rules in self.new_groups.values_mut() {
            rules.retain(|rule| rule.address_group().is_none_or(known));
        }
    }
}

/// What the plan does to a group, by its rules or by the members of the address groups that they name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    pub gains: bool,
    pub loses: bool,
}

impl Change {
    pub fn of(desired: &Desired, observed: &Observed, key: &GroupKey) -> Self {
        let Some(has) = observed.groups.get(key) else { return Self::default() };
        let rules = || has.rules.values().filter_map(ObservedRule::rule);
        let mut change = Self::default();
        // A group that is to go has its rules as long as a port has it.
        if let Some(Some(wanted)) = desired.groups.get(key) {
            change.gains = wanted.iter().any(|rule| !rules().any(|has| has == rule));
            change.loses = has.rules.values().any(|has| has.rule().is_none_or(|rule| !wanted.contains(rule)));
        }
        for key in rules().filter_map(Rule::address_group) {
            let wanted = desired.address_groups.get(key).into_iter().flatten().next();
            let (Some(wanted), Some(has)) = (wanted, observed.address_groups.get(key)) else { continue };
            change.gains |= !wanted.is_subset(&has.members);
            change.loses |= !has.members.is_subset(wanted);
        }
        change
    }
}
