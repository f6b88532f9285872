//! The next step of a port. Pure.

use super::observe::{Observed, Pool};
use crate::reasons;
use kuryr_api::{KuryrPoolPort, conditions};
use kuryr_core::{
    claim::{self, PortFacts},
    names,
};
use std::time::Duration;

/// The next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing is to be done.
    Converged,
    /// Nothing is to be done before this time: an earlier request has failed.
    Wait(Duration),
    /// Clear the claim.
    Release {
        /// A pod may have had the port's address: it cools down.
        used: bool,
    },
    /// Make the KuryrPool that shows and sets the levels of the port's node and network.
    EnsurePool,
    /// Delete the object.
    Delete,
    /// Delete the port in Neutron, then take the finalizer off.
    Destroy,
    /// Put our finalizer on: somebody took it off, or wrote the object without it. Without it the object could be gone before
    /// its Neutron port is.
    Hold,
    /// Find the port in Neutron or create it.
    Create,
    /// Look once more for a second port, which a lost answer may have left.
    Recheck,
    /// Give the port these security groups.
    SetGroups(Vec<String>),
    /// Take back that its groups can't be set: they needn't be any more.
    TakeBack,
}

/// Plans the next step.
pub fn plan(seen: &Observed) -> Step {
    let object = &*seen.object;
    let facts = PortFacts {
        claimant: seen.claimant,
        deleting: object.metadata.deletion_timestamp.is_some(),
        kept_when_free: seen.pool != Pool::Unwanted && !is_missing(object),
    };
    match facts.step() {
        claim::Step::Release { used } => Step::Release { used },
        claim::Step::Delete => Step::Delete,
        claim::Step::Destroy if is_ours_to_finish(object) => Step::Destroy,
        claim::Step::Destroy | claim::Step::AwaitClaimant => Step::Converged,
        claim::Step::Keep => keep(seen),
    }
}

/// The port was there and is gone in Neutron: nobody can use it any more.
pub fn is_missing(object: &KuryrPoolPort) -> bool {
    let conditions = object.status.iter().flat_map(|status| &status.conditions);
    conditions
        .into_iter()
        .any(|condition| condition.type_ == conditions::CREATED && condition.reason == reasons::PORT_MISSING)
}

/// Our finalizer is still on the object.
fn is_ours_to_finish(object: &KuryrPoolPort) -> bool {
    object.metadata.finalizers.iter().flatten().any(|held| held == names::NEUTRON_PORT_FINALIZER)
}

