//! Works out what follows from a change, in the order in which one thing follows from another.

use super::{
    Changes, Dirty, PodEntry, Set, World,
    entries::{SetEntry, User},
    groups::Merged,
};
use crate::policy::{
    evaluate,
    facts::{Pod, Uid},
    groups::{GroupKey, Vip},
};
use std::{collections::BTreeSet, sync::Arc};

impl World {
    pub(super) fn settle(&mut self, mut dirty: Dirty) -> Changes {
        for target in std::mem::take(&mut dirty.targets) {
            self.settle_target(target, &mut dirty);
        }
        for uid in dirty.pods.clone() {
            self.settle_meant(&uid, &mut dirty);
            self.settle_egress(&uid, &mut dirty);
        }
        self.settle_decisions(&mut dirty);
        for set in std::mem::take(&mut dirty.sets) {
            self.settle_set(&set, &mut dirty);
        }
        for vip in std::mem::take(&mut dirty.vips) {
            self.settle_vip(vip, &mut dirty);
        }
        self.settle_members(&mut dirty);
        for uid in std::mem::take(&mut dirty.pods) {
            self.settle_pod(&uid, &mut dirty);
        }
        for uid in std::mem::take(&mut dirty.policies) {
            dirty.groups.extend(self.groups_of_policy(&uid));
        }
        let mut merged = Merged::new();
        for key in std::mem::take(&mut dirty.groups) {
            self.settle_group(&key, &mut merged, &mut dirty);
        }
        self.forget_selectors(dirty.unused);
        self.forget_decisions(dirty.undecided);
        dirty.changes
    }

    /// Which policies isolate a pod for egress.
    fn settle_egress(&mut self, uid: &Uid, dirty: &mut Dirty) {
        let Some(PodEntry { pod, policies, egress, meant, .. }) = self.pods.get(uid) else { return };
        let policies = policies.iter().filter_map(|uid| self.policies.get(uid)).map(|entry| &entry.compiled);
        let isolating: Vec<_> = policies.filter(|policy| policy.egress.is_some()).collect();
        let with_rules = isolating.iter().filter(|policy| policy.has_egress_rules()).map(|policy| policy.uid.clone());
        let now: Option<Set> = (!isolating.is_empty() && meant.is_none()).then(|| Arc::new(with_rules.collect()));
        if *egress == now {
            return;
        }
        self.dirty_own_vips(pod, dirty);
        self.leave_set(uid, dirty);
        let Some(set) = now else { return };
        self.join_set(uid, &set, dirty);
    }

    /// The Services that it may be behind: whether it may reach them is asked of their backends.
    pub(super) fn dirty_own_vips(&self, pod: &Pod, dirty: &mut Dirty) {
        for target in pod.addresses.iter().flat_map(|address| self.targets.range(super::Target::all_of(*address))) {
            dirty.vips.extend(target.1.vips.iter().copied());
        }
    }

    fn join_set(&mut self, uid: &Uid, set: &Set, dirty: &mut Dirty) {
        let entry = self.sets.entry(Arc::clone(set)).or_insert_with(|| {
            dirty.sets.insert(Arc::clone(set));
            dirty.changes.policies.extend(set.iter().cloned());
            SetEntry::default()
        });
        entry.pods.insert(uid.clone());
        for policy in set.iter() {
            self.policies.get_mut(policy).map(|policy| policy.sets.insert(Arc::clone(set)));
        }
        if let Some(pod) = self.pods.get_mut(uid) {
            pod.egress = Some(Arc::clone(set));
        }
    }

    pub(super) fn leave_set(&mut self, uid: &Uid, dirty: &mut Dirty) {
        let Some(set) = self.pods.get_mut(uid).and_then(|pod| pod.egress.take()) else { return };
        let Some(entry) = self.sets.get_mut(&set) else { return };
        entry.pods.remove(uid);
        if !entry.pods.is_empty() {
            return;
        }
        let together = std::mem::take(&mut entry.together);
        self.sets.remove(&set);
        dirty.sets.remove(&set);
        dirty.changes.policies.extend(set.iter().cloned());
        for policy in set.iter() {
            self.policies.get_mut(policy).map(|policy| policy.sets.remove(&set));
        }
        for vip in together {
            self.vips.get_mut(&vip).map(|entry| entry.together.remove(&set));
        }
    }

