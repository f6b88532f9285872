//! KuryrPool: the free ports that a node keeps ready follow the demand between minimum and maximum.

mod act;
mod observe;
mod plan;
mod status;

pub use act::ensure;

use crate::{
    context::Context,
    error::Error,
    runtime::queue::{Next, Reconciler},
};
use kuryr_api::KuryrPool;
use std::{sync::Arc, time::Duration};

/// How soon a pool that gives its free ports up looks whether there is room again.
const ROOM: Duration = Duration::from_secs(30);

/// The reconciler of KuryrPools.
pub struct Pools(pub Arc<Context>);

impl Reconciler for Pools {
    type Object = KuryrPool;

    async fn reconcile(&self, pool: Arc<KuryrPool>) -> Result<Next, Error> {
        let seen = observe::observe(&self.0, pool).await?;
        let plan = plan::plan(&seen, &self.0.settings.pools);
        observe::wake(&self.0, &seen);
        act::act(&self.0, &seen, &plan).await?;
        let told = status::publish(&self.0, &seen, &plan).await?;
        let room_in = seen.no_room.then_some(ROOM);
        let next = [told, seen.cools_in, seen.drains_in, room_in, Some(seen.demand.idle_in), Some(seen.demand.calm_in)];
        let next = next.into_iter().flatten().filter(|wait| !wait.is_zero()).min();
        Ok(next.map_or(Next::Converged, Next::After))
    }
}
