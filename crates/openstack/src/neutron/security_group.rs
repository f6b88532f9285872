//! Security groups.

use super::{
    Neutron, ProjectId, Resource, RuleKey, SecurityGroupId, SecurityGroupRule, SecurityGroupRuleId,
    value::{Filters, null_as_default},
};
use crate::{Error, Found};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const SECURITY_GROUPS: Resource = Resource { path: "security-groups", one: "security_group", many: "security_groups" };

/// A security group. Whatever the `fields` of a list request leave out has its default value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct SecurityGroup {
    /// Identifier.
    pub id: SecurityGroupId,
    /// Name; not unique.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    /// Free text.
    #[serde(deserialize_with = "null_as_default")]
    pub description: String,
    /// Project that the group belongs to.
    #[serde(deserialize_with = "null_as_default")]
    pub project_id: ProjectId,
    /// Whether answers to what a rule allows pass too. `None`: the cloud has only such groups.
    pub stateful: Option<bool>,
    /// Rules. What no rule allows is dropped.
    #[serde(deserialize_with = "null_as_default", rename = "security_group_rules")]
    pub rules: Vec<SecurityGroupRule>,
    /// Tags.
    #[serde(deserialize_with = "null_as_default")]
    pub tags: Vec<String>,
    /// Grows with every change, also of its rules.
    pub revision_number: Option<i64>,
}

/// A security group to create. Neutron gives it rules of its own, which usually let everything out:
/// [`Neutron::create_closed_security_group`] takes them away.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct NewSecurityGroup {
    /// Name.
    pub name: String,
    /// Free text, at most 255 characters: the owner mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether answers to what a rule allows pass too. `None`: the cloud's choice, usually that they do. A port can't have groups of
    /// both kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stateful: Option<bool>,
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
    /// Fields to answer, as `id` or `security_group_rules`; empty: all.
    pub fields: Vec<&'static str>,
    /// Objects per request.
    pub page_size: Option<usize>,
}

impl Neutron {
    /// Creates a security group with the rules that the cloud gives every new one. Not repeated when the outcome is unknown: look for
    /// its description first.
    ///
    /// # Errors
    /// Most notable kind: `OverQuota` (of groups, or of rules for those that it is given).
    pub async fn create_security_group(&self, new: &NewSecurityGroup) -> Result<SecurityGroup, Error> {
        self.api.create(SECURITY_GROUPS, new).await
    }

    /// Creates a security group and takes the rules away that the cloud gives it: it lets nothing pass. There is no way to create it so;
    /// until this has succeeded no port may have it.
    ///
    /// # Errors
    /// As [`Self::create_security_group`] and [`Self::close_security_group`]. The group may be there then, with rules: look for its
    /// description, and close it.
    pub async fn create_closed_security_group(&self, new: &NewSecurityGroup) -> Result<SecurityGroup, Error> {
        let group = self.create_security_group(new).await?;
        self.close_security_group(&group).await?;
        Ok(SecurityGroup { rules: Vec::new(), ..group })
    }

    /// Deletes all rules that `group` shows. Rules that are gone already are no failure.
    ///
    /// Rules are deleted side by side, but those that allow the same one after the other: of two that are deleted at a time each leaves what
    /// they allow to the other, and OVN lets it pass for ever (docs/neutron-groups.md).
    ///
    /// # Errors
    /// The first failure; other rules may be deleted all the same.
    pub async fn close_security_group(&self, group: &SecurityGroup) -> Result<(), Error> {
        let mut by_key: BTreeMap<RuleKey, Vec<&SecurityGroupRuleId>> = BTreeMap::new();
        for rule in &group.rules {
            by_key.entry(rule.key()).or_default().push(&rule.id);
        }
        let deleted = by_key.into_values().map(async |same| {
            for id in same {
                self.delete_security_group_rule(id).await.found()?;
            }
            Ok(())
        });
        futures::future::join_all(deleted).await.into_iter().collect()
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
            .any("fields", &query.fields)
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
        let endpoint = self.api.endpoint(SECURITY_GROUPS, Method::DELETE, &[SECURITY_GROUPS.path, id.as_str()]);
        self.api.cloud.run(&endpoint.of_any_size()).await
    }
}
