//! What is asked about load balancers: creation with all that is below them, change.

use super::{FlavorId, NewListener, NewPool};
use crate::neutron::{NetworkId, PortId, ProjectId, QosPolicyId, SecurityGroupId, SubnetId};
use serde::Serialize;
use std::net::IpAddr;

/// A further address to give to a load balancer. All addresses are of one network, each of another subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewAdditionalVip {
    /// Take it from this subnet.
    pub subnet_id: SubnetId,
    /// Take this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<IpAddr>,
}

/// A load balancer to create. `None` leaves the choice to Octavia. It must be told a subnet, a network or a port for its address; clouds
/// may forbid some of the three.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct NewLoadBalancer {
    /// Name, at most 255 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Free text, at most 255 characters: the owner mark, by which a load balancer is found whose answer was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Take the address from this subnet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vip_subnet_id: Option<SubnetId>,
    /// Take the address from this network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vip_network_id: Option<NetworkId>,
    /// Take the address of this port. It stays when the load balancer is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vip_port_id: Option<PortId>,
    /// Take this address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vip_address: Option<IpAddr>,
    /// QoS policy of the address' port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vip_qos_policy_id: Option<QosPolicyId>,
    /// Security groups of the address' port. Since API 2.29.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vip_sg_ids: Option<Vec<SecurityGroupId>>,
    /// Further addresses. Since API 2.26.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub additional_vips: Vec<NewAdditionalVip>,
    /// Who carries it out. `None`: the flavor's, or the cloud's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Flavor. Since API 2.6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flavor_id: Option<FlavorId>,
    /// Availability zone. Since API 2.14.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    /// Whether it may serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_state_up: Option<bool>,
    /// Tags, at most 255 characters each. Since API 2.5; an older Octavia refuses them with 400.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Another project than the caller's. Needs an administrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
    /// Listeners, each with its pool and its members.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<NewListener>,
    /// Pools that no listener holds, or several refer to by name. Those of the listeners needn't be here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<NewPool>,
}

impl NewLoadBalancer {
    /// How many objects it asks for.
    pub(super) fn objects(&self) -> usize {
        let of_listeners = self.listeners.iter().map(NewListener::objects);
        let of_pools = self.pools.iter().map(NewPool::objects);
        1 + of_listeners.chain(of_pools).sum::<usize>()
    }
}

/// A change of a load balancer. `None` leaves a value as it is; lists are replaced as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct LoadBalancerUpdate {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether it may serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_state_up: Option<bool>,
    /// Security groups of the address' port. Since API 2.29.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vip_sg_ids: Option<Vec<SecurityGroupId>>,
    /// QoS policy of the address' port; `Some(None)`: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vip_qos_policy_id: Option<Option<QosPolicyId>>,
    /// Tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::octavia::{Algorithm, DefaultPool, NewHealthMonitor, NewMember, NewPool, Protocol};
    use serde_json::json;

    #[test]
    fn a_populated_load_balancer_is_one_body() {
        let pool = NewPool {
            name: Some("http".to_owned()),
            members: vec![NewMember::at("10.0.0.1".parse().unwrap(), 8080)],
            health_monitor: Some(NewHealthMonitor::tcp(5, 3, 2)),
            ..NewPool::of(Protocol::Tcp, Algorithm::SourceIpPort)
        };
        let listeners = vec![
            NewListener { default_pool: Some(pool.into()), ..NewListener::on(Protocol::Tcp, 80) },
            NewListener {
                default_pool: Some(DefaultPool::Named { name: "http".to_owned() }),
                ..NewListener::on(Protocol::Tcp, 8080)
            },
        ];
        let new = NewLoadBalancer { vip_subnet_id: Some("s".into()), listeners, ..NewLoadBalancer::default() };
        let expected = json!({ "vip_subnet_id": "s", "listeners": [
            { "protocol": "TCP", "protocol_port": 80, "default_pool": {
                "name": "http", "protocol": "TCP", "lb_algorithm": "SOURCE_IP_PORT",
                "members": [{ "address": "10.0.0.1", "protocol_port": 8080 }],
                "healthmonitor": { "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2 },
            } },
            { "protocol": "TCP", "protocol_port": 8080, "default_pool": { "name": "http" } },
        ] });
        assert_eq!(serde_json::to_value(&new).unwrap(), expected);
        assert_eq!(new.objects(), 6);
    }

    #[test]
    fn what_is_taken_away_is_null() {
        let update = LoadBalancerUpdate { vip_qos_policy_id: Some(None), ..LoadBalancerUpdate::default() };
        assert_eq!(serde_json::to_value(update).unwrap(), json!({ "vip_qos_policy_id": null }));
    }
}
