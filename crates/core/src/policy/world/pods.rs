//! Pods and namespaces come, go, and change.

use super::{Dirty, NamespaceEntry, PodEntry, Target, World};
use crate::policy::{
    facts::{Labels, Name, Pod, Uid},
    selector::Pods,
};
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

impl World {
    /// The entry of a namespace. A new one has the selectors that can mean it.
    pub(super) fn namespace(&mut self, name: &Name) -> &mut NamespaceEntry {
        let selectors = &self.selectors;
        self.namespaces.entry(name.clone()).or_insert_with(|| {
            let meant = selectors.keys().filter(|pods| pods.in_namespace(name, None));
            NamespaceEntry { selectors: meant.cloned().collect(), ..NamespaceEntry::default() }
        })
    }

    /// Forgets a namespace of which nothing is known.
    pub(super) fn forget_namespace(&mut self, name: &Name) {
        let empty =
            |entry: &NamespaceEntry| entry.labels.is_none() && entry.pods.is_empty() && entry.policies.is_empty();
        if self.namespaces.get(name).is_some_and(empty) {
            self.namespaces.remove(name);
        }
    }

    pub(super) fn relabel_namespace(&mut self, name: &Name, labels: Option<Labels>, dirty: &mut Dirty) {
        if labels.is_none() && !self.namespaces.contains_key(name) {
            return;
        }
        let selectors = self.selectors.keys().filter(|pods| pods.in_namespace(name, labels.as_ref()));
        let selectors: BTreeSet<Arc<Pods>> = selectors.cloned().collect();
        let entry = self.namespace(name);
        let same = entry.selectors == selectors;
        entry.labels = labels;
        entry.selectors = selectors;
        let pods = if same { BTreeSet::new() } else { entry.pods.clone() };
        for uid in pods {
            self.select_again(&uid, dirty);
        }
        self.forget_namespace(name);
    }

    pub(super) fn put_pod(&mut self, pod: &Pod, dirty: &mut Dirty) {
        let uid = &pod.uid;
        let old = self.pods.get(uid).map(|entry| entry.pod.clone());
        if old.as_ref() == Some(pod) {
            return;
        }
        match &old {
            Some(old) => self.replace_pod(old, pod, dirty),
            None => self.new_pod(pod, dirty),
        }
        self.select_again(uid, dirty);
        dirty.pods.insert(uid.clone());
    }

    fn new_pod(&mut self, pod: &Pod, dirty: &mut Dirty) {
        let (selectors, policies) = (BTreeSet::new(), BTreeSet::new());
        let (egress, meant, groups) = (None, None, BTreeSet::new());
        let entry = PodEntry { pod: pod.clone(), selectors, policies, egress, meant, groups };
        self.pods.insert(pod.uid.clone(), entry);
        self.namespace(&pod.namespace).pods.insert(pod.uid.clone());
        self.readdress(&pod.uid, None, Some(pod), dirty);
    }

    /// The facts are others, the pod is the same.
    fn replace_pod(&mut self, old: &Pod, pod: &Pod, dirty: &mut Dirty) {
        let Some(entry) = self.pods.get_mut(&pod.uid) else { return };
        entry.pod = pod.clone();
        let selectors = entry.selectors.clone();
        if old.addresses != pod.addresses {
            dirty.members.extend(selectors.iter().cloned());
            self.readdress(&pod.uid, Some(old), Some(pod), dirty);
        }
        if old.ports != pod.ports {
            dirty.members.extend(selectors.iter().cloned());
            for pods in selectors {
                let Some(selector) = self.selectors.get_mut(&pods) else { continue };
                let (new, gone) = (selector.add_ports(pod), selector.remove_ports(old));
                if new || gone {
                    dirty.ports.insert(pods);
                }
            }
            self.dirty_targets(pod, dirty);
            self.dirty_addresses(pod, dirty);
        }
    }

    pub(super) fn drop_pod(&mut self, uid: &Uid, dirty: &mut Dirty) {
        let Some(entry) = self.pods.get(uid) else { return };
        let pod = entry.pod.clone();
        self.select(uid, &BTreeSet::new(), &BTreeSet::new(), dirty);
        self.readdress(uid, Some(&pod), None, dirty);
        self.leave_set(uid, dirty);
        self.leave_meant(uid, dirty);
        self.namespace(&pod.namespace).pods.remove(uid);
        self.forget_namespace(&pod.namespace);
        if let Some(entry) = self.pods.remove(uid) {
            self.leave_groups(&entry.groups, dirty);
        }
        if pod.counts() {
            dirty.changes.pods.insert(uid.clone());
        }
    }

