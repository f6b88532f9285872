//! What the world keeps of each thing.

use super::Set;
use crate::{
    policy::{
        clause::{Compiled, PortName, Resolution},
        cluster::{Decision, Meant, Pieces, Ranked, Refusal},
        facts::{Backend, Labels, Name, Pod, Uid},
        groups::{AddressGroupKey, GroupKey, Rule, Vip},
        problem::Problem,
        selector::Pods,
    },
    service::spec::Protocol,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

/// A namespace, or the name of one of which only pods or policies are known yet.
#[derive(Debug, Clone, Default)]
pub(super) struct NamespaceEntry {
    /// None: the namespace isn't known.
    pub labels: Option<Labels>,
    /// The pods in it.
    pub pods: BTreeSet<Uid>,
    /// The policies in it.
    pub policies: BTreeSet<Uid>,
    /// The selectors that can mean pods of it.
    pub selectors: BTreeSet<Arc<Pods>>,
}

/// A pod.
#[derive(Debug, Clone)]
pub(super) struct PodEntry {
    pub pod: Pod,
    /// The selectors that match it.
    pub selectors: BTreeSet<Arc<Pods>>,
    /// The policies that select it.
    pub policies: BTreeSet<Uid>,
    /// Of these, those that have egress rules. None: nothing isolates it for egress.
    pub egress: Option<Set>,
    /// By what it is meant if it is the subject of a ClusterNetworkPolicy. `egress` is None then.
    pub meant: Option<Arc<Meant>>,
    /// Its groups, with the numbers that its own ports have for each policy's.
    pub groups: BTreeSet<GroupKey>,
}

/// A policy.
#[derive(Debug, Clone)]
pub(super) struct PolicyEntry {
    pub compiled: Compiled,
    pub problems: Vec<Problem>,
    /// The pods that it selects.
    pub selected: BTreeSet<Uid>,
    /// The Services that it allows alone.
    pub vips: BTreeSet<Vip>,
    /// The sets in which pods have it.
    pub sets: BTreeSet<Set>,
}

/// A ClusterNetworkPolicy.
#[derive(Debug, Clone)]
pub(super) struct ClusterEntry {
    pub ranked: Ranked,
    pub refusals: Vec<Refusal>,
}

/// What pods have in common that are meant by the same policies, of which one is a ClusterNetworkPolicy.
#[derive(Debug, Clone, Default)]
pub(super) struct DecidedEntry {
    /// The pods. There is at least one.
    pub pods: BTreeSet<Uid>,
    /// What decides on what comes in.
    pub ingress: Pieces<Decision>,
    /// What decides on what goes out.
    pub egress: Pieces<Decision>,
    /// The Services that are open.
    pub vips: BTreeSet<Vip>,
    /// The Services that are closed because only some of their backends are allowed.
    pub parts: BTreeMap<Vip, Admitted>,
}

impl DecidedEntry {
    /// The decisions that have address groups of their own.
    pub fn decisions(&self) -> BTreeSet<Decision> {
        self.ingress.values().chain(self.egress.values()).filter(|decision| decision.is_mixed()).cloned().collect()
    }
}

/// How many backends of a Service's port are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Admitted {
    pub allowed: usize,
    pub backends: usize,
}

/// A decision that has an address group of its own.
#[derive(Debug, Clone, Default)]
pub(super) struct DecisionEntry {
    /// The addresses of pods to which it says yes.
    pub members: BTreeSet<IpAddr>,
    /// Whose decision it is.
    pub users: BTreeSet<Arc<Meant>>,
}

/// Who has a selector.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum User {
    /// A NetworkPolicy.
    Policy(Uid),
    /// A ClusterNetworkPolicy.
    Cluster(Name),
}

impl User {
    pub const fn policy(&self) -> Option<&Uid> {
        match self {
            Self::Policy(uid) => Some(uid),
            Self::Cluster(_) => None,
        }
    }

    /// Whether these pods are meant by it.
    pub fn is_of(&self, meant: &Meant) -> bool {
        match self {
            Self::Policy(uid) => meant.policies.contains(uid),
            Self::Cluster(name) => meant.cluster.contains(name),
        }
    }
}

