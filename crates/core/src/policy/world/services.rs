//! Services come, go, and change; which of their ports are open to whom.

use super::{
    Dirty, PodEntry, Set, Target, VipEntry, World,
    entries::{TargetEntry, User},
};
use crate::policy::{
    facts::{Service, Uid},
    groups::{AddressGroupKey, GroupKey, Vip},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

/// A load balancer's ports, and where they lead. A load balancer sends to backends of the family that it was reached by.
fn vips_of(service: &Service) -> BTreeMap<Vip, BTreeSet<Target>> {
    let mut vips = BTreeMap::new();
    for (&(protocol, port), backends) in &service.ports {
        for &address in &service.vips {
            let backends = backends.iter().filter(|backend| backend.address.is_ipv4() == address.is_ipv4());
            let targets = backends.map(|backend| Target { address: backend.address, protocol, port: backend.port });
            vips.insert(Vip { protocol, port, address }, targets.collect());
        }
    }
    vips
}

impl World {
    pub(super) fn put_service(&mut self, uid: &Uid, service: Option<&Service>, dirty: &mut Dirty) {
        let old = self.services.get(uid);
        if old == service {
            return;
        }
        let (old, new) = (old.map(vips_of).unwrap_or_default(), service.map(vips_of).unwrap_or_default());
        match service {
            Some(service) => self.services.insert(uid.clone(), service.clone()),
            None => self.services.remove(uid),
        };
        let vips: BTreeSet<Vip> = old.keys().chain(new.keys()).copied().collect();
        for vip in vips {
            if old.get(&vip) != new.get(&vip) {
                self.put_vip(uid, vip, new.get(&vip), dirty);
            }
        }
    }

    fn put_vip(&mut self, service: &Uid, vip: Vip, new: Option<&BTreeSet<Target>>, dirty: &mut Dirty) {
        dirty.vips.insert(vip);
        let entry = self.vips.entry(vip).or_default();
        let before: BTreeSet<Target> = entry.targets().copied().collect();
        match new {
            Some(targets) => entry.services.insert(service.clone(), targets.clone()),
            None => entry.services.remove(service),
        };
        let after: BTreeSet<Target> = entry.targets().copied().collect();
        for target in before.difference(&after) {
            let Some(entry) = self.targets.get_mut(target) else { continue };
            dirty.changes.policies.extend(entry.allowed.iter().cloned());
            entry.vips.remove(&vip);
            if entry.vips.is_empty() {
                self.targets.remove(target);
            }
        }
        for target in after.difference(&before) {
            self.targets.entry(*target).or_insert_with(|| {
                dirty.targets.insert(*target);
                TargetEntry::default()
            });
            self.targets.entry(*target).and_modify(|entry| {
                entry.vips.insert(vip);
            });
        }
    }

    /// Which policies allow a backend.
    pub(super) fn settle_target(&mut self, target: Target, dirty: &mut Dirty) {
        if !self.targets.contains_key(&target) {
            return;
        }
        let mut candidates: BTreeSet<&Uid> = self.broad.iter().collect();
        let pods = self.addresses.get(&target.address).into_iter().flatten().filter_map(|uid| self.pods.get(uid));
        for selector in pods.flat_map(|entry| &entry.selectors).filter_map(|pods| self.selectors.get(pods)) {
            candidates.extend(selector.users.iter().filter_map(User::policy));
        }
        let policies = candidates.into_iter().filter_map(|uid| self.policies.get(uid));
        let allowing = policies.filter(|entry| self.allows(&entry.compiled, &target));
        let allowed: BTreeSet<Uid> = allowing.map(|entry| entry.compiled.uid.clone()).collect();
        let Some(entry) = self.targets.get_mut(&target) else { return };
        if entry.allowed != allowed {
            dirty.vips.extend(entry.vips.iter().copied());
            let before = std::mem::replace(&mut entry.allowed, allowed);
            dirty.changes.policies.extend(before);
        }
    }

    /// Who may use a load balancer's port.
    pub(super) fn settle_vip(&mut self, vip: Vip, dirty: &mut Dirty) {
        self.settle_decided_vip(vip, dirty);
        let Some(entry) = self.vips.get(&vip) else { return };
        let allowed = self.allowed(entry);
        let (together, own) = (self.together(entry, &allowed), self.own(entry));
        // Of a policy that allows all backends, and did before, nothing else is to be told.
        let whole = &allowed & &entry.allowed;
        let targets = entry.targets().filter_map(|target| self.targets.get(target));
        dirty.changes.policies.extend(targets.flat_map(|target| target.allowed.difference(&whole).cloned()));
        let Some(entry) = self.vips.get_mut(&vip) else { return };
        let allowed_before = std::mem::replace(&mut entry.allowed, allowed.clone());
        let together_before = std::mem::replace(&mut entry.together, together.clone());
        let own_before = std::mem::replace(&mut entry.own, own.clone());
        if entry.services.is_empty() {
            self.vips.remove(&vip);
        }
        for uid in allowed_before.symmetric_difference(&allowed) {
            self.set_allowed(uid, vip, allowed.contains(uid), dirty);
        }
        for set in together_before.symmetric_difference(&together) {
            self.set_together(set, vip, together.contains(set), dirty);
        }
        dirty.pods.extend(own_before.symmetric_difference(&own).cloned());
    }

    /// The policies that allow all backends, each alone. A Service without backends is closed.
    fn allowed(&self, entry: &VipEntry) -> BTreeSet<Uid> {
        let mut targets = entry.targets().filter_map(|target| self.targets.get(target));
        let mut allowed = targets.next().map(|target| target.allowed.clone()).unwrap_or_default();
        for target in targets {
            if allowed.is_empty() {
                break;
            }
            allowed.retain(|uid| target.allowed.contains(uid));
        }
        allowed
    }

    /// The sets of policies that allow all backends, but none of them alone. Such a set has a policy that allows the one backend which the
    /// fewest policies allow that don't allow all.
    fn together(&self, entry: &VipEntry, allowed: &BTreeSet<Uid>) -> BTreeSet<Set> {
        let targets = entry.targets().filter_map(|target| self.targets.get(target));
        let rarest = targets.min_by_key(|target| target.allowed.len()).map(|target| &target.allowed);
        let policies = rarest.into_iter().flat_map(|some| some.difference(allowed));
        let sets: BTreeSet<&Set> =
            policies.filter_map(|uid| self.policies.get(uid)).flat_map(|policy| &policy.sets).collect();
        sets.into_iter().filter(|set| self.is_together(set, entry, allowed)).cloned().collect()
    }

    fn is_together(&self, set: &Set, entry: &VipEntry, allowed: &BTreeSet<Uid>) -> bool {
        let mut targets = entry.targets().filter_map(|target| self.targets.get(target)).peekable();
        set.len() > 1
            && set.iter().all(|uid| !allowed.contains(uid))
            && targets.peek().is_some()
            && targets.all(|target| set.iter().any(|uid| target.allowed.contains(uid)))
    }

    /// The pods that may not reach the Service only because they are behind it themselves. The same for all pods with the same policies
    /// but for which of the backends it is, so that the backends are looked through once for each set of policies.
    fn own(&self, entry: &VipEntry) -> BTreeSet<Uid> {
        let mut closed = BTreeMap::new();
        let addresses: BTreeSet<IpAddr> = entry.targets().map(|target| target.address).collect();
        let pods = addresses.iter().flat_map(|address| self.addresses.get(address)).flatten();
        let mut own = BTreeSet::new();
        for PodEntry { pod, egress, meant, .. } in pods.filter_map(|uid| self.pods.get(uid)) {
            let closed = closed.entry((egress.as_ref(), meant.as_ref())).or_insert_with(|| match (egress, meant) {
                (_, Some(meant)) => self.closed_to(meant, entry),
                (Some(set), None) => self.closed(entry, set),
                (None, None) => BTreeSet::new(),
            });
            if !closed.is_empty() && closed.is_subset(&pod.addresses) {
                own.insert(pod.uid.clone());
            }
        }
        own
    }

    /// The addresses of the backends that none of the policies allows.
    fn closed(&self, entry: &VipEntry, set: &Set) -> BTreeSet<IpAddr> {
        let closed = entry.targets().filter(|target| {
            self.targets.get(target).is_none_or(|entry| !set.iter().any(|uid| entry.allowed.contains(uid)))
        });
        closed.map(|target| target.address).collect()
    }

    fn set_allowed(&mut self, uid: &Uid, vip: Vip, allowed: bool, dirty: &mut Dirty) {
        let Some(policy) = self.policies.get_mut(uid) else { return };
        if allowed {
            policy.vips.insert(vip)
        } else {
            policy.vips.remove(&vip)
        };
        dirty.policies.insert(uid.clone());
        self.touch_vips([uid.clone()].into(), vip, dirty);
    }

    fn set_together(&mut self, set: &Set, vip: Vip, together: bool, dirty: &mut Dirty) {
        let Some(entry) = self.sets.get_mut(set) else { return };
        let empty = entry.together.is_empty();
        if together {
            entry.together.insert(vip)
        } else {
            entry.together.remove(&vip)
        };
        if entry.together.is_empty() != empty {
            dirty.pods.extend(entry.pods.iter().cloned());
        }
        dirty.groups.insert(GroupKey::Together(BTreeSet::clone(set)));
        self.touch_vips(BTreeSet::clone(set), vip, dirty);
    }

    fn touch_vips(&self, policies: BTreeSet<Uid>, vip: Vip, dirty: &mut Dirty) {
        let key = AddressGroupKey::Vips { policies, protocol: vip.protocol, port: vip.port };
        if self.address_groups.contains_key(&key) {
            dirty.changes.address_groups.insert(key);
        }
    }

    /// What policies allow together that no pod had together before.
    pub(super) fn settle_set(&mut self, set: &Set, dirty: &mut Dirty) {
        // What is dirty among them is put right after this.
        let vips = self.vips.iter().filter(|(_, entry)| self.is_together(set, entry, &entry.allowed));
        let vips: Vec<Vip> = vips.map(|(vip, _)| *vip).collect();
        for vip in vips {
            if let Some(entry) = self.vips.get_mut(&vip) {
                entry.together.insert(Arc::clone(set));
            }
            self.set_together(set, vip, true, dirty);
        }
    }
}
