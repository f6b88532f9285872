//! ClusterNetworkPolicies come, go, and change; by what pods are meant that are their subjects.

use super::{
    Dirty, PodEntry, World,
    entries::{ClusterEntry, User},
};
use crate::policy::{
    clause::Resolution,
    cluster::{ClusterPolicy, Meant, Ranked, Tiers, read},
    evaluate,
    facts::{Name, Uid},
    selector::Pods,
};
use std::{collections::BTreeSet, sync::Arc};

impl World {
    pub(super) fn put_cluster_policy(&mut self, policy: &ClusterPolicy, dirty: &mut Dirty) {
        let (ranked, refusals) = read(policy);
        let old = self.cluster.get(&policy.name);
        if old.is_some_and(|old| old.ranked == ranked && old.refusals == refusals) {
            return;
        }
        let old = old.map(|old| old.ranked.clone());
        let user = User::Cluster(policy.name.clone());
        self.register_selectors(&user, &old.as_ref().map(Ranked::pods).unwrap_or_default(), &ranked.pods(), dirty);
        if let Some(before) = old.and_then(|old| old.subject) {
            self.set_subject(&policy.name, &before, false, dirty);
        }
        if let Some(now) = &ranked.subject {
            self.set_subject(&policy.name, now, true, dirty);
        }
        self.cluster.insert(policy.name.clone(), ClusterEntry { ranked, refusals });
        dirty.meant.extend(self.meant_by(&[user].into()));
        dirty.changes.cluster_policies.insert(policy.name.clone());
    }

    pub(super) fn drop_cluster_policy(&mut self, name: &Name, dirty: &mut Dirty) {
        let Some(ClusterEntry { ranked, .. }) = self.cluster.remove(name) else { return };
        self.register_selectors(&User::Cluster(name.clone()), &ranked.pods(), &BTreeSet::new(), dirty);
        if let Some(before) = ranked.subject {
            self.set_subject(name, &before, false, dirty);
        }
        dirty.changes.cluster_policies.insert(name.clone());
    }

    /// All pods of the subject are looked at again, also where it stays the same: other names of ports may matter now.
    fn set_subject(&mut self, name: &Name, pods: &Arc<Pods>, is: bool, dirty: &mut Dirty) {
        let names = self.subjects.entry(Arc::clone(pods)).or_default();
        if is {
            names.insert(name.clone())
        } else {
            names.remove(name)
        };
        if names.is_empty() {
            self.subjects.remove(pods);
        }
        dirty.pods.extend(self.selectors.get(pods).into_iter().flat_map(|entry| entry.members.iter().cloned()));
    }

    /// What means a pod. None: no ClusterNetworkPolicy does.
    fn meant(&self, entry: &PodEntry) -> Option<Meant> {
        let subjects = self.subjects.iter().filter(|(pods, _)| entry.selectors.contains(*pods));
        let cluster: BTreeSet<Name> = subjects.flat_map(|(_, names)| names.iter().cloned()).collect();
        if cluster.is_empty() {
            return None;
        }
        let mut meant = Meant { cluster, policies: entry.policies.clone(), numbers: Resolution::new() };
        meant.numbers = evaluate::resolve(self.tiers(&meant).ingress_names(), &entry.pod);
        Some(meant)
    }

    /// The policies by which pods are meant.
    pub(super) fn tiers(&self, meant: &Meant) -> Tiers<'_> {
        let cluster = meant.cluster.iter().filter_map(|name| self.cluster.get(name)).map(|entry| &entry.ranked);
        let policies = meant.policies.iter().filter_map(|uid| self.policies.get(uid)).map(|entry| &entry.compiled);
        Tiers { cluster: cluster.collect(), policies: policies.collect() }
    }

    /// By what pods are meant that one of these means.
    pub(super) fn meant_by(&self, users: &BTreeSet<User>) -> Vec<Arc<Meant>> {
        let meant = self.decided.keys().filter(|meant| users.iter().any(|user| user.is_of(meant)));
        meant.cloned().collect()
    }

    pub(super) fn settle_meant(&mut self, uid: &Uid, dirty: &mut Dirty) {
        let Some(entry) = self.pods.get(uid) else { return };
        let now = self.meant(entry);
        if entry.meant.as_deref() == now.as_ref() {
            return;
        }
        self.dirty_own_vips(&entry.pod, dirty);
        self.leave_meant(uid, dirty);
        if let Some(now) = now {
            self.join_meant(uid, now, dirty);
        }
    }

    fn join_meant(&mut self, uid: &Uid, now: Meant, dirty: &mut Dirty) {
        let known = self.decided.get_key_value(&now).map(|(meant, _)| Arc::clone(meant));
        let meant = known.unwrap_or_else(|| {
            let meant = Arc::new(now);
            dirty.meant.insert(Arc::clone(&meant));
            meant
        });
        self.decided.entry(Arc::clone(&meant)).or_default().pods.insert(uid.clone());
        if let Some(entry) = self.pods.get_mut(uid) {
            entry.meant = Some(meant);
        }
    }

    pub(super) fn leave_meant(&mut self, uid: &Uid, dirty: &mut Dirty) {
        let Some(meant) = self.pods.get_mut(uid).and_then(|entry| entry.meant.take()) else { return };
        let Some(entry) = self.decided.get_mut(&meant) else { return };
        entry.pods.remove(uid);
        if !entry.pods.is_empty() {
            return;
        }
        let Some(entry) = self.decided.remove(&meant) else { return };
        dirty.meant.remove(&meant);
        for decision in entry.decisions() {
            self.let_go(&decision, &meant, dirty);
        }
        if !entry.parts.is_empty() {
            dirty.changes.tell(&meant);
        }
    }
}
