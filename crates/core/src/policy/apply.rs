//! What Neutron does with a request, as a model: tests of the plan run against it.

use super::{
    clause::Ports,
    facts::Family,
    groups::{Direction, Rule},
    observed::{Observed, ObservedAddressGroup, ObservedGroup, ObservedRule},
    step::Step,
};

/// What Neutron has after a request. `new_id` gives ids that nothing has yet. What it would refuse changes nothing.
pub fn apply(step: &Step, observed: &mut Observed, new_id: &mut dyn FnMut() -> String) {
    match step {
        Step::CreateAddressGroup { key, members } => {
            let group = ObservedAddressGroup { id: new_id(), members: members.clone() };
            observed.address_groups.entry(key.clone()).or_insert(group);
        }
        Step::AddAddresses { key, members } => {
            observed.address_groups.entry(key.clone()).and_modify(|group| group.members.extend(members));
        }
        Step::RemoveAddresses { key, members } => {
            let remove = |group: &mut ObservedAddressGroup| group.members.retain(|member| !members.contains(member));
            observed.address_groups.entry(key.clone()).and_modify(remove);
        }
        Step::DeleteAddressGroup { key, .. } => {
            let mut rules = observed.groups.values().flat_map(|group| group.rules.values());
            // 409 AddressGroupInUse.
            if !rules.any(|rule| rule.rule().and_then(Rule::address_group) == Some(key)) {
                observed.address_groups.remove(key);
            }
        }
        Step::CreateGroup { key } => {
            let families = Family::BOTH.into();
            let out = Rule::any(Direction::Egress, Ports::All, &families);
            let rules = out.map(|rule| (new_id(), ObservedRule::Rule(rule))).collect();
            let group = ObservedGroup { id: new_id(), rules, in_use: false };
            observed.groups.entry(key.clone()).or_insert(group);
        }
        Step::CreateRules { key, rules } => {
            let Some(group) = observed.groups.get_mut(key) else { return };
            for rule in rules {
                let known = rule.address_group().is_none_or(|key| observed.address_groups.contains_key(key));
                // 409 SecurityGroupRuleExists, 404 AddressGroupNotFound.
                if known && !group.rules.values().any(|has| has.rule() == Some(rule)) {
                    group.rules.insert(new_id(), ObservedRule::Rule(rule.clone()));
                }
            }
        }
        Step::DeleteRule { key, id } => {
            observed.groups.entry(key.clone()).and_modify(|group| drop(group.rules.remove(id)));
        }
        Step::DeleteGroup { key, .. } => {
            // 409 SecurityGroupInUse.
            if observed.groups.get(key).is_some_and(|group| !group.in_use) {
                observed.groups.remove(key);
            }
        }
    }
}