/// A selector of peers or subjects that a policy has.
#[derive(Debug, Clone, Default)]
pub(super) struct SelectorEntry {
    /// The policies that have it.
    pub users: BTreeSet<User>,
    /// The pods that it matches.
    pub members: BTreeSet<Uid>,
    /// How many of these have a port of this name at this number.
    pub ports: BTreeMap<PortName, BTreeMap<u16, usize>>,
    /// The address groups that are made of it.
    pub address_groups: BTreeSet<AddressGroupKey>,
}

impl SelectorEntry {
    /// Counts a pod's ports. Whether there are numbers that weren't there before.
    pub fn add_ports(&mut self, pod: &Pod) -> bool {
        let mut new = false;
        for port in &pod.ports {
            let name = PortName { protocol: port.protocol, name: port.name.clone() };
            let count = self.ports.entry(name).or_default().entry(port.number).or_default();
            new |= *count == 0;
            *count += 1;
        }
        new
    }

    /// Counts them no more. Whether there are numbers that aren't there any longer.
    pub fn remove_ports(&mut self, pod: &Pod) -> bool {
        let mut gone = false;
        for port in &pod.ports {
            let name = PortName { protocol: port.protocol, name: port.name.clone() };
            let Some(numbers) = self.ports.get_mut(&name) else { continue };
            if let Some(count) = numbers.get_mut(&port.number) {
                *count -= 1;
            }
            let before = numbers.len();
            numbers.retain(|_, count| *count > 0);
            gone |= numbers.len() < before;
            if numbers.is_empty() {
                self.ports.remove(&name);
            }
        }
        gone
    }
}

/// A set of policies with egress rules that select the same pods.
#[derive(Debug, Clone, Default)]
pub(super) struct SetEntry {
    /// How many pods have it.
    pub pods: BTreeSet<Uid>,
    /// The Services that they allow together, and none of them alone.
    pub together: BTreeSet<Vip>,
}

/// A backend with its protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Target {
    pub address: IpAddr,
    pub protocol: Protocol,
    pub port: u16,
}

impl Target {
    /// All that an address can be.
    pub const fn all_of(address: IpAddr) -> std::ops::RangeInclusive<Self> {
        let first = Self { address, protocol: Protocol::Tcp, port: 0 };
        first..=Self { address, protocol: Protocol::Sctp, port: u16::MAX }
    }

    pub const fn backend(&self) -> Backend {
        Backend { address: self.address, port: self.port }
    }
}

/// What is known of a backend.
#[derive(Debug, Clone, Default)]
pub(super) struct TargetEntry {
    /// The load balancers' ports that lead to it.
    pub vips: BTreeSet<Vip>,
    /// The policies whose egress rules allow it.
    pub allowed: BTreeSet<Uid>,
}

/// What is known of a load balancer's port.
#[derive(Debug, Clone, Default)]
pub(super) struct VipEntry {
    /// Where it leads, by Service: of two that claim it (one is gone, and not known to be), both count.
    pub services: BTreeMap<Uid, BTreeSet<Target>>,
    /// The policies that allow all of its backends, each alone.
    pub allowed: BTreeSet<Uid>,
    /// The sets that do so together only.
    pub together: BTreeSet<Set>,
    /// The pods that are the only backend that their policies don't allow them.
    pub own: BTreeSet<Uid>,
}

impl VipEntry {
    /// All backends.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.services.values().flatten()
    }
}

/// A security group.
#[derive(Debug, Clone, Default)]
pub(super) struct GroupEntry {
    pub rules: BTreeSet<Rule>,
    /// How many pods have it.
    pub pods: usize,
}

/// The pods' resolution is part of a policy's groups; the first of them, in the order of keys.
pub(super) fn first_of(uid: &Uid) -> GroupKey {
    GroupKey::Policy { uid: uid.clone(), resolution: Resolution::new() }
}

/// An address group.
#[derive(Debug, Clone, Default)]
pub(super) struct AddressGroupEntry {
    /// How many groups have rules that name it.
    pub users: usize,
}
