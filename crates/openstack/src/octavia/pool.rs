//! Pools as Octavia answers them, and the calls about them.

use super::{
    Algorithm, HealthMonitorId, ListenerId, LoadBalancerId, MemberId, NewPool, Octavia, OperatingStatus, PoolId,
    PoolUpdate, Protocol, ProvisioningStatus, Query, Resource, SessionPersistenceType, value::ids,
};
use crate::{Error, endpoint::Repeat, neutron::ProjectId, value::null_as_default};
use reqwest::Method;
use serde::{Deserialize, Serialize};

pub(super) const POOLS: Resource = Resource { path: "pools", one: "pool", many: "pools" };

/// That a client comes to the same member again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionPersistence {
    /// By what it is recognised.
    pub r#type: SessionPersistenceType,
    /// Name of the member's cookie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie_name: Option<String>,
    /// Seconds for which the member is remembered. Octavia takes it for UDP and SCTP pools; for TCP pools only in the creation of a
    /// whole load balancer. Without it the OVN provider remembers nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence_timeout: Option<u32>,
    /// Netmask of the addresses that are taken for one client. Only of UDP and SCTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence_granularity: Option<String>,
}

impl SessionPersistence {
    /// By the client's address.
    #[must_use]
    pub fn source_ip(timeout: Option<u32>) -> Self {
        Self {
            r#type: SessionPersistenceType::SourceIp,
            cookie_name: None,
            persistence_timeout: timeout,
            persistence_granularity: None,
        }
    }
}

/// A pool: the members that take a listener's connections. Whatever the `fields` of a list request leave out has its default value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Pool {
    /// Identifier.
    pub id: PoolId,
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
    /// What it speaks with its members. Can't be changed.
    pub protocol: Protocol,
    /// How it chooses a member.
    pub lb_algorithm: Algorithm,
    /// Whether a client comes to the same member again.
    pub session_persistence: Option<SessionPersistence>,
    /// The load balancer: one. Empty in the answer to the load balancer's creation.
    #[serde(rename = "loadbalancers", deserialize_with = "ids")]
    pub load_balancers: Vec<LoadBalancerId>,
    /// Listeners whose default pool it is.
    #[serde(deserialize_with = "ids")]
    pub listeners: Vec<ListenerId>,
    /// Members.
    #[serde(deserialize_with = "ids")]
    pub members: Vec<MemberId>,
    /// Health monitor.
    #[serde(rename = "healthmonitor_id")]
    pub health_monitor_id: Option<HealthMonitorId>,
    /// Tags.
    #[serde(deserialize_with = "null_as_default")]
    pub tags: Vec<String>,
    /// ISO 8601, UTC, without a zone.
    pub created_at: Option<String>,
    /// ISO 8601, UTC, without a zone.
    pub updated_at: Option<String>,
}

impl Octavia {
    /// Creates a pool of the load balancer or listener that `new` names. Its members and its health monitor come later, each by a request
    /// of its own.
    ///
    /// # Errors
    /// Most notable kinds: `Immutable`, `Conflict` ([`Fault::DuplicatePool`](super::Fault::DuplicatePool): the listener has one),
    /// `Unsupported`, `OverQuota`.
    pub async fn create_pool(&self, new: &NewPool) -> Result<Pool, Error> {
        self.api.create(POOLS, new).await
    }

    /// Reads a pool.
    ///
    /// # Errors
    /// `NotFound` when there is no such pool.
    pub async fn get_pool(&self, id: &PoolId) -> Result<Pool, Error> {
        self.api.get(POOLS, id.as_str()).await
    }

    /// Lists the pools that match, of all load balancers, following all pages.
    ///
    /// # Errors
    /// When one of the requests fails.
    pub async fn list_pools(&self, query: &Query) -> Result<Vec<Pool>, Error> {
        self.api.list(POOLS, query.parameters()).await
    }

    /// Changes a pool.
    ///
    /// # Errors
    /// `Immutable`, `Unsupported`, `NotFound`.
    pub async fn update_pool(&self, id: &PoolId, update: &PoolUpdate) -> Result<Pool, Error> {
        self.api.update(POOLS, id.as_str(), update).await
    }

    /// Deletes a pool with its members and its health monitor. With the OVN provider the load balancer may look `ACTIVE` in between, and a
    /// second deletion leaves its listeners pending for ever: ask once and wait. So it isn't repeated when its answer is lost.
    ///
    /// # Errors
    /// `Immutable`; `NotFound` when there is none.
    pub async fn delete_pool(&self, id: &PoolId) -> Result<(), Error> {
        let endpoint = self.api.endpoint(POOLS, Method::DELETE, &[POOLS.path, id.as_str()]);
        self.api.cloud.run(&endpoint.repeat(Repeat::Never)).await
    }
}
