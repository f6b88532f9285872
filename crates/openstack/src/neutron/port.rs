//! Ports as Neutron answers them, and the calls about them.

use super::{
    NetworkId, Neutron, NewPort, PortId, PortQuery, PortUpdate, ProjectId, QosPolicyId, Resource, SecurityGroupId,
    SubnetId,
    value::{null_as_default, open_enum},
};
use crate::Error;
use futures::Stream;
use kuryr_core::net::MacAddress;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

pub(super) const PORTS: Resource = Resource { path: "ports", one: "port", many: "ports" };

open_enum! {
    /// Whether the dataplane forwards the port's traffic.
    PortStatus {
        /// It does.
        Active = "ACTIVE",
        /// It doesn't (yet): not plugged, or not bound to a host.
        Down = "DOWN",
        /// Being built.
        Build = "BUILD",
        /// The backend has failed.
        Error = "ERROR",
        /// Neutron doesn't know, as for ports of trunks or floating IPs.
        NotApplicable = "N/A",
    }
}

open_enum! {
    /// How the port is to be plugged on its host (`binding:vif_type`).
    VifType {
        /// Open vSwitch.
        Ovs = "ovs",
        /// A vhost-user socket.
        VhostUser = "vhostuser",
        /// Not bound to a host.
        Unbound = "unbound",
        /// No mechanism driver could bind the port to its host: usually the host has no (living) agent or chassis.
        BindingFailed = "binding_failed",
    }
}

/// One address of a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FixedIp {
    /// The subnet that the address belongs to.
    pub subnet_id: SubnetId,
    /// The address.
    pub ip_address: IpAddr,
}

/// Further addresses that may be used on a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AddressPair {
    /// An address or a prefix in CIDR form.
    pub ip_address: String,
    /// The MAC address that goes with it; the port's own if none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac_address: Option<MacAddress>,
}

/// A port. Whatever the `fields` of a list request leave out, or the project may not see, has its default value.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Port {
    /// Identifier.
    pub id: PortId,
    /// Name; not unique.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    /// Free text; Kuryr's owner mark is here.
    #[serde(deserialize_with = "null_as_default")]
    pub description: String,
    /// Network of the port.
    pub network_id: NetworkId,
    /// Project that the port belongs to.
    #[serde(deserialize_with = "null_as_default")]
    pub project_id: ProjectId,
    /// Whether the dataplane forwards its traffic.
    pub status: PortStatus,
    /// Whether it may.
    pub admin_state_up: bool,
    /// Ethernet address.
    #[serde(deserialize_with = "mac_or_none")]
    pub mac_address: Option<MacAddress>,
    /// Addresses.
    #[serde(deserialize_with = "null_as_default")]
    pub fixed_ips: Vec<FixedIp>,
    /// What uses the port; text of the user's choice.
    #[serde(deserialize_with = "null_as_default")]
    pub device_id: String,
    /// What kind of thing uses the port, as `compute:kuryr` or `network:dhcp`.
    #[serde(deserialize_with = "null_as_default")]
    pub device_owner: String,
    /// Security groups.
    #[serde(deserialize_with = "null_as_default")]
    pub security_groups: Vec<SecurityGroupId>,
    /// Whether security groups and anti-spoofing are applied at all.
    pub port_security_enabled: Option<bool>,
    /// Further addresses that may be used on the port.
    #[serde(deserialize_with = "null_as_default")]
    pub allowed_address_pairs: Vec<AddressPair>,
    /// QoS policy.
    pub qos_policy_id: Option<QosPolicyId>,
    /// Tags.
    #[serde(deserialize_with = "null_as_default")]
    pub tags: Vec<String>,
    /// Host that the port is bound to. `None` when the project may not see bindings.
    #[serde(rename = "binding:host_id")]
    pub host_id: Option<String>,
    /// How it is to be plugged there. `None` when the project may not see bindings.
    #[serde(rename = "binding:vif_type")]
    pub vif_type: Option<VifType>,
    /// Grows with every change; `If-Match` refers to it.
    pub revision_number: Option<i64>,
    /// RFC 3339, UTC.
    pub created_at: Option<String>,
    /// RFC 3339, UTC.
    pub updated_at: Option<String>,
}

