//! Members of pools: where connections go.

use super::{MemberId, Octavia, OperatingStatus, PoolId, ProvisioningStatus, Query, Resource, pool::POOLS};
use crate::{
    Error,
    neutron::{ProjectId, SubnetId},
    value::null_as_default,
};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

const MEMBERS: Resource = Resource { path: "members", one: "member", many: "members" };

/// A member. Address and port are what it is known by within its pool. Whatever the `fields` of a list request leave out has its default
/// value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Member {
    /// Identifier.
    pub id: MemberId,
    /// Name; not unique.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    /// Project that it belongs to.
    #[serde(deserialize_with = "null_as_default")]
    pub project_id: ProjectId,
    /// What is being done to it.
    #[serde(deserialize_with = "null_as_default")]
    pub provisioning_status: ProvisioningStatus,
    /// Whether it serves, as far as somebody checks.
    #[serde(deserialize_with = "null_as_default")]
    pub operating_status: OperatingStatus,
    /// Whether it may.
    pub admin_state_up: bool,
    /// Its address. Can't be changed.
    pub address: Option<IpAddr>,
    /// Its port. Can't be changed.
    pub protocol_port: u16,
    /// Its share of connections, 0 (none that are new) to 256.
    pub weight: Option<u16>,
    /// Whether it gets connections only when all others are down.
    #[serde(deserialize_with = "null_as_default")]
    pub backup: bool,
    /// The subnet from which it is reached. Can't be changed.
    pub subnet_id: Option<SubnetId>,
    /// The address that is checked instead of its own.
    pub monitor_address: Option<IpAddr>,
    /// The port that is checked instead of its own.
    pub monitor_port: Option<u16>,
    /// Tags.
    #[serde(deserialize_with = "null_as_default")]
    pub tags: Vec<String>,
    /// ISO 8601, UTC, without a zone.
    pub created_at: Option<String>,
    /// ISO 8601, UTC, without a zone.
    pub updated_at: Option<String>,
}

/// A member to create, or as it shall be. `None`: Octavia's default (also where it exists already), which is up, weight 1, no backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewMember {
    /// Its address.
    pub address: IpAddr,
    /// Its port, 1 to 65535.
    pub protocol_port: u16,
    /// Name, at most 255 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The subnet from which it is reached. The OVN provider must know it: without it, the member's address must be of the subnet of the
    /// load balancer's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<SubnetId>,
    /// Its share of connections, 0 to 256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// Whether it gets connections only when all others are down. Since API 2.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<bool>,
    /// Whether it may serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_state_up: Option<bool>,
    /// The address to check instead of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitor_address: Option<IpAddr>,
    /// The port to check instead of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitor_port: Option<u16>,
    /// Tags. Since API 2.5.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

impl NewMember {
    /// A member with everything else left to Octavia.
    #[must_use]
    pub fn at(address: IpAddr, protocol_port: u16) -> Self {
        Self {
            address,
            protocol_port,
            name: None,
            subnet_id: None,
            weight: None,
            backup: None,
            admin_state_up: None,
            monitor_address: None,
            monitor_port: None,
            tags: Vec::new(),
        }
    }
}

/// A change of a member. `None` leaves a value as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct MemberUpdate {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its share of connections, 0 to 256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// Whether it gets connections only when all others are down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<bool>,
    /// Whether it may serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_state_up: Option<bool>,
    /// Tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

impl Octavia {
    /// Lists the members of a pool that match, following all pages.
    ///
    /// # Errors
    /// `NotFound` when there is no such pool.
    pub async fn list_members(&self, pool: &PoolId, query: &Query) -> Result<Vec<Member>, Error> {
        self.api.list_at(MEMBERS, &[POOLS.path, pool.as_str(), MEMBERS.path], query.parameters()).await
    }

    /// Gives a pool these members and no others, by one request. Members are known by address and port: new ones are created, those
    /// that aren't named are deleted, all others are set to what is said here, and are pending even where nothing changes. With the OVN provider
    /// the next batch must wait until the list of members is the one asked for: their states don't tell (docs/octavia.md).
    ///
    /// # Errors
    /// Most notable kinds: `Immutable`, `OverQuota`, `Unsupported`, `NotFound` (the pool, or a subnet); `Conflict`
    /// ([`Fault::DuplicateMember`](super::Fault::DuplicateMember)) or `BadRequest` when one is named twice. Nothing is changed then.
    pub async fn replace_members(&self, pool: &PoolId, members: &[NewMember]) -> Result<(), Error> {
        self.put_members(pool, members, Vec::new()).await
    }

    /// As [`Self::replace_members`], but members that aren't named stay as they are. Since API 2.11; an older Octavia would take it for
    /// a replacement: ask [`Self::api_version`].
    ///
    /// # Errors
    /// As [`Self::replace_members`].
    pub async fn add_members(&self, pool: &PoolId, members: &[NewMember]) -> Result<(), Error> {
        self.put_members(pool, members, vec![("additive_only", "true".to_owned())]).await
    }

    async fn put_members(
        &self,
        pool: &PoolId,
        members: &[NewMember],
        query: Vec<(&'static str, String)>,
    ) -> Result<(), Error> {
        let path = [POOLS.path, pool.as_str(), MEMBERS.path];
        let endpoint = self.api.endpoint(MEMBERS, Method::PUT, &path).query(query).items(members.len());
        self.api.cloud.run(&endpoint.body(MEMBERS.many, &members)).await
    }

    /// Creates a member.
    ///
    /// # Errors
    /// As [`Self::replace_members`]; `Conflict` ([`Fault::DuplicateMember`](super::Fault::DuplicateMember)) when there is one with this address
    /// and port.
    pub async fn create_member(&self, pool: &PoolId, new: &NewMember) -> Result<Member, Error> {
        let endpoint = self.api.endpoint(MEMBERS, Method::POST, &[POOLS.path, pool.as_str(), MEMBERS.path]);
        self.api.cloud.run(&endpoint.body(MEMBERS.one, new).answer_in(MEMBERS.one)).await
    }

    /// Changes a member.
    ///
    /// # Errors
    /// `Immutable`, `Unsupported`, `NotFound`.
    pub async fn update_member(&self, pool: &PoolId, id: &MemberId, update: &MemberUpdate) -> Result<Member, Error> {
        let path = [POOLS.path, pool.as_str(), MEMBERS.path, id.as_str()];
        let endpoint = self.api.endpoint(MEMBERS, Method::PUT, &path);
        self.api.cloud.run(&endpoint.body(MEMBERS.one, update).answer_in(MEMBERS.one)).await
    }

    /// Deletes a member.
    ///
    /// # Errors
    /// `Immutable`; `NotFound` when there was none at the first attempt.
    pub async fn delete_member(&self, pool: &PoolId, id: &MemberId) -> Result<(), Error> {
        let path = [POOLS.path, pool.as_str(), MEMBERS.path, id.as_str()];
        self.api.cloud.run(&self.api.endpoint(MEMBERS, Method::DELETE, &path)).await
    }
}
