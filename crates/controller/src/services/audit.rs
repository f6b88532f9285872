//! Now and then: what Octavia has is read again, and load balancers of Kuryr's that nobody wants any more go.

use super::Services;
use kube::ResourceExt;
use kuryr_core::names::OwnerMark;
use kuryr_openstack::{
    Error, Found,
    octavia::{LoadBalancer, LoadBalancerId, Query},
};
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Looks over everything once in each period, until the end.
pub async fn run(shared: Arc<Services>, stop: CancellationToken) {
    let period = Duration::from_secs(shared.settings.services.audit_seconds.max(1));
    let mut ownerless = HashSet::new();
    while stop.run_until_cancelled(tokio::time::sleep(period)).await.is_some() {
        if shared.cloud().is_none() {
            continue;
        }
        shared.memory.doubt_all();
        for object in shared.load_balancers.all() {
            shared.queues.load_balancers.look_over(object.namespace().as_deref(), &object.name_any());
        }
        match stop.run_until_cancelled(sweep(&shared, &ownerless)).await {
            Some(Ok(found)) => ownerless = found,
            Some(Err(error)) => tracing::warn!(%error, "can't look for load balancers that nobody wants, trying again"),
            None => return,
        }
    }
}

/// Deletes the load balancers with this cluster's mark that have had no KuryrLoadBalancer at two looks, and tells which have none now.
async fn sweep(shared: &Services, before: &HashSet<LoadBalancerId>) -> Result<HashSet<LoadBalancerId>, Error> {
    let known: HashSet<String> = shared.load_balancers.all().iter().filter_map(|object| object.uid()).collect();
    let query = Query { fields: vec!["id", "description", "provisioning_status"], ..Query::default() };
    let listed = shared.octavia.list_load_balancers(&query).await?;
    let is_ownerless = |one: &&LoadBalancer| {
        OwnerMark::parse(&one.description)
            .is_some_and(|mark| mark.cluster == shared.settings.cluster && !known.contains(&mark.uid))
    };
    let is_ours = |one: &&LoadBalancer| {
        OwnerMark::parse(&one.description).is_some_and(|mark| mark.cluster == shared.settings.cluster)
    };
    let (ours, unwanted) = (listed.iter().filter(is_ours).count(), listed.iter().filter(is_ownerless).count());
    let policy = &shared.settings.sweep;
    let is_believed = unwanted * 100 <= ours * usize::from(policy.most_percent) && !(known.is_empty() && unwanted > 0);
    if !is_believed {
        tracing::warn!(
            unwanted,
            ours,
            "so many load balancers have no object that it is the objects that must be missing: nothing is deleted"
        );
    }
    let mut ownerless = HashSet::new();
    for one in listed.iter().filter(is_ownerless) {
        let goes = is_believed && !policy.dry_run && before.contains(&one.id);
        if goes && one.provisioning_status.is_deletable() {
            tracing::warn!(load_balancer = %one.id, mark = one.description, "deleting a load balancer that nobody wants");
            shared.octavia.delete_load_balancer_tree(&one.id).await.found()?;
        }
        ownerless.insert(one.id.clone());
    }
    Ok(ownerless)
}
