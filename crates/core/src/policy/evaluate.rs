//! The rules that a policy becomes, and what it allows of a Service's backends.
//!
//! Egress prefixes never have the Services' addresses: what is sent to a Service is checked before the load balancer, so that a prefix would
//! open it whatever is behind it. Which Services are open is found out by their backends ([`admits`]).

use super::{
    clause::{Clause, Compiled, Peer, Port, PortName, Ports, Resolution},
    facts::{Backend, Family, Node, Pod, Settings, Uid},
    groups::{AddressGroupKey, Direction, Remote, Rule, Vip},
    prefix::PrefixSet,
    selector::Pods,
};
use crate::service::spec::Protocol;
use ipnet::IpNet;
use std::{collections::BTreeSet, sync::Arc};

/// What a policy lets in to the pods whose named ports have these numbers.
#[must_use]
pub fn ingress(policy: &Compiled, resolution: &Resolution, settings: &Settings) -> BTreeSet<Rule> {
    let mut rules = BTreeSet::new();
    for clause in policy.ingress.iter().flatten() {
        for ports in clause.ports.iter().flat_map(|port| numbers(port, resolution)) {
            for peer in &clause.peers {
                match peer {
                    Peer::Anyone => rules.extend(Rule::any(Direction::Ingress, ports, &settings.families)),
                    Peer::Pods(pods) => {
                        let key = AddressGroupKey::Pods(Arc::clone(pods));
                        rules.extend(of_group(Direction::Ingress, ports, &key, settings));
                    }
                    Peer::Block(block) => rules.extend(of_prefixes(Direction::Ingress, ports, block, settings)),
                }
            }
        }
    }
    rules
}

/// A port of the selected pod's, by number.
fn numbers(port: &Port, resolution: &Resolution) -> Vec<Ports> {
    match port {
        Port::Fixed(ports) => vec![*ports],
        Port::Named(name) => {
            resolution.get(name).into_iter().flatten().map(|&number| Ports::one(name.protocol, number)).collect()
        }
    }
}

/// What a policy lets out, but for Services. `numbers` are those that ports of a name have among pods.
pub fn egress<F>(policy: &Compiled, settings: &Settings, numbers: F) -> BTreeSet<Rule>
where
    F: Fn(&Arc<Pods>, &PortName) -> BTreeSet<u16>,
{
    let mut rules = BTreeSet::new();
    for clause in policy.egress.iter().flatten() {
        for peer in &clause.peers {
            for port in &clause.ports {
                match port {
                    Port::Fixed(ports) => rules.extend(egress_by_number(peer, *ports, settings)),
                    Port::Named(name) => rules.extend(egress_by_name(peer, name, settings, &numbers)),
                }
            }
        }
    }
    rules
}

fn egress_by_number(peer: &Peer, ports: Ports, settings: &Settings) -> Vec<Rule> {
    match peer {
        // All backends of all Services are allowed.
        Peer::Anyone if ports == Ports::All => Rule::any(Direction::Egress, ports, &settings.families).collect(),
        Peer::Anyone => {
            let all = settings.families.iter().map(|&family| PrefixSet::all(family));
            all.flat_map(|all| egress_to_prefixes(ports, &all, settings)).collect()
        }
        Peer::Pods(pods) => {
            let key = AddressGroupKey::Pods(Arc::clone(pods));
            of_group(Direction::Egress, ports, &key, settings).collect()
        }
        Peer::Block(block) => egress_to_prefixes(ports, block, settings),
    }
}

fn egress_to_prefixes(ports: Ports, prefixes: &PrefixSet, settings: &Settings) -> Vec<Rule> {
    of_prefixes(Direction::Egress, ports, &prefixes.without(&settings.service_ranges), settings)
}

/// A name means another number with each peer, so there is a rule for each number, for the peers that have it. Only pods have names of ports.
fn egress_by_name<F>(peer: &Peer, name: &PortName, settings: &Settings, numbers: &F) -> Vec<Rule>
where
    F: Fn(&Arc<Pods>, &PortName) -> BTreeSet<u16>,
{
    let (pods, within) = match peer {
        Peer::Anyone => (Arc::new(Pods::everywhere()), None),
        Peer::Pods(pods) => (Arc::clone(pods), None),
        Peer::Block(block) => (Arc::new(Pods::everywhere()), Some(Arc::clone(block))),
    };
    let rules = numbers(&pods, name).into_iter().flat_map(|number| {
        let (pods, within) = (Arc::clone(&pods), within.clone());
        let key = AddressGroupKey::Named { pods, within, name: name.clone(), number };
        of_group(Direction::Egress, Ports::one(name.protocol, number), &key, settings).collect::<Vec<_>>()
    });
    rules.collect()
}

/// A rule of each family for the members of an address group.
pub(super) fn of_group(
    direction: Direction,
    ports: Ports,
    key: &AddressGroupKey,
    settings: &Settings,
) -> impl Iterator<Item = Rule> {
    let families = settings.families.iter();
    families.map(move |&family| Rule { direction, family, ports, remote: Remote::Group(key.clone()) })
}

/// Rules for prefixes. Many of them are an address group that never changes.
pub(super) fn of_prefixes(direction: Direction, ports: Ports, prefixes: &PrefixSet, settings: &Settings) -> Vec<Rule> {
    let mut rules = Vec::new();
    for &family in &settings.families {
        let prefixes = prefixes.of_family(family);
        if settings.abilities.address_groups && prefixes.prefixes().len() > 1 {
            let remote = Remote::Group(AddressGroupKey::Prefixes(Arc::new(prefixes)));
            rules.push(Rule { direction, family, ports, remote });
        } else {
            rules.extend(prefixes.prefixes().iter().map(|net| to_net(direction, ports, *net)));
        }
    }
    rules
}

