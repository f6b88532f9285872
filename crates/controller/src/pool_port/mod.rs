//! KuryrPoolPort to Neutron port: created once, changed where its groups differ, released only when nobody uses it.

mod act;
pub mod observe;
pub mod plan;
mod status;

pub use status::publish_missing;

use crate::{
    context::Context,
    error::Error,
    runtime::queue::{Next, Reconciler},
};
use act::Acted;
use kube::ResourceExt;
use kuryr_api::{ClaimKind, KuryrPoolPort};
use kuryr_openstack::Kind;
use plan::Step;
use std::sync::Arc;

/// Most steps in one reconcile: the longest way, from a claimed port to none, has four.
const MOST_STEPS: usize = 8;

/// The reconciler of KuryrPoolPorts.
pub struct PoolPorts(pub Arc<Context>);

impl Reconciler for PoolPorts {
    type Object = KuryrPoolPort;

    async fn reconcile(&self, object: Arc<KuryrPoolPort>) -> Result<Next, Error> {
        let mut object = object;
        for _ in 0..MOST_STEPS {
            let seen = observe::observe(&self.0, object.clone()).await?;
            let step = plan::plan(&seen);
            if step == Step::Converged {
                let left = seen.unsettled.filter(|left| !left.is_zero());
                return Ok(left.map_or(Next::Converged, Next::After));
            }
            match act::act(&self.0, &seen, step).await {
                Ok(Acted::Changed(changed)) => object = changed,
                Ok(Acted::Ended(next)) => return Ok(next),
                Err(error) => {
                    lacks_room(&self.0, &object, &error);
                    // The failure itself decides when to try again, not whether it could be told.
                    if let Err(untold) = status::publish_failure(&self.0, &object, &error).await {
                        tracing::warn!(error = %untold, "a failure could not be told in the object's conditions");
                    }
                    return Err(error);
                }
            }
        }
        // Somebody changes the object as quickly as we do. The last change has queued it again.
        Ok(Next::Converged)
    }
}

/// Has the pools give their free ports up, where a pod waits because the quota or the addresses are used up.
fn lacks_room(context: &Context, object: &KuryrPoolPort, error: &Error) {
    let is_pods = object.spec.claim_ref.as_ref().is_some_and(|claim| claim.kind == ClaimKind::KuryrPort);
    let is_full = matches!(error, Error::OpenStack { source, .. } if matches!(source.kind(), Kind::OverQuota | Kind::AddressesExhausted));
    if is_pods && is_full && context.gather.creator.is_news(&object.spec.network_id.as_str().into()) {
        for pool in context.pools.all() {
            context.queues.pools.add(None, &pool.name_any());
        }
    }
}