    /// Which pod has which address. Only those that count have any.
    fn readdress(&mut self, uid: &Uid, old: Option<&Pod>, new: Option<&Pod>, dirty: &mut Dirty) {
        let both = || [old, new].into_iter().flatten().filter(|pod| pod.counts());
        for pod in both() {
            self.dirty_targets(pod, dirty);
            self.dirty_addresses(pod, dirty);
        }
        for address in old.iter().filter(|pod| pod.counts()).flat_map(|pod| &pod.addresses) {
            if let Some(uids) = self.addresses.get_mut(address) {
                uids.remove(uid);
                if uids.is_empty() {
                    self.addresses.remove(address);
                }
            }
        }
        for address in new.iter().filter(|pod| pod.counts()).flat_map(|pod| &pod.addresses) {
            self.addresses.entry(*address).or_default().insert(uid.clone());
        }
        for address in both().flat_map(|pod| &pod.addresses) {
            self.note_stray(*address, dirty);
        }
    }

    /// The backends that a pod is, and the load balancers' ports that lead to it.
    pub(super) fn dirty_targets(&self, pod: &Pod, dirty: &mut Dirty) {
        pod.addresses.iter().for_each(|address| self.dirty_backends_at(*address, dirty));
    }

    /// The backends at an address, and the load balancers' ports that lead there.
    pub(super) fn dirty_backends_at(&self, address: IpAddr, dirty: &mut Dirty) {
        for (target, entry) in self.targets.range(Target::all_of(address)) {
            dirty.targets.insert(*target);
            dirty.vips.extend(entry.vips.iter().copied());
        }
    }

    /// Works out anew which selectors and policies mean a pod.
    pub(super) fn select_again(&mut self, uid: &Uid, dirty: &mut Dirty) {
        let Some(PodEntry { pod, .. }) = self.pods.get(uid) else { return };
        let Some(namespace) = self.namespaces.get(&pod.namespace).filter(|_| pod.counts()) else { return };
        let selectors = namespace.selectors.iter().filter(|pods| pods.pods.matches(&pod.labels));
        let selectors: BTreeSet<Arc<Pods>> = selectors.cloned().collect();
        let selects =
            |uid: &&Uid| self.policies.get(*uid).is_some_and(|policy| policy.compiled.selector.matches(&pod.labels));
        let policies: BTreeSet<Uid> = namespace.policies.iter().filter(selects).cloned().collect();
        self.select(uid, &selectors, &policies, dirty);
    }

    fn select(&mut self, uid: &Uid, selectors: &BTreeSet<Arc<Pods>>, policies: &BTreeSet<Uid>, dirty: &mut Dirty) {
        let Some(entry) = self.pods.get_mut(uid) else { return };
        let before = std::mem::replace(&mut entry.selectors, selectors.clone());
        let policies_before = std::mem::replace(&mut entry.policies, policies.clone());
        let pod = entry.pod.clone();
        for pods in before.difference(selectors) {
            self.unmatch(pods, &pod, dirty);
        }
        for pods in selectors.difference(&before) {
            self.match_pod(pods, &pod, dirty);
        }
        if before != *selectors {
            self.dirty_targets(&pod, dirty);
            self.dirty_addresses(&pod, dirty);
        }
        if before.symmetric_difference(selectors).any(|pods| self.subjects.contains_key(pods)) {
            dirty.pods.insert(uid.clone());
        }
        for policy in policies_before.symmetric_difference(policies) {
            dirty.pods.insert(uid.clone());
            let Some(entry) = self.policies.get_mut(policy) else { continue };
            if policies.contains(policy) {
                entry.selected.insert(uid.clone())
            } else {
                entry.selected.remove(uid)
            };
        }
    }

    /// A pod is meant by a selector that didn't mean it before.
    pub(super) fn match_pod(&mut self, pods: &Arc<Pods>, pod: &Pod, dirty: &mut Dirty) {
        let Some(selector) = self.selectors.get_mut(pods) else { return };
        selector.members.insert(pod.uid.clone());
        if selector.add_ports(pod) {
            dirty.ports.insert(Arc::clone(pods));
        }
        dirty.members.insert(Arc::clone(pods));
    }

    fn unmatch(&mut self, pods: &Arc<Pods>, pod: &Pod, dirty: &mut Dirty) {
        let Some(selector) = self.selectors.get_mut(pods) else { return };
        selector.members.remove(&pod.uid);
        if selector.remove_ports(pod) {
            dirty.ports.insert(Arc::clone(pods));
        }
        dirty.members.insert(Arc::clone(pods));
    }
}
