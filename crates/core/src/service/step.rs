//! The next request to Octavia. It is data: what is done, logged, told in Events and compared in tests is the same.

use super::{
    graph::{Graph, HealthMonitor, Key, ListenerProtocol, ListenerSettings, Members, PoolProtocol, PoolSettings},
    observed::Provisioning,
};
use std::fmt;

/// What to do next: one request at most, because a load balancer that changes refuses other changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing: Octavia has what is desired.
    Converged,
    /// Nothing until the load balancer's `provisioning_status` is another.
    Wait {
        /// Its id.
        load_balancer: String,
        /// What it is now.
        provisioning: Provisioning,
    },
    /// Nothing that Kuryr may do.
    Blocked(Blocked),
    /// `POST /loadbalancers`, with all listeners, pools, members and monitors that `graph` has. (It has none where the provider can't take them so.)
    Create {
        /// What is created.
        graph: Box<Graph>,
    },
    /// `PUT /loadbalancers/ID`.
    UpdateLoadBalancer {
        /// Its id.
        load_balancer: String,
        /// Its name.
        name: String,
    },
    /// `PUT /loadbalancers/ID/failover`.
    Failover {
        /// Its id.
        load_balancer: String,
    },
    /// `DELETE /loadbalancers/ID?cascade=true`.
    Delete {
        /// Its id.
        load_balancer: String,
        /// Why.
        why: Reason,
    },
    /// `POST /pools`.
    CreatePool {
        /// Id of the load balancer.
        load_balancer: String,
        /// For which listener.
        key: Key,
        /// Id of the listener that it becomes the default pool of. None: there is no listener yet, or it has another pool still.
        listener: Option<String>,
        /// Its protocol.
        protocol: PoolProtocol,
        /// The rest.
        settings: PoolSettings,
    },
    /// `PUT /pools/ID`. All settings are sent: OVN's provider fails where `admin_state_up` isn't among them.
    UpdatePool {
        /// Its id.
        pool: String,
        /// Of which listener.
        key: Key,
        /// All settings.
        settings: PoolSettings,
    },
    /// `DELETE /pools/ID`, with its members and its monitor.
    DeletePool {
        /// Its id.
        pool: String,
        /// Why.
        why: Reason,
    },
    /// `PUT /pools/ID/members`.
    SetMembers {
        /// Id of the pool.
        pool: String,
        /// Of which listener.
        key: Key,
        /// The members: all of them, or only what is added.
        members: Members,
        /// Members that aren't in the request stay (`additive_only=true`).
        additive: bool,
    },
    /// `POST /healthmonitors`.
    CreateMonitor {
        /// Id of the pool.
        pool: String,
        /// Of which listener.
        key: Key,
        /// The monitor.
        monitor: HealthMonitor,
    },
    /// `PUT /healthmonitors/ID`.
    UpdateMonitor {
        /// Its id.
        monitor: String,
        /// Of which listener.
        key: Key,
        /// All of it, but its type can't be changed.
        settings: HealthMonitor,
    },
    /// `DELETE /healthmonitors/ID`.
    DeleteMonitor {
        /// Its id.
        monitor: String,
        /// Why.
        why: Reason,
    },
    /// `POST /listeners`.
    CreateListener {
        /// Id of the load balancer.
        load_balancer: String,
        /// Its port.
        key: Key,
        /// Its protocol.
        protocol: ListenerProtocol,
        /// The rest.
        settings: ListenerSettings,
        /// Id of its default pool.
        pool: String,
    },
    /// `PUT /listeners/ID`.
    UpdateListener {
        /// Its id.
        listener: String,
        /// Its port.
        key: Key,
        /// All settings. None among them isn't sent.
        settings: ListenerSettings,
        /// Id of its default pool, where that has to be another one.
        pool: Option<String>,
    },
    /// `DELETE /listeners/ID`.
    DeleteListener {
        /// Its id.
        listener: String,
        /// Why.
        why: Reason,
    },
}

