//! What is decided for subjects of ClusterNetworkPolicies: the pods to which decisions say yes, and the rules of the subjects' group.

use super::{Dirty, World, decided_services::Known, entries::DecisionEntry};
use crate::policy::{
    cluster::{
        Decision, Meant, Ranges, Someone, decide,
        grants::{grants, members},
        rules,
    },
    evaluate,
    facts::Pod,
    groups::{AddressGroupKey, Direction, GroupKey, Rule},
};
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

impl World {
    /// Who has an address: pods, else a node in the pods' networks.
    pub(super) fn owners(&self, address: IpAddr) -> Vec<Someone<'_>> {
        let pods = self.addresses.get(&address).into_iter().flatten().filter_map(|uid| self.pods.get(uid));
        let labels = |pod: &Pod| self.namespaces.get(&pod.namespace).and_then(|namespace| namespace.labels.as_ref());
        let pods: Vec<_> = pods.map(|entry| Someone { address, pod: Some((&entry.pod, labels(&entry.pod))) }).collect();
        if pods.is_empty() && self.hosts.contains_key(&address) {
            return vec![Someone { address, pod: None }];
        }
        pods
    }

    pub(super) fn ranges(&self) -> Ranges {
        Ranges {
            pods: self.settings.pod_networks.iter().copied().collect(),
            strays: self.strays.iter().copied().collect(),
            services: self.settings.service_ranges.iter().copied().collect(),
        }
    }

    /// Whether an address is a pod's outside of the pods' networks. There are no rules that ask for it while there are no decisions.
    pub(super) fn note_stray(&mut self, address: IpAddr, dirty: &mut Dirty) {
        let inside = self.settings.pod_networks.iter().any(|net| net.contains(&address));
        dirty.strays |= if !inside && self.addresses.contains_key(&address) {
            self.strays.insert(address)
        } else {
            self.strays.remove(&address)
        };
    }

    /// What decisions say of a pod's addresses may be otherwise. New decisions are held against all addresses anyway.
    pub(super) fn dirty_addresses(&self, pod: &Pod, dirty: &mut Dirty) {
        if !self.decisions.is_empty() {
            dirty.addresses.extend(&pod.addresses);
        }
    }

    /// What is decided, and who is allowed by it.
    pub(super) fn settle_decisions(&mut self, dirty: &mut Dirty) {
        if std::mem::take(&mut dirty.strays) {
            dirty.groups.extend(self.decided.keys().cloned().map(GroupKey::Decided));
        }
        for pods in &dirty.ports {
            let users = self.selectors.get(pods).map(|entry| &entry.users);
            dirty.meant.extend(users.into_iter().flat_map(|users| self.meant_by(users)));
        }
        for address in std::mem::take(&mut dirty.addresses) {
            self.settle_address(address, dirty);
        }
        let mut known = Known::new();
        for meant in std::mem::take(&mut dirty.meant) {
            self.settle_decided(&meant, &mut known, dirty);
        }
    }

    /// One list is held against the address for each decision.
    fn settle_address(&mut self, address: IpAddr, dirty: &mut Dirty) {
        let owners = self.owners(address);
        let is_member = |decision: &Decision| !members(decision, owners.iter().copied()).is_empty();
        let has = |entry: &DecisionEntry| entry.members.contains(&address);
        let differs = self.decisions.iter().filter(|(decision, entry)| is_member(decision) != has(entry));
        let differs: Vec<Arc<Decision>> = differs.map(|(decision, _)| Arc::clone(decision)).collect();
        for decision in differs {
            let Some(entry) = self.decisions.get_mut(&decision) else { continue };
            if !entry.members.remove(&address) {
                entry.members.insert(address);
            }
            if !self.settings.abilities.address_groups {
                dirty.groups.extend(entry.users.iter().cloned().map(GroupKey::Decided));
            }
            let key = AddressGroupKey::Decision(decision);
            if self.address_groups.contains_key(&key) {
                dirty.changes.address_groups.insert(key);
            }
        }
    }

    fn settle_decided(&mut self, meant: &Arc<Meant>, known: &mut Known, dirty: &mut Dirty) {
        let Some(entry) = self.decided.get(meant) else { return };
        let tiers = self.tiers(meant);
        let ingress = decide(&tiers, Direction::Ingress, |name| meant.numbers.get(name).cloned().unwrap_or_default());
        let numbers = tiers.egress_numbers(|pods, name| {
            let numbers = self.selectors.get(pods).and_then(|selector| selector.ports.get(name));
            numbers.into_iter().flat_map(|numbers| numbers.keys().copied()).collect::<Vec<_>>()
        });
        let egress = decide(&tiers, Direction::Egress, |name| numbers.get(name).cloned().unwrap_or_default());
        let same_egress = entry.egress == egress;
        if same_egress && entry.ingress == ingress {
            return;
        }
        let Some(entry) = self.decided.get_mut(meant) else { return };
        let before = entry.decisions();
        (entry.ingress, entry.egress) = (ingress, egress);
        let now = entry.decisions();
        for decision in now.difference(&before) {
            self.hold(decision, meant);
        }
        for decision in before.difference(&now) {
            self.let_go(decision, meant, dirty);
        }
        dirty.groups.insert(GroupKey::Decided(Arc::clone(meant)));
        if !same_egress {
            self.reconsider_vips(meant, known, dirty);
        }
    }

    fn hold(&mut self, decision: &Decision, meant: &Arc<Meant>) {
        if let Some(entry) = self.decisions.get_mut(decision) {
            entry.users.insert(Arc::clone(meant));
            return;
        }
        let addresses = self.addresses.keys().chain(self.hosts.keys());
        let members = members(decision, addresses.flat_map(|address| self.owners(*address)));
        let entry = DecisionEntry { members, users: [Arc::clone(meant)].into() };
        self.decisions.insert(Arc::new(decision.clone()), entry);
    }

    pub(super) fn let_go(&mut self, decision: &Decision, meant: &Arc<Meant>, dirty: &mut Dirty) {
        if let Some(entry) = self.decisions.get_mut(decision) {
            entry.users.remove(meant);
            dirty.undecided.insert(Arc::new(decision.clone()));
        }
    }

    /// Forgets decisions that nobody has any longer. Not before all is settled: somebody else may have come to have them.
    pub(super) fn forget_decisions(&mut self, undecided: BTreeSet<Arc<Decision>>) {
        for decision in undecided {
            if self.decisions.get(&decision).is_some_and(|entry| entry.users.is_empty()) {
                self.decisions.remove(&decision);
            }
        }
    }

    /// The rules of the group that pods have by what they are meant.
    pub(super) fn decided_rules(&self, meant: &Arc<Meant>) -> BTreeSet<Rule> {
        let Some(entry) = self.decided.get(meant) else { return BTreeSet::new() };
        let ranges = self.ranges();
        let mut all = grants(Direction::Ingress, &entry.ingress, &ranges);
        all.extend(grants(Direction::Egress, &entry.egress, &ranges));
        let mut rules = rules(&all, &self.settings);
        let vips = |protocol, port| AddressGroupKey::DecidedVips { meant: Arc::clone(meant), protocol, port };
        rules.extend(evaluate::of_vips(&entry.vips, &self.settings, vips));
        rules
    }
}