/// Neutron takes the prefix that has all addresses for no prefix at all.
#[must_use]
pub fn to_net(direction: Direction, ports: Ports, net: IpNet) -> Rule {
    match net.prefix_len() {
        0 => Rule { direction, family: Family::of(&net), ports, remote: Remote::Any },
        _ => Rule::prefix(direction, ports, net),
    }
}

/// The rules for Services that policies allow.
#[must_use]
pub fn vip_rules(policies: &BTreeSet<Uid>, vips: &BTreeSet<Vip>, settings: &Settings) -> BTreeSet<Rule> {
    of_vips(vips, settings, |protocol, port| AddressGroupKey::Vips { policies: policies.clone(), protocol, port })
}

/// The rules for Services whose addresses are in these address groups.
pub(super) fn of_vips(
    vips: &BTreeSet<Vip>,
    settings: &Settings,
    key: impl Fn(Protocol, u16) -> AddressGroupKey,
) -> BTreeSet<Rule> {
    let ports: BTreeSet<(Protocol, u16)> = vips.iter().map(|vip| (vip.protocol, vip.port)).collect();
    let rules = ports.into_iter().flat_map(|(protocol, port)| {
        let key = key(protocol, port);
        of_group(Direction::Egress, Ports::one(protocol, port), &key, settings).collect::<Vec<_>>()
    });
    rules.collect()
}

/// The rules for the Services over which a pod may reach itself.
#[must_use]
pub fn own_rules(vips: &BTreeSet<Vip>) -> BTreeSet<Rule> {
    let rule = |vip: &Vip| Rule::prefix(Direction::Egress, Ports::one(vip.protocol, vip.port), vip.address.into());
    vips.iter().map(rule).collect()
}

/// What the pods of a node are always allowed.
///
/// A Service's address is the source of what a pod sends to itself over that Service, and of nothing else (ovn-northd(8), "hairpin"): one
/// rule for all Services is exact, and never changes.
#[must_use]
pub fn node_rules(node: Option<&Node>, settings: &Settings) -> BTreeSet<Rule> {
    let node: PrefixSet = node.iter().flat_map(|node| node.addresses.iter().copied()).collect();
    let node = node.prefixes().iter();
    let mut rules = BTreeSet::new();
    for net in node {
        rules.insert(Rule::prefix(Direction::Ingress, Ports::All, *net));
        if settings.to_node {
            rules.insert(Rule::prefix(Direction::Egress, Ports::All, *net));
        }
    }
    if settings.abilities.source_kept {
        let hairpin = |net: &IpNet| Rule::prefix(Direction::Ingress, Ports::All, *net);
        rules.extend(settings.service_ranges.iter().map(hairpin));
    }
    rules
}

/// A pod, and which selectors match it.
pub type Known<'a> = (&'a Pod, &'a BTreeSet<Arc<Pods>>);

/// Whether a policy's egress rules allow a backend. `pods` are the pods that have its address: none, if it isn't a pod's.
#[must_use]
pub fn admits(
    policy: &Compiled,
    protocol: Protocol,
    backend: Backend,
    pods: &[Known<'_>],
    settings: &Settings,
) -> bool {
    let open =
        |clause: &Clause| clause.peers.contains(&Peer::Anyone) && clause.ports.contains(&Port::Fixed(Ports::All));
    let virtual_address = settings.service_ranges.iter().any(|net| net.contains(&backend.address));
    let is_peer = |peer: &Peer, pod: Option<&Known<'_>>| match peer {
        Peer::Anyone => !virtual_address,
        Peer::Block(block) => !virtual_address && block.contains(backend.address),
        Peer::Pods(wanted) => pod.is_some_and(|(_, selectors)| selectors.contains(wanted)),
    };
    // As in the rules: whoever is meant, only pods of namespaces that are known have names of ports.
    let everywhere = Pods::everywhere();
    let is_pod = |peer: &Peer, (_, selectors): &Known<'_>| peer.pods().is_some() || selectors.contains(&everywhere);
    let is_port = |peer: &Peer, port: &Port, pod: Option<&Known<'_>>| match port {
        Port::Fixed(ports) => ports.contains(protocol, backend.port),
        Port::Named(name) => {
            pod.is_some_and(|pod| name.protocol == protocol && has_port(pod.0, name, backend.port) && is_pod(peer, pod))
        }
    };
    let allows = |clause: &Clause, pod: Option<&Known<'_>>| {
        let peers = clause.peers.iter().filter(|peer| is_peer(peer, pod));
        peers.into_iter().any(|peer| clause.ports.iter().any(|port| is_port(peer, port, pod)))
    };
    policy
        .egress
        .iter()
        .flatten()
        .any(|clause| open(clause) || allows(clause, None) || pods.iter().any(|pod| allows(clause, Some(pod))))
}

fn has_port(pod: &Pod, name: &PortName, number: u16) -> bool {
    pod.ports.iter().any(|port| port.protocol == name.protocol && port.name == name.name && port.number == number)
}

/// The numbers of a pod's own ports that a policy's ingress rules name.
#[must_use]
pub fn resolution(policy: &Compiled, pod: &Pod) -> Resolution {
    resolve(policy.ingress_names(), pod)
}

/// The numbers of a pod's own ports that have these names.
pub(super) fn resolve(names: BTreeSet<&PortName>, pod: &Pod) -> Resolution {
    let numbers = |name: &PortName| -> BTreeSet<u16> {
        let ports = pod.ports.iter().filter(|port| port.protocol == name.protocol && port.name == name.name);
        ports.map(|port| port.number).collect()
    };
    let names = names.into_iter().map(|name| (name.clone(), numbers(name)));
    names.filter(|(_, numbers)| !numbers.is_empty()).collect()
}
