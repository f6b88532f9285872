//! The step from what a node has to what it is to have. Pure.

use kuryr_api::{KuryrPoolPort, KuryrPoolPortSpec};
use std::sync::Arc;

/// What is there of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// The node's own port.
    pub port: Option<Arc<KuryrPoolPort>>,
}

/// The next step.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Nothing is to be done.
    Converged,
    /// Make the port.
    Create(Box<KuryrPoolPortSpec>),
    /// Give the port these security groups.
    SetGroups(Arc<KuryrPoolPort>, Vec<String>),
    /// Delete the port: nodes have none.
    Delete(Arc<KuryrPoolPort>),
}

/// Plans the next step.
pub fn plan(seen: &Observed, desired: Option<KuryrPoolPortSpec>) -> Step {
    match (seen.port.clone(), desired) {
        (None, None) => Step::Converged,
        (None, Some(spec)) => Step::Create(Box::new(spec)),
        (Some(port), _) if port.metadata.deletion_timestamp.is_some() => Step::Converged,
        (Some(port), None) => Step::Delete(port),
        (Some(port), Some(spec)) if port.spec.security_group_ids != spec.security_group_ids => {
            Step::SetGroups(port, spec.security_group_ids)
        }
        (Some(_), Some(_)) => Step::Converged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn spec(group: &str) -> KuryrPoolPortSpec {
        KuryrPoolPortSpec {
            node_name: "n".into(),
            network_id: "net".into(),
            subnet_ids: vec!["four".into()],
            security_group_ids: vec![group.into()],
            claim_ref: None,
        }
    }

    #[test]
    fn each_state_has_its_step() {
        let none = Observed { port: None };
        let port = Arc::new(KuryrPoolPort::new("n-1", spec("a")));
        let some = Observed { port: Some(port.clone()) };
        assert_eq!(plan(&none, None), Step::Converged);
        assert_eq!(plan(&none, Some(spec("a"))), Step::Create(Box::new(spec("a"))));
        assert_eq!(plan(&some, Some(spec("a"))), Step::Converged);
        assert_eq!(plan(&some, Some(spec("b"))), Step::SetGroups(port.clone(), vec!["b".into()]));
        assert_eq!(plan(&some, None), Step::Delete(port.clone()));
        let mut deleting = port;
        Arc::make_mut(&mut deleting).metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        let deleting = Observed { port: Some(deleting) };
        assert_eq!(plan(&deleting, Some(spec("b"))), Step::Converged, "it goes first, then a new one is made");
    }
}
