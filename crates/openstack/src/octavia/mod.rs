//! Octavia's API, version 2: one file per resource. Field meanings are those of the Load Balancer API reference
//! (docs.openstack.org/api-ref/load-balancer/v2). What providers can do, and what was measured, stands in `docs/octavia.md`.
//!
//! Everything belongs to a load balancer, and only one change of a load balancer is carried out at a time: each POST, PUT and DELETE,
//! of whatever below it, answers at once, makes the load balancer pending, and is carried out afterwards. Until it is `ACTIVE` again
//! every other change is refused with [`Kind::Immutable`](crate::Kind::Immutable).

mod fault;
mod graph;
mod health_monitor;
mod id;
mod kind;
mod listener;
mod listener_request;
mod load_balancer;
mod load_balancer_request;
mod member;
mod pool;
mod pool_request;
mod provider;
mod query;
mod quota;
mod status;
mod status_tree;
mod value;
mod version;

use crate::{
    Cloud, Priority,
    endpoint::Service,
    resource::{Api, Resource},
};

pub use fault::Fault;
pub use graph::{LoadBalancerGraph, PoolGraph};
pub use health_monitor::{HealthMonitor, HealthMonitorUpdate, NewHealthMonitor};
pub use id::{FlavorId, HealthMonitorId, ListenerId, LoadBalancerId, MemberId, PoolId};
pub use kind::{Algorithm, HealthMonitorType, Protocol, SessionPersistenceType};
pub use listener::Listener;
pub use listener_request::{DefaultPool, ListenerUpdate, NewListener};
pub use load_balancer::{AdditionalVip, LoadBalancer};
pub use load_balancer_request::{LoadBalancerUpdate, NewAdditionalVip, NewLoadBalancer};
pub use member::{Member, MemberUpdate, NewMember};
pub use pool::{Pool, SessionPersistence};
pub use pool_request::{NewPool, PoolUpdate};
pub use provider::Provider;
pub use query::Query;
pub use quota::Quota;
pub use status::{OperatingStatus, ProvisioningStatus};
pub use status_tree::{HealthMonitorState, ListenerState, LoadBalancerState, MemberState, PoolState};
pub use version::ApiVersion;

/// The calls of Octavia. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Octavia {
    api: Api,
}

impl Octavia {
    pub(crate) fn new(cloud: Cloud) -> Self {
        Self { api: Api::new(cloud, Service::LOAD_BALANCER, &["lbaas"]) }
    }

    /// The same calls, with another priority: whose turn it is first where requests wait. Without it: [`Priority::Pod`].
    #[must_use]
    pub fn with_priority(&self, priority: Priority) -> Self {
        Self { api: self.api.with_priority(priority) }
    }
}
