//! What is asked about pools: creation, change.

use super::{Algorithm, ListenerId, LoadBalancerId, NewHealthMonitor, NewMember, Protocol, SessionPersistence};
use serde::Serialize;

/// A pool to create, alone or with its load balancer. `None` leaves the choice to Octavia.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct NewPool {
    /// The load balancer, or `listener_id`; neither in the load balancer's own creation.
    #[serde(rename = "loadbalancer_id", skip_serializing_if = "Option::is_none")]
    pub load_balancer_id: Option<LoadBalancerId>,
    /// The listener whose default pool it shall be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener_id: Option<ListenerId>,
    /// Name, at most 255 characters. In a load balancer's creation each pool needs one of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Free text, at most 255 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it speaks with its members. It must suit the listener's.
    pub protocol: Protocol,
    /// How it chooses a member.
    pub lb_algorithm: Algorithm,
    /// Whether a client comes to the same member again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_persistence: Option<SessionPersistence>,
    /// Whether it may serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_state_up: Option<bool>,
    /// Members; only in the load balancer's creation. (In a pool's own creation Octavia fails: 500.)
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<NewMember>,
    /// Health monitor; only in the load balancer's creation. (In a pool's own creation Octavia fails: 500.)
    #[serde(rename = "healthmonitor", skip_serializing_if = "Option::is_none")]
    pub health_monitor: Option<NewHealthMonitor>,
    /// Tags. Since API 2.5.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

impl NewPool {
    /// A pool with everything else left to Octavia.
    #[must_use]
    pub fn of(protocol: Protocol, lb_algorithm: Algorithm) -> Self {
        Self { protocol, lb_algorithm, ..Self::default() }
    }

    /// How many objects it asks for.
    pub(super) fn objects(&self) -> usize {
        1 + self.members.len() + usize::from(self.health_monitor.is_some())
    }
}

/// A change of a pool. `None` leaves a value as it is; lists are replaced as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PoolUpdate {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How it chooses a member. The OVN provider takes it and does nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lb_algorithm: Option<Algorithm>,
    /// Whether a client comes to the same member again; `Some(None)`: it needn't. Always with `admin_state_up`: without it the OVN provider
    /// fails, and the pool stays in `ERROR`. It never takes a persistence away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_persistence: Option<Option<SessionPersistence>>,
    /// Whether it may serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_state_up: Option<bool>,
    /// Tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}
