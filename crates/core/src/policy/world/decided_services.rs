//! Which Services are open to subjects of ClusterNetworkPolicies: those of which every backend is allowed.

use super::{
    Dirty, Target, VipEntry, World,
    entries::{Admitted, DecidedEntry},
};
use crate::policy::{
    cluster::{Decision, Meant, Pieces, Ranges, grants::admits},
    groups::{AddressGroupKey, GroupKey, Vip},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

/// What of all Services is admitted, for each different egress: many pods differ in what may come in only.
pub(super) type Known = BTreeMap<Pieces<Decision>, Vec<(Vip, Admitted)>>;

impl World {
    /// What goes out is decided otherwise: all Services are looked at again, and those that the pods are behind for their own sake.
    pub(super) fn reconsider_vips(&mut self, meant: &Arc<Meant>, known: &mut Known, dirty: &mut Dirty) {
        let Some(entry) = self.decided.get(meant) else { return };
        for pod in entry.pods.iter().filter_map(|uid| self.pods.get(uid)) {
            self.dirty_own_vips(&pod.pod, dirty);
        }
        let all = known.entry(entry.egress.clone()).or_insert_with(|| {
            let ranges = self.ranges();
            self.vips.iter().map(|(vip, at)| (*vip, self.admitted(&entry.egress, at, &ranges))).collect()
        });
        for (vip, admitted) in all {
            self.set_admitted(meant, *vip, *admitted, dirty);
        }
    }

    /// To whom of these pods a load balancer's port is open. Of those that decide the same, one is asked.
    pub(super) fn settle_decided_vip(&mut self, vip: Vip, dirty: &mut Dirty) {
        let Some(at) = self.vips.get(&vip).filter(|_| !self.decided.is_empty()) else { return };
        let ranges = self.ranges();
        let mut known: BTreeMap<&Pieces<Decision>, Admitted> = BTreeMap::new();
        let mut all = Vec::new();
        for (meant, DecidedEntry { egress, .. }) in &self.decided {
            let admitted = known.entry(egress).or_insert_with(|| self.admitted(egress, at, &ranges));
            all.push((Arc::clone(meant), *admitted));
        }
        for (meant, admitted) in all {
            self.set_admitted(&meant, vip, admitted, dirty);
        }
    }

    fn admitted(&self, egress: &Pieces<Decision>, at: &VipEntry, ranges: &Ranges) -> Admitted {
        let targets: BTreeSet<&Target> = at.targets().collect();
        let allowed = targets.iter().filter(|target| self.decided_admits(egress, target, ranges)).count();
        Admitted { allowed, backends: targets.len() }
    }

    fn decided_admits(&self, egress: &Pieces<Decision>, target: &Target, ranges: &Ranges) -> bool {
        admits(egress, target.protocol, target.backend(), &self.owners(target.address), ranges)
    }

    fn set_admitted(&mut self, meant: &Arc<Meant>, vip: Vip, admitted: Admitted, dirty: &mut Dirty) {
        let Some(entry) = self.decided.get_mut(meant) else { return };
        let Admitted { allowed, backends } = admitted;
        let before = if 0 < allowed && allowed < backends {
            entry.parts.insert(vip, admitted)
        } else {
            entry.parts.remove(&vip)
        };
        if before.is_some() || entry.parts.contains_key(&vip) {
            dirty.changes.tell(meant);
        }
        let open = 0 < backends && allowed == backends;
        if open == entry.vips.contains(&vip) {
            return;
        }
        if open {
            entry.vips.insert(vip)
        } else {
            entry.vips.remove(&vip)
        };
        dirty.groups.insert(GroupKey::Decided(Arc::clone(meant)));
        let key = AddressGroupKey::DecidedVips { meant: Arc::clone(meant), protocol: vip.protocol, port: vip.port };
        if self.address_groups.contains_key(&key) {
            dirty.changes.address_groups.insert(key);
        }
    }

    /// The addresses of backends that aren't allowed.
    pub(super) fn closed_to(&self, meant: &Arc<Meant>, at: &VipEntry) -> BTreeSet<IpAddr> {
        let Some(entry) = self.decided.get(meant) else { return BTreeSet::new() };
        let ranges = self.ranges();
        let closed = at.targets().filter(|target| !self.decided_admits(&entry.egress, target, &ranges));
        closed.map(|target| target.address).collect()
    }
}
