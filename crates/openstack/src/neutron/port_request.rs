//! What is asked about ports: creation, change, filters.

use super::{
    AddressPair, NetworkId, PortId, PortStatus, ProjectId, QosPolicyId, SecurityGroupId, SubnetId, value::Filters,
};
use kuryr_core::net::MacAddress;
use serde::Serialize;
use std::net::IpAddr;

/// An address to give to a port: one free address of a subnet, a certain address, or both.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct FixedIpRequest {
    /// Take it from this subnet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<SubnetId>,
    /// Take this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<IpAddr>,
}

impl From<SubnetId> for FixedIpRequest {
    fn from(subnet_id: SubnetId) -> Self {
        Self { subnet_id: Some(subnet_id), ip_address: None }
    }
}

/// A port to create. `None` leaves the choice to Neutron.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct NewPort {
    /// Network of the port.
    pub network_id: NetworkId,
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Free text, at most 255 characters: the owner mark, by which a port is found whose answer was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What uses the port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// What kind of thing uses the port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_owner: Option<String>,
    /// Addresses. `None`: one of each address family for which the network has a subnet; empty: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed_ips: Option<Vec<FixedIpRequest>>,
    /// Ethernet address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac_address: Option<MacAddress>,
    /// Security groups. `None`: the project's group `default`; empty: none, so that nothing passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_groups: Option<Vec<SecurityGroupId>>,
    /// Whether the port may forward traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_state_up: Option<bool>,
    /// Whether security groups and anti-spoofing are applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_security_enabled: Option<bool>,
    /// Further addresses that may be used on the port.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_address_pairs: Vec<AddressPair>,
    /// QoS policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qos_policy_id: Option<QosPolicyId>,
    /// Host to bind the port to: the OVN chassis' or agent's host name. Needs a role that may bind ports.
    #[serde(rename = "binding:host_id", skip_serializing_if = "Option::is_none")]
    pub host_id: Option<String>,
    /// Another project than the caller's. Needs an administrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
    /// Tags. Only clouds with the ML2 extension driver `tag_ports_during_bulk_creation` take them here; others ignore
    /// them without a word, so never rely on them to find a port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

impl NewPort {
    /// A port on `network_id` with everything else left to Neutron.
    #[must_use]
    pub fn on(network_id: NetworkId) -> Self {
        Self { network_id, ..Self::default() }
    }
}

/// A change of a port. `None` leaves a value as it is; lists are replaced as a whole.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct PortUpdate {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What uses the port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// What kind of thing uses the port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_owner: Option<String>,
    /// Addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed_ips: Option<Vec<FixedIpRequest>>,
    /// Security groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_groups: Option<Vec<SecurityGroupId>>,
    /// Whether the port may forward traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_state_up: Option<bool>,
    /// Whether security groups and anti-spoofing are applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_security_enabled: Option<bool>,
    /// Further addresses that may be used on the port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_address_pairs: Option<Vec<AddressPair>>,
    /// Host to bind the port to; empty text unbinds it.
    #[serde(rename = "binding:host_id", skip_serializing_if = "Option::is_none")]
    pub host_id: Option<String>,
}

/// A condition on the addresses of a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FixedIpFilter {
    /// Has an address of this subnet.
    Subnet(SubnetId),
    /// Has this address.
    Address(IpAddr),
}

/// Which ports to list. Values of one field are alternatives, fields must all match, an empty field matches everything.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PortQuery {
    /// Identifiers.
    pub ids: Vec<PortId>,
    /// Names.
    pub names: Vec<String>,
    /// Descriptions.
    pub descriptions: Vec<String>,
    /// Networks.
    pub network_ids: Vec<NetworkId>,
    /// Devices.
    pub device_ids: Vec<String>,
    /// Kinds of devices.
    pub device_owners: Vec<String>,
    /// Hosts that ports are bound to.
    pub host_ids: Vec<String>,
    /// Projects.
    pub project_ids: Vec<ProjectId>,
    /// Ethernet addresses.
    pub mac_addresses: Vec<MacAddress>,
    /// Security groups.
    pub security_groups: Vec<SecurityGroupId>,
    /// States.
    pub statuses: Vec<PortStatus>,
    /// Addresses or subnets.
    pub fixed_ips: Vec<FixedIpFilter>,
    /// Tags, all of which a port must have.
    pub tags: Vec<String>,
    /// Fields to answer, as `id` or `binding:host_id`; empty: all. Fewer are quicker for Neutron.
    pub fields: Vec<&'static str>,
    /// Objects per request; `None`: as many as the service likes.
    pub page_size: Option<usize>,
}

impl PortQuery {
    /// The query as Neutron writes it.
    pub(super) fn parameters(&self) -> Vec<(&'static str, String)> {
        let fixed_ips = self.fixed_ips.iter().map(|filter| match filter {
            FixedIpFilter::Subnet(id) => format!("subnet_id={id}"),
            FixedIpFilter::Address(address) => format!("ip_address={address}"),
        });
        Filters::default()
            .any("id", &self.ids)
            .any("name", &self.names)
            .any("description", &self.descriptions)
            .any("network_id", &self.network_ids)
            .any("device_id", &self.device_ids)
            .any("device_owner", &self.device_owners)
            .any("binding:host_id", &self.host_ids)
            .any("project_id", &self.project_ids)
            .any("mac_address", &self.mac_addresses)
            .any("security_groups", &self.security_groups)
            .any("status", &self.statuses)
            .any("fixed_ips", fixed_ips)
            .any("tags", (!self.tags.is_empty()).then(|| self.tags.join(",")))
            .any("fields", &self.fields)
            .paged(self.page_size)
    }
}
