//! The step from what a node has to what it is to have. Pure.

use crate::pool_port::plan::is_missing;
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
    /// Delete the port: nodes have none, or it is made anew, because somebody deleted it in Neutron or the nodes' network is
    /// another one now.
    Delete(Arc<KuryrPoolPort>),
}

/// Plans the next step.
pub fn plan(seen: &Observed, desired: Option<KuryrPoolPortSpec>) -> Step {
    match (seen.port.clone(), desired) {
        (None, None) => Step::Converged,
        (None, Some(spec)) => Step::Create(Box::new(spec)),
        (Some(port), _) if port.metadata.deletion_timestamp.is_some() => Step::Converged,
        (Some(port), None) => Step::Delete(port),
        // A pod's port that is missing is told on its pod; here nobody but us can replace it.
        (Some(port), Some(_)) if is_missing(&port) => Step::Delete(port),
        (Some(port), Some(spec)) if place(&port.spec) != place(&spec) => Step::Delete(port),
        (Some(port), Some(spec)) if port.spec.security_group_ids != spec.security_group_ids => {
            Step::SetGroups(port, spec.security_group_ids)
        }
        (Some(_), Some(_)) => Step::Converged,
    }
}

/// What can't be changed of a port.
const fn place(spec: &KuryrPoolPortSpec) -> (&String, &Vec<String>) {
    (&spec.network_id, &spec.subnet_ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reasons;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
    use kuryr_api::KuryrPoolPortStatus;
    use kuryr_api::conditions;

    fn spec(group: &str) -> KuryrPoolPortSpec {
        KuryrPoolPortSpec {
            node_name: "n".into(),
            network_id: "net".into(),
            subnet_ids: vec!["four".into()],
            security_group_ids: vec![group.into()],
            claim_ref: None,
            released_at: None,
        }
    }

    fn created(status: bool, reason: &'static str) -> Condition {
        let (type_, message) = (conditions::CREATED, String::new());
        conditions::Wanted { type_, status: Some(status), reason, message }.onto(&[], None, jiff::Timestamp::UNIX_EPOCH)
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
        let moved = KuryrPoolPortSpec { network_id: "other".into(), ..spec("b") };
        assert_eq!(plan(&some, Some(moved)), Step::Delete(port.clone()));
        let moved = KuryrPoolPortSpec { subnet_ids: vec!["four".into(), "six".into()], ..spec("a") };
        assert_eq!(plan(&some, Some(moved)), Step::Delete(port.clone()));
        let mut missing = port.clone();
        Arc::make_mut(&mut missing).status = Some(KuryrPoolPortStatus {
            port_id: Some("p".into()),
            conditions: vec![created(false, reasons::PORT_MISSING)],
            ..Default::default()
        });
        assert_eq!(plan(&Observed { port: Some(missing.clone()) }, Some(spec("a"))), Step::Delete(missing));
        let mut waits = port.clone();
        Arc::make_mut(&mut waits).status = Some(KuryrPoolPortStatus {
            conditions: vec![created(false, reasons::QUOTA_EXCEEDED)],
            ..Default::default()
        });
        assert_eq!(plan(&Observed { port: Some(waits) }, Some(spec("a"))), Step::Converged);
        let mut deleting = port;
        Arc::make_mut(&mut deleting).metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        let deleting = Observed { port: Some(deleting) };
        assert_eq!(plan(&deleting, Some(spec("b"))), Step::Converged, "it goes first, then a new one is made");
    }
}
