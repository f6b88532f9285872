//! Carries the plan out.

use super::{observe::Observed, plan::Plan};
use crate::{context::Context, error::Error, inventory::pool_of, port::create_pool_port, runtime::apply};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::{Api, ResourceExt, api::PostParams};
use kuryr_api::{CONTROLLER, KuryrPool, KuryrPoolPort, KuryrPoolPortSpec, KuryrPoolSpec};
use kuryr_core::names;
use serde_json::json;
use std::sync::Arc;

/// How many writes of one pool are under way at a time.
const AT_ONCE: usize = 8;

/// Carries the plan out. What is made here are objects: their own reconciler asks Neutron.
pub async fn act(context: &Context, seen: &Observed, plan: &Plan) -> Result<(), Error> {
    let api = context.pool_ports_api();
    let deleted = stream::iter(plan.delete.clone()).map(|port| give_up(context, &api, port)).buffer_unordered(AT_ONCE);
    deleted.try_collect::<()>().await?;
    if let Some(groups) = &seen.groups {
        let regrouped = stream::iter(plan.regroup.clone()).map(|port| regroup(context, port, groups));
        regrouped.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        fill(context, seen, plan, groups).await?;
    }
    if plan.delete_pool {
        tracing::info!(
            pool = seen.object.name_any(),
            "the node is gone or pods get ports of another network, deleting the pool"
        );
        let pools: Api<KuryrPool> = Api::all(context.client.clone());
        match apply::delete(&pools, &*seen.object).await? {
            Some(deleting) => context.pools.wrote(deleting),
            None => context.pools.gone(None, &seen.object.name_any(), &seen.object.uid().unwrap_or_default()),
        }
        context.inventory.forget_pool(&seen.object.name_any());
    }
    Ok(())
}

/// Makes the free ports that are missing.
async fn fill(context: &Context, seen: &Observed, plan: &Plan, groups: &[String]) -> Result<(), Error> {
    if plan.step.create == 0 {
        return Ok(());
    }
    let pool = seen.object.name_any();
    tracing::info!(pool, ports = plan.step.create, target = plan.step.target, "filling the pool");
    let names = unused(context, &seen.object, plan.step.create);
    let created = stream::iter(names).map(async |name| {
        let spec = new_port(seen, groups);
        create_pool_port(context, &name, spec, None).await
    });
    created.buffer_unordered(AT_ONCE).try_for_each(|_| async { Ok(()) }).await
}

/// Deletes a free port's object, unless somebody claims it first.
async fn give_up(context: &Context, api: &Api<KuryrPoolPort>, port: Arc<KuryrPoolPort>) -> Result<(), Error> {
    let Some(_reserved) = context.inventory.reserve(&port.name_any()) else { return Ok(()) };
    match apply::delete_unchanged(api, &*port).await {
        Ok(Some(deleting)) => context.pool_ports.wrote(deleting),
        Ok(None) => context.pool_ports.gone(None, &port.name_any(), &port.uid().unwrap_or_default()),
        Err(error) if error.is_stale() => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Gives a free port other groups. It cools down anew: the dataplane follows some time later, and until then it would let pass
/// what a pod's own groups don't (promise P4).
async fn regroup(context: &Context, port: Arc<KuryrPoolPort>, groups: &[String]) -> Result<(), Error> {
    let Some(_reserved) = context.inventory.reserve(&port.name_any()) else { return Ok(()) };
    let spec = json!({ "securityGroupIds": groups, "releasedAt": Time(Timestamp::now()) });
    match apply::spec(&context.pool_ports_api(), &*port, spec).await {
        Ok(changed) => context.pool_ports.wrote(changed),
        // Somebody has claimed it meanwhile.
        Err(error) if error.is_stale() => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// A free port of the pool.
fn new_port(seen: &Observed, groups: &[String]) -> KuryrPoolPortSpec {
    let spec = &seen.object.spec;
    KuryrPoolPortSpec {
        node_name: spec.node_name.clone(),
        network_id: spec.network_id.clone(),
        subnet_ids: spec.subnet_ids.clone(),
        security_group_ids: groups.to_vec(),
        claim_ref: None,
        released_at: None,
    }
}

/// Names for new ports. They are counted through, so that a controller that doesn't see what was made a moment ago, by itself or
/// by another one, makes the same objects and not as many again.
fn unused(context: &Context, pool: &KuryrPool, many: u32) -> Vec<String> {
    let uid = pool.uid().unwrap_or_default();
    let names = (0_u32..).map(|number| names::pool_port(&pool.spec.node_name, &uid, &number.to_string()));
    names.filter(|name| !context.inventory.knows(name)).take(usize::try_from(many).unwrap_or(usize::MAX)).collect()
}

/// Makes the KuryrPool of the port's node and network, if it isn't there. It goes with the node.
pub async fn ensure(context: &Context, port: &KuryrPoolPort) -> Result<(), Error> {
    let spec = &port.spec;
    let Some(node) = context.nodes.get(None, &spec.node_name) else { return Ok(()) };
    let pool = KuryrPoolSpec {
        node_name: spec.node_name.clone(),
        network_id: spec.network_id.clone(),
        subnet_ids: spec.subnet_ids.clone(),
        minimum: None,
        maximum: None,
        plugged: None,
    };
    let mut pool = KuryrPool::new(&pool_of(port), pool);
    pool.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: node.name_any(),
        uid: node.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    }]);
    let api: Api<KuryrPool> = Api::all(context.client.clone());
    let parameters = PostParams { field_manager: Some(CONTROLLER.to_owned()), ..PostParams::default() };
    match api.create(&parameters, &pool).await {
        Ok(created) => {
            tracing::info!(pool = created.name_any(), "pool made");
            context.pools.wrote(created);
            Ok(())
        }
        Err(error) if apply::already_exists(&error) => Ok(()),
        Err(error) => Err(Error::kubernetes("create", apply::described(&pool))(error)),
    }
}
