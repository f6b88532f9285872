//! What Octavia has: as its own answers have told, and asked for where that isn't enough.

use super::{
    Turn,
    memory::Known,
    read::{self, Listed},
    step::with_members,
};
use crate::error::Error;
use kuryr_core::service::{
    Observed, Provider,
    observed::{
        ObservedLoadBalancer,
        Provisioning::{PendingDelete, PendingUpdate},
    },
};
use kuryr_openstack::{
    Found,
    octavia::{LoadBalancerId, PoolId},
};
use std::time::Duration;
use tokio::time::Instant;

/// A listener that is only changed is done after this time, whatever OVN's provider says of it: 0.1 s were measured.
const SILENT_LISTENER: Duration = Duration::from_secs(3);

/// After this time, and longer where there are members, parts that still come or go have been forgotten: those of a load balancer that is to go
/// are deleted one by one, those of one that stays are sent again. (A member that stayed `PENDING_DELETE` was seen when twenty load
/// balancers were changed at once.)
const FORGOTTEN: Duration = Duration::from_secs(60);

impl Turn<'_> {
    /// What is known of Octavia's side. Asks where nothing is known, or of which part what has become.
    pub(super) async fn observe(&self, known: &mut Known) -> Result<Observed, Error> {
        let octavia = &self.services.octavia;
        let failed = || Error::openstack("read the load balancer", self.described());
        let recorded = self.present().load_balancer_id;
        let mut load_balancers = match known.load_balancers.take() {
            Some(load_balancers) => load_balancers,
            None => {
                known.unverified = false;
                let has_recorded =
                    |of: &Vec<Listed>| recorded.as_ref().is_none_or(|id| of.iter().any(|one| one.id() == id));
                // That there is none is believed only if it was asked for just now: it would be made anew.
                let listed = known.listed.take().filter(|listed| !listed.is_empty() && has_recorded(listed));
                let read = match listed {
                    Some(listed) => read::complete(octavia, listed).await,
                    None => read::all(octavia, &self.identity.mark, recorded.as_deref()).await,
                };
                let read = read.map_err(failed())?;
                known.looked(&read);
                read
            }
        };
        if known.unverified && load_balancers.iter().any(has_pending_pool_without_listener) {
            // The status tree shows no pool without a listener.
            load_balancers = read::all(octavia, &self.identity.mark, recorded.as_deref()).await.map_err(failed())?;
            known.unverified = false;
        }
        if known.unverified {
            for one in load_balancers.iter_mut().filter(|one| !one.provisioning.is_pending()) {
                let id = LoadBalancerId::from(one.id.as_str());
                match octavia.get_status_tree(&id).await.found().map_err(failed())? {
                    Some(tree) => read::take_over(&tree, one),
                    None => one.provisioning = PendingDelete,
                }
            }
            known.unverified = false;
        }
        if let Some(going) = &known.going {
            load_balancers.iter_mut().filter(|one| going.is(one)).for_each(|one| one.provisioning = PendingDelete);
        }
        if known.expected.as_ref().is_some_and(|expected| expected.is_awaited(&load_balancers)) {
            let pool = known.expected.as_ref().map(|expected| expected.pool.as_str());
            let pools = load_balancers.iter_mut().flat_map(|one| &mut one.pools);
            pools.filter(|of| Some(of.id.as_str()) == pool).for_each(|of| of.provisioning = PendingUpdate);
        } else {
            known.expected = None;
        }
        self.await_going(known, &mut load_balancers).await?;
        known.load_balancers = Some(load_balancers.clone());
        let stuck = known.working_for() > self.patience(&load_balancers);
        Ok(Observed { recorded, load_balancers, repairs: known.repairs, stuck })
    }

    /// For how long Octavia may be at work. OVN's provider, which needs seconds at most, never says of some parts that they are done: of a
    /// listener after a change of its pool's monitor, and of anything that a worker was at when it ended.
    fn patience(&self, load_balancers: &[ObservedLoadBalancer]) -> Duration {
        let configured = self.services.settings.services.pending();
        let is_ovn = self.abilities.provider == Provider::Ovn;
        if !is_ovn || load_balancers.iter().any(|one| one.provisioning.is_pending()) {
            return configured;
        }
        let mut in_work = load_balancers.iter().flat_map(ObservedLoadBalancer::parts_in_work);
        match (in_work.next(), self.goes) {
            (None, _) => configured.min(SILENT_LISTENER),
            (Some(_), true) => configured.min(FORGOTTEN),
            (Some(_), false) => {
                let pools = load_balancers.iter().flat_map(|one| &one.pools);
                configured.min(with_members(FORGOTTEN, pools.map(|pool| pool.members.len()).sum()))
            }
        }
    }

    /// Has the pools that were told to go count as going until Octavia has them no more, whatever it says of them meanwhile.
    async fn await_going(&self, known: &mut Known, load_balancers: &mut [ObservedLoadBalancer]) -> Result<(), Error> {
        known.going_pools.retain(|(_, until)| Instant::now() < *until);
        if load_balancers.iter().any(|one| one.provisioning.is_pending()) {
            return Ok(());
        }
        for (id, until) in std::mem::take(&mut known.going_pools) {
            let pool = self.services.octavia.get_pool(&PoolId::from(id.as_str())).await;
            let pool = pool.found().map_err(Error::openstack("ask for the deleted pool of", self.described()))?;
            for one in &mut *load_balancers {
                if pool.is_some() {
                    one.pools
                        .iter_mut()
                        .filter(|pool| pool.id == id)
                        .for_each(|pool| pool.provisioning = PendingDelete);
                } else {
                    one.pools.retain(|pool| pool.id != id);
                    for listener in one.listeners.iter_mut().filter(|listener| listener.pool_id.as_ref() == Some(&id)) {
                        listener.pool_id = None;
                    }
                }
            }
            if pool.is_some() {
                known.going_pools.push((id, until));
            }
        }
        Ok(())
    }
}

/// Whether something of a pool changes still that no listener uses, as between the creation of both.
fn has_pending_pool_without_listener(one: &ObservedLoadBalancer) -> bool {
    let is_used = |id: &str| one.listeners.iter().any(|listener| listener.pool_id.as_deref() == Some(id));
    one.pools.iter().any(|pool| !is_used(&pool.id) && pool.parts().any(|part| part.is_pending()))
}
