//! Subnets.

use super::{
    NetworkId, Neutron, ProjectId, Resource, SubnetId, SubnetPoolId,
    value::{Filters, null_as_default},
};
use crate::Error;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

const SUBNETS: Resource = Resource { path: "subnets", one: "subnet", many: "subnets" };

/// An address family, written as Neutron does: 4 or 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum IpVersion {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl TryFrom<u8> for IpVersion {
    type Error = String;

    fn try_from(version: u8) -> Result<Self, Self::Error> {
        match version {
            4 => Ok(Self::V4),
            6 => Ok(Self::V6),
            other => Err(format!("`{other}` is not an IP version: 4 or 6 is expected")),
        }
    }
}

impl From<IpVersion> for u8 {
    fn from(version: IpVersion) -> Self {
        match version {
            IpVersion::V4 => 4,
            IpVersion::V6 => 6,
        }
    }
}

/// A route that the subnet's hosts shall have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRoute {
    /// What is reached.
    pub destination: IpNet,
    /// By way of what.
    pub nexthop: IpAddr,
}

/// A subnet. The list request asks for whole objects, so the prefix is always there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Subnet {
    /// Identifier.
    pub id: SubnetId,
    /// Name; not unique.
    #[serde(default, deserialize_with = "null_as_default")]
    pub name: String,
    /// Free text.
    #[serde(default, deserialize_with = "null_as_default")]
    pub description: String,
    /// Project that the subnet belongs to.
    #[serde(default, deserialize_with = "null_as_default")]
    pub project_id: ProjectId,
    /// Network of the subnet.
    pub network_id: NetworkId,
    /// Address family.
    pub ip_version: IpVersion,
    /// Prefix.
    pub cidr: IpNet,
    /// Default gateway; may also be a subnet's network address with IPv6. `None`: no default route.
    #[serde(default)]
    pub gateway_ip: Option<IpAddr>,
    /// Name servers.
    #[serde(default, deserialize_with = "null_as_default")]
    pub dns_nameservers: Vec<IpAddr>,
    /// Further routes.
    #[serde(default, deserialize_with = "null_as_default")]
    pub host_routes: Vec<HostRoute>,
    /// Pool that the prefix was taken from.
    #[serde(default)]
    pub subnetpool_id: Option<SubnetPoolId>,
    /// Tags.
    #[serde(default, deserialize_with = "null_as_default")]
    pub tags: Vec<String>,
    /// Grows with every change.
    #[serde(default)]
    pub revision_number: Option<i64>,
}

/// A subnet to create: with a prefix, or with a pool to take one from. `None` leaves the choice to Neutron.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewSubnet {
    /// Name.
    pub name: String,
    /// Free text: the owner mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Network of the subnet.
    pub network_id: NetworkId,
    /// Address family.
    pub ip_version: IpVersion,
    /// Prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr: Option<IpNet>,
    /// Pool to take the prefix from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnetpool_id: Option<SubnetPoolId>,
    /// Length of the prefix to take from the pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefixlen: Option<u8>,
    /// Whether Neutron's DHCP serves it.
    pub enable_dhcp: bool,
    /// Another project than the caller's. Needs an administrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
}

/// Which subnets to list. Values of one field are alternatives, fields must all match.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubnetQuery {
    /// Identifiers.
    pub ids: Vec<SubnetId>,
    /// Names.
    pub names: Vec<String>,
    /// Descriptions.
    pub descriptions: Vec<String>,
    /// Networks.
    pub network_ids: Vec<NetworkId>,
    /// Projects.
    pub project_ids: Vec<ProjectId>,
    /// Objects per request.
    pub page_size: Option<usize>,
}

impl Neutron {
    /// Creates a subnet.
    ///
    /// # Errors
    /// Most notable kinds: `BadRequest` (the prefix overlaps another one), `AddressesExhausted` (the pool is used up),
    /// `OverQuota`.
    pub async fn create_subnet(&self, new: &NewSubnet) -> Result<Subnet, Error> {
        self.api.create(SUBNETS, new).await
    }

    /// Reads a subnet.
    ///
    /// # Errors
    /// `NotFound` when there is no such subnet.
    pub async fn get_subnet(&self, id: &SubnetId) -> Result<Subnet, Error> {
        self.api.get(SUBNETS, id.as_str()).await
    }

    /// Lists the subnets that match, following all pages.
    ///
    /// # Errors
    /// When one of the requests fails.
    pub async fn list_subnets(&self, query: &SubnetQuery) -> Result<Vec<Subnet>, Error> {
        let parameters = Filters::default()
            .any("id", &query.ids)
            .any("name", &query.names)
            .any("description", &query.descriptions)
            .any("network_id", &query.network_ids)
            .any("project_id", &query.project_ids)
            .paged(query.page_size);
        self.api.list(SUBNETS, parameters).await
    }

    /// Deletes a subnet.
    ///
    /// # Errors
    /// `Conflict` (`SubnetInUse`) while ports have addresses of it, `NotFound` when there was no such subnet.
    pub async fn delete_subnet(&self, id: &SubnetId) -> Result<(), Error> {
        self.api.delete(SUBNETS, id.as_str()).await
    }
}
