//! Policies come, go, and change.

use super::{
    Dirty, PodEntry, PolicyEntry, Target, World,
    entries::{SelectorEntry, User, first_of},
};
use crate::policy::{
    clause::Compiled,
    evaluate::{self, Known},
    facts::{Policy, Uid},
    groups::GroupKey,
    read::read,
    selector::Pods,
};
use std::{collections::BTreeSet, sync::Arc};

impl World {
    pub(super) fn put_policy(&mut self, policy: &Policy, dirty: &mut Dirty) {
        let (compiled, problems) = read(policy);
        let uid = compiled.uid.clone();
        let old = self.policies.get(&uid).map(|entry| (entry.compiled.clone(), entry.problems == problems));
        if old.as_ref().is_some_and(|(before, same)| *same && *before == compiled) {
            return;
        }
        let old = old.map(|(before, _)| before);
        let user = User::Policy(uid.clone());
        self.register_selectors(&user, &old.as_ref().map(Compiled::pods).unwrap_or_default(), &compiled.pods(), dirty);
        if let Some(entry) = self.policies.get_mut(&uid) {
            (entry.compiled, entry.problems) = (compiled.clone(), problems);
        } else {
            self.namespace(&compiled.namespace).policies.insert(uid.clone());
            let (selected, vips, sets) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
            let entry = PolicyEntry { compiled: compiled.clone(), problems, selected, vips, sets };
            self.policies.insert(uid.clone(), entry);
        }
        if compiled.is_broad() {
            self.broad.insert(uid.clone())
        } else {
            self.broad.remove(&uid)
        };
        if old.as_ref().is_none_or(|old| old.selector != compiled.selector) {
            self.select_pods(&compiled, dirty);
        }
        if old.as_ref().map_or(compiled.egress.is_some(), |old| old.egress != compiled.egress) {
            self.reconsider_targets(&compiled, dirty);
        }
        dirty.pods.extend(self.policies.get(&uid).iter().flat_map(|entry| entry.selected.iter().cloned()));
        dirty.meant.extend(self.meant_by(&[user].into()));
        dirty.groups.insert(first_of(&uid));
        dirty.changes.policies.insert(uid.clone());
        dirty.policies.insert(uid);
    }

    pub(super) fn drop_policy(&mut self, uid: &Uid, dirty: &mut Dirty) {
        let Some(entry) = self.policies.remove(uid) else { return };
        for pod in &entry.selected {
            self.pods.get_mut(pod).map(|pod| pod.policies.remove(uid));
        }
        dirty.pods.extend(entry.selected);
        self.register_selectors(&User::Policy(uid.clone()), &entry.compiled.pods(), &BTreeSet::new(), dirty);
        self.broad.remove(uid);
        for target in self.targets.values_mut() {
            if target.allowed.remove(uid) {
                dirty.vips.extend(target.vips.iter().copied());
            }
        }
        let namespace = &entry.compiled.namespace;
        self.namespace(namespace).policies.remove(uid);
        self.forget_namespace(namespace);
        dirty.groups.extend(self.groups_of_policy(uid));
        dirty.groups.insert(first_of(uid));
        dirty.changes.policies.insert(uid.clone());
    }

    /// All groups of a policy that there are.
    pub(super) fn groups_of_policy(&self, uid: &Uid) -> Vec<GroupKey> {
        let groups = self.groups.range(first_of(uid)..).map(|(key, _)| key);
        groups.take_while(|key| key.policy() == Some(uid)).cloned().collect()
    }

    /// A policy has other selectors than before.
    pub(super) fn register_selectors(
        &mut self,
        user: &User,
        old: &BTreeSet<Arc<Pods>>,
        new: &BTreeSet<Arc<Pods>>,
        dirty: &mut Dirty,
    ) {
        for pods in old.difference(new) {
            self.unregister(user, pods, dirty);
        }
        for pods in new.difference(old) {
            self.register(user, pods, dirty);
        }
    }

