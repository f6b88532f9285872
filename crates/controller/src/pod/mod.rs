//! Pod to KuryrPort: every scheduled pod with a network of its own, that hasn't ended, has exactly one (promise P1).
//!
//! Only the creation is here. A KuryrPort goes with its pod, which its own reconciler sees to, so that nothing depends on
//! an event about a pod that is no more.

mod act;
mod desire;
mod object;
mod observe;
mod plan;

pub use object::{NamedPort, Pod};
pub use observe::needs_port;

use crate::{
    context::Context,
    error::Error,
    runtime::queue::{Next, Reconciler},
};
use std::sync::Arc;

/// The reconciler of pods.
pub struct Pods(pub Arc<Context>);

impl Reconciler for Pods {
    type Object = Pod;

    async fn reconcile(&self, pod: Arc<Pod>) -> Result<Next, Error> {
        let seen = observe::observe(&self.0, &pod);
        let desired = desire::desire(&pod);
        act::act(&self.0, plan::plan(&seen, desired)).await?;
        Ok(Next::Converged)
    }
}
