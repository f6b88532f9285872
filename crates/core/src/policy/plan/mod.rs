//! The requests that bring Neutron from what it has to what there is to be, in an order in which no moment is too open.
//!
//! Rules add up, so that creating what is missing before deleting what is superfluous allows nothing that neither the old nor the new state
//! allows, and closes nothing that both allow. A rule for an address group allows by two things, though. So a new rule waits until its
//! group has lost the members that it is to lose, and a new member until the rules for its group that are to go have gone:
//!
//! 1. new address groups, with all their members: no rule names them yet; new security groups, with all their rules: no port has them yet
//! 2. new rules, but for address groups that are to lose members
//! 3. new members, but of address groups for which rules are to go
//! 4. the members to be lost by address groups that have new rules; then those rules
//! 5. the rules to go for address groups that have new members; then those members
//! 6. all other members to be lost and rules to go
//! 7. groups to go that no port has, and address groups that no rule names any more
//!
//! At no moment is anything allowed that neither state allows. What both allow stays allowed, unless an address group loses members and gets
//! new rules at once (4), or gets members and loses rules at once (5): then something may be closed for the time of one request.

pub(super) mod parts;
#[cfg(test)]
pub mod tests;

use super::{
    groups::{AddressGroupKey, GroupKey, Rule},
    observed::{Desired, Observed},
    step::Step,
};
use ipnet::IpNet;
use parts::{Change, Difference, Members};
use std::collections::BTreeSet;

/// Most addresses in one request, and most rules: enough that few are needed, and few enough for a request's time.
const BATCH: usize = 100;

/// The requests, in order. A new group takes two plans: Neutron gives it rules of its own, which the second one deletes. No port may have a
/// group that has superfluous rules ([`Desired::distance`]).
#[must_use]
pub fn plan(desired: &Desired, observed: &Observed) -> Vec<Step> {
    let difference = Difference::of(desired, observed);
    let mut steps = Vec::new();
    create_groups(&difference, &mut steps);
    let loses = |key: &AddressGroupKey| difference.members.get(key).is_some_and(|members| !members.lost.is_empty());
    let (waiting, at_once): (Vec<_>, Vec<_>) =
        difference.new_rules.iter().partition(|(_, rule)| rule.address_group().is_some_and(loses));
    create_rules(&at_once, &mut steps);

    let rules_go: BTreeSet<&AddressGroupKey> =
        difference.old_rules.iter().filter_map(|old| old.address_group.as_ref()).collect();
    let (kept_back, added): (Vec<_>, Vec<_>) =
        difference.members.iter().partition(|(key, members)| rules_go.contains(key) && !members.new.is_empty());
    added.iter().for_each(|(key, members)| add(key, members, &mut steps));

    let waited_for: BTreeSet<&AddressGroupKey> = waiting.iter().filter_map(|(_, rule)| rule.address_group()).collect();
    let (first, later): (Vec<_>, Vec<_>) = difference.members.iter().partition(|(key, _)| waited_for.contains(key));
    first.iter().for_each(|(key, members)| lose(key, members, &mut steps));
    create_rules(&waiting, &mut steps);

    let blocking: BTreeSet<&AddressGroupKey> = kept_back.iter().map(|(key, _)| *key).collect();
    let blocks = |key: &AddressGroupKey| blocking.contains(key);
    let (first, last): (Vec<_>, Vec<_>) =
        difference.old_rules.iter().partition(|old| old.address_group.as_ref().is_some_and(blocks));
    steps.extend(first.iter().map(|old| Step::DeleteRule { key: old.key.clone(), id: old.id.clone() }));
    kept_back.iter().for_each(|(key, members)| add(key, members, &mut steps));

    later.iter().for_each(|(key, members)| lose(key, members, &mut steps));
    steps.extend(last.iter().map(|old| Step::DeleteRule { key: old.key.clone(), id: old.id.clone() }));
    delete_groups(difference, &mut steps);
    steps
}

/// The groups that a port must have while the plan is carried out, from those that it has and those that it is to have after it. Mostly these
/// are the groups that it has, and nothing needs to be done before the plan.
///
/// A group that it is to lose and that gets something new is lost first: the port would have new rules that aren't meant for it. Where
/// a group that it has loses something, those that it gets and that are ready come first: they may have what is lost.
#[must_use]
pub fn meanwhile(
    desired: &Desired,
    observed: &Observed,
    has: &BTreeSet<GroupKey>,
    wants: &BTreeSet<GroupKey>,
) -> BTreeSet<GroupKey> {
    let change = |key: &GroupKey| Change::of(desired, observed, key);
    if !has
        .iter()
        .map(|key| (key, change(key)))
        .any(|(key, change)| change.loses || (change.gains && !wants.contains(key)))
    {
        return has.clone();
    }
    let stays = |key: &&GroupKey| wants.contains(*key) || !change(key).gains;
    let ready = |key: &&GroupKey| observed.groups.contains_key(*key) && change(key) == Change::default();
    has.iter().filter(stays).chain(wants.difference(has).filter(ready)).cloned().collect()
}

fn create_groups(difference: &Difference, steps: &mut Vec<Step>) {
    for (key, members) in &difference.new_address_groups {
        let mut batches = batches(members).into_iter();
        let members = batches.next().unwrap_or_default();
        steps.push(Step::CreateAddressGroup { key: key.clone(), members });
        steps.extend(batches.map(|members| Step::AddAddresses { key: key.clone(), members }));
    }
    for (key, rules) in &difference.new_groups {
        steps.push(Step::CreateGroup { key: key.clone() });
        let rules: Vec<(GroupKey, Rule)> = rules.iter().map(|rule| (key.clone(), rule.clone())).collect();
        create_rules(&rules.iter().collect::<Vec<_>>(), steps);
    }
}

/// Rules of one group go together.
fn create_rules(rules: &[&(GroupKey, Rule)], steps: &mut Vec<Step>) {
    for group in rules.chunk_by(|a, b| a.0 == b.0) {
        for chunk in group.chunks(BATCH) {
            let Some((key, _)) = chunk.first() else { continue };
            let rules = chunk.iter().map(|(_, rule)| rule.clone()).collect();
            steps.push(Step::CreateRules { key: key.clone(), rules });
        }
    }
}

fn add(key: &AddressGroupKey, members: &Members, steps: &mut Vec<Step>) {
    steps.extend(batches(&members.new).into_iter().map(|members| Step::AddAddresses { key: key.clone(), members }));
}

fn lose(key: &AddressGroupKey, members: &Members, steps: &mut Vec<Step>) {
    steps.extend(batches(&members.lost).into_iter().map(|members| Step::RemoveAddresses { key: key.clone(), members }));
}

fn delete_groups(difference: Difference, steps: &mut Vec<Step>) {
    let groups = difference.old_groups.into_iter();
    steps.extend(groups.map(|(key, id)| Step::DeleteGroup { key, id }));
    let address_groups = difference.old_address_groups.into_iter();
    steps.extend(address_groups.map(|(key, id)| Step::DeleteAddressGroup { key, id }));
}

fn batches(members: &BTreeSet<IpNet>) -> Vec<BTreeSet<IpNet>> {
    let members: Vec<IpNet> = members.iter().copied().collect();
    members.chunks(BATCH).map(|chunk| chunk.iter().copied().collect()).collect()
}