/// Some devices' ports have no (or no Ethernet) address: then there is none, instead of a list that can't be read.
fn mac_or_none<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<MacAddress>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.and_then(|text| text.to_ascii_lowercase().parse().ok()))
}

impl Neutron {
    /// Creates a port. Not repeated when the outcome is unknown: look for the port's description first.
    ///
    /// # Errors
    /// Most notable kinds: `AddressesExhausted`, `OverQuota`, `Conflict` (`IpAddressInUse`, `MacAddressInUse`),
    /// `NotFound` (network, subnet or group), `BadRequest`.
    pub async fn create_port(&self, new: &NewPort) -> Result<Port, Error> {
        self.api.create(PORTS, new).await
    }

    /// Creates all of the ports or none, by one request. The answers are in the order of `new` in the Neutron versions
    /// known; still match them by description.
    ///
    /// # Errors
    /// As [`Self::create_port`].
    pub async fn create_ports(&self, new: &[NewPort]) -> Result<Vec<Port>, Error> {
        self.api.create_bulk(PORTS, new).await
    }

    /// Reads a port.
    ///
    /// # Errors
    /// `NotFound` when there is no such port.
    pub async fn get_port(&self, id: &PortId) -> Result<Port, Error> {
        self.api.get(PORTS, id.as_str()).await
    }

    /// Lists the ports that match, following all pages.
    ///
    /// # Errors
    /// When one of the requests fails.
    pub async fn list_ports(&self, query: &PortQuery) -> Result<Vec<Port>, Error> {
        self.api.list(PORTS, query.parameters()).await
    }

    /// Lists the ports that match, a page at a time: for lists that needn't be in memory as a whole.
    pub fn stream_ports(&self, query: &PortQuery) -> impl Stream<Item = Result<Port, Error>> + Send + use<> {
        self.api.stream(PORTS, query.parameters())
    }

    /// Changes a port. Only what `update` holds is changed; lists are replaced as a whole.
    ///
    /// # Errors
    /// `NotFound` when the port, or a group it shall have, doesn't exist.
    pub async fn update_port(&self, id: &PortId, update: &PortUpdate) -> Result<Port, Error> {
        self.api.update(PORTS, id.as_str(), update).await
    }

    /// Deletes a port.
    ///
    /// # Errors
    /// `NotFound` when there was no such port at the first attempt.
    pub async fn delete_port(&self, id: &PortId) -> Result<(), Error> {
        self.api.delete(PORTS, id.as_str()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neutron::NewPort;
    use serde_json::json;

    #[test]
    fn a_port_of_nulls_and_unknown_values_is_read() {
        let port: Port = serde_json::from_value(json!({
            "id": "not-even-a-uuid", "name": null, "description": null, "status": "HALF_ACTIVE", "mac_address": "",
            "fixed_ips": null, "security_groups": null, "tags": null, "device_owner": null, "unknown": { "a": 1 },
            "binding:vif_type": "quantum", "binding:host_id": null
        }))
        .unwrap();
        assert_eq!(port.id.as_str(), "not-even-a-uuid");
        assert_eq!(port.status, PortStatus::Other("HALF_ACTIVE".to_owned()));
        assert_eq!(port.vif_type, Some(VifType::Other("quantum".to_owned())));
        assert_eq!((port.mac_address, port.host_id), (None, None));
    }

    #[test]
    fn only_what_was_chosen_is_sent() {
        assert_eq!(serde_json::to_value(NewPort::on("n".into())).unwrap(), json!({ "network_id": "n" }));
        let chosen = NewPort {
            security_groups: Some(Vec::new()),
            host_id: Some("node1".to_owned()),
            fixed_ips: Some(vec![SubnetId::from("s").into()]),
            ..NewPort::on("n".into())
        };
        let expected = json!({
            "network_id": "n", "security_groups": [], "binding:host_id": "node1", "fixed_ips": [{ "subnet_id": "s" }]
        });
        assert_eq!(serde_json::to_value(chosen).unwrap(), expected);
    }
}
