//! Carries the plan out.

use super::{observe::Observed, plan::Step};
use crate::{
    context::Context,
    error::Error,
    runtime::{apply, queue::Next},
};
use kube::{Api, ResourceExt, api::PostParams};
use kuryr_api::{CONTROLLER, KuryrPoolPort, KuryrPoolPortSpec, KuryrPort};
use kuryr_core::names;
use serde_json::json;
use std::time::Duration;

/// How soon to look again when a port of an earlier claim still holds the name.
const NAME_IN_USE: Duration = Duration::from_secs(2);

/// How soon to look again at a claim that this reconcile has changed. The cache has the change before.
const CHANGED: Duration = Duration::from_millis(50);

/// Carries the plan out. What was written is in the caches afterwards, which starts the next reconciles. Only `Converged` says
/// that what was observed is still worth publishing.
pub async fn act(context: &Context, seen: &Observed, plan: Vec<Step>) -> Result<Next, Error> {
    let mut next = Next::Converged;
    for step in plan {
        match step {
            Step::CreatePoolPort { name, spec } => {
                if !create_pool_port(context, &name, *spec, None).await? {
                    next = Next::After(NAME_IN_USE);
                }
            }
            Step::SetGroups { pool_port, groups } => {
                let api: Api<KuryrPoolPort> = Api::all(context.client.clone());
                let changed = apply::spec(&api, &*pool_port, json!({ "securityGroupIds": groups })).await?;
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
                context.seen.take(&seen.port.spec.pod_uid);
                tracing::info!(port = apply::described(&*seen.port), "the pod is gone, deleting its KuryrPort");
                match apply::delete(&api(context, &seen.port), &*seen.port).await? {
                    Some(deleting) => context.ports.wrote(deleting),
                    None => gone(context, &seen.port),
                }
            }
            Step::RemoveFinalizer => {
                let port = &*seen.port;
                tracing::info!(
                    port = apply::described(port),
                    node = port.spec.node_name,
                    "the node is gone, releasing"
                );
                apply::without_finalizer(&api(context, port), port, names::INTERFACE_FINALIZER).await?;
            }
        }
    }
    Ok(next)
}

/// Writes a port that is born claimed: the intent, before Neutron hears of it. `false`: an object of this name exists
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
    let api: Api<KuryrPoolPort> = Api::all(context.client.clone());
    let parameters = PostParams { field_manager: Some(CONTROLLER.to_owned()), ..PostParams::default() };
    let _writing = context.attempts.writing(name);
    match api.create(&parameters, &pool_port).await {
        Ok(created) => {
            context.attempts.born(&created.uid().unwrap_or_default());
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
