//! Load balancers as Octavia answers them, and the calls about them.

use super::{
    FlavorId, ListenerId, LoadBalancerGraph, LoadBalancerId, LoadBalancerState, LoadBalancerUpdate, NewLoadBalancer,
    Octavia, OperatingStatus, PoolId, ProvisioningStatus, Query, Resource, status_tree::Statuses, value::ids,
};
use crate::{
    Error,
    endpoint::Repeat,
    neutron::{NetworkId, PortId, ProjectId, QosPolicyId, SecurityGroupId, SubnetId},
    value::null_as_default,
};
use reqwest::Method;
use serde::Deserialize;
use std::net::IpAddr;

const LOAD_BALANCERS: Resource = Resource { path: "loadbalancers", one: "loadbalancer", many: "loadbalancers" };

/// A further address of a load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
pub struct AdditionalVip {
    /// The subnet of the address.
    pub subnet_id: SubnetId,
    /// The address. `None` until there is one.
    #[serde(default)]
    pub ip_address: Option<IpAddr>,
    /// Neutron's port with the address.
    #[serde(default)]
    pub port_id: Option<PortId>,
}

/// A load balancer. Whatever the `fields` of a list request leave out has its default value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct LoadBalancer {
    /// Identifier.
    pub id: LoadBalancerId,
    /// Name; not unique.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    /// Free text; Kuryr's owner mark is here.
    #[serde(deserialize_with = "null_as_default")]
    pub description: String,
    /// Project that it belongs to.
    #[serde(deserialize_with = "null_as_default")]
    pub project_id: ProjectId,
    /// What is being done to it or to anything below it.
    #[serde(deserialize_with = "null_as_default")]
    pub provisioning_status: ProvisioningStatus,
    /// Whether it serves.
    #[serde(deserialize_with = "null_as_default")]
    pub operating_status: OperatingStatus,
    /// Whether it may.
    pub admin_state_up: bool,
    /// The address. `None` until there is one.
    pub vip_address: Option<IpAddr>,
    /// Neutron's port with the address.
    pub vip_port_id: Option<PortId>,
    /// The subnet of the address.
    pub vip_subnet_id: Option<SubnetId>,
    /// The network of the address.
    pub vip_network_id: Option<NetworkId>,
    /// QoS policy of the address' port.
    pub vip_qos_policy_id: Option<QosPolicyId>,
    /// Security groups of the address' port, where they were chosen. Since API 2.29.
    #[serde(deserialize_with = "null_as_default")]
    pub vip_sg_ids: Vec<SecurityGroupId>,
    /// Further addresses. Since API 2.26.
    #[serde(deserialize_with = "null_as_default")]
    pub additional_vips: Vec<AdditionalVip>,
    /// Who carries it out.
    #[serde(deserialize_with = "null_as_default")]
    pub provider: String,
    /// Flavor.
    pub flavor_id: Option<FlavorId>,
    /// Availability zone.
    pub availability_zone: Option<String>,
    /// Listeners.
    #[serde(deserialize_with = "ids")]
    pub listeners: Vec<ListenerId>,
    /// Pools.
    #[serde(deserialize_with = "ids")]
    pub pools: Vec<PoolId>,
    /// Tags.
    #[serde(deserialize_with = "null_as_default")]
    pub tags: Vec<String>,
    /// ISO 8601, UTC, without a zone.
    pub created_at: Option<String>,
    /// ISO 8601, UTC, without a zone.
    pub updated_at: Option<String>,
}

impl Octavia {
    /// Creates a load balancer with everything that `new` holds, by one request. All of it is in the answer, pending. Not repeated when
    /// the outcome is unknown: look for its description first.
    ///
    /// # Errors
    /// Most notable kinds: `Unsupported` (the provider can't do something of it), `OverQuota`, `Conflict` (the address is in use),
    /// `BadRequest`. There is no load balancer then, but a port that Octavia had made for the address is left, and with it the address is
    /// taken: give it a port of one's own (`vip_port_id`).
    pub async fn create_load_balancer(&self, new: &NewLoadBalancer) -> Result<LoadBalancerGraph, Error> {
        let endpoint = self.api.endpoint(LOAD_BALANCERS, Method::POST, &[LOAD_BALANCERS.path]).items(new.objects());
        self.api.cloud.run(&endpoint.body(LOAD_BALANCERS.one, new).answer_in(LOAD_BALANCERS.one)).await
    }

