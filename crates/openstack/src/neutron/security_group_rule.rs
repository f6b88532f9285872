//! Security group rules. They can't be changed, only created and deleted.

use super::{
    AddressGroupId, Neutron, ProjectId, Resource, SecurityGroupId, SecurityGroupRuleId,
    value::{Filters, null_as_default, open_enum},
};
use crate::Error;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

const RULES: Resource =
    Resource { path: "security-group-rules", one: "security_group_rule", many: "security_group_rules" };

open_enum! {
    /// Which way a flow is opened, seen from the port.
    Direction {
        /// Towards the port.
        Ingress = "ingress",
        /// From the port.
        Egress = "egress",
    }
}

open_enum! {
    /// Address family of a rule.
    EtherType {
        /// IPv4.
        Ipv4 = "IPv4",
        /// IPv6.
        Ipv6 = "IPv6",
    }
}

/// A rule: what it allows. Whatever the `fields` of a list request leave out has its default value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(default)]
pub struct SecurityGroupRule {
    /// Identifier.
    pub id: SecurityGroupRuleId,
    /// Group of the rule.
    pub security_group_id: SecurityGroupId,
    /// Direction.
    pub direction: Direction,
    /// Address family.
    pub ethertype: EtherType,
    /// IP protocol, by name or number; `None`: any.
    pub protocol: Option<String>,
    /// First port, or ICMP type.
    pub port_range_min: Option<u16>,
    /// Last port, or ICMP code.
    pub port_range_max: Option<u16>,
    /// Peers by prefix.
    pub remote_ip_prefix: Option<IpNet>,
    /// Peers by security group.
    pub remote_group_id: Option<SecurityGroupId>,
    /// Peers by address group.
    pub remote_address_group_id: Option<AddressGroupId>,
    /// Free text.
    #[serde(deserialize_with = "null_as_default")]
    pub description: String,
}

/// A rule to create. At most one of the three kinds of peers; none of them: everybody.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct NewSecurityGroupRule {
    /// Group of the rule.
    pub security_group_id: SecurityGroupId,
    /// Direction.
    pub direction: Direction,
    /// Address family.
    pub ethertype: EtherType,
    /// IP protocol, by name or number; `None`: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// First port, or ICMP type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_range_min: Option<u16>,
    /// Last port, or ICMP code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_range_max: Option<u16>,
    /// Peers by prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_ip_prefix: Option<IpNet>,
    /// Peers by security group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_group_id: Option<SecurityGroupId>,
    /// Peers by address group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_address_group_id: Option<AddressGroupId>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl NewSecurityGroupRule {
    /// A rule that allows everything of one address family in one direction.
    #[must_use]
    pub fn allow_all(security_group_id: SecurityGroupId, direction: Direction, ethertype: EtherType) -> Self {
        Self {
            security_group_id,
            direction,
            ethertype,
            protocol: None,
            port_range_min: None,
            port_range_max: None,
            remote_ip_prefix: None,
            remote_group_id: None,
            remote_address_group_id: None,
            description: None,
        }
    }
}

/// Which rules to list. Values of one field are alternatives, fields must all match.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecurityGroupRuleQuery {
    /// Identifiers.
    pub ids: Vec<SecurityGroupRuleId>,
    /// Groups.
    pub security_group_ids: Vec<SecurityGroupId>,
    /// Descriptions.
    pub descriptions: Vec<String>,
    /// Security groups that rules refer to.
    pub remote_group_ids: Vec<SecurityGroupId>,
    /// Address groups that rules refer to.
    pub remote_address_group_ids: Vec<AddressGroupId>,
    /// Projects. An administrator sees the rules of all projects.
    pub project_ids: Vec<ProjectId>,
    /// Fields to answer, as `id`; empty: all.
    pub fields: Vec<&'static str>,
    /// Objects per request.
    pub page_size: Option<usize>,
}

impl Neutron {
    /// Creates a rule. Not repeated when the outcome is unknown: look for it first. Neutron refuses a rule that the group has, but not one that
    /// is being created at the same time: then the group has it twice.
    ///
    /// # Errors
    /// `Conflict` (`SecurityGroupRuleExists`) when the group has the same rule already ([`Error::existing_rule`] says which),
    /// `NotFound` (`SecurityGroupNotFound`, `AddressGroupNotFound`) when a group doesn't exist, `OverQuota`, `BadRequest`.
    pub async fn create_security_group_rule(&self, new: &NewSecurityGroupRule) -> Result<SecurityGroupRule, Error> {
        self.api.create(RULES, new).await
    }

    /// Creates all of the rules or none, by one request. They must be of one security group and one project, and no two may be the same
    /// ([`RuleKey`](super::RuleKey)).
    ///
    /// # Errors
    /// As [`Self::create_security_group_rule`]; `Conflict` (`DuplicateSecurityGroupRuleInPost`) when two are the same.
    pub async fn create_security_group_rules(
        &self,
        new: &[NewSecurityGroupRule],
    ) -> Result<Vec<SecurityGroupRule>, Error> {
        self.api.create_bulk(RULES, new).await
    }

    /// Lists the rules that match, following all pages.
    ///
    /// # Errors
    /// When one of the requests fails.
    pub async fn list_security_group_rules(
        &self,
        query: &SecurityGroupRuleQuery,
    ) -> Result<Vec<SecurityGroupRule>, Error> {
        let parameters = Filters::default()
            .any("id", &query.ids)
            .any("security_group_id", &query.security_group_ids)
            .any("description", &query.descriptions)
            .any("remote_group_id", &query.remote_group_ids)
            .any("remote_address_group_id", &query.remote_address_group_ids)
            .any("project_id", &query.project_ids)
            .any("fields", &query.fields)
            .paged(query.page_size);
        self.api.list(RULES, parameters).await
    }

    /// Deletes a rule. Where the group has the same rule twice, delete both, one after the other, and create it again if it is wanted: with
    /// the first one OVN forgets what both allow, though Neutron shows the other.
    ///
    /// # Errors
    /// `NotFound` when there was no such rule.
    pub async fn delete_security_group_rule(&self, id: &SecurityGroupRuleId) -> Result<(), Error> {
        self.api.delete(RULES, id.as_str()).await
    }
}
