//! Security groups.

use super::{
    Neutron, ProjectId, Resource, SecurityGroupId, SecurityGroupRule,
    value::{Filters, null_as_default},
};
use crate::Error;
use serde::{Deserialize, Serialize};

const SECURITY_GROUPS: Resource = Resource { path: "security-groups", one: "security_group", many: "security_groups" };

/// A security group.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SecurityGroup {
    /// Identifier.
    pub id: SecurityGroupId,
    /// Name; not unique.
    #[serde(default, deserialize_with = "null_as_default")]
    pub name: String,
    /// Free text.
    #[serde(default, deserialize_with = "null_as_default")]
    pub description: String,
    /// Project that the group belongs to.
    #[serde(default, deserialize_with = "null_as_default")]
    pub project_id: ProjectId,
    /// Whether established flows are always allowed.
    #[serde(default)]
    pub stateful: Option<bool>,
    /// Rules. What no rule allows is dropped.
    #[serde(default, deserialize_with = "null_as_default", rename = "security_group_rules")]
    pub rules: Vec<SecurityGroupRule>,
    /// Tags.
    #[serde(default, deserialize_with = "null_as_default")]
    pub tags: Vec<String>,
    /// Grows with every change, also of its rules.
    #[serde(default)]
    pub revision_number: Option<i64>,
}

/// A security group to create. Neutron gives it rules that let everything out: delete them where that isn't wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct NewSecurityGroup {
    /// Name.
    pub name: String,
    /// Free text: the owner mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Another project than the caller's. Needs an administrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
}

/// A change of a security group. `None` leaves a value as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SecurityGroupUpdate {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Which security groups to list. Values of one field are alternatives, fields must all match.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecurityGroupQuery {
    /// Identifiers.
    pub ids: Vec<SecurityGroupId>,
    /// Names.
    pub names: Vec<String>,
    /// Descriptions.
    pub descriptions: Vec<String>,
    /// Projects. An administrator sees the groups of all projects, so that `default` is many.
    pub project_ids: Vec<ProjectId>,
    /// Objects per request.
    pub page_size: Option<usize>,
}

impl Neutron {
    /// Creates a security group.
    ///
    /// # Errors
    /// Most notable kind: `OverQuota`.
    pub async fn create_security_group(&self, new: &NewSecurityGroup) -> Result<SecurityGroup, Error> {
        self.api.create(SECURITY_GROUPS, new).await
    }

    /// Reads a security group with its rules.
    ///
    /// # Errors
    /// `NotFound` when there is no such group.
    pub async fn get_security_group(&self, id: &SecurityGroupId) -> Result<SecurityGroup, Error> {
        self.api.get(SECURITY_GROUPS, id.as_str()).await
    }

    /// Lists the security groups that match, with their rules, following all pages.
    ///
    /// # Errors
    /// When one of the requests fails.
    pub async fn list_security_groups(&self, query: &SecurityGroupQuery) -> Result<Vec<SecurityGroup>, Error> {
        let parameters = Filters::default()
            .any("id", &query.ids)
            .any("name", &query.names)
            .any("description", &query.descriptions)
            .any("project_id", &query.project_ids)
            .paged(query.page_size);
        self.api.list(SECURITY_GROUPS, parameters).await
    }

    /// Changes name or description of a security group.
    ///
    /// # Errors
    /// `NotFound` when there is no such group.
    pub async fn update_security_group(
        &self,
        id: &SecurityGroupId,
        update: &SecurityGroupUpdate,
    ) -> Result<SecurityGroup, Error> {
        self.api.update(SECURITY_GROUPS, id.as_str(), update).await
    }

    /// Deletes a security group and its rules.
    ///
    /// # Errors
    /// `Conflict` (`SecurityGroupInUse`) while ports or rules refer to it, `NotFound` when there was no such group.
    pub async fn delete_security_group(&self, id: &SecurityGroupId) -> Result<(), Error> {
        self.api.delete(SECURITY_GROUPS, id.as_str()).await
    }
}