    /// A selector that is new to the world is held against all pods that it can mean.
    fn register(&mut self, user: &User, pods: &Arc<Pods>, dirty: &mut Dirty) {
        if let Some(entry) = self.selectors.get_mut(pods) {
            entry.users.insert(user.clone());
            return;
        }
        let entry = SelectorEntry { users: [user.clone()].into(), ..SelectorEntry::default() };
        self.selectors.insert(Arc::clone(pods), entry);
        let mut meant = Vec::new();
        for (name, namespace) in &mut self.namespaces {
            if pods.in_namespace(name, namespace.labels.as_ref()) {
                namespace.selectors.insert(Arc::clone(pods));
                meant.extend(namespace.pods.iter().cloned());
            }
        }
        for uid in meant {
            let Some(PodEntry { pod, selectors, .. }) = self.pods.get_mut(&uid) else { continue };
            if pod.counts() && pods.pods.matches(&pod.labels) {
                selectors.insert(Arc::clone(pods));
                let pod = pod.clone();
                self.match_pod(pods, &pod, dirty);
            }
        }
    }

    fn unregister(&mut self, user: &User, pods: &Arc<Pods>, dirty: &mut Dirty) {
        if let Some(entry) = self.selectors.get_mut(pods) {
            entry.users.remove(user);
            dirty.unused.insert(Arc::clone(pods));
        }
    }

    /// Forgets selectors that no policy has any longer.
    pub(super) fn forget_selectors(&mut self, unused: BTreeSet<Arc<Pods>>) {
        for pods in unused {
            if self.selectors.get(&pods).is_none_or(|entry| !entry.users.is_empty()) {
                continue;
            }
            let Some(entry) = self.selectors.remove(&pods) else { continue };
            for uid in entry.members {
                self.pods.get_mut(&uid).map(|pod| pod.selectors.remove(&pods));
            }
            for namespace in self.namespaces.values_mut() {
                namespace.selectors.remove(&pods);
            }
        }
    }

    /// Which pods a policy selects, whatever it selected before.
    fn select_pods(&mut self, policy: &Compiled, dirty: &mut Dirty) {
        let uids = self.namespaces.get(&policy.namespace).map(|namespace| namespace.pods.clone()).unwrap_or_default();
        for uid in uids {
            let Some(PodEntry { pod, policies, .. }) = self.pods.get_mut(&uid) else { continue };
            let selects = pod.counts() && policy.selector.matches(&pod.labels);
            let changed = if selects { policies.insert(policy.uid.clone()) } else { policies.remove(&policy.uid) };
            let Some(entry) = self.policies.get_mut(&policy.uid).filter(|_| changed) else { continue };
            if selects {
                entry.selected.insert(uid.clone())
            } else {
                entry.selected.remove(&uid)
            };
            dirty.pods.insert(uid);
        }
    }

    /// Which backends a policy allows, whatever it allowed before.
    fn reconsider_targets(&mut self, policy: &Compiled, dirty: &mut Dirty) {
        let targets: Vec<(Target, bool)> =
            self.targets.keys().map(|target| (*target, self.allows(policy, target))).collect();
        for (target, allows) in targets {
            let Some(entry) = self.targets.get_mut(&target) else { continue };
            let changed =
                if allows { entry.allowed.insert(policy.uid.clone()) } else { entry.allowed.remove(&policy.uid) };
            if changed {
                dirty.vips.extend(entry.vips.iter().copied());
            }
        }
    }

    pub(super) fn allows(&self, policy: &Compiled, target: &Target) -> bool {
        let pods = self.addresses.get(&target.address).into_iter().flatten().filter_map(|uid| self.pods.get(uid));
        let pods: Vec<Known<'_>> = pods.map(|entry| (&entry.pod, &entry.selectors)).collect();
        evaluate::admits(policy, target.protocol, target.backend(), &pods, &self.settings)
    }
}
