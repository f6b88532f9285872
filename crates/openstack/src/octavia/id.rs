//! Identifiers, one type for each kind of object, so that they can't be mixed up.

use crate::value::identifier;

identifier! {
    /// Identifier of a load balancer.
    LoadBalancerId
    /// Identifier of a listener.
    ListenerId
    /// Identifier of a pool.
    PoolId
    /// Identifier of a member.
    MemberId
    /// Identifier of a health monitor.
    HealthMonitorId
    /// Identifier of a flavor.
    FlavorId
}
