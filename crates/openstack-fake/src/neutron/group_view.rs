//! Groups as a test sees them.

use super::{Neutron, Object, address_group::AddressGroup, group::SecurityGroup, rule::Rule};
use ipnet::IpNet;
use std::collections::BTreeSet;

/// A security group as Neutron has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityGroupView {
    /// Identifier.
    pub id: String,
    /// Name.
    pub name: String,
    /// Free text; Kuryr's owner mark.
    pub description: String,
    /// Project.
    pub project_id: String,
    /// Whether answers to what a rule allows pass too.
    pub stateful: bool,
    /// What may pass, in the order of the identifiers.
    pub rules: Vec<RuleView>,
}

/// A rule of a security group, as Neutron keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleView {
    /// Identifier.
    pub id: String,
    /// Free text.
    pub description: String,
    /// Towards the port, or from it.
    pub ingress: bool,
    /// IPv4, or IPv6.
    pub v4: bool,
    /// IP protocol by name or number. `None`: any.
    pub protocol: Option<String>,
    /// First and last port, or ICMP type and code. `None`: any.
    pub ports: (Option<u16>, Option<u16>),
    /// Peers by prefix, with the host bits that it was given with.
    pub prefix: Option<IpNet>,
    /// Peers by security group.
    pub remote_group: Option<String>,
    /// Peers by address group.
    pub address_group: Option<String>,
    /// Whether OVN lets pass what the rule allows. It doesn't where the same rule was there twice and one was deleted.
    pub in_force: bool,
}

/// An address group as Neutron has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressGroupView {
    /// Identifier.
    pub id: String,
    /// Name.
    pub name: String,
    /// Free text; Kuryr's owner mark.
    pub description: String,
    /// Project.
    pub project_id: String,
    /// Prefixes.
    pub addresses: BTreeSet<IpNet>,
}

impl Neutron {
    pub fn group_views(&self) -> Vec<SecurityGroupView> {
        self.groups.values().map(SecurityGroup::view).collect()
    }

    pub fn address_group_views(&self) -> Vec<AddressGroupView> {
        self.address_groups.values().map(AddressGroup::view).collect()
    }
}

impl SecurityGroup {
    fn view(&self) -> SecurityGroupView {
        let meta = self.meta();
        SecurityGroupView {
            id: meta.id.to_string(),
            name: meta.name.to_string(),
            description: meta.description.to_string(),
            project_id: meta.project.to_string(),
            stateful: self.stateful,
            rules: self.rules.values().map(|rule| rule.view(self)).collect(),
        }
    }
}

impl Rule {
    fn view(&self, group: &SecurityGroup) -> RuleView {
        let (meta, what) = (self.meta(), &self.what);
        let port = |port: Option<i64>| port.and_then(|port| u16::try_from(port).ok());
        RuleView {
            id: meta.id.to_string(),
            description: meta.description.to_string(),
            ingress: what.ingress,
            v4: what.v4,
            protocol: what.protocol.clone(),
            ports: (port(what.min), port(what.max)),
            prefix: what.prefix,
            remote_group: what.remote_group.map(|id| id.to_string()),
            address_group: what.address_group.map(|id| id.to_string()),
            in_force: group.passing.contains(&what.passing()),
        }
    }
}

impl AddressGroup {
    fn view(&self) -> AddressGroupView {
        AddressGroupView {
            id: self.meta.id.to_string(),
            name: self.meta.name.to_string(),
            description: self.meta.description.to_string(),
            project_id: self.meta.project.to_string(),
            addresses: self.addresses.clone(),
        }
    }
}
