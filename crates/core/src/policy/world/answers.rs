//! What the world answers.

use super::{
    Set, World,
    entries::{Admitted, VipEntry},
};
use crate::policy::{
    cluster::Meant,
    facts::{ContainerPort, Settings, Uid},
    groups::{AddressGroupKey, GroupKey, Rule, Vip},
    problem::Problem,
};
use ipnet::IpNet;
use std::{collections::BTreeSet, fmt};

/// A Service that a policy allows in part: some of its backends, but not all. What is sent to it is checked before the load balancer
/// chooses a backend, so it is closed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClosedService {
    /// The Service's uid.
    pub service: Uid,
    /// Its port.
    pub vip: Vip,
    /// How many backends are allowed.
    pub allowed: usize,
    /// How many backends there are.
    pub backends: usize,
}

impl fmt::Display for ClosedService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vip, allowed, backends, .. } = self;
        write!(f, "{vip} is closed: only {allowed} of its {backends} backends are allowed, and all of them must be")
    }
}

impl World {
    /// What the configuration and the cloud say.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The groups that a pod's port must have. None: the pod isn't known, or policies don't mean it, because it has no port of its own.
    #[must_use]
    pub fn groups_of_pod(&self, uid: &Uid) -> Option<&BTreeSet<GroupKey>> {
        self.pods.get(uid).filter(|entry| entry.pod.counts()).map(|entry| &entry.groups)
    }

    /// The rules of a group. None: there must be no such group.
    #[must_use]
    pub fn rules(&self, key: &GroupKey) -> Option<&BTreeSet<Rule>> {
        self.groups.get(key).map(|entry| &entry.rules)
    }

    /// How many pods have a group.
    #[must_use]
    pub fn pods_with(&self, key: &GroupKey) -> usize {
        self.groups.get(key).map_or(0, |entry| entry.pods)
    }

    /// Who is in an address group. None: there must be no such group.
    #[must_use]
    pub fn members(&self, key: &AddressGroupKey) -> Option<BTreeSet<IpNet>> {
        self.address_groups.contains_key(key).then(|| self.worked_out_members(key))
    }

    /// Whether an address is in an address group because this pod has it.
    #[must_use]
    pub fn has_member(&self, key: &AddressGroupKey, uid: &Uid) -> bool {
        let has = |pods| self.selectors.get(pods).is_some_and(|selector| selector.members.contains(uid));
        match key {
            AddressGroupKey::Pods(pods) => has(pods),
            AddressGroupKey::Named { pods, name, number, .. } => {
                let ports = self.pods.get(uid).into_iter().flat_map(|entry| &entry.pod.ports);
                let named = |port: &ContainerPort| (&port.name, port.protocol) == (&name.name, name.protocol);
                has(pods) && ports.filter(|port| named(port)).any(|port| port.number == *number)
            }
            AddressGroupKey::Decision(decision) => {
                let addresses = self.pods.get(uid).into_iter().flat_map(|entry| &entry.pod.addresses);
                let members = self.decisions.get(decision).map(|entry| &entry.members);
                members.is_some_and(|members| addresses.into_iter().any(|address| members.contains(address)))
            }
            AddressGroupKey::Prefixes(_) | AddressGroupKey::Vips { .. } | AddressGroupKey::DecidedVips { .. } => false,
        }
    }

    /// All groups that there must be.
    pub fn groups(&self) -> impl Iterator<Item = &GroupKey> {
        self.groups.keys()
    }

    /// All address groups that there must be.
    pub fn address_groups(&self) -> impl Iterator<Item = &AddressGroupKey> {
        self.address_groups.keys()
    }

    /// The groups of a policy, and those that stand in for it because the pods are subjects of ClusterNetworkPolicies as well.
    #[must_use]
    pub fn groups_for(&self, policy: &Uid) -> Vec<GroupKey> {
        let decided = self.decided.keys().filter(|meant| meant.policies.contains(policy));
        self.groups_of_policy(policy).into_iter().chain(decided.cloned().map(GroupKey::Decided)).collect()
    }

    /// The pods that a policy selects. None: the policy isn't known.
    #[must_use]
    pub fn selected(&self, policy: &Uid) -> Option<&BTreeSet<Uid>> {
        self.policies.get(policy).map(|entry| &entry.selected)
    }

    /// What is wrong with a policy's own words.
    #[must_use]
    pub fn problems(&self, policy: &Uid) -> &[Problem] {
        self.policies.get(policy).map_or(&[], |entry| &entry.problems)
    }

