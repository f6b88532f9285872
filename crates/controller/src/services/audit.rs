//! Now and then: what Octavia has is read again, and load balancers and floating IPs of Kuryr's that nobody wants any more go.

use super::Services;
use crate::load_balancer::{
    act::act,
    read::{self, Listed},
};
use kube::ResourceExt;
use kuryr_api::KuryrLoadBalancer;
use kuryr_core::{
    names::OwnerMark,
    service::{Abilities, ApiVersion, Identity, Observed, Provider, plan},
};
use kuryr_openstack::{
    Error, Found,
    neutron::{FloatingIp, FloatingIpId, FloatingIpQuery},
    octavia::{LoadBalancer, LoadBalancerId, Query},
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Looks over everything once in each period, until the end.
pub async fn run(shared: Arc<Services>, stop: CancellationToken) {
    let period = Duration::from_secs(shared.settings.services.audit_seconds.max(1));
    let (mut ownerless, mut ownerless_floating) = (HashMap::new(), HashSet::new());
    while stop.run_until_cancelled(tokio::time::sleep(period)).await.is_some() {
        if shared.cloud().is_none() {
            continue;
        }
        match stop.run_until_cancelled(look(&shared)).await {
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::warn!(%error, "can't look at the load balancers, trying again"),
            None => return,
        }
        for object in shared.load_balancers.all() {
            shared.queues.load_balancers.look_over(object.namespace().as_deref(), &object.name_any());
        }
        match stop.run_until_cancelled(sweep(&shared, &ownerless)).await {
            Some(Ok(found)) => ownerless = found,
            Some(Err(error)) => tracing::warn!(%error, "can't look for load balancers that nobody wants, trying again"),
            None => return,
        }
        match stop.run_until_cancelled(sweep_floating(&shared, &ownerless_floating)).await {
            Some(Ok(found)) => ownerless_floating = found,
            Some(Err(error)) => tracing::warn!(%error, "can't look for floating IPs that nobody wants, trying again"),
            None => return,
        }
    }
}

/// Has what Octavia has of each object count as it is now, but for the members, which each object's own turn asks for.
///
/// # Errors
/// When a request fails. What was known stays known.
pub async fn look(shared: &Services) -> Result<(), Error> {
    let began = Instant::now();
    let mut by_owner: HashMap<String, Vec<Listed>> = HashMap::new();
    let (all, parts_left) = read::list(&shared.octavia).await?;
    shared.metrics.set_parts_left(parts_left);
    for one in all {
        if let Some(uid) = one.owner(&shared.settings.cluster) {
            by_owner.entry(uid).or_default().push(one);
        }
    }
    for object in shared.load_balancers.all() {
        let uid = object.uid().unwrap_or_default();
        let listed = by_owner.remove(&uid).unwrap_or_default();
        shared.memory.listed(&uid, listed, began);
    }
    Ok(())
}

/// Deletes the floating IPs with this cluster's mark that have had no KuryrLoadBalancer at two looks, and tells which have none now. One
/// whose KuryrLoadBalancer says nothing of it, as after a lost answer, is looked at there.
async fn sweep_floating(shared: &Services, before: &HashSet<FloatingIpId>) -> Result<HashSet<FloatingIpId>, Error> {
    let listed = shared.neutron.list_floating_ips(&FloatingIpQuery::default()).await?;
    let known: HashMap<String, Arc<KuryrLoadBalancer>> =
        shared.load_balancers.all().into_iter().filter_map(|object| Some((object.uid()?, object))).collect();
    let mark_of =
        |one: &FloatingIp| OwnerMark::parse(&one.description).filter(|mark| mark.cluster == shared.settings.cluster);
    let ours: Vec<_> = listed.into_iter().filter_map(|one| Some((mark_of(&one)?, one))).collect();
    let unwanted = ours.iter().filter(|(mark, _)| !known.contains_key(&mark.uid)).count();
    let may_delete = may_delete(shared, ours.len(), unwanted, "floating IPs");
    let mut ownerless = HashSet::new();
    for (mark, FloatingIp { id, description, .. }) in ours {
        match known.get(&mark.uid) {
            Some(object) => {
                let recorded = object.status.as_ref().and_then(|status| status.floating_ip.as_ref());
                if recorded.is_none_or(|recorded| recorded.id != id.as_str()) {
                    shared.memory.suspect_floating(&mark.uid);
                    shared.queues.load_balancers.look_over(object.namespace().as_deref(), &object.name_any());
                }
            }
            None => {
                if may_delete && before.contains(&id) {
                    tracing::warn!(floating_ip = %id, mark = description, "deleting a floating IP that nobody wants");
                    let deleted = shared.neutron.delete_floating_ip(&id).await.found();
                    // The others needn't wait for it.
                    let _ = deleted.inspect_err(|error| tracing::warn!(floating_ip = %id, %error, "can't delete it"));
                }
                ownerless.insert(id);
            }
        }
    }
    Ok(ownerless)
}

/// Deletes the load balancers with this cluster's mark that have had no KuryrLoadBalancer at two looks, and tells which have none now.
async fn sweep(
    shared: &Services,
    before: &HashMap<LoadBalancerId, Ownerless>,
) -> Result<HashMap<LoadBalancerId, Ownerless>, Error> {
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
    let may_delete = may_delete(shared, ours, unwanted, "load balancers");
    let mut ownerless = HashMap::new();
    for one in listed.iter().filter(is_ownerless) {
        let mut seen = before.get(&one.id).copied().unwrap_or_default();
        if may_delete && before.contains_key(&one.id) && one.provisioning_status.is_deletable() {
            tracing::warn!(load_balancer = %one.id, mark = one.description, "deleting a load balancer that nobody wants");
            seen.looks += u32::from(seen.is_stuck(shared));
            let deleted = remove(shared, &one.description, seen).await;
            let _ = deleted.inspect_err(|error| tracing::warn!(load_balancer = %one.id, %error, "can't delete it"));
        }
        ownerless.insert(one.id.clone(), seen);
    }
    Ok(ownerless)
}

/// A load balancer that nobody wants.
#[derive(Debug, Clone, Copy)]
struct Ownerless {
    /// When it was first seen.
    since: Instant,
    /// How often it has been found since it counts as stuck.
    looks: u32,
}

impl Default for Ownerless {
    fn default() -> Self {
        Self { since: Instant::now(), looks: 0 }
    }
}

impl Ownerless {
    /// Whether what of it comes or goes takes so long that nobody waits for it.
    fn is_stuck(self, shared: &Services) -> bool {
        self.since.elapsed() >= shared.settings.services.pending()
    }
}

/// Makes the next step by which the load balancers with this mark go, if there is one now: as for one whose Service is deleted.
async fn remove(shared: &Services, mark: &str, seen: Ownerless) -> Result<(), Error> {
    let load_balancers = read::all(&shared.octavia, mark, None).await?;
    let provider = load_balancers.first().map(|one| Provider::of(&one.provider)).unwrap_or_else(|| Provider::of(""));
    let (stuck, repairs) = (seen.is_stuck(shared), seen.looks);
    let mut observed = Observed { load_balancers, stuck, repairs, ..Observed::default() };
    let identity = Identity { name: String::new(), mark: mark.to_owned() };
    let step = plan(&identity, None, &observed, &Abilities::new(provider, ApiVersion::v2(0)));
    act(&shared.octavia, &step, &mut observed).await.map(drop)
}

/// So many may go whatever part of all they are: a part says nothing of a few.
const FEW: usize = 10;

/// Whether what has no object may go: not on a trial, nor where objects can't be read, nor where that is so much that it is the objects that
/// must be missing.
fn may_delete(shared: &Services, ours: usize, unwanted: usize, what: &str) -> bool {
    let policy = &shared.settings.sweep;
    let none = shared.load_balancers.all().is_empty();
    if unwanted > 0 && !shared.load_balancers.malformed().is_empty() {
        tracing::warn!(
            unwanted,
            "some KuryrLoadBalancers can't be read, so that {what} may be theirs: nothing is deleted"
        );
        return false;
    }
    let is_part = unwanted <= FEW || unwanted * 100 <= ours * usize::from(policy.most_percent);
    let is_small = is_part && !(none && unwanted > 0);
    // Without any Service nobody can want them.
    let is_believed = is_small || shared.services.all().is_empty();
    if !is_believed {
        tracing::warn!(
            unwanted,
            ours,
            "so many {what} have no object that it is the objects that must be missing: nothing is deleted"
        );
    }
    is_believed && !policy.dry_run
}
