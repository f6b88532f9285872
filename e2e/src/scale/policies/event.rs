//! What happens, and by which request Neutron has it.

use super::crowd::{self, COMER, Crowd, WEB};
use anyhow::Result;
use http::Method;
use kuryr_openstack_fake::Entry;

/// Name of the policy that comes and goes.
const POLICY: &str = "comes";

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A pod comes that a policy means as a peer.
    PodComes,
    /// It goes.
    PodGoes,
    /// A pod gets a label by which a policy means it.
    RelabelledIn,
    /// It loses it.
    RelabelledOut,
    /// A policy comes that selects one pod.
    PolicyCreated,
    /// It goes.
    PolicyDeleted,
}

impl Event {
    /// All, in an order in which each undoes the one before it, or can follow it.
    pub const ALL: [Self; 6] = [
        Self::PodComes,
        Self::PodGoes,
        Self::RelabelledIn,
        Self::RelabelledOut,
        Self::PolicyCreated,
        Self::PolicyDeleted,
    ];

    /// Its name in tables and records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PodComes => "pod comes",
            Self::PodGoes => "pod goes",
            Self::RelabelledIn => "relabelled in",
            Self::RelabelledOut => "relabelled out",
            Self::PolicyCreated => "policy created",
            Self::PolicyDeleted => "policy deleted",
        }
    }

    /// Lets it happen.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn happen(self, crowd: &Crowd) -> Result<()> {
        match self {
            Self::PodComes => crowd.pod(COMER, WEB).await,
            Self::PodGoes => crowd.delete_pod(COMER).await,
            Self::RelabelledIn => crowd.relabel("mover", WEB).await,
            Self::RelabelledOut => crowd.relabel("mover", "none").await,
            Self::PolicyCreated => crowd.policy(POLICY, &crowd::comes()).await,
            Self::PolicyDeleted => crowd.delete_policy(POLICY).await,
        }
    }

    /// Whether Neutron lets packets follow from this request on.
    #[must_use]
    pub fn is_in(self, request: &Entry) -> bool {
        let last = match self {
            Self::PodComes | Self::RelabelledIn => request.path.ends_with("/add_addresses"),
            Self::PodGoes | Self::RelabelledOut => request.path.ends_with("/remove_addresses"),
            Self::PolicyCreated | Self::PolicyDeleted => is_regrouping(request),
        };
        last && request.carried_out && request.status.is_some_and(|status| status < 300)
    }
}

/// Whether a request is about groups, their members or which ports have them: not one by which ports come and go.
#[must_use]
pub fn is_about_groups(request: &Entry) -> bool {
    let groups = ["address-groups", "security-groups", "security-group-rules"];
    groups.contains(&request.resource.as_str()) || is_regrouping(request)
}

fn is_regrouping(request: &Entry) -> bool {
    request.method == Method::PUT && request.resource == "ports"
}

#[cfg(test)]
mod tests {
    use super::*;
    use kuryr_openstack_fake::Service;
    use std::time::Duration;

    fn mk_request(method: Method, path: &str, status: Option<u16>) -> Entry {
        Entry {
            number: 1,
            at: Duration::ZERO,
            service: Service::Network,
            method,
            resource: path.split('/').next().unwrap().to_owned(),
            path: path.to_owned(),
            query: String::new(),
            body: None,
            items: 1,
            carried_out: true,
            status,
            took: None,
        }
    }

    #[test]
    fn neutron_has_it_when_the_last_request_is_answered_well() {
        let add = |status| mk_request(Method::PUT, "address-groups/a/add_addresses", status);
        assert!(Event::PodComes.is_in(&add(Some(200))));
        assert!(!Event::PodComes.is_in(&add(None)));
        assert!(!Event::RelabelledIn.is_in(&add(Some(409))));
        assert!(!Event::PodGoes.is_in(&add(Some(200))));
        assert!(Event::PolicyCreated.is_in(&mk_request(Method::PUT, "ports/a", Some(200))));
    }

    #[test]
    fn ports_that_come_and_go_are_not_about_groups() {
        let about = |method, path| is_about_groups(&mk_request(method, path, Some(200)));
        assert!(about(Method::POST, "security-groups") && about(Method::PUT, "ports/a"));
        assert!(!about(Method::POST, "ports") && !about(Method::GET, "ports") && !about(Method::DELETE, "ports/a"));
    }
}
