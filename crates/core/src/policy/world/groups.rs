//! Security groups and their rules; which address groups these need.

use super::{AddressGroupEntry, Dirty, World};
use crate::policy::{
    clause::Ports,
    evaluate,
    facts::Family,
    groups::{AddressGroupKey, Direction, GroupKey, Remote, Rule, needed},
    prefix::PrefixSet,
};
use std::collections::{BTreeMap, BTreeSet};

/// Members of address groups, merged: for the groups of many policies they are the same.
pub(super) type Merged = BTreeMap<AddressGroupKey, PrefixSet>;

impl World {
    /// Brings a group up to date, or lets it go.
    pub(super) fn settle_group(&mut self, key: &GroupKey, merged: &mut Merged, dirty: &mut Dirty) {
        let rules = self.wants(key).then(|| self.work_out(key, merged));
        let entry = self.groups.get(key);
        let before = entry.map(|entry| entry.rules.clone());
        if before == rules {
            return;
        }
        let (old, new) = (named(before.as_ref()), named(rules.as_ref()));
        match rules {
            Some(rules) => self.groups.entry(key.clone()).or_default().rules = rules,
            None => drop(self.groups.remove(key)),
        }
        dirty.changes.groups.insert(key.clone());
        for key in new.difference(&old) {
            self.refer(key, dirty);
        }
        for key in old.difference(&new) {
            self.refer_no_more(key, dirty);
        }
    }

    /// A policy's group is there before the first pod that needs it, so that this pod needn't wait for it, if only one can be meant.
    fn wants(&self, key: &GroupKey) -> bool {
        let used = self.groups.get(key).is_some_and(|entry| entry.pods > 0);
        used || match key {
            GroupKey::OpenIngress | GroupKey::OpenEgress => true,
            GroupKey::Node(name) => self.nodes.contains_key(name),
            GroupKey::Policy { uid, resolution } => {
                let names = self.policies.get(uid).map(|policy| policy.compiled.ingress_names());
                resolution.is_empty() && names.is_some_and(|names| names.is_empty())
            }
            GroupKey::Together(_) | GroupKey::Own(_) | GroupKey::Decided(_) => false,
        }
    }

    fn work_out(&self, key: &GroupKey, merged: &mut Merged) -> BTreeSet<Rule> {
        let rules = match key {
            GroupKey::OpenIngress => Rule::any(Direction::Ingress, Ports::All, &Family::BOTH.into()).collect(),
            GroupKey::OpenEgress => Rule::any(Direction::Egress, Ports::All, &Family::BOTH.into()).collect(),
            GroupKey::Node(name) => evaluate::node_rules(self.nodes.get(name), &self.settings),
            GroupKey::Own(vips) => evaluate::own_rules(vips),
            GroupKey::Decided(meant) => self.decided_rules(meant),
            GroupKey::Together(policies) => {
                let vips = self.sets.get(policies).map(|set| &set.together);
                vips.map(|vips| evaluate::vip_rules(policies, vips, &self.settings)).unwrap_or_default()
            }
            GroupKey::Policy { uid, resolution } => {
                let Some(policy) = self.policies.get(uid) else { return BTreeSet::new() };
                let mut rules = evaluate::ingress(&policy.compiled, resolution, &self.settings);
                rules.extend(evaluate::egress(&policy.compiled, &self.settings, |pods, name| {
                    let numbers = self.selectors.get(pods).and_then(|selector| selector.ports.get(name));
                    numbers.into_iter().flat_map(|numbers| numbers.keys().copied()).collect()
                }));
                if !policy.compiled.opens_egress() {
                    rules.extend(evaluate::vip_rules(&[uid.clone()].into(), &policy.vips, &self.settings));
                }
                rules
            }
        };
        needed(if self.settings.abilities.address_groups { rules } else { self.spelled_out(rules, merged) })
    }

    /// Where there are no address groups: who would be in them, as prefixes, merged.
    fn spelled_out(&self, rules: BTreeSet<Rule>, merged: &mut Merged) -> BTreeSet<Rule> {
        let mut all = BTreeSet::new();
        for rule in rules {
            let Remote::Group(key) = &rule.remote else {
                all.insert(rule);
                continue;
            };
            if !merged.contains_key(key) {
                merged.insert(key.clone(), self.worked_out_members(key).into_iter().collect());
            }
            let nets = merged.get(key).map(|members| members.of_family(rule.family)).unwrap_or_default();
            all.extend(nets.prefixes().iter().map(|net| evaluate::to_net(rule.direction, rule.ports, *net)));
        }
        all
    }

    fn refer(&mut self, key: &AddressGroupKey, dirty: &mut Dirty) {
        let entry = self.address_groups.entry(key.clone()).or_default();
        entry.users += 1;
        if entry.users > 1 {
            return;
        }
        dirty.changes.address_groups.insert(key.clone());
        if let Some(selector) = key.pods().and_then(|pods| self.selectors.get_mut(pods)) {
            selector.address_groups.insert(key.clone());
        }
    }

    fn refer_no_more(&mut self, key: &AddressGroupKey, dirty: &mut Dirty) {
        let Some(AddressGroupEntry { users }) = self.address_groups.get_mut(key) else { return };
        *users = users.saturating_sub(1);
        if *users > 0 {
            return;
        }
        self.address_groups.remove(key);
        dirty.changes.address_groups.insert(key.clone());
        if let Some(selector) = key.pods().and_then(|pods| self.selectors.get_mut(pods)) {
            selector.address_groups.remove(key);
        }
    }
}

/// The address groups that rules name.
fn named(rules: Option<&BTreeSet<Rule>>) -> BTreeSet<AddressGroupKey> {
    let remotes = rules.into_iter().flatten().map(|rule| &rule.remote);
    remotes
        .filter_map(|remote| match remote {
            Remote::Group(key) => Some(key.clone()),
            Remote::Any | Remote::Prefix(_) => None,
        })
        .collect()
}
