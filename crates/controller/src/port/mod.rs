//! KuryrPort to KuryrPoolPort: a claim gets one port per interface, and goes when its pod is gone.

mod act;
mod desire;
mod observe;
mod plan;
mod status;

pub use act::create_pool_port;
pub use status::pod_of;

use crate::{
    context::Context,
    error::Error,
    runtime::queue::{Next, Reconciler},
};
use kuryr_api::KuryrPort;
use std::sync::Arc;

/// The reconciler of KuryrPorts.
pub struct Ports(pub Arc<Context>);

impl Reconciler for Ports {
    type Object = KuryrPort;

    async fn reconcile(&self, port: Arc<KuryrPort>) -> Result<Next, Error> {
        let seen = observe::observe(&self.0, port).await?;
        let desired = desire::desire(&seen, &self.0.networks.defaults());
        let next = act::act(&self.0, &seen, plan::plan(&seen, &desired)).await?;
        if next == Next::Converged {
            status::publish(&self.0, &seen).await?;
        }
        Ok(next)
    }
}