    /// Other members: other address groups. Without address groups, and where a port's name has a new number, other rules.
    fn settle_members(&mut self, dirty: &mut Dirty) {
        for pods in std::mem::take(&mut dirty.members) {
            let Some(entry) = self.selectors.get(&pods) else { continue };
            dirty.changes.address_groups.extend(entry.address_groups.iter().cloned());
            if !self.settings.abilities.address_groups {
                dirty.policies.extend(entry.users.iter().filter_map(User::policy).cloned());
                dirty.groups.extend(self.meant_by(&entry.users).into_iter().map(GroupKey::Decided));
            }
        }
        for pods in std::mem::take(&mut dirty.ports) {
            let users = self.selectors.get(&pods).into_iter().flat_map(|entry| &entry.users);
            dirty.policies.extend(users.filter_map(User::policy).cloned());
        }
    }

    fn settle_pod(&mut self, uid: &Uid, dirty: &mut Dirty) {
        let Some(entry) = self.pods.get(uid) else { return };
        let now = self.groups_of(entry);
        if now == entry.groups {
            return;
        }
        let Some(entry) = self.pods.get_mut(uid) else { return };
        let before = std::mem::replace(&mut entry.groups, now.clone());
        for key in now.difference(&before) {
            if !self.groups.contains_key(key) {
                dirty.changes.groups.insert(key.clone());
                dirty.groups.insert(key.clone());
            }
            self.groups.entry(key.clone()).or_default().pods += 1;
        }
        self.leave_groups(&(&before - &now), dirty);
        dirty.changes.pods.insert(uid.clone());
    }

    /// A pod has these groups no more. One that no pod has may go.
    pub(super) fn leave_groups(&mut self, groups: &BTreeSet<GroupKey>, dirty: &mut Dirty) {
        for key in groups {
            let Some(entry) = self.groups.get_mut(key) else { continue };
            entry.pods = entry.pods.saturating_sub(1);
            if entry.pods == 0 {
                dirty.groups.insert(key.clone());
            }
        }
    }

    fn groups_of(&self, entry: &PodEntry) -> BTreeSet<GroupKey> {
        let pod = &entry.pod;
        if !pod.counts() {
            return BTreeSet::new();
        }
        let mut groups: BTreeSet<GroupKey> = pod.node.iter().map(|node| GroupKey::Node(node.clone())).collect();
        let own: BTreeSet<Vip> = self.own_vips(entry);
        if !own.is_empty() {
            groups.insert(GroupKey::Own(own));
        }
        if let Some(meant) = &entry.meant {
            groups.insert(GroupKey::Decided(Arc::clone(meant)));
            return groups;
        }
        let policies = entry.policies.iter().filter_map(|uid| self.policies.get(uid)).map(|entry| &entry.compiled);
        let mut isolated = false;
        for policy in policies {
            isolated |= policy.ingress.is_some();
            let resolution = evaluate::resolution(policy, pod);
            groups.insert(GroupKey::Policy { uid: policy.uid.clone(), resolution });
        }
        if !isolated {
            groups.insert(GroupKey::OpenIngress);
        }
        let Some(set) = &entry.egress else {
            groups.insert(GroupKey::OpenEgress);
            return groups;
        };
        if self.sets.get(set).is_some_and(|set| !set.together.is_empty()) {
            groups.insert(GroupKey::Together(BTreeSet::clone(set)));
        }
        groups
    }

    fn own_vips(&self, entry: &PodEntry) -> BTreeSet<Vip> {
        let targets =
            entry.pod.addresses.iter().flat_map(|address| self.targets.range(super::Target::all_of(*address)));
        let vips: BTreeSet<Vip> = targets.flat_map(|(_, target)| target.vips.iter().copied()).collect();
        let own = |vip: &Vip| self.vips.get(vip).is_some_and(|vip| vip.own.contains(&entry.pod.uid));
        vips.into_iter().filter(own).collect()
    }
}