    /// The Services that are closed to pods that a policy selects although it allows some of their backends: with the other policies of
    /// these pods, it allows some and not all.
    #[must_use]
    pub fn closed_services(&self, policy: &Uid) -> BTreeSet<ClosedService> {
        let Some(entry) = self.policies.get(policy) else { return BTreeSet::new() };
        let allows_some = |at: &VipEntry| {
            let mut targets = at.targets().filter_map(|target| self.targets.get(target));
            targets.any(|target| target.allowed.contains(policy))
        };
        let mut closed = self.closed_in_part(|meant| meant.policies.contains(policy), allows_some);
        for (vip, at) in self.vips.iter().filter(|(_, at)| allows_some(at)) {
            closed.extend(entry.sets.iter().flat_map(|set| self.closed_for(set, *vip, at)));
        }
        closed
    }

    fn closed_for(&self, set: &Set, vip: Vip, entry: &VipEntry) -> Vec<ClosedService> {
        let targets = entry.targets().filter_map(|target| self.targets.get(target));
        let allowed = targets.filter(|target| !target.allowed.is_disjoint(set)).count();
        let backends = entry.targets().count();
        if allowed == backends {
            return Vec::new();
        }
        let services = entry.services.keys();
        services.map(|service| ClosedService { service: service.clone(), vip, allowed, backends }).collect()
    }

    /// The Services that are closed to some of the pods that are meant so, although some of their backends are allowed. `told`: whether it is to be told
    /// of one.
    pub(super) fn closed_in_part(
        &self,
        meant: impl Fn(&Meant) -> bool,
        told: impl Fn(&VipEntry) -> bool,
    ) -> BTreeSet<ClosedService> {
        let parts = self.decided.iter().filter(|(key, _)| meant(key)).flat_map(|(_, decided)| &decided.parts);
        let parts = parts.filter_map(|(vip, part)| Some((*vip, part, self.vips.get(vip).filter(|at| told(at))?)));
        let closed = parts.flat_map(|(vip, &Admitted { allowed, backends }, at)| {
            at.services.keys().map(move |service| ClosedService { service: service.clone(), vip, allowed, backends })
        });
        closed.collect()
    }

    /// The Services' addresses that are in none of the Services' ranges: prefixes may open them whatever is behind them, and pods don't reach
    /// themselves over them. The configuration is wrong where there are any.
    #[must_use]
    pub fn outside_ranges(&self) -> BTreeSet<Vip> {
        let inside = |vip: &Vip| self.settings.service_ranges.iter().any(|net| net.contains(&vip.address));
        self.vips.keys().filter(|vip| !inside(vip)).copied().collect()
    }

    /// Who is, or would be, in an address group.
    pub(super) fn worked_out_members(&self, key: &AddressGroupKey) -> BTreeSet<IpNet> {
        match key {
            AddressGroupKey::Prefixes(prefixes) => prefixes.prefixes().clone(),
            AddressGroupKey::Vips { policies, protocol, port } => {
                let alone = || policies.first().and_then(|uid| self.policies.get(uid)).map(|policy| &policy.vips);
                let together = || self.sets.get(policies).map(|set| &set.together);
                let vips = if policies.len() == 1 { alone() } else { together() };
                let vips = vips.into_iter().flatten().filter(|vip| vip.protocol == *protocol && vip.port == *port);
                vips.map(|vip| vip.address.into()).collect()
            }
            AddressGroupKey::DecidedVips { meant, protocol, port } => {
                let vips = self.decided.get(meant).into_iter().flat_map(|entry| &entry.vips);
                let vips = vips.filter(|vip| vip.protocol == *protocol && vip.port == *port);
                vips.map(|vip| vip.address.into()).collect()
            }
            AddressGroupKey::Decision(decision) => {
                let members = self.decisions.get(decision).into_iter().flat_map(|entry| &entry.members);
                members.map(|address| (*address).into()).collect()
            }
            AddressGroupKey::Pods(pods) => {
                let members = self.selectors.get(pods).into_iter().flat_map(|entry| &entry.members);
                let pods = members.filter_map(|uid| self.pods.get(uid));
                pods.flat_map(|entry| &entry.pod.addresses).map(|address| (*address).into()).collect()
            }
            AddressGroupKey::Named { pods, within, name, number } => {
                let members = self.selectors.get(pods).into_iter().flat_map(|entry| &entry.members);
                let pods = members.filter_map(|uid| self.pods.get(uid)).filter(|entry| {
                    let mut ports = entry.pod.ports.iter();
                    ports.any(|port| port.protocol == name.protocol && port.name == name.name && port.number == *number)
                });
                let addresses = pods.flat_map(|entry| &entry.pod.addresses).copied();
                let inside = |address: &std::net::IpAddr| within.as_ref().is_none_or(|net| net.contains(*address));
                addresses.filter(inside).map(IpNet::from).collect()
            }
        }
    }
}
