//! Carries the plan out.

use super::{
    observe::Observed,
    plan::{Miss, Step},
};
use crate::{
    context::Context,
    error::Error,
    reasons,
    runtime::{apply, metrics::Claimed, queue::Next},
};
use kube::{Api, Resource, ResourceExt, api::PostParams};
use kuryr_api::{CONTROLLER, ClaimRef, KuryrPoolPort, KuryrPoolPortSpec, KuryrPort};
use kuryr_core::{names, node::Why};
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// How soon to look again when a port of an earlier claim still holds the name.
const NAME_IN_USE: Duration = Duration::from_secs(2);

/// How soon to look again at a claim that this reconcile has changed. The cache has the change before.
pub const CHANGED: Duration = Duration::from_millis(20);

/// What the plan came to.
#[derive(Debug)]
pub struct Acted {
    /// When to look again. Only `Converged` says that what is known now is worth publishing.
    pub next: Next,
    /// Free ports that were claimed, as they are now.
    pub claimed: Vec<KuryrPoolPort>,
}

/// Carries the plan out. What was written is in the caches afterwards, which starts the next reconciles.
pub async fn act(context: &Context, seen: &Observed, plan: Vec<Step>) -> Result<Acted, Error> {
    let (mut next, mut claimed) = (Next::Converged, Vec::new());
    for step in plan {
        match step {
            Step::Claim { free, claim, groups, otherwise } => {
                // Who gives up a port that is slow to come was counted when it asked for that.
                let counts = otherwise.is_some();
                match claim_first(context, &free, &claim, &groups, counts).await? {
                    Some(port) => claimed.push(port),
                    // Others were quicker.
                    None => {
                        if let Some(miss) = otherwise
                            && !create(context, miss).await?
                        {
                            next = Next::After(NAME_IN_USE);
                        }
                    }
                }
            }
            Step::CreatePoolPort(miss) => {
                if !create(context, miss).await? {
                    next = Next::After(NAME_IN_USE);
                }
            }
            Step::SetGroups { pool_port, groups } => {
                let changed =
                    apply::spec(&context.pool_ports_api(), &*pool_port, json!({ "securityGroupIds": groups })).await?;
                context.pool_ports.wrote(changed);
            }
            Step::AddFinalizer => {
                let port = &*seen.port;
                tracing::warn!(port = apply::described(port), "its node's finalizer was missing, putting it on");
                let held = apply::with_finalizer(&api(context, port), port, names::INTERFACE_FINALIZER).await?;
                context.ports.wrote(held);
                next = Next::After(CHANGED);
            }
            Step::DeletePort => {
                delete(context, seen).await?;
                if seen.pod_lives {
                    // Nothing is to be told of a claim that goes.
                    next = Next::After(CHANGED);
                }
            }
            Step::RemoveFinalizer(why) => {
                let port = &*seen.port;
                apply::without_finalizer(&api(context, port), port, names::INTERFACE_FINALIZER).await?;
                tell_release(context, port, why).await;
            }
        }
    }
    Ok(Acted { next, claimed })
}

/// Deletes the claim.
async fn delete(context: &Context, seen: &Observed) -> Result<(), Error> {
    context.seen.take(&seen.port.spec.pod_uid);
    let why = if seen.pod_lives { "its port is gone" } else { "its pod is gone" };
    tracing::info!(port = apply::described(&*seen.port), why, "deleting the KuryrPort");
    let api = api(context, &seen.port);
    // The claim of a living pod goes only as it was seen: its node may have connected it meanwhile.
    let deleted = match seen.pod_lives {
        true => apply::delete_unchanged(&api, &*seen.port).await?,
        false => apply::delete(&api, &*seen.port).await?,
    };
    match deleted {
        Some(deleting) => context.ports.wrote(deleting),
        None => gone(context, &seen.port),
    }
    Ok(())
}

