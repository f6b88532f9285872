//! Neutron's API, version 2.0: one file per resource. Field meanings are those of the Networking API reference
//! (docs.openstack.org/api-ref/network/v2).

mod extension;
mod id;
mod network;
mod port;
mod port_request;
mod quota;
mod security_group;
mod security_group_rule;
mod subnet;
mod subnet_pool;
mod tag;
mod value;

use crate::{Cloud, Endpoint, Error, Priority, endpoint::Service};
use futures::Stream;
use reqwest::Method;
use serde::{Serialize, de::DeserializeOwned};

pub use extension::Extension;
pub use id::{
    AddressGroupId, NetworkId, PortId, ProjectId, QosPolicyId, SecurityGroupId, SecurityGroupRuleId, SubnetId,
    SubnetPoolId,
};
pub use network::{Network, NetworkQuery, NetworkStatus, NewNetwork};
pub use port::{AddressPair, FixedIp, Port, PortStatus, VifType};
pub use port_request::{FixedIpFilter, FixedIpRequest, NewPort, PortQuery, PortUpdate};
pub use quota::{Quota, QuotaUsage};
pub use security_group::{NewSecurityGroup, SecurityGroup, SecurityGroupQuery, SecurityGroupUpdate};
pub use security_group_rule::{Direction, EtherType, NewSecurityGroupRule, SecurityGroupRule, SecurityGroupRuleQuery};
pub use subnet::{HostRoute, IpVersion, NewSubnet, Subnet, SubnetQuery};
pub use subnet_pool::{SubnetPool, SubnetPoolQuery};
pub use tag::Taggable;

/// The calls of Neutron. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Neutron {
    cloud: Cloud,
    priority: Priority,
}

/// The names by which a resource goes in paths and bodies.
#[derive(Debug, Clone, Copy)]
struct Resource {
    /// In the path and in metrics.
    path: &'static str,
    /// Around one object.
    one: &'static str,
    /// Around a list.
    many: &'static str,
}

impl Neutron {
    pub(crate) fn new(cloud: Cloud) -> Self {
        Self { cloud, priority: Priority::default() }
    }

    /// The same calls, with another priority: whose turn it is first where requests wait. Without it: [`Priority::Pod`].
    #[must_use]
    pub fn with_priority(&self, priority: Priority) -> Self {
        Self { cloud: self.cloud.clone(), priority }
    }

    /// The project whose objects we create.
    ///
    /// # Errors
    /// As [`Cloud::project_id`].
    pub async fn project_id(&self) -> Result<ProjectId, Error> {
        self.cloud.project_id().await
    }

    /// A request about `path`, counted under the resource's name.
    fn endpoint<A>(&self, resource: Resource, method: Method, path: &[&str]) -> Endpoint<A> {
        Endpoint::new(Service::NETWORK, method, path).resource(resource.path).priority(self.priority)
    }

    async fn get<A: DeserializeOwned>(&self, resource: Resource, id: &str) -> Result<A, Error> {
        self.cloud.run(&self.endpoint(resource, Method::GET, &[resource.path, id]).answer_in(resource.one)).await
    }

    async fn list<A>(&self, resource: Resource, query: Vec<(&'static str, String)>) -> Result<Vec<A>, Error>
    where
        A: DeserializeOwned + Send + 'static,
    {
        let endpoint = self.endpoint(resource, Method::GET, &[resource.path]).query(query);
        self.cloud.run_list(&endpoint.answer_in(resource.many)).await
    }

    fn stream<A>(
        &self,
        resource: Resource,
        query: Vec<(&'static str, String)>,
    ) -> impl Stream<Item = Result<A, Error>> + Send + use<A>
    where
        A: DeserializeOwned + Send + 'static,
    {
        let endpoint = self.endpoint(resource, Method::GET, &[resource.path]).query(query);
        self.cloud.run_stream(endpoint.answer_in(resource.many))
    }

    async fn create<A: DeserializeOwned>(&self, resource: Resource, new: &impl Serialize) -> Result<A, Error> {
        let endpoint = self.endpoint(resource, Method::POST, &[resource.path]);
        self.cloud.run(&endpoint.body(resource.one, new).answer_in(resource.one)).await
    }

    /// One request for all: Neutron creates either every object or none.
    async fn create_bulk<A: DeserializeOwned, N: Serialize>(
        &self,
        resource: Resource,
        new: &[N],
    ) -> Result<Vec<A>, Error> {
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let endpoint = self.endpoint(resource, Method::POST, &[resource.path]).items(new.len());
        self.cloud.run(&endpoint.body(resource.many, &new).answer_in(resource.many)).await
    }

    async fn update<A: DeserializeOwned>(
        &self,
        resource: Resource,
        id: &str,
        update: &impl Serialize,
    ) -> Result<A, Error> {
        let endpoint = self.endpoint(resource, Method::PUT, &[resource.path, id]);
        self.cloud.run(&endpoint.body(resource.one, update).answer_in(resource.one)).await
    }

    async fn delete(&self, resource: Resource, id: &str) -> Result<(), Error> {
        self.cloud.run(&self.endpoint(resource, Method::DELETE, &[resource.path, id])).await
    }
}
