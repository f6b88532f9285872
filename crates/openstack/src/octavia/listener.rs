//! Listeners as Octavia answers them, and the calls about them.

use super::{
    ListenerId, ListenerUpdate, LoadBalancerId, NewListener, Octavia, OperatingStatus, PoolId, Protocol,
    ProvisioningStatus, Query, Resource, value::ids,
};
use crate::{Error, neutron::ProjectId, value::null_as_default};
use ipnet::IpNet;
use serde::Deserialize;
use std::collections::BTreeMap;

const LISTENERS: Resource = Resource { path: "listeners", one: "listener", many: "listeners" };

/// A listener: a port of a load balancer's addresses. Whatever the `fields` of a list request leave out has its default value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Listener {
    /// Identifier.
    pub id: ListenerId,
    /// Name; not unique.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    /// Free text.
    #[serde(deserialize_with = "null_as_default")]
    pub description: String,
    /// Project that it belongs to.
    #[serde(deserialize_with = "null_as_default")]
    pub project_id: ProjectId,
    /// What is being done to it.
    #[serde(deserialize_with = "null_as_default")]
    pub provisioning_status: ProvisioningStatus,
    /// Whether it serves.
    #[serde(deserialize_with = "null_as_default")]
    pub operating_status: OperatingStatus,
    /// Whether it may.
    pub admin_state_up: bool,
    /// What it speaks. Can't be changed.
    pub protocol: Protocol,
    /// Its port. Can't be changed.
    pub protocol_port: u16,
    /// Most connections at a time; -1: no limit.
    pub connection_limit: Option<i64>,
    /// The pool that takes its connections.
    pub default_pool_id: Option<PoolId>,
    /// The Barbican container of its certificate (TERMINATED_HTTPS).
    pub default_tls_container_ref: Option<String>,
    /// Headers that are added to requests (HTTP).
    #[serde(deserialize_with = "null_as_default")]
    pub insert_headers: BTreeMap<String, String>,
    /// Who may connect; empty: everybody. Since API 2.12.
    #[serde(deserialize_with = "null_as_default")]
    pub allowed_cidrs: Vec<IpNet>,
    /// Milliseconds that the client may say nothing.
    pub timeout_client_data: Option<u32>,
    /// Milliseconds to connect to a member.
    pub timeout_member_connect: Option<u32>,
    /// Milliseconds that the member may say nothing.
    pub timeout_member_data: Option<u32>,
    /// Milliseconds to wait for more packets to look into.
    pub timeout_tcp_inspect: Option<u32>,
    /// The load balancer: one. Empty in the answer to the load balancer's creation.
    #[serde(rename = "loadbalancers", deserialize_with = "ids")]
    pub load_balancers: Vec<LoadBalancerId>,
    /// Tags.
    #[serde(deserialize_with = "null_as_default")]
    pub tags: Vec<String>,
    /// ISO 8601, UTC, without a zone.
    pub created_at: Option<String>,
    /// ISO 8601, UTC, without a zone.
    pub updated_at: Option<String>,
}

impl Octavia {
    /// Creates a listener of the load balancer that `new` names. Its pool must be there already, or comes later.
    ///
    /// # Errors
    /// Most notable kinds: `Immutable`, `Conflict` ([`Fault::DuplicateListener`](super::Fault::DuplicateListener): the load balancer has one
    /// with this protocol and port), `Unsupported`, `OverQuota`.
    pub async fn create_listener(&self, new: &NewListener) -> Result<Listener, Error> {
        self.api.create(LISTENERS, new).await
    }

    /// Reads a listener.
    ///
    /// # Errors
    /// `NotFound` when there is no such listener.
    pub async fn get_listener(&self, id: &ListenerId) -> Result<Listener, Error> {
        self.api.get(LISTENERS, id.as_str()).await
    }

    /// Lists the listeners that match, of all load balancers, following all pages.
    ///
    /// # Errors
    /// When one of the requests fails.
    pub async fn list_listeners(&self, query: &Query) -> Result<Vec<Listener>, Error> {
        self.api.list(LISTENERS, query.parameters()).await
    }

    /// Changes a listener.
    ///
    /// # Errors
    /// `Immutable`, `Unsupported`; `NotFound` when it, or the pool that it shall have, doesn't exist.
    pub async fn update_listener(&self, id: &ListenerId, update: &ListenerUpdate) -> Result<Listener, Error> {
        self.api.update(LISTENERS, id.as_str(), update).await
    }

    /// Deletes a listener. Its pool stays.
    ///
    /// # Errors
    /// `Immutable`; `NotFound` when there was none at the first attempt.
    pub async fn delete_listener(&self, id: &ListenerId) -> Result<(), Error> {
        self.api.delete(LISTENERS, id.as_str()).await
    }
}
