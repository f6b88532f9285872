//! The states of a load balancer and all that is below it, by one request.

use super::{
    HealthMonitorId, HealthMonitorType, ListenerId, LoadBalancerId, MemberId, OperatingStatus, PoolId,
    ProvisioningStatus,
};
use crate::value::null_as_default;
use serde::Deserialize;
use std::net::IpAddr;

/// What the answer holds.
#[derive(Deserialize)]
pub(super) struct Statuses {
    pub loadbalancer: LoadBalancerState,
}

/// Defines the states of one kind of object, with what is below it.
macro_rules! states {
    ($($(#[$doc:meta])* $name:ident($id:ty) { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
        #[serde(default)]
        pub struct $name {
            /// Identifier.
            pub id: $id,
            /// Name.
            #[serde(deserialize_with = "null_as_default")]
            pub name: String,
            /// What is being done to it.
            #[serde(deserialize_with = "null_as_default")]
            pub provisioning_status: ProvisioningStatus,
            /// Whether it serves.
            #[serde(deserialize_with = "null_as_default")]
            pub operating_status: OperatingStatus,
            $($(#[$field_doc])* #[serde(deserialize_with = "null_as_default")] pub $field: $type,)*
        }
    )*};
}

states! {
    /// States of a load balancer.
    LoadBalancerState(LoadBalancerId) {
        /// Its listeners.
        listeners: Vec<ListenerState>,
    }
    /// States of a listener.
    ListenerState(ListenerId) {
        /// Its pools: the default one, and those of its policies. A pool of several listeners is shown with each.
        pools: Vec<PoolState>,
    }
    /// States of a pool. Pools without a listener aren't shown.
    PoolState(PoolId) {
        /// Its health monitor.
        health_monitor: Option<HealthMonitorState>,
        /// Its members.
        members: Vec<MemberState>,
    }
    /// States of a health monitor.
    HealthMonitorState(HealthMonitorId) {
        /// How it tries members.
        r#type: HealthMonitorType,
    }
    /// States of a member.
    MemberState(MemberId) {
        /// Its address.
        address: Option<IpAddr>,
        /// Its port.
        protocol_port: u16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_tree_is_read_to_its_leaves() {
        let statuses: Statuses = serde_json::from_value(json!({ "loadbalancer": {
            "id": "lb", "name": "", "provisioning_status": "ACTIVE", "operating_status": "DEGRADED",
            "listeners": [{ "id": "l", "provisioning_status": "ACTIVE", "pools": [{
                "id": "p", "health_monitor": { "id": "h", "type": "TCP" },
                "members": [{ "id": "m", "operating_status": "ERROR", "address": "10.0.0.1", "protocol_port": 80 }],
            }, { "id": "q", "members": [] }] }],
        } }))
        .unwrap();
        let tree = statuses.loadbalancer;
        assert_eq!(tree.operating_status, OperatingStatus::Degraded);
        let pools = &tree.listeners[0].pools;
        assert_eq!(pools[0].members[0].operating_status, OperatingStatus::Error);
        assert_eq!(
            pools[0].health_monitor.as_ref().map(|monitor| monitor.r#type.clone()),
            Some(HealthMonitorType::Tcp)
        );
        assert_eq!((&pools[1].health_monitor, &pools[1].provisioning_status.as_str()), (&None, &""));
    }
}
