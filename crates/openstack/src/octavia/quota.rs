//! Quotas of a project.

use super::{Octavia, Resource};
use crate::{Error, neutron::ProjectId};
use std::collections::BTreeMap;

const QUOTAS: Resource = Resource { path: "quotas", one: "quota", many: "quotas" };

/// Most objects of each kind that a project may have, as `loadbalancer`, `listener`, `pool`, `member`, `healthmonitor`; negative: no
/// limit. Octavia doesn't tell how many there are. What the service leaves open is `None`.
pub type Quota = BTreeMap<String, Option<i64>>;

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
    pub async fn set_quota(&self, project: &ProjectId, limits: &BTreeMap<String, i64>) -> Result<Quota, Error> {
        self.api.update(QUOTAS, project.as_str(), limits).await
    }

    /// Gives a project the default quotas again. Needs an administrator.
    ///
    /// # Errors
    /// `Forbidden` for everybody else, `NotFound` when it has no quotas of its own.
    pub async fn reset_quota(&self, project: &ProjectId) -> Result<(), Error> {
        self.api.delete(QUOTAS, project.as_str()).await
    }
}
