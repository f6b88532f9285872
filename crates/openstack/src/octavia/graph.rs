//! The answer to the creation of a load balancer: everything that was created with it. No other answer has all of it.

use super::{HealthMonitor, Listener, LoadBalancer, Member, Pool};
use crate::value::null_as_default;
use serde::Deserialize;

/// A load balancer with its listeners and pools.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "RawLoadBalancer")]
pub struct LoadBalancerGraph {
    /// The load balancer itself.
    pub load_balancer: LoadBalancer,
    /// Its listeners. They don't say which load balancer they belong to here.
    pub listeners: Vec<Listener>,
    /// Its pools, those of the listeners too.
    pub pools: Vec<PoolGraph>,
}

/// A pool with its members and health monitor.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "RawPool")]
pub struct PoolGraph {
    /// The pool itself. It doesn't say which load balancer it belongs to here.
    pub pool: Pool,
    /// Its members.
    pub members: Vec<Member>,
    /// Its health monitor.
    pub health_monitor: Option<HealthMonitor>,
}

/// What belongs to the load balancer itself, and what would be identifiers elsewhere.
#[derive(Deserialize)]
struct RawLoadBalancer {
    #[serde(flatten)]
    load_balancer: LoadBalancer,
    #[serde(default, deserialize_with = "null_as_default")]
    listeners: Vec<Listener>,
    #[serde(default, deserialize_with = "null_as_default")]
    pools: Vec<PoolGraph>,
}

impl From<RawLoadBalancer> for LoadBalancerGraph {
    fn from(raw: RawLoadBalancer) -> Self {
        let RawLoadBalancer { mut load_balancer, listeners, pools } = raw;
        load_balancer.listeners = listeners.iter().map(|listener| listener.id.clone()).collect();
        load_balancer.pools = pools.iter().map(|graph| graph.pool.id.clone()).collect();
        Self { load_balancer, listeners, pools }
    }
}

#[derive(Deserialize)]
struct RawPool {
    #[serde(flatten)]
    pool: Pool,
    #[serde(default, deserialize_with = "null_as_default")]
    members: Vec<Member>,
    #[serde(default, rename = "healthmonitor")]
    health_monitor: Option<HealthMonitor>,
}

impl From<RawPool> for PoolGraph {
    fn from(raw: RawPool) -> Self {
        let RawPool { mut pool, members, health_monitor } = raw;
        pool.members = members.iter().map(|member| member.id.clone()).collect();
        pool.health_monitor_id = health_monitor.as_ref().map(|monitor| monitor.id.clone());
        Self { pool, members, health_monitor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::octavia::{Protocol, ProvisioningStatus};
    use serde_json::json;

    #[test]
    fn a_created_load_balancer_has_all_that_was_created() {
        let graph: LoadBalancerGraph = serde_json::from_value(json!({
            "id": "lb", "provisioning_status": "PENDING_CREATE", "vip_address": "10.0.0.9", "description": null,
            "listeners": [{ "id": "l", "protocol": "TCP", "protocol_port": 80, "allowed_cidrs": null, "l7policies": [] }],
            "pools": [{
                "id": "p", "session_persistence": null, "listeners": [{ "id": "l" }],
                "members": [{ "id": "m", "address": "fd00::1", "protocol_port": 8080, "weight": 1, "monitor_port": null }],
                "healthmonitor": { "id": "h", "type": "HTTP", "delay": 5, "http_version": 1.1 },
            }],
        }))
        .unwrap();
        assert_eq!(graph.load_balancer.provisioning_status, ProvisioningStatus::PendingCreate);
        assert_eq!(graph.load_balancer.listeners, ["l".into()]);
        assert_eq!(graph.load_balancer.pools, ["p".into()]);
        assert_eq!((&graph.listeners[0].protocol, graph.listeners[0].protocol_port), (&Protocol::Tcp, 80));
        let pool = &graph.pools[0];
        assert_eq!((pool.pool.members.clone(), pool.pool.listeners.clone()), (vec!["m".into()], vec!["l".into()]));
        assert_eq!(pool.pool.health_monitor_id, Some("h".into()));
        assert_eq!(pool.members[0].address, Some("fd00::1".parse().unwrap()));
        assert_eq!(pool.health_monitor.as_ref().unwrap().http_version, Some(1.1));
    }
}
