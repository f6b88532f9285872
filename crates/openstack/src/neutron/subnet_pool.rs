//! Subnet pools: prefixes from which subnets are taken without overlap.

use super::{
    IpVersion, Neutron, ProjectId, Resource, SubnetPoolId,
    value::{Filters, null_as_default},
};
use crate::Error;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de};

const SUBNET_POOLS: Resource = Resource { path: "subnetpools", one: "subnetpool", many: "subnetpools" };

/// A subnet pool.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SubnetPool {
    /// Identifier.
    pub id: SubnetPoolId,
    /// Name; not unique.
    #[serde(default, deserialize_with = "null_as_default")]
    pub name: String,
    /// Project that the pool belongs to.
    #[serde(default, deserialize_with = "null_as_default")]
    pub project_id: ProjectId,
    /// Address family.
    pub ip_version: IpVersion,
    /// Prefixes that subnets are taken from.
    #[serde(default)]
    pub prefixes: Vec<IpNet>,
    /// Length of a subnet's prefix when none is asked for.
    #[serde(deserialize_with = "number_or_text")]
    pub default_prefixlen: u8,
    /// Shortest prefix (largest subnet).
    #[serde(deserialize_with = "number_or_text")]
    pub min_prefixlen: u8,
    /// Longest prefix (smallest subnet).
    #[serde(deserialize_with = "number_or_text")]
    pub max_prefixlen: u8,
    /// Whether other projects may use it.
    #[serde(default)]
    pub shared: bool,
}

/// The lengths are numbers in the API reference's text and texts in its examples; clouds answer either.
fn number_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Length {
        Number(u8),
        Text(String),
    }
    match Length::deserialize(deserializer)? {
        Length::Number(length) => Ok(length),
        Length::Text(text) => text.parse().map_err(|_| de::Error::custom(format!("`{text}` is not a prefix length"))),
    }
}

/// Which subnet pools to list. Values of one field are alternatives, fields must all match.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubnetPoolQuery {
    /// Identifiers.
    pub ids: Vec<SubnetPoolId>,
    /// Names.
    pub names: Vec<String>,
    /// Objects per request.
    pub page_size: Option<usize>,
}

impl Neutron {
    /// Reads a subnet pool.
    ///
    /// # Errors
    /// `NotFound` when there is no such pool.
    pub async fn get_subnet_pool(&self, id: &SubnetPoolId) -> Result<SubnetPool, Error> {
        self.api.get(SUBNET_POOLS, id.as_str()).await
    }

    /// Lists the subnet pools that match, following all pages.
    ///
    /// # Errors
    /// When one of the requests fails.
    pub async fn list_subnet_pools(&self, query: &SubnetPoolQuery) -> Result<Vec<SubnetPool>, Error> {
        let parameters = Filters::default().any("id", &query.ids).any("name", &query.names).paged(query.page_size);
        self.api.list(SUBNET_POOLS, parameters).await
    }
}
