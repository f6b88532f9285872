//! The attributes of ports, and the addresses that are asked for.

use super::{
    Failure,
    attribute::{Attribute, Kind, fixed, free, read_only, required},
};
use crate::uuid::Uuid;
use serde_json::Value;
use std::net::IpAddr;

pub(super) const ATTRIBUTES: [Attribute; 19] = [
    required("network_id", Kind::Uuid),
    free("mac_address", Kind::Mac),
    free("fixed_ips", Kind::FixedIps),
    free("device_id", Kind::Text(255)),
    free("device_owner", Kind::Text(255)),
    free("admin_state_up", Kind::Flag),
    free("security_groups", Kind::Uuids),
    free("port_security_enabled", Kind::Flag),
    free("allowed_address_pairs", Kind::List),
    free("qos_policy_id", Kind::UuidOrNull),
    free("binding:host_id", Kind::Any),
    free("binding:vnic_type", Kind::Any),
    free("binding:profile", Kind::Any),
    free("extra_dhcp_opts", Kind::List),
    free("dns_name", Kind::Text(255)),
    fixed("tags", Kind::List),
    read_only("status"),
    read_only("binding:vif_type"),
    read_only("binding:vif_details"),
];

pub(super) const FIELDS: [&str; 19] = [
    "network_id",
    "mac_address",
    "fixed_ips",
    "device_id",
    "device_owner",
    "admin_state_up",
    "status",
    "security_groups",
    "port_security_enabled",
    "allowed_address_pairs",
    "extra_dhcp_opts",
    "qos_policy_id",
    "qos_network_policy_id",
    "resource_request",
    "binding:host_id",
    "binding:vif_type",
    "binding:vnic_type",
    "binding:vif_details",
    "binding:profile",
];

/// An address of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FixedIp {
    pub subnet: Uuid,
    pub address: IpAddr,
}

/// An address that a port shall have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub subnet: Option<Uuid>,
    pub address: Option<IpAddr>,
}

/// Reads `fixed_ips`, whose types have been checked.
pub(super) fn wanted(list: &[Value]) -> Result<Vec<Wanted>, Failure> {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
    list.iter()
        .map(|value| {
            let subnet = text(value, "subnet_id").and_then(|id| id.parse().ok());
            let address = text(value, "ip_address").and_then(|address| address.parse().ok());
            match (subnet, address) {
                (None, None) => Err(Failure::invalid("IP allocation requires subnet_id or ip_address")),
                _ => Ok(Wanted { subnet, address }),
            }
        })
        .collect()
}
