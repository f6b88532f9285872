//! Neutron's API, version 2.0: one file per resource. Field meanings are those of the Networking API reference
//! (docs.openstack.org/api-ref/network/v2).

mod address_group;
mod extension;
mod floating_ip;
mod id;
mod network;
mod port;
mod port_request;
mod quota;
mod rule_key;
mod security_group;
mod security_group_rule;
mod subnet;
mod subnet_pool;
mod tag;

use crate::{
    Cloud, Error, Priority,
    endpoint::Service,
    resource::{Api, Resource},
    value,
};

pub use address_group::{
    AddressGroup, AddressGroupQuery, AddressGroupUpdate, MOST_ADDRESSES_PER_REQUEST, NewAddressGroup,
};
pub use extension::Extension;
pub use floating_ip::{FloatingIp, FloatingIpQuery, FloatingIpStatus, FloatingIpUpdate, NewFloatingIp};
pub use id::{
    AddressGroupId, FloatingIpId, NetworkId, PortId, ProjectId, QosPolicyId, SecurityGroupId, SecurityGroupRuleId,
    SubnetId, SubnetPoolId,
};
pub use network::{Network, NetworkQuery, NetworkStatus, NewNetwork};
pub use port::{AddressPair, FixedIp, Port, PortStatus, VifType};
pub use port_request::{FixedIpFilter, FixedIpRequest, NewPort, PortQuery, PortUpdate};
pub use quota::{Quota, QuotaUsage};
pub use rule_key::{RuleKey, RulePeers};
pub use security_group::{NewSecurityGroup, SecurityGroup, SecurityGroupQuery, SecurityGroupUpdate};
pub use security_group_rule::{Direction, EtherType, NewSecurityGroupRule, SecurityGroupRule, SecurityGroupRuleQuery};
pub use subnet::{HostRoute, IpVersion, NewSubnet, Subnet, SubnetQuery};
pub use subnet_pool::{SubnetPool, SubnetPoolQuery};
pub use tag::Taggable;

/// The calls of Neutron. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Neutron {
    api: Api,
}

impl Neutron {
    pub(crate) fn new(cloud: Cloud) -> Self {
        Self { api: Api::new(cloud, Service::NETWORK, &[]) }
    }

    /// The same calls, with another priority: whose turn it is first where requests wait. Without it: [`Priority::Pod`].
    #[must_use]
    pub fn with_priority(&self, priority: Priority) -> Self {
        Self { api: self.api.with_priority(priority) }
    }

    /// The project whose objects we create.
    ///
    /// # Errors
    /// As [`Cloud::project_id`].
    pub async fn project_id(&self) -> Result<ProjectId, Error> {
        self.api.cloud.project_id().await
    }
}