    /// Reads a load balancer.
    ///
    /// # Errors
    /// `NotFound` when there is no such load balancer, or not any more.
    pub async fn get_load_balancer(&self, id: &LoadBalancerId) -> Result<LoadBalancer, Error> {
        self.api.get(LOAD_BALANCERS, id.as_str()).await
    }

    /// Lists the load balancers that match, following all pages.
    ///
    /// # Errors
    /// When one of the requests fails.
    pub async fn list_load_balancers(&self, query: &Query) -> Result<Vec<LoadBalancer>, Error> {
        self.api.list(LOAD_BALANCERS, query.parameters()).await
    }

    /// Changes a load balancer itself. Its addresses and its provider can't be changed.
    ///
    /// # Errors
    /// `Immutable` unless it is `ACTIVE`, `NotFound` when it, or something that the change names, doesn't exist.
    pub async fn update_load_balancer(
        &self,
        id: &LoadBalancerId,
        update: &LoadBalancerUpdate,
    ) -> Result<LoadBalancer, Error> {
        self.api.update(LOAD_BALANCERS, id.as_str(), update).await
    }

    /// Deletes a load balancer that has neither listeners nor pools. It is gone when it isn't found any more.
    ///
    /// # Errors
    /// `BadRequest` ([`Fault::HasChildren`](super::Fault::HasChildren)) when it has, `Immutable` unless it is `ACTIVE` or in `ERROR`,
    /// `NotFound` when there was none at the first attempt.
    pub async fn delete_load_balancer(&self, id: &LoadBalancerId) -> Result<(), Error> {
        self.api.delete(LOAD_BALANCERS, id.as_str()).await
    }

    /// Deletes a load balancer and everything below it. It is gone when it isn't found any more. With the OVN provider it may look `ACTIVE` in
    /// between, and a second deletion then ends in `ERROR`: ask once and wait. So it isn't repeated when its answer is lost.
    ///
    /// # Errors
    /// `Immutable` unless it is `ACTIVE` or in `ERROR`, `NotFound` when there is none.
    pub async fn delete_load_balancer_tree(&self, id: &LoadBalancerId) -> Result<(), Error> {
        let endpoint = self.api.endpoint(LOAD_BALANCERS, Method::DELETE, &[LOAD_BALANCERS.path, id.as_str()]);
        self.api.cloud.run(&endpoint.query(vec![("cascade", "true".to_owned())]).repeat(Repeat::Never)).await
    }

    /// Reads the states of a load balancer and all that is below it.
    ///
    /// # Errors
    /// `NotFound` when there is no such load balancer.
    pub async fn get_status_tree(&self, id: &LoadBalancerId) -> Result<LoadBalancerState, Error> {
        let path = [LOAD_BALANCERS.path, id.as_str(), "status"];
        let endpoint = self.api.endpoint::<Statuses>(LOAD_BALANCERS, Method::GET, &path);
        Ok(self.api.cloud.run(&endpoint.answer_in("statuses")).await?.loadbalancer)
    }

    /// Has the provider build a load balancer anew: the way out of `ERROR` where it has amphorae. Needs an administrator in most clouds.
    ///
    /// # Errors
    /// `Unsupported` where the provider has nothing to fail over (OVN), `Immutable` while it is pending.
    pub async fn fail_over_load_balancer(&self, id: &LoadBalancerId) -> Result<(), Error> {
        let path = [LOAD_BALANCERS.path, id.as_str(), "failover"];
        self.api.cloud.run(&self.api.endpoint(LOAD_BALANCERS, Method::PUT, &path)).await
    }
}
