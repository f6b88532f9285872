//! Filters of lists.

use super::{LoadBalancerId, OperatingStatus, ProvisioningStatus};
use crate::{neutron::ProjectId, resource::Query as Parameters, value::Filters};

/// Which objects to list: all filters must match. Unlike Neutron's, a filter has one value: Octavia refuses a second one of the same
/// name. What has to be found together is given a tag together.
///
/// A filter that the resource doesn't have is refused with 400 (`One or more arguments are either duplicate or invalid`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// Name, the whole.
    pub name: Option<String>,
    /// Description, the whole. Members have none.
    pub description: Option<String>,
    /// Project. Administrators see all projects without it.
    pub project_id: Option<ProjectId>,
    /// What is being done to them.
    pub provisioning_status: Option<ProvisioningStatus>,
    /// Whether they serve.
    pub operating_status: Option<OperatingStatus>,
    /// The load balancer of listeners and pools.
    pub load_balancer_id: Option<LoadBalancerId>,
    /// Tags, all of which they must have. Since API 2.5.
    pub tags: Vec<String>,
    /// Tags, one of which they must have. Since API 2.5.
    pub tags_any: Vec<String>,
    /// Fields to answer, as `name` or `vip_address`; empty: all. The `id` always comes with them.
    pub fields: Vec<&'static str>,
    /// Objects per request; `None`: as many as the service likes.
    pub page_size: Option<usize>,
}

impl Query {
    /// The query as Octavia writes it.
    pub(super) fn parameters(&self) -> Parameters {
        let id = (!self.fields.is_empty() && !self.fields.contains(&"id")).then_some("id");
        let joined = |tags: &[String]| (!tags.is_empty()).then(|| tags.join(","));
        Filters::default()
            .any("name", &self.name)
            .any("description", &self.description)
            .any("project_id", &self.project_id)
            .any("provisioning_status", &self.provisioning_status)
            .any("operating_status", &self.operating_status)
            .any("load_balancer_id", &self.load_balancer_id)
            .any("tags", joined(&self.tags))
            .any("tags-any", joined(&self.tags_any))
            .any("fields", id)
            .any("fields", &self.fields)
            .paged(self.page_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_what_was_asked_for_and_ids() {
        assert_eq!(Query::default().parameters(), []);
        let query = Query {
            name: Some("n".to_owned()),
            provisioning_status: Some(ProvisioningStatus::PendingUpdate),
            tags: vec!["a".to_owned(), "b".to_owned()],
            fields: vec!["name"],
            page_size: Some(7),
            ..Query::default()
        };
        let expected = [
            ("name", "n"),
            ("provisioning_status", "PENDING_UPDATE"),
            ("tags", "a,b"),
            ("fields", "id"),
            ("fields", "name"),
            ("limit", "7"),
        ];
        assert_eq!(query.parameters(), expected.map(|(name, value)| (name, value.to_owned())));
    }
}
