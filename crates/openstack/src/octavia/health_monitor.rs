//! Health monitors: whether members are tried, and how.

use super::{
    HealthMonitorId, HealthMonitorType, Octavia, OperatingStatus, PoolId, ProvisioningStatus, Query, Resource,
    value::ids,
};
use crate::{Error, neutron::ProjectId, value::null_as_default};
use serde::{Deserialize, Serialize};

const HEALTH_MONITORS: Resource = Resource { path: "healthmonitors", one: "healthmonitor", many: "healthmonitors" };

/// A health monitor. Whatever the `fields` of a list request leave out has its default value.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct HealthMonitor {
    /// Identifier.
    pub id: HealthMonitorId,
    /// Name; not unique.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    /// Project that it belongs to.
    #[serde(deserialize_with = "null_as_default")]
    pub project_id: ProjectId,
    /// What is being done to it.
    #[serde(deserialize_with = "null_as_default")]
    pub provisioning_status: ProvisioningStatus,
    /// Whether it works.
    #[serde(deserialize_with = "null_as_default")]
    pub operating_status: OperatingStatus,
    /// Whether it may.
    pub admin_state_up: bool,
    /// How it tries members. Can't be changed.
    pub r#type: HealthMonitorType,
    /// Seconds between two tries.
    pub delay: u32,
    /// Seconds that a try may take.
    pub timeout: u32,
    /// Successes until a member is up.
    pub max_retries: u8,
    /// Failures until a member is down.
    #[serde(deserialize_with = "null_as_default")]
    pub max_retries_down: u8,
    /// Method of the HTTP request.
    pub http_method: Option<String>,
    /// Path of the HTTP request.
    pub url_path: Option<String>,
    /// HTTP statuses that are a success, as `200`, `200,202` or `200-204`.
    pub expected_codes: Option<String>,
    /// Version of the HTTP request: 1.0 or 1.1.
    pub http_version: Option<f64>,
    /// `Host` of the HTTP request. Since API 2.10.
    pub domain_name: Option<String>,
    /// The pool: one. Empty in the answer to the load balancer's creation.
    #[serde(deserialize_with = "ids")]
    pub pools: Vec<PoolId>,
    /// Tags.
    #[serde(deserialize_with = "null_as_default")]
    pub tags: Vec<String>,
}

/// A health monitor to create, alone or with its load balancer. `None` leaves the choice to Octavia.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NewHealthMonitor {
    /// The pool; `None` in the load balancer's own creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_id: Option<PoolId>,
    /// Name, at most 255 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How to try members.
    pub r#type: HealthMonitorType,
    /// Seconds between two tries.
    pub delay: u32,
    /// Seconds that a try may take; less than `delay`.
    pub timeout: u32,
    /// Successes until a member is up, 1 to 10.
    pub max_retries: u8,
    /// Failures until a member is down, 1 to 10; `None`: 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_retries_down: Option<u8>,
    /// Method of the HTTP request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_method: Option<String>,
    /// Path of the HTTP request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_path: Option<String>,
    /// HTTP statuses that are a success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_codes: Option<String>,
    /// Version of the HTTP request: 1.0 or 1.1. Since API 2.10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_version: Option<f64>,
    /// `Host` of the HTTP request; needs version 1.1. Since API 2.10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain_name: Option<String>,
    /// Whether it may work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_state_up: Option<bool>,
    /// Tags. Since API 2.5.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

impl NewHealthMonitor {
    /// A health monitor with everything else left to Octavia.
    #[must_use]
    pub fn of(r#type: HealthMonitorType, delay: u32, timeout: u32, max_retries: u8) -> Self {
        Self {
            pool_id: None,
            name: None,
            r#type,
            delay,
            timeout,
            max_retries,
            max_retries_down: None,
            http_method: None,
            url_path: None,
            expected_codes: None,
            http_version: None,
            domain_name: None,
            admin_state_up: None,
            tags: Vec::new(),
        }
    }

    /// One that opens TCP connections.
    #[must_use]
    pub fn tcp(delay: u32, timeout: u32, max_retries: u8) -> Self {
        Self::of(HealthMonitorType::Tcp, delay, timeout, max_retries)
    }
}

/// A change of a health monitor. `None` leaves a value as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct HealthMonitorUpdate {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Seconds between two tries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<u32>,
    /// Seconds that a try may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u32>,
    /// Successes until a member is up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_retries: Option<u8>,
    /// Failures until a member is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_retries_down: Option<u8>,
    /// Method of the HTTP request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_method: Option<String>,
    /// Path of the HTTP request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_path: Option<String>,
    /// HTTP statuses that are a success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_codes: Option<String>,
    /// Whether it may work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_state_up: Option<bool>,
    /// Tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

impl Octavia {
    /// Creates the health monitor of the pool that `new` names.
    ///
    /// # Errors
    /// Most notable kinds: `Immutable`, `Conflict` ([`Fault::DuplicateHealthMonitor`](super::Fault::DuplicateHealthMonitor)), `Unsupported`,
    /// `OverQuota`.
    pub async fn create_health_monitor(&self, new: &NewHealthMonitor) -> Result<HealthMonitor, Error> {
        self.api.create(HEALTH_MONITORS, new).await
    }

    /// Reads a health monitor.
    ///
    /// # Errors
    /// `NotFound` when there is no such health monitor.
    pub async fn get_health_monitor(&self, id: &HealthMonitorId) -> Result<HealthMonitor, Error> {
        self.api.get(HEALTH_MONITORS, id.as_str()).await
    }

    /// Lists the health monitors that match, of all pools, following all pages.
    ///
    /// # Errors
    /// When one of the requests fails.
    pub async fn list_health_monitors(&self, query: &Query) -> Result<Vec<HealthMonitor>, Error> {
        self.api.list(HEALTH_MONITORS, query.parameters()).await
    }

    /// Changes a health monitor.
    ///
    /// # Errors
    /// `Immutable`, `Unsupported`, `NotFound`.
    pub async fn update_health_monitor(
        &self,
        id: &HealthMonitorId,
        update: &HealthMonitorUpdate,
    ) -> Result<HealthMonitor, Error> {
        self.api.update(HEALTH_MONITORS, id.as_str(), update).await
    }

    /// Deletes a health monitor. Members that were down take connections again.
    ///
    /// # Errors
    /// `Immutable`; `NotFound` when there was none at the first attempt.
    pub async fn delete_health_monitor(&self, id: &HealthMonitorId) -> Result<(), Error> {
        self.api.delete(HEALTH_MONITORS, id.as_str()).await
    }
}
