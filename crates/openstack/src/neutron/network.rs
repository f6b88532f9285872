//! Networks.

use super::{
    NetworkId, Neutron, ProjectId, Resource, SubnetId,
    value::{Filters, null_as_default, open_enum},
};
use crate::Error;
use serde::{Deserialize, Serialize};

const NETWORKS: Resource = Resource { path: "networks", one: "network", many: "networks" };

open_enum! {
    /// Whether the network works.
    NetworkStatus {
        /// It does.
        Active = "ACTIVE",
        /// It doesn't.
        Down = "DOWN",
        /// Being built.
        Build = "BUILD",
        /// The backend has failed.
        Error = "ERROR",
    }
}

/// A network. What the `fields` of a list request leave out has its default value.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Network {
    /// Identifier.
    pub id: NetworkId,
    /// Name; not unique.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    /// Free text.
    #[serde(deserialize_with = "null_as_default")]
    pub description: String,
    /// Project that the network belongs to.
    #[serde(deserialize_with = "null_as_default")]
    pub project_id: ProjectId,
    /// Whether it works.
    pub status: NetworkStatus,
    /// Whether it may forward traffic.
    pub admin_state_up: bool,
    /// Subnets.
    #[serde(deserialize_with = "null_as_default")]
    pub subnets: Vec<SubnetId>,
    /// Largest packet in bytes that the network carries, for every device on it. `None` when Neutron doesn't say.
    pub mtu: Option<u32>,
    /// Whether other projects may use it.
    pub shared: bool,
    /// Whether it leads outside, so that floating IPs come from it.
    #[serde(rename = "router:external")]
    pub external: bool,
    /// Whether ports have security groups unless they say otherwise.
    pub port_security_enabled: Option<bool>,
    /// Tags.
    #[serde(deserialize_with = "null_as_default")]
    pub tags: Vec<String>,
    /// Grows with every change.
    pub revision_number: Option<i64>,
}

/// A network to create. `None` leaves the choice to Neutron.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct NewNetwork {
    /// Name.
    pub name: String,
    /// Free text: the owner mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Largest packet in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Another project than the caller's. Needs an administrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
}

/// Which networks to list. Values of one field are alternatives, fields must all match.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NetworkQuery {
    /// Identifiers.
    pub ids: Vec<NetworkId>,
    /// Names.
    pub names: Vec<String>,
    /// Descriptions.
    pub descriptions: Vec<String>,
    /// Projects.
    pub project_ids: Vec<ProjectId>,
    /// Whether they lead outside.
    pub external: Option<bool>,
    /// Objects per request.
    pub page_size: Option<usize>,
}

impl Neutron {
    /// Creates a network.
    ///
    /// # Errors
    /// Most notable kind: `OverQuota`.
    pub async fn create_network(&self, new: &NewNetwork) -> Result<Network, Error> {
        self.api.create(NETWORKS, new).await
    }

    /// Reads a network.
    ///
    /// # Errors
    /// `NotFound` when there is no such network.
    pub async fn get_network(&self, id: &NetworkId) -> Result<Network, Error> {
        self.api.get(NETWORKS, id.as_str()).await
    }

    /// Lists the networks that match, following all pages.
    ///
    /// # Errors
    /// When one of the requests fails.
    pub async fn list_networks(&self, query: &NetworkQuery) -> Result<Vec<Network>, Error> {
        let parameters = Filters::default()
            .any("id", &query.ids)
            .any("name", &query.names)
            .any("description", &query.descriptions)
            .any("project_id", &query.project_ids)
            .any("router:external", query.external)
            .paged(query.page_size);
        self.api.list(NETWORKS, parameters).await
    }

    /// Deletes a network.
    ///
    /// # Errors
    /// `Conflict` (`NetworkInUse`) while it has ports, `NotFound` when there was no such network.
    pub async fn delete_network(&self, id: &NetworkId) -> Result<(), Error> {
        self.api.delete(NETWORKS, id.as_str()).await
    }
}