/// The address is released although nobody has said that its interface is gone.
async fn tell_release(context: &Context, port: &KuryrPort, why: Why) {
    let node = &port.spec.node_name;
    context.metrics.released_without_node(why.as_str());
    tracing::warn!(port = apply::described(port), node, %why, "released without the node's word");
    if let (Why::NodeSilent(_), Some(found)) = (why, context.nodes.get(None, node)) {
        let pod = &port.spec.pod_name;
        let note = format!(
            "{why}: the addresses of pod {}/{pod} are given to other pods although this node may still use them \
             (nodes.silentSeconds)",
            port.namespace().unwrap_or_default()
        );
        context.events.warn(&found.object_ref(&()), "ReleasePort", reasons::RELEASED, &note).await;
    }
}

/// Claims the first of the free ports that is still free. The write says which state of the port it was decided on: of two that
/// claim a port in the same moment one is refused (promise P2). `counts`: it is the claim's first demand.
async fn claim_first(
    context: &Context,
    free: &[Arc<KuryrPoolPort>],
    claim: &ClaimRef,
    groups: &[String],
    counts: bool,
) -> Result<Option<KuryrPoolPort>, Error> {
    for port in free {
        let Some(_reserved) = context.inventory.reserve(&port.name_any()) else { continue };
        let how = if port.spec.released_at.is_some() { Claimed::Recycled } else { Claimed::Hit };
        let spec = json!({ "claimRef": claim, "releasedAt": null, "securityGroupIds": groups });
        match apply::spec(&context.pool_ports_api(), &**port, spec).await {
            Ok(changed) => {
                // Before the reservation ends: the next one must see that the port is taken.
                context.pool_ports.wrote(changed.clone());
                if counts {
                    context.demanded(&changed, how);
                }
                tracing::info!(object = apply::described(&changed), claim = claim.name, "free port claimed");
                return Ok(Some(changed));
            }
            Err(error) if error.is_stale() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Makes a port that is born claimed. `false`: its name is in use.
async fn create(context: &Context, miss: Miss) -> Result<bool, Error> {
    let port = KuryrPoolPort::new(&miss.name, (*miss.spec).clone());
    let created = create_pool_port(context, &miss.name, *miss.spec, None).await?;
    if created {
        context.demanded(&port, Claimed::Miss);
    }
    Ok(created)
}

/// Writes a port, born claimed or free: the intent, before Neutron hears of it. `false`: an object of this name exists
/// already. It was made for the same claim, then the watch brings it; or somebody deleted it, then it is on its way out.
pub async fn create_pool_port(
    context: &Context,
    name: &str,
    spec: KuryrPoolPortSpec,
    owner: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference>,
) -> Result<bool, Error> {
    let mut pool_port = KuryrPoolPort::new(name, spec);
    pool_port.metadata.finalizers = Some(vec![names::NEUTRON_PORT_FINALIZER.to_owned()]);
    pool_port.metadata.owner_references = owner.map(|owner| vec![owner]);
    let api = context.pool_ports_api();
    let parameters = PostParams { field_manager: Some(CONTROLLER.to_owned()), ..PostParams::default() };
    let writing = context.attempts.writing(name);
    match api.create(&parameters, &pool_port).await {
        Ok(created) => {
            context.attempts.born(&created.uid().unwrap_or_default());
            drop(writing);
            context.pool_ports.wrote(created);
            Ok(true)
        }
        Err(error) if apply::already_exists(&error) => Ok(false),
        Err(error) => Err(Error::kubernetes("create", apply::described(&pool_port))(error)),
    }
}

/// The API of the claim's namespace.
pub fn api(context: &Context, port: &KuryrPort) -> Api<KuryrPort> {
    Api::namespaced(context.client.clone(), &port.namespace().unwrap_or_default())
}

/// The API server says that the claim doesn't exist.
pub fn gone(context: &Context, port: &KuryrPort) {
    context.ports.gone(port.namespace().as_deref(), &port.name_any(), &port.uid().unwrap_or_default());
}
