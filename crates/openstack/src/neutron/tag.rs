//! Tags. They are for operators: most clouds don't take them in the creating request, so Kuryr never finds its own
//! objects by them.

use super::{FloatingIpId, NetworkId, Neutron, PortId, Resource, SecurityGroupId, SubnetId};
use crate::Error;
use reqwest::Method;

/// Something that can have tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taggable {
    /// A network.
    Network(NetworkId),
    /// A subnet.
    Subnet(SubnetId),
    /// A port.
    Port(PortId),
    /// A security group.
    SecurityGroup(SecurityGroupId),
    /// A floating IP.
    FloatingIp(FloatingIpId),
}

impl Taggable {
    fn path(&self) -> (&'static str, &str) {
        match self {
            Self::Network(id) => ("networks", id.as_str()),
            Self::Subnet(id) => ("subnets", id.as_str()),
            Self::Port(id) => ("ports", id.as_str()),
            Self::SecurityGroup(id) => ("security-groups", id.as_str()),
            Self::FloatingIp(id) => ("floatingips", id.as_str()),
        }
    }
}

const TAGS: Resource = Resource { path: "tags", one: "tags", many: "tags" };

impl Neutron {
    /// Replaces all tags of an object; answers the new ones.
    ///
    /// # Errors
    /// `NotFound` when there is no such object.
    pub async fn replace_tags(&self, object: &Taggable, tags: &[String]) -> Result<Vec<String>, Error> {
        let (collection, id) = object.path();
        let endpoint = self.api.endpoint(TAGS, Method::PUT, &[collection, id, TAGS.path]);
        self.api.cloud.run(&endpoint.body(TAGS.many, &tags).answer_in(TAGS.many)).await
    }
}