/// Why something is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The Service no longer wants it.
    Unwanted,
    /// The Service never wanted it: somebody else made it, on a load balancer of Kuryr's.
    Foreign,
    /// A second one for the same Service, as a lost answer may leave behind.
    Duplicate,
    /// What is to be changed of it can't be changed: another one follows.
    Immutable(Attribute),
    /// It failed, and nothing that is less helped: another one follows.
    Failed,
}

/// What Octavia can't change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attribute {
    /// The addresses of a load balancer.
    Vips,
    /// The provider of a load balancer.
    Provider,
    /// The flavor of a load balancer.
    Flavor,
    /// The availability zone of a load balancer.
    AvailabilityZone,
    /// The protocol of a listener or pool.
    Protocol,
    /// The algorithm or session persistence of a pool, with some providers.
    Balancing,
    /// The type of a monitor.
    Type,
}

/// Why Kuryr may do nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocked {
    /// The recorded load balancer no longer carries the owner mark: it isn't Kuryr's, and has the Service's address.
    NotOurs {
        /// Its id.
        load_balancer: String,
        /// The owner mark that it should carry.
        mark: String,
    },
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOurs { load_balancer, mark } => write!(
                f,
                "the description of the load balancer {load_balancer} isn't Kuryr's mark, so it won't be changed: set it back to {mark}, \
                 or delete the load balancer"
            ),
        }
    }
}

impl Step {
    /// Whether it is a request to Octavia.
    #[must_use]
    pub const fn is_request(&self) -> bool {
        !matches!(self, Self::Converged | Self::Wait { .. } | Self::Blocked(_))
    }
}

impl fmt::Display for Step {
    /// For logs and Events: what is done, and why, in a few words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Converged => f.write_str("nothing to do"),
            Self::Wait { load_balancer, provisioning } => {
                write!(f, "wait: load balancer {load_balancer} is {}", provisioning.as_str())
            }
            Self::Blocked(blocked) => blocked.fmt(f),
            Self::Create { graph } => {
                let (ports, members) = (graph.listeners.len(), graph.member_count());
                write!(f, "create load balancer {}: {ports} listeners, {members} members", graph.vip.address)
            }
            Self::UpdateLoadBalancer { load_balancer, .. } => write!(f, "update load balancer {load_balancer}"),
            Self::Failover { load_balancer } => write!(f, "fail over load balancer {load_balancer}"),
            Self::Delete { load_balancer, why } => write!(f, "delete load balancer {load_balancer}: {why}"),
            Self::CreatePool { key, .. } => write!(f, "create pool of {key}"),
            Self::UpdatePool { pool, key, .. } => write!(f, "update pool {pool} of {key}"),
            Self::DeletePool { pool, why } => write!(f, "delete pool {pool}: {why}"),
            Self::SetMembers { key, members, additive, .. } => {
                write!(f, "{} {} members of {key}", if *additive { "add" } else { "set" }, members.len())
            }
            Self::CreateMonitor { key, .. } => write!(f, "create health monitor of {key}"),
            Self::UpdateMonitor { monitor, key, .. } => write!(f, "update health monitor {monitor} of {key}"),
            Self::DeleteMonitor { monitor, why } => write!(f, "delete health monitor {monitor}: {why}"),
            Self::CreateListener { key, .. } => write!(f, "create listener {key}"),
            Self::UpdateListener { listener, key, .. } => write!(f, "update listener {listener} of {key}"),
            Self::DeleteListener { listener, why } => write!(f, "delete listener {listener}: {why}"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unwanted => f.write_str("the Service no longer wants it"),
            Self::Foreign => f.write_str("it isn't Kuryr's, on a load balancer that is"),
            Self::Duplicate => f.write_str("the Service has another one"),
            Self::Immutable(attribute) => write!(f, "{attribute} can't be changed, so another one follows"),
            Self::Failed => f.write_str("it failed, so another one follows"),
        }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vips => "its addresses",
            Self::Provider => "its provider",
            Self::Flavor => "its flavor",
            Self::AvailabilityZone => "its availability zone",
            Self::Protocol => "its protocol",
            Self::Balancing => "its algorithm or session persistence",
            Self::Type => "its type",
        })
    }
}
