//! Floating IPs: addresses of an external network that stand for an address inside.

use super::{
    FloatingIpId, NetworkId, Neutron, PortId, ProjectId, Resource, SubnetId,
    value::{Filters, null_as_default, open_enum},
};
use crate::Error;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

const FLOATING_IPS: Resource = Resource { path: "floatingips", one: "floatingip", many: "floatingips" };

open_enum! {
    /// Whether the address is passed on.
    FloatingIpStatus {
        /// It is.
        Active = "ACTIVE",
        /// It isn't: it stands for no port, or the port isn't up.
        Down = "DOWN",
        /// The backend has failed.
        Error = "ERROR",
    }
}

/// A floating IP.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct FloatingIp {
    /// Identifier.
    pub id: FloatingIpId,
    /// Free text; Kuryr's owner mark is here.
    #[serde(deserialize_with = "null_as_default")]
    pub description: String,
    /// Project that it belongs to.
    #[serde(deserialize_with = "null_as_default")]
    pub project_id: ProjectId,
    /// The external network.
    pub floating_network_id: NetworkId,
    /// The address.
    pub floating_ip_address: Option<IpAddr>,
    /// The port that it stands for. `None`: none.
    pub port_id: Option<PortId>,
    /// The port's address that it stands for.
    pub fixed_ip_address: Option<IpAddr>,
    /// Whether it is passed on.
    #[serde(deserialize_with = "null_as_default")]
    pub status: FloatingIpStatus,
    /// Tags.
    #[serde(deserialize_with = "null_as_default")]
    pub tags: Vec<String>,
    /// Grows with every change.
    pub revision_number: Option<i64>,
}

/// A floating IP to create. `None` leaves the choice to Neutron.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct NewFloatingIp {
    /// The external network.
    pub floating_network_id: NetworkId,
    /// Take it from this subnet of the external network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<SubnetId>,
    /// Take this one. Needs an administrator in most clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floating_ip_address: Option<IpAddr>,
    /// The port that it stands for from the beginning. A router must join the port's subnet and the external network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_id: Option<PortId>,
    /// Which of the port's addresses it stands for, when it has several of IPv4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed_ip_address: Option<IpAddr>,
    /// Free text, at most 255 characters: the owner mark. (Tags can't be given here: [`Neutron::replace_tags`].)
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Another project than the caller's. Needs an administrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
}

impl NewFloatingIp {
    /// An address of `network` with everything else left to Neutron.
    #[must_use]
    pub fn of(network: NetworkId) -> Self {
        Self { floating_network_id: network, ..Self::default() }
    }
}

/// A change of a floating IP. `None` leaves a value as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct FloatingIpUpdate {
    /// The port that it stands for; `Some(None)`: none any more. It is taken away from the port that it stood for before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_id: Option<Option<PortId>>,
    /// Which of the port's addresses it stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed_ip_address: Option<IpAddr>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Which floating IPs to list. Values of one field are alternatives, fields must all match.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FloatingIpQuery {
    /// Identifiers.
    pub ids: Vec<FloatingIpId>,
    /// Descriptions.
    pub descriptions: Vec<String>,
    /// External networks.
    pub floating_network_ids: Vec<NetworkId>,
    /// Addresses.
    pub floating_ip_addresses: Vec<IpAddr>,
    /// Ports that they stand for.
    pub port_ids: Vec<PortId>,
    /// Projects.
    pub project_ids: Vec<ProjectId>,
    /// Objects per request.
    pub page_size: Option<usize>,
}

impl Neutron {
    /// Creates a floating IP. Not repeated when the outcome is unknown: look for its description first.
    ///
    /// # Errors
    /// Most notable kinds: `OverQuota`, `AddressesExhausted`, `Forbidden` (a certain address), `Conflict` (the address is in use, or the port
    /// has a floating IP), `NotFound` (network, port, or no router joins them: `ExternalGatewayForFloatingIPNotFound`).
    pub async fn create_floating_ip(&self, new: &NewFloatingIp) -> Result<FloatingIp, Error> {
        self.api.create(FLOATING_IPS, new).await
    }

    /// Reads a floating IP.
    ///
    /// # Errors
    /// `NotFound` when there is no such floating IP.
    pub async fn get_floating_ip(&self, id: &FloatingIpId) -> Result<FloatingIp, Error> {
        self.api.get(FLOATING_IPS, id.as_str()).await
    }

    /// Lists the floating IPs that match, following all pages.
    ///
    /// # Errors
    /// When one of the requests fails.
    pub async fn list_floating_ips(&self, query: &FloatingIpQuery) -> Result<Vec<FloatingIp>, Error> {
        let parameters = Filters::default()
            .any("id", &query.ids)
            .any("description", &query.descriptions)
            .any("floating_network_id", &query.floating_network_ids)
            .any("floating_ip_address", &query.floating_ip_addresses)
            .any("port_id", &query.port_ids)
            .any("project_id", &query.project_ids)
            .paged(query.page_size);
        self.api.list(FLOATING_IPS, parameters).await
    }

    /// Has a floating IP stand for another port, or for none, or changes its description.
    ///
    /// # Errors
    /// `Conflict` when the port has another floating IP, `NotFound` as with [`Self::create_floating_ip`].
    pub async fn update_floating_ip(&self, id: &FloatingIpId, update: &FloatingIpUpdate) -> Result<FloatingIp, Error> {
        self.api.update(FLOATING_IPS, id.as_str(), update).await
    }

    /// Deletes a floating IP: gives the address back.
    ///
    /// # Errors
    /// `NotFound` when there was none at the first attempt.
    pub async fn delete_floating_ip(&self, id: &FloatingIpId) -> Result<(), Error> {
        self.api.delete(FLOATING_IPS, id.as_str()).await
    }
}
