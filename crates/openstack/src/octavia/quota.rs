//! Quotas of a project.

use super::{Octavia, Resource};
use crate::{Error, neutron::ProjectId};
use serde::{Deserialize, Serialize};

const QUOTAS: Resource = Resource { path: "quotas", one: "quota", many: "quotas" };

/// Most objects of each kind that a project may have; negative: no limit. Octavia doesn't tell how many there are. `None`: not told, or not to
/// be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Quota {
    /// Load balancers.
    #[serde(rename = "loadbalancer", skip_serializing_if = "Option::is_none")]
    pub load_balancers: Option<i64>,
    /// Listeners.
    #[serde(rename = "listener", skip_serializing_if = "Option::is_none")]
    pub listeners: Option<i64>,
    /// Pools.
    #[serde(rename = "pool", skip_serializing_if = "Option::is_none")]
    pub pools: Option<i64>,
    /// Members of all pools.
    #[serde(rename = "member", skip_serializing_if = "Option::is_none")]
    pub members: Option<i64>,
    /// Health monitors.
    #[serde(rename = "healthmonitor", skip_serializing_if = "Option::is_none")]
    pub health_monitors: Option<i64>,
}

impl Octavia {
    /// Reads a project's quotas.
    ///
    /// # Errors
    /// `Forbidden` for another project than the caller's, unless an administrator asks.
    pub async fn get_quota(&self, project: &ProjectId) -> Result<Quota, Error> {
        self.api.get(QUOTAS, project.as_str()).await
    }

    /// Sets some of a project's quotas; answers all. Needs an administrator.
    ///
    /// # Errors
    /// `Forbidden` for everybody else.
    pub async fn set_quota(&self, project: &ProjectId, quota: &Quota) -> Result<Quota, Error> {
        self.api.update(QUOTAS, project.as_str(), quota).await
    }

    /// Gives a project the default quotas again, whether it has others or not. Needs an administrator.
    ///
    /// # Errors
    /// `Forbidden` for everybody else.
    pub async fn reset_quota(&self, project: &ProjectId) -> Result<(), Error> {
        self.api.delete(QUOTAS, project.as_str()).await
    }
}
