//! What Octavia has of one load balancer, read in full: after a start, after an error, and by the audit.

use super::convert;
use futures::future::try_join_all;
use kuryr_core::service::{
    graph::{Member, MemberKey},
    observed::{ObservedLoadBalancer, ObservedMember},
};
use kuryr_openstack::{
    Error, Found,
    octavia::{LoadBalancer, LoadBalancerGraph, LoadBalancerId, LoadBalancerState, Octavia, Pool, PoolGraph, Query},
};
use std::collections::BTreeMap;

/// All load balancers with the owner mark, and the recorded one whatever its mark is.
///
/// # Errors
/// When one of the requests fails.
pub async fn all(octavia: &Octavia, mark: &str, recorded: Option<&str>) -> Result<Vec<ObservedLoadBalancer>, Error> {
    let marked = Query { description: Some(mark.to_owned()), ..Query::default() };
    let mut found = octavia.list_load_balancers(&marked).await?;
    if let Some(id) = recorded.filter(|id| found.iter().all(|one| one.id.as_str() != *id)) {
        found.extend(octavia.get_load_balancer(&LoadBalancerId::from(id)).await.found()?);
    }
    let whole = try_join_all(found.into_iter().map(|one| whole(octavia, one))).await?;
    Ok(whole.iter().filter_map(convert::load_balancer).collect())
}

async fn whole(octavia: &Octavia, load_balancer: LoadBalancer) -> Result<LoadBalancerGraph, Error> {
    let of_it = Query { load_balancer_id: Some(load_balancer.id.clone()), ..Query::default() };
    let (listeners, pools) = tokio::try_join!(octavia.list_listeners(&of_it), octavia.list_pools(&of_it))?;
    let pools = try_join_all(pools.into_iter().map(|pool| with_members(octavia, pool))).await?;
    Ok(LoadBalancerGraph { load_balancer, listeners, pools })
}

async fn with_members(octavia: &Octavia, pool: Pool) -> Result<PoolGraph, Error> {
    let members = async {
        match pool.members.is_empty() {
            true => Ok(Vec::new()),
            false => octavia.list_members(&pool.id, &Query::default()).await,
        }
    };
    let monitor = async {
        match &pool.health_monitor_id {
            // One that went meanwhile is none.
            Some(id) => octavia.get_health_monitor(id).await.found(),
            None => Ok(None),
        }
    };
    let (members, health_monitor) = tokio::try_join!(members, monitor)?;
    Ok(PoolGraph { pool, members, health_monitor })
}

/// Takes over what the status tree says of a load balancer's parts, and which members there are. Listeners and pools that it doesn't show
/// keep their status: it has no pools without a listener.
pub fn take_over(tree: &LoadBalancerState, load_balancer: &mut ObservedLoadBalancer) {
    load_balancer.provisioning = convert::provisioning(&tree.provisioning_status);
    for listener in &tree.listeners {
        let status = convert::provisioning(&listener.provisioning_status);
        let known = load_balancer.listeners.iter_mut().filter(|known| known.id == listener.id.as_str());
        known.for_each(|known| known.provisioning = status);
        for pool in &listener.pools {
            let Some(known) = load_balancer.pools.iter_mut().find(|known| known.id == pool.id.as_str()) else {
                continue;
            };
            known.provisioning = convert::provisioning(&pool.provisioning_status);
            if let (Some(known), Some(monitor)) = (&mut known.monitor, &pool.health_monitor) {
                known.provisioning = convert::provisioning(&monitor.provisioning_status);
            }
            let states = pool.members.iter().filter_map(|one| {
                let key = MemberKey { address: one.address?, port: one.protocol_port };
                Some((key, convert::provisioning(&one.provisioning_status)))
            });
            let states: BTreeMap<_, _> = states.collect();
            known.members.retain(|key, _| states.contains_key(key));
            for (key, provisioning) in states {
                // One that isn't known is on its way out.
                let unknown = || ObservedMember { provisioning, member: Member::on(None) };
                known.members.entry(key).or_insert_with(unknown).provisioning = provisioning;
            }
        }
    }
}
