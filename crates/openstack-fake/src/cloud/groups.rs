//! What a test sees of security groups and address groups, and does by hand.

use super::FakeCloud;
use crate::{AddressGroupView, Method, SecurityGroupView, keystone::Caller, pipeline::lock};
use serde_json::Value;

impl FakeCloud {
    /// All security groups of all projects, with their rules.
    #[must_use]
    pub fn security_groups(&self) -> Vec<SecurityGroupView> {
        lock(&self.cloud.neutron).group_views()
    }

    /// All address groups of all projects.
    #[must_use]
    pub fn address_groups(&self) -> Vec<AddressGroupView> {
        lock(&self.cloud.neutron).address_group_views()
    }

    /// Gives the group of a rule the same rule once more, as two creations at the same time do in Neutron; its identifier. `None`: there is
    /// no such rule.
    pub fn double_rule(&self, rule: &str) -> Option<String> {
        lock(&self.cloud.neutron).double_rule(rule).map(|id| id.to_string())
    }

    /// Lets an administrator ask Neutron something by hand, as deleting a rule or adding an address: no fault, hook or latency meets the
    /// request, and no journal notes it. `path` is that below the version, with its query; answers status and body. New objects are of
    /// `project`, the name of an account or any project's identifier.
    ///
    /// ```
    /// # use kuryr_openstack_fake::{FakeCloud, Method};
    /// # fn example(cloud: &FakeCloud, rule: &str) {
    /// let (status, _) = cloud.by_hand("kuryr", Method::DELETE, &format!("security-group-rules/{rule}"), None);
    /// assert_eq!(status, 204);
    /// # }
    /// ```
    pub fn by_hand(&self, project: &str, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let project = lock(&self.cloud.keystone).project_of(project).unwrap_or_else(|| project.into());
        lock(&self.cloud.neutron).ask(&Caller::of_the_cloud(&project), method, path, body)
    }
}
