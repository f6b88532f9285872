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
