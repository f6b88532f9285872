//! Says on the objects and their pods what somebody changed in Neutron.

use super::compare::{Comparer, drift, has_port, port_id};
use crate::{
    context::Context,
    error::Error,
    pool_port::publish_missing,
    port::pod_of,
    reasons,
    runtime::apply::{self, described},
};
use jiff::Timestamp;
use kube::{Api, ResourceExt};
use kuryr_api::{
    ClaimKind, KuryrPoolPort,
    conditions::{self, Wanted},
};
use kuryr_core::drift::Drift;
use kuryr_openstack::{
    Found,
    neutron::{Port, PortId},
};
use serde_json::json;
use std::sync::Arc;

/// The writer of the condition `InSync`: other writers of the status leave it alone.
const WRITER: &str = "kuryr-controller-sweep";

/// A port that the list didn't have may have been moved to another project: only its own 404 says that it is gone.
pub async fn missing(context: &Context, object: &KuryrPoolPort, id: &str) -> Result<(), Error> {
    let (port, current) = again(context, object).await?;
    let Some(current) = current.filter(|current| has_port(current)) else { return Ok(()) };
    if port.is_none() && port_id(&current) == Some(id) {
        tracing::warn!(object = described(&*current), port = id, "somebody deleted this port in Neutron");
        publish_missing(context, &current, id).await?;
    }
    Ok(())
}

/// Says what was changed of a port, or that it is as it should be again.
pub async fn changed(context: &Context, comparer: &Comparer, object: &KuryrPoolPort) -> Result<(), Error> {
    let (Some(port), Some(current)) = again(context, object).await? else { return Ok(()) };
    if !has_port(&current) || port_id(&current) != Some(port.id.as_str()) {
        return Ok(());
    }
    let wanted = in_sync(&drift(&current, &port, &comparer.cluster), port.id.as_str());
    let present = current.status.as_ref().map_or(&[][..], |status| &status.conditions);
    if wanted.is_in(present) {
        return Ok(());
    }
    let condition = wanted.onto(present, current.metadata.generation, Timestamp::now());
    let api: Api<KuryrPoolPort> = Api::all(context.client.clone());
    let status = json!({ "conditions": [condition] });
    context.pool_ports.wrote(apply::part_of_status(&api, &*current, WRITER, &status).await?);
    if wanted.status == Some(true) {
        tracing::info!(object = described(&*current), port = %port.id, "the Neutron port is as it should be again");
        return Ok(());
    }
    tracing::warn!(object = described(&*current), message = wanted.message, "not as Kuryr made it");
    if let Some(claim) = current.spec.claim_ref.as_ref().filter(|claim| claim.kind == ClaimKind::KuryrPort)
        && let Some(claimant) = context.ports.get(claim.namespace.as_deref(), &claim.name)
    {
        context.events.warn(&pod_of(&claimant), "CheckPort", wanted.reason, &wanted.message).await;
    }
    Ok(())
}

/// The port as Neutron has it now, and the object as it is now, if it is still the same.
async fn again(context: &Context, object: &KuryrPoolPort) -> Result<(Option<Port>, Option<Arc<KuryrPoolPort>>), Error> {
    let id = PortId::from(port_id(object).unwrap_or_default());
    let port = context.neutron.get_port(&id).await.found();
    let port = port.map_err(Error::openstack("look for the Neutron port", described(object)))?;
    let current = context.pool_ports.get(None, &object.name_any());
    Ok((port, current.filter(|current| current.uid() == object.uid())))
}

/// The condition `InSync`.
fn in_sync(drift: &[Drift], id: &str) -> Wanted {
    let (status, reason, message) = match drift {
        [] => (true, reasons::IN_SYNC, "the Neutron port is as Kuryr made it".to_owned()),
        [first, ..] => {
            let reason = match first {
                Drift::BindingFailed(_) => reasons::BINDING_FAILED,
                _ => reasons::CHANGED,
            };
            let all: Vec<_> = drift.iter().map(ToString::to_string).collect();
            (false, reason, format!("the Neutron port {id} isn't as Kuryr made it: {}", all.join("; ")))
        }
    };
    Wanted { type_: conditions::IN_SYNC, status: Some(status), reason, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_was_changed_is_in_the_message() {
        let wanted = in_sync(&[Drift::Down, Drift::Mark("kuryr:lab:u".into())], "p");
        assert_eq!((wanted.status, wanted.reason), (Some(false), reasons::CHANGED));
        assert!(
            wanted.message.contains("admin_state_up") && wanted.message.contains("kuryr:lab:u"),
            "{}",
            wanted.message
        );
        assert_eq!(in_sync(&[Drift::BindingFailed("node1".into())], "p").reason, reasons::BINDING_FAILED);
        assert_eq!(in_sync(&[], "p").status, Some(true));
    }
}
