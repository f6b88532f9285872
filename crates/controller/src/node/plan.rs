//! The step from what a node has to what it is to have. Pure.

use crate::pool_port::plan::is_missing;
use kuryr_api::{ClaimKind, KuryrPoolPort, KuryrPoolPortSpec, conditions};
use std::{collections::BTreeSet, sync::Arc};

/// Of so many nodes one at a time gets another port: while it has none, its host doesn't reach pods.
const NODES_PER_REPLACEMENT: usize = 10;

/// What is there of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// The node's own port.
    pub port: Option<Arc<KuryrPoolPort>>,
    /// Neutron itself has said what the nodes' network is, and answers: what is deleted can be made again.
    pub resolved: bool,
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
    /// Delete the port: nodes have none, or somebody deleted it in Neutron and it is made anew.
    Delete(Arc<KuryrPoolPort>),
    /// Delete the port, when its turn comes, and make it anew: the nodes' network is another one now.
    Replace(Arc<KuryrPoolPort>),
    /// The nodes' network seems to be another one: wait until Neutron says so.
    Wait,
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
        (Some(port), Some(spec)) if place(&port.spec) != place(&spec) && seen.resolved => Step::Replace(port),
        (Some(port), Some(spec)) if place(&port.spec) != place(&spec) => Step::Wait,
        (Some(port), Some(spec)) if port.spec.security_group_ids != spec.security_group_ids => {
            Step::SetGroups(port, spec.security_group_ids)
        }
        (Some(_), Some(_)) => Step::Converged,
    }
}

/// What can't be changed of a port. In which order its subnets are named doesn't matter.
fn place(spec: &KuryrPoolPortSpec) -> (&str, BTreeSet<&str>) {
    (&spec.network_id, spec.subnet_ids.iter().map(String::as_str).collect())
}

/// Whether one more of so many nodes may lose its port to get another one now. `ports` are all that there are.
///
/// Where Neutron refuses the new ones it ends with these few: a network that has no room leaves the other nodes as they are.
pub fn may_replace(nodes: usize, ports: &[Arc<KuryrPoolPort>]) -> bool {
    let with_port = ports.iter().filter(|port| is_in_use(port)).count();
    nodes.saturating_sub(with_port) < nodes.div_ceil(NODES_PER_REPLACEMENT)
}

/// Whether it is a node's own port, which Neutron has.
fn is_in_use(port: &KuryrPoolPort) -> bool {
    let of_node = port.spec.claim_ref.as_ref().is_some_and(|claim| claim.kind == ClaimKind::Node);
    let conditions = port.status.as_ref().map_or(&[][..], |status| &status.conditions);
    of_node && port.metadata.deletion_timestamp.is_none() && conditions::is_true(conditions, conditions::CREATED)
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
        let seen = |port: Option<&Arc<KuryrPoolPort>>| Observed { port: port.cloned(), resolved: true };
        let none = seen(None);
        let port = Arc::new(KuryrPoolPort::new("n-1", spec("a")));
        let some = seen(Some(&port));
        assert_eq!(plan(&none, None), Step::Converged);
        assert_eq!(plan(&none, Some(spec("a"))), Step::Create(Box::new(spec("a"))));
        assert_eq!(plan(&some, Some(spec("a"))), Step::Converged);
        assert_eq!(plan(&some, Some(spec("b"))), Step::SetGroups(port.clone(), vec!["b".into()]));
        assert_eq!(plan(&some, None), Step::Delete(port.clone()));
        let moved = KuryrPoolPortSpec { network_id: "other".into(), ..spec("b") };
        assert_eq!(plan(&some, Some(moved.clone())), Step::Replace(port.clone()));
        let remembered = Observed { resolved: false, ..some.clone() };
        assert_eq!(plan(&remembered, Some(moved)), Step::Wait, "it may be wrong, and Neutron may not answer");
        let moved = KuryrPoolPortSpec { subnet_ids: vec!["six".into(), "four".into()], ..spec("a") };
        assert_eq!(plan(&some, Some(moved.clone())), Step::Replace(port.clone()));
        let other_order = KuryrPoolPortSpec { subnet_ids: vec!["four".into(), "six".into()], ..spec("a") };
        assert_eq!(plan(&seen(Some(&Arc::new(KuryrPoolPort::new("n-1", moved)))), Some(other_order)), Step::Converged);
        let mut missing = port.clone();
        Arc::make_mut(&mut missing).status = Some(KuryrPoolPortStatus {
            port_id: Some("p".into()),
            conditions: vec![created(false, reasons::PORT_MISSING)],
            ..Default::default()
        });
        assert_eq!(plan(&seen(Some(&missing)), Some(spec("a"))), Step::Delete(missing));
        let mut waits = port.clone();
        Arc::make_mut(&mut waits).status = Some(KuryrPoolPortStatus {
            conditions: vec![created(false, reasons::QUOTA_EXCEEDED)],
            ..Default::default()
        });
        assert_eq!(plan(&seen(Some(&waits)), Some(spec("a"))), Step::Converged);
        let mut deleting = port;
        Arc::make_mut(&mut deleting).metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        let deleting = seen(Some(&deleting));
        assert_eq!(plan(&deleting, Some(spec("b"))), Step::Converged, "it goes first, then a new one is made");
    }

    #[test]
    fn a_tenth_of_the_nodes_is_replaced_at_once() {
        let port = |status: bool| {
            let claim = kuryr_api::ClaimRef {
                kind: ClaimKind::Node,
                namespace: None,
                name: "n".into(),
                uid: "u".into(),
                interface: "node".into(),
            };
            let mut port = KuryrPoolPort::new("n-1", KuryrPoolPortSpec { claim_ref: Some(claim), ..spec("a") });
            let conditions = vec![created(status, reasons::QUOTA_EXCEEDED)];
            port.status = Some(KuryrPoolPortStatus { conditions, ..Default::default() });
            Arc::new(port)
        };
        let free = Arc::new(KuryrPoolPort { spec: spec("a"), ..(*port(true)).clone() });
        let mut deleting = port(true);
        Arc::make_mut(&mut deleting).metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        let with = |others: &[&Arc<KuryrPoolPort>], in_use: usize| {
            others
                .iter()
                .copied()
                .cloned()
                .chain(std::iter::repeat_with(|| port(true)).take(in_use))
                .collect::<Vec<_>>()
        };
        assert!(may_replace(3, &with(&[], 3)));
        for gone in [&deleting, &free, &port(false)] {
            assert!(!may_replace(3, &with(&[gone], 2)), "{gone:?}");
            assert!(may_replace(11, &with(&[gone], 10)));
            assert!(!may_replace(12, &with(&[gone], 10)));
        }
        assert!(!may_replace(1, &[]), "the only one has none as it is");
    }
}
