//! KuryrPort to KuryrPoolPort: a claim takes a free port per interface, or has one made, and goes when its pod is gone.

mod act;
pub mod desire;
mod fit;
pub mod observe;
pub mod plan;
mod status;

pub use act::create_pool_port;
pub use fit::{has_groups, is_claimable, is_created};
pub use observe::{claim_of, recorded};
pub use status::pod_of;

use crate::{
    context::Context,
    error::Error,
    networks::Defaults,
    runtime::queue::{Next, Reconciler},
};
use act::Acted;
use kube::ResourceExt;
use kuryr_api::KuryrPort;
use kuryr_core::{names, node::Release};
use observe::{Interface, Observed};
use std::{sync::Arc, time::Duration};

/// How soon to look again whether address groups have let go of an address.
const HAUNTED: Duration = Duration::from_millis(50);

/// The reconciler of KuryrPorts.
pub struct Ports(pub Arc<Context>);

impl Reconciler for Ports {
    type Object = KuryrPort;

    async fn reconcile(&self, port: Arc<KuryrPort>) -> Result<Next, Error> {
        let context = &*self.0;
        let defaults = context.networks.defaults();
        let mut seen = observe::observe(context, port, &defaults).await?;
        let desired = desire::desire(&seen, &defaults);
        let plan = plan::plan(&seen, &desired, context.settings.pools.cool_down());
        let Acted { next, claimed } = act::act(context, &seen, plan).await?;
        if next == Next::Converged {
            seen.settle_on(claimed);
            seen.look_at_policies(context);
            match status::publish(context, &seen).await {
                Ok(()) => {}
                // Decided on a state that is no more, as that before our own last write: the cache has the next one in a moment.
                Err(error) if error.is_stale() => return Ok(Next::After(act::CHANGED)),
                Err(error) => return Err(error),
            }
        }
        wait_or_not(context, &seen, &defaults);
        if next == Next::Converged && seen.interfaces.iter().any(|interface| interface.haunted && !interface.settled) {
            return Ok(Next::After(HAUNTED));
        }
        Ok(match seen.release {
            // No object says when a silence has lasted for long enough.
            Release::In(left) if next == Next::Converged => Next::After(left),
            _ => next,
        })
    }
}

/// Notes whether the claim waits for a port: the next one that is free is offered to it.
fn wait_or_not(context: &Context, seen: &Observed, defaults: &Defaults) {
    let claim = (seen.port.namespace().unwrap_or_default(), seen.port.name_any());
    let served =
        |interface: &Interface| interface.settled || interface.pool_port.as_deref().is_some_and(status::is_usable);
    if seen.deleting() || !seen.pod_lives || seen.interfaces.iter().all(served) {
        if let Some(pool) = context.inventory.served(&claim) {
            // It may have held its refill back for those who wait.
            context.queues.pools.add(None, &pool);
        }
    } else {
        let pool = names::pool(&seen.port.spec.node_name, &defaults.network, &defaults.subnets);
        let exists = || {
            let present = context.ports.get(Some(&claim.0), &claim.1);
            present.is_some_and(|present| present.uid() == seen.port.uid())
        };
        if !context.inventory.waits(&pool, &claim, exists) {
            context.queues.pools.add(None, &pool);
        }
    }
}
