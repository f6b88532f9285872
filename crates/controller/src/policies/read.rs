//! What Neutron has, in the words of `kuryr_core::policy`, and the other way round.

use super::state::Strangers;
use kuryr_core::{
    names::OwnerMark,
    policy::{
        AddressGroupKey, Direction, GroupKey, Key, Observed, Remote, Rule, World,
        clause::Ports,
        facts::Family,
        observed::{ObservedAddressGroup, ObservedGroup, ObservedRule},
    },
    service::spec::Protocol,
};
use kuryr_openstack::{
    Error, Neutron,
    neutron::{
        self, AddressGroup, AddressGroupId, AddressGroupQuery, EtherType, NewSecurityGroupRule, SecurityGroup,
        SecurityGroupId, SecurityGroupQuery, SecurityGroupRule,
    },
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// What of Neutron's groups carries the cluster's mark.
#[derive(Debug, Default)]
pub struct Inventory {
    /// What is known by its mark.
    pub observed: Observed,
    /// What nobody wants.
    pub strangers: Strangers,
}

/// The groups that are meant by marks.
#[derive(Debug, Default)]
pub struct Marks {
    groups: HashMap<String, GroupKey>,
    address_groups: HashMap<String, AddressGroupKey>,
}

impl Marks {
    /// Those of all groups that there are to be, and of these.
    pub fn of<'a>(world: &World, further: impl IntoIterator<Item = &'a Key>) -> Self {
        let mut marks = Self::of_keys(further);
        marks.groups.extend(world.groups().map(|key| (key.fingerprint(), key.clone())));
        marks.address_groups.extend(world.address_groups().map(|key| (key.fingerprint(), key.clone())));
        marks
    }

    fn of_keys<'a>(keys: impl IntoIterator<Item = &'a Key>) -> Self {
        let mut marks = Self::default();
        for key in keys {
            match key {
                Key::Group(group) => drop(marks.groups.insert(key.fingerprint(), group.clone())),
                Key::AddressGroup(group) => drop(marks.address_groups.insert(key.fingerprint(), group.clone())),
            }
        }
        marks
    }
}

/// The mark of a group with this fingerprint.
pub fn mark(cluster: &str, fingerprint: String) -> String {
    OwnerMark { cluster: cluster.to_owned(), uid: fingerprint }.to_string()
}

/// All groups that this login sees.
pub struct Listed {
    groups: Vec<SecurityGroup>,
    address_groups: Vec<AddressGroup>,
}

/// Lists all groups. `address_groups`: the cloud has such.
pub async fn list(neutron: &Neutron, address_groups: bool) -> Result<Listed, Error> {
    let (groups, named) = (SecurityGroupQuery::default(), AddressGroupQuery::default());
    let named = async {
        match address_groups {
            true => neutron.list_address_groups(&named).await,
            false => Ok(Vec::new()),
        }
    };
    let (groups, address_groups) = futures::future::try_join(neutron.list_security_groups(&groups), named).await?;
    Ok(Listed { groups, address_groups })
}

/// Sorts out what carries the cluster's mark. Of several groups with one mark, one that is `known` stays.
pub fn sort(cluster: &str, marks: &Marks, listed: Listed, known: &HashSet<String>) -> Inventory {
    sort_with(cluster, marks, listed, HashMap::new(), known)
}

/// So many are looked up by one request: their descriptions are part of its address.
const LOOKED_UP_AT_ONCE: usize = 50;

/// The address groups that are known already, by their ids, and the ids of the security groups that are.
pub type Known = (HashMap<AddressGroupId, AddressGroupKey>, HashSet<String>);

/// Looks these up.
pub async fn some(
    neutron: &Neutron,
    cluster: &str,
    keys: &BTreeSet<Key>,
    (ids, known): Known,
) -> Result<Inventory, Error> {
    let marks = Marks::of_keys(keys);
    let (groups, named): (Vec<&Key>, Vec<&Key>) = keys.iter().partition(|key| matches!(key, Key::Group(_)));
    let descriptions =
        |keys: Vec<&Key>| keys.into_iter().map(|key| mark(cluster, key.fingerprint())).collect::<Vec<_>>();
    let mut listed = Listed { groups: Vec::new(), address_groups: Vec::new() };
    for chunk in descriptions(named).chunks(LOOKED_UP_AT_ONCE) {
        let query = AddressGroupQuery { descriptions: chunk.to_vec(), ..AddressGroupQuery::default() };
        listed.address_groups.extend(neutron.list_address_groups(&query).await?);
    }
    for chunk in descriptions(groups).chunks(LOOKED_UP_AT_ONCE) {
        let query = SecurityGroupQuery { descriptions: chunk.to_vec(), ..SecurityGroupQuery::default() };
        listed.groups.extend(neutron.list_security_groups(&query).await?);
    }
    Ok(sort_with(cluster, &marks, listed, ids, &known))
}

