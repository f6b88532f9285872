//! Quotas of a project.

use super::{Neutron, ProjectId, Resource};
use crate::Error;
use reqwest::Method;
use serde::Deserialize;
use std::collections::BTreeMap;

const QUOTAS: Resource = Resource { path: "quotas", one: "quota", many: "quotas" };

/// Quota of one kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct QuotaUsage {
    /// Most objects; negative: no limit.
    pub limit: i64,
    /// Objects that exist.
    pub used: i64,
    /// Objects that are being created.
    #[serde(default)]
    pub reserved: i64,
}

impl QuotaUsage {
    /// How many more objects may be created; `None`: as many as wanted.
    #[must_use]
    pub fn free(&self) -> Option<u64> {
        let free = self.limit.saturating_sub(self.used).saturating_sub(self.reserved);
        (self.limit >= 0).then(|| u64::try_from(free).unwrap_or(0))
    }
}

/// Quotas of a project by kind of object, as `port`, `network`, `security_group_rule`.
pub type Quota = BTreeMap<String, QuotaUsage>;

impl Neutron {
    /// Reads limits and use of a project's quotas.
    ///
    /// # Errors
    /// `Forbidden` for another project than the caller's, unless an administrator asks.
    pub async fn get_quota(&self, project: &ProjectId) -> Result<Quota, Error> {
        let path = [QUOTAS.path, project.as_str(), "details.json"];
        self.api.cloud.run(&self.api.endpoint(QUOTAS, Method::GET, &path).answer_in(QUOTAS.one)).await
    }

    /// Sets limits of a project's quotas; answers all limits. Needs an administrator.
    ///
    /// # Errors
    /// `Forbidden` for everybody else.
    pub async fn set_quota(
        &self,
        project: &ProjectId,
        limits: &BTreeMap<String, i64>,
    ) -> Result<BTreeMap<String, i64>, Error> {
        self.api.update(QUOTAS, project.as_str(), limits).await
    }

    /// Gives a project the default quotas again. Needs an administrator.
    ///
    /// # Errors
    /// `Forbidden` for everybody else.
    pub async fn reset_quota(&self, project: &ProjectId) -> Result<(), Error> {
        self.api.delete(QUOTAS, project.as_str()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_free() {
        let free = |limit, used, reserved| QuotaUsage { limit, used, reserved }.free();
        assert_eq!(free(-1, 1000, 0), None);
        assert_eq!(free(10, 3, 2), Some(5));
        assert_eq!(free(10, 12, 0), Some(0), "a limit may be set below what exists");
    }
}
