//! What Octavia has of one load balancer, read in full: after a start, after an error, and by the audit.

use super::convert;
use futures::future::try_join_all;
use kuryr_core::{
    names::OwnerMark,
    service::{
        graph::{Member, MemberKey},
        observed::{ObservedLoadBalancer, ObservedMember},
    },
};
use kuryr_openstack::{
    Error, Found,
    octavia::{
        Listener, LoadBalancer, LoadBalancerGraph, LoadBalancerId, LoadBalancerState, Octavia, Pool, PoolGraph, Query,
    },
};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A load balancer, as the lists of all have shown it: without the members of its pools.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    load_balancer: LoadBalancer,
    listeners: Vec<Listener>,
    pools: Vec<Pool>,
}

impl Listed {
    /// Its id.
    pub fn id(&self) -> &str {
        self.load_balancer.id.as_str()
    }

    /// Whose it is, by the uid in its mark.
    pub fn owner(&self, cluster: &str) -> Option<String> {
        OwnerMark::parse(&self.load_balancer.description).filter(|mark| mark.cluster == cluster).map(|mark| mark.uid)
    }
}

/// All load balancers, by three or four requests whatever their number is, and how many listeners and pools are of none of them.
///
/// # Errors
/// When one of the requests fails.
pub async fn list(octavia: &Octavia) -> Result<(Vec<Listed>, usize), Error> {
    let all = Query::default();
    // In this order: none is seen without what it has.
    let load_balancers = octavia.list_load_balancers(&all).await?;
    let (listeners, pools) = tokio::try_join!(octavia.list_listeners(&all), octavia.list_pools(&all))?;
    let mut listeners = by_load_balancer(listeners, |listener| listener.load_balancers.first());
    let mut pools = by_load_balancer(pools, |pool| pool.load_balancers.first());
    let whole = |load_balancer: LoadBalancer| Listed {
        listeners: listeners.remove(&load_balancer.id).unwrap_or_default(),
        pools: pools.remove(&load_balancer.id).unwrap_or_default(),
        load_balancer,
    };
    let listed = load_balancers.into_iter().map(whole).collect();
    let left = listeners.into_iter().map(|(id, of)| (id, of.len()));
    let left: Vec<_> = left.chain(pools.into_iter().map(|(id, of)| (id, of.len()))).collect();
    if left.is_empty() {
        return Ok((listed, 0));
    }
    // Of one that came meanwhile, or is gone.
    let ids = Query { fields: vec!["id"], ..Query::default() };
    let known: HashSet<_> = octavia.list_load_balancers(&ids).await?.into_iter().map(|one| one.id).collect();
    Ok((listed, left.iter().filter(|(id, _)| !known.contains(id)).map(|(_, parts)| parts).sum()))
}

fn by_load_balancer<T>(all: Vec<T>, of: impl Fn(&T) -> Option<&LoadBalancerId>) -> HashMap<LoadBalancerId, Vec<T>> {
    let mut sorted: HashMap<_, Vec<T>> = HashMap::new();
    for one in all {
        if let Some(id) = of(&one).cloned() {
            sorted.entry(id).or_default().push(one);
        }
    }
    sorted
}

/// What was listed, with the members.
///
/// # Errors
/// When one of the requests fails.
pub async fn complete(octavia: &Octavia, listed: Vec<Listed>) -> Result<Vec<ObservedLoadBalancer>, Error> {
    let whole = try_join_all(listed.into_iter().map(|one| with_pools(octavia, one))).await?;
    Ok(whole.iter().filter_map(convert::load_balancer).collect())
}

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
    complete(octavia, try_join_all(found.into_iter().map(|one| parts(octavia, one))).await?).await
}

async fn parts(octavia: &Octavia, load_balancer: LoadBalancer) -> Result<Listed, Error> {
    let of_it = Query { load_balancer_id: Some(load_balancer.id.clone()), ..Query::default() };
    let (listeners, pools) = tokio::try_join!(octavia.list_listeners(&of_it), octavia.list_pools(&of_it))?;
    Ok(Listed { load_balancer, listeners, pools })
}

async fn with_pools(octavia: &Octavia, listed: Listed) -> Result<LoadBalancerGraph, Error> {
    let Listed { load_balancer, listeners, pools } = listed;
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
