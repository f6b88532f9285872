//! What is asked about listeners: creation, change.

use super::{LoadBalancerId, NewPool, PoolId, Protocol};
use ipnet::IpNet;
use serde::Serialize;
use std::collections::BTreeMap;

/// The pool of a listener that is created together with its load balancer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum DefaultPool {
    /// One that is created with it. It must have a name, which no other pool of the request has.
    New(Box<NewPool>),
    /// One that the same request has elsewhere.
    Named {
        /// Its name.
        name: String,
    },
}

impl From<NewPool> for DefaultPool {
    fn from(pool: NewPool) -> Self {
        Self::New(Box::new(pool))
    }
}

/// A listener to create, alone or with its load balancer. `None` leaves the choice to Octavia.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct NewListener {
    /// The load balancer; `None` in the load balancer's own creation.
    #[serde(rename = "loadbalancer_id", skip_serializing_if = "Option::is_none")]
    pub load_balancer_id: Option<LoadBalancerId>,
    /// Name, at most 255 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Free text, at most 255 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it speaks.
    pub protocol: Protocol,
    /// Its port, 1 to 65535. Listeners of different transports (TCP, UDP, SCTP) may have the same one.
    pub protocol_port: u16,
    /// Whether it may serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_state_up: Option<bool>,
    /// Most connections at a time; -1: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_limit: Option<i64>,
    /// Its pool, when that exists already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_pool_id: Option<PoolId>,
    /// Its pool; only in the load balancer's creation. (In a listener's own creation Octavia fails: 500.)
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_pool: Option<DefaultPool>,
    /// Headers to add to requests (HTTP), as `X-Forwarded-For: true`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub insert_headers: BTreeMap<String, String>,
    /// Who may connect. Since API 2.12.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_cidrs: Option<Vec<IpNet>>,
    /// Milliseconds that the client may say nothing, at most 24 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_client_data: Option<u32>,
    /// Milliseconds to connect to a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_member_connect: Option<u32>,
    /// Milliseconds that the member may say nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_member_data: Option<u32>,
    /// Milliseconds to wait for more packets to look into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_tcp_inspect: Option<u32>,
    /// Tags. Since API 2.5.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

impl NewListener {
    /// A listener with everything else left to Octavia.
    #[must_use]
    pub fn on(protocol: Protocol, protocol_port: u16) -> Self {
        Self { protocol, protocol_port, ..Self::default() }
    }

    /// How many objects it asks for.
    pub(super) fn objects(&self) -> usize {
        1 + match &self.default_pool {
            Some(DefaultPool::New(pool)) => pool.objects(),
            Some(DefaultPool::Named { .. }) | None => 0,
        }
    }
}

/// A change of a listener. `None` leaves a value as it is; lists are replaced as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ListenerUpdate {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether it may serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_state_up: Option<bool>,
    /// Most connections at a time; -1: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_limit: Option<i64>,
    /// Its pool; `Some(None)`: none. Never for the OVN provider: it can't report the change, and the load balancer is pending for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_pool_id: Option<Option<PoolId>>,
    /// Headers to add to requests (HTTP).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insert_headers: Option<BTreeMap<String, String>>,
    /// Who may connect; empty: everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_cidrs: Option<Vec<IpNet>>,
    /// Milliseconds that the client may say nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_client_data: Option<u32>,
    /// Milliseconds to connect to a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_member_connect: Option<u32>,
    /// Milliseconds that the member may say nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_member_data: Option<u32>,
    /// Milliseconds to wait for more packets to look into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_tcp_inspect: Option<u32>,
    /// Tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}