/// The step that brings the Neutron port to what the spec says.
fn keep(seen: &Observed) -> Step {
    if !is_ours_to_finish(&seen.object) {
        return Step::Hold;
    }
    let status = seen.object.status.clone().unwrap_or_default();
    let step = if status.port_id.is_none() {
        Step::Create
    } else if seen.unsettled == Some(Duration::ZERO) {
        Step::Recheck
    } else if status.security_group_ids != seen.object.spec.security_group_ids
        && conditions::is_true(&status.conditions, conditions::CREATED)
    {
        Step::SetGroups(seen.object.spec.security_group_ids.clone())
    } else if status.conditions.iter().any(|condition| condition.type_ == conditions::GROUPS_SET) {
        return Step::TakeBack;
    } else if seen.pool == Pool::Wanted {
        return Step::EnsurePool;
    } else {
        return Step::Converged;
    };
    seen.wait.map_or(step, Step::Wait)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kuryr_core::claim::Claimant;
    use serde_json::json;
    use std::sync::Arc;

    fn seen(claimant: Option<Claimant>, deleting: bool, status: &serde_json::Value) -> Observed {
        let mut metadata = json!({ "name": "n-1", "uid": "u", "finalizers": [names::NEUTRON_PORT_FINALIZER] });
        if deleting {
            metadata["deletionTimestamp"] = json!("2026-11-23T00:00:00Z");
        }
        let object = json!({
            "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPoolPort", "metadata": metadata, "status": status,
            "spec": { "nodeName": "n", "networkId": "net", "subnetIds": ["four"], "securityGroupIds": ["a", "b"] },
        });
        let object = Arc::new(serde_json::from_value(object).unwrap());
        Observed { object, claimant, pool: Pool::Unwanted, unsettled: None, wait: None }
    }

    fn created(groups: &[&str]) -> serde_json::Value {
        let condition = json!({ "type": "Created", "status": "True", "reason": "Created", "message": "", "lastTransitionTime": "2026-11-23T00:00:00Z" });
        json!({ "portId": "p", "securityGroupIds": groups, "conditions": [condition] })
    }

    /// Other groups couldn't be set.
    fn refused(groups: &[&str]) -> serde_json::Value {
        let mut status = created(groups);
        let mut refused = status["conditions"][0].clone();
        refused["type"] = json!(conditions::GROUPS_SET);
        refused["status"] = json!("False");
        status["conditions"].as_array_mut().unwrap().push(refused);
        status
    }

    fn missing() -> serde_json::Value {
        let mut status = created(&["a", "b"]);
        status["conditions"][0]["status"] = json!("False");
        status["conditions"][0]["reason"] = json!(reasons::PORT_MISSING);
        status
    }

    #[test]
    fn each_state_has_its_step() {
        let holds = Some(Claimant::Holds);
        let second = Duration::from_secs(1);
        for (seen, step) in [
            (seen(holds, false, &json!({})), Step::Create),
            (Observed { wait: Some(second), ..seen(holds, false, &json!({})) }, Step::Wait(second)),
            (seen(holds, false, &created(&["a", "b"])), Step::Converged),
            (seen(holds, false, &created(&["a"])), Step::SetGroups(vec!["a".into(), "b".into()])),
            (seen(holds, false, &refused(&["a"])), Step::SetGroups(vec!["a".into(), "b".into()])),
            (seen(holds, false, &refused(&["a", "b"])), Step::TakeBack),
            (Observed { unsettled: Some(second), ..seen(holds, false, &created(&["a", "b"])) }, Step::Converged),
            (Observed { unsettled: Some(Duration::ZERO), ..seen(holds, false, &created(&["a", "b"])) }, Step::Recheck),
            (seen(holds, true, &created(&["a", "b"])), Step::Converged),
            (seen(Some(Claimant::Yields), true, &created(&["a", "b"])), Step::Release { used: true }),
            (seen(Some(Claimant::Gone), false, &created(&["a", "b"])), Step::Release { used: true }),
            (seen(Some(Claimant::Superseded), false, &json!({})), Step::Release { used: false }),
            (Observed { pool: Pool::Wanted, ..seen(holds, false, &created(&["a", "b"])) }, Step::EnsurePool),
            (Observed { pool: Pool::Wanted, ..seen(None, false, &created(&["a", "b"])) }, Step::EnsurePool),
            (Observed { pool: Pool::Exists, ..seen(None, false, &created(&["a", "b"])) }, Step::Converged),
            (Observed { pool: Pool::Exists, ..seen(None, false, &json!({})) }, Step::Create),
            (Observed { pool: Pool::Exists, ..seen(None, false, &missing()) }, Step::Delete),
            (Observed { pool: Pool::Exists, ..seen(holds, false, &missing()) }, Step::Converged),
            (seen(None, false, &created(&["a", "b"])), Step::Delete),
            (seen(None, true, &created(&["a", "b"])), Step::Destroy),
            (Observed { wait: Some(second), ..seen(None, true, &json!({})) }, Step::Destroy),
        ] {
            assert_eq!(plan(&seen), step, "{seen:?}");
        }
    }

    #[test]
    fn an_object_is_held_before_its_port_is_asked_for() {
        let mut seen = seen(Some(Claimant::Holds), false, &json!({}));
        Arc::make_mut(&mut seen.object).metadata.finalizers = None;
        assert_eq!(plan(&seen), Step::Hold);
        seen.claimant = None;
        assert_eq!(plan(&seen), Step::Delete, "nobody needs it");
    }

    #[test]
    fn an_object_without_our_finalizer_is_finished() {
        let mut seen = seen(None, true, &created(&["a", "b"]));
        Arc::make_mut(&mut seen.object).metadata.finalizers = None;
        assert_eq!(plan(&seen), Step::Converged);
    }
}