/// Of several groups with one mark one stays: an answer was lost, and the others were made for nothing.
fn sort_with(
    cluster: &str,
    marks: &Marks,
    Listed { mut groups, address_groups: mut named }: Listed,
    mut ids: HashMap<AddressGroupId, AddressGroupKey>,
    known: &HashSet<String>,
) -> Inventory {
    let ours = |description: &str| OwnerMark::parse(description).filter(|mark| mark.cluster == cluster);
    let mut found = Inventory::default();
    let first: HashMap<AddressGroupId, AddressGroupKey> = ids.clone();
    named.sort_by_cached_key(|group| (!first.contains_key(&group.id), group.id.clone()));
    for group in named {
        let Some(mark) = ours(&group.description) else { continue };
        let key = marks.address_groups.get(&mark.uid);
        match key.filter(|key| !found.observed.address_groups.contains_key(key)) {
            Some(key) => {
                ids.insert(group.id.clone(), key.clone());
                found.observed.address_groups.insert(key.clone(), address_group(&group));
            }
            None => drop(found.strangers.address_groups.insert(group.id)),
        }
    }
    groups.sort_by_cached_key(|group| (!known.contains(group.id.as_str()), group.id.clone()));
    for group in groups {
        let Some(mark) = ours(&group.description) else { continue };
        let key = marks.groups.get(&mark.uid);
        match key.filter(|key| !found.observed.groups.contains_key(key)) {
            Some(key) => {
                let rules = group.rules.iter().map(|rule| (rule.id.to_string(), observed_rule(rule, &ids)));
                let observed = ObservedGroup { id: group.id.to_string(), rules: rules.collect(), in_use: false };
                found.observed.groups.insert(key.clone(), observed);
            }
            None => drop(found.strangers.groups.insert(group.id)),
        }
    }
    found
}

/// An address group as Neutron shows it.
pub fn address_group(group: &AddressGroup) -> ObservedAddressGroup {
    ObservedAddressGroup { id: group.id.to_string(), members: group.addresses.iter().copied().collect() }
}

/// A rule as Neutron shows it.
pub fn observed_rule(rule: &SecurityGroupRule, ids: &HashMap<AddressGroupId, AddressGroupKey>) -> ObservedRule {
    read(rule, ids).map_or(ObservedRule::Foreign, ObservedRule::Rule)
}

fn read(rule: &SecurityGroupRule, ids: &HashMap<AddressGroupId, AddressGroupKey>) -> Option<Rule> {
    let key = rule.key();
    let direction = match key.direction {
        neutron::Direction::Ingress => Direction::Ingress,
        neutron::Direction::Egress => Direction::Egress,
        neutron::Direction::Other(_) => return None,
    };
    let family = match key.ethertype {
        EtherType::Ipv4 => Family::V4,
        EtherType::Ipv6 => Family::V6,
        EtherType::Other(_) => return None,
    };
    let ports = ports(key.protocol.as_deref(), family, (key.first, key.last))?;
    let remote = match key.peers {
        neutron::RulePeers::All => Remote::Any,
        neutron::RulePeers::Prefix(net) => Remote::Prefix(net),
        neutron::RulePeers::AddressGroup(id) => Remote::Group(ids.get(&id)?.clone()),
        neutron::RulePeers::SecurityGroup(_) => return None,
    };
    Some(Rule { direction, family, ports, remote })
}

/// What has no ports: Neutron shows ICMP's name of the rule's family, whichever it was asked for.
const fn icmp(family: Family) -> &'static str {
    match family {
        Family::V4 => "icmp",
        Family::V6 => "ipv6-icmp",
    }
}

fn ports(name: Option<&str>, family: Family, range: (Option<u16>, Option<u16>)) -> Option<Ports> {
    let protocol = match name {
        None => return (range == (None, None)).then_some(Ports::All),
        // A range of it would be a type and a code.
        Some(name) if name == icmp(family) => return (range == (None, None)).then_some(Ports::Icmp),
        Some("tcp") => Protocol::Tcp,
        Some("udp") => Protocol::Udp,
        Some("sctp") => Protocol::Sctp,
        Some(_) => return None,
    };
    match range {
        (None, None) => Some(Ports::Protocol(protocol)),
        (Some(first), Some(last)) => Some(Ports::Range { protocol, first, last }),
        _ => None,
    }
}

/// A rule as Neutron is asked for it. `None`: the address group that it names isn't there.
pub fn new_rule(
    group: &SecurityGroupId,
    rule: &Rule,
    named: &BTreeMap<AddressGroupKey, ObservedAddressGroup>,
) -> Option<NewSecurityGroupRule> {
    let direction = match rule.direction {
        Direction::Ingress => neutron::Direction::Ingress,
        Direction::Egress => neutron::Direction::Egress,
    };
    let ethertype = match rule.family {
        Family::V4 => EtherType::Ipv4,
        Family::V6 => EtherType::Ipv6,
    };
    let name = |protocol: Protocol| Some(protocol.to_string().to_lowercase());
    let (protocol, ports) = match rule.ports {
        Ports::All => (None, None),
        Ports::Protocol(protocol) => (name(protocol), None),
        Ports::Range { protocol, first, last } => (name(protocol), Some((first, last))),
        Ports::Icmp => (Some(icmp(rule.family).to_owned()), None),
    };
    let (prefix, address_group) = match &rule.remote {
        Remote::Any => (None, None),
        Remote::Prefix(net) => (Some(*net), None),
        Remote::Group(key) => (None, Some(AddressGroupId::from(named.get(key)?.id.as_str()))),
    };
    Some(NewSecurityGroupRule {
        protocol,
        port_range_min: ports.map(|(first, _)| first),
        port_range_max: ports.map(|(_, last)| last),
        remote_ip_prefix: prefix,
        remote_address_group_id: address_group,
        ..NewSecurityGroupRule::allow_all(group.clone(), direction, ethertype)
    })
}
