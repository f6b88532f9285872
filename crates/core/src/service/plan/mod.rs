//! The next request to Octavia, from what a Service is to have and what Octavia has.

mod matching;
mod members;
mod parts;
#[cfg(test)]
mod tests;

use super::{
    abilities::{Abilities, Feature, Provider},
    desire::Identity,
    graph::Graph,
    observed::{Observed, ObservedLoadBalancer, Provisioning},
    step::{Attribute, Blocked, Reason, Step},
};
use matching::Matching;

/// The next request to Octavia. `wanted` is what the Service is to have; None: nothing, it goes.
///
/// Only what carries the owner mark is ever changed (promise P3); what is on a load balancer that does is all Kuryr's.
#[must_use]
pub fn plan(identity: &Identity, wanted: Option<&Graph>, observed: &Observed, abilities: &Abilities) -> Step {
    let (ours, others) = by_owner(identity, observed);
    let Some(graph) = wanted else {
        return remove(&ours, observed);
    };
    if let Some(other) = others.iter().find(|other| other.vip.address == graph.vip.address) {
        let load_balancer = other.id.clone();
        return Step::Blocked(Blocked::NotOurs { load_balancer, mark: identity.mark.clone() });
    }
    let Some(current) = survivor(&ours, observed.recorded.as_deref()) else {
        return create(graph, abilities, observed.repairs);
    };
    let surplus = ours.iter().find(|one| one.id != current.id && !one.provisioning.is_pending());
    if let Some(surplus) = surplus {
        return delete(surplus, observed, Reason::Duplicate);
    }
    whole(graph, current, observed, abilities)
        .or_else(|| parts::next(&Matching::of(graph, current, abilities), observed.repairs, observed.stuck))
        .unwrap_or_else(|| {
            ours.iter().find(|one| one.id != current.id).map_or(Step::Converged, |one| wait(one, one.provisioning))
        })
}

/// The load balancer that is the Service's: the one that the status tells of.
#[must_use]
pub fn current<'a>(identity: &Identity, observed: &'a Observed) -> Option<&'a ObservedLoadBalancer> {
    survivor(&by_owner(identity, observed).0, observed.recorded.as_deref())
}

/// What carries the owner mark, and what doesn't.
fn by_owner<'a>(
    identity: &Identity,
    observed: &'a Observed,
) -> (Vec<&'a ObservedLoadBalancer>, Vec<&'a ObservedLoadBalancer>) {
    observed.load_balancers.iter().partition(|one| one.description == identity.mark)
}

/// One goes after the other: what changes can't be deleted.
fn remove(ours: &[&ObservedLoadBalancer], observed: &Observed) -> Step {
    let first = ours.iter().find(|one| !one.provisioning.is_pending()).or(ours.first());
    first.map_or(Step::Converged, |one| delete(one, observed, Reason::Unwanted))
}

/// A load balancer goes, with all that it has. With OVN's provider the worker that makes a part and the one that deletes the load balancer
/// know nothing of each other: a pool that isn't made yet when its load balancer goes stays in Octavia for good, where nobody can delete it.
/// So what comes or goes is waited for, and where that never ends its parts go first. Octavia takes no part from one that is in `ERROR`.
fn delete(one: &ObservedLoadBalancer, observed: &Observed, why: Reason) -> Step {
    if one.provisioning.is_pending() {
        return wait(one, one.provisioning);
    }
    let whole = Step::Delete { load_balancer: one.id.clone(), why };
    let Some(part) = one.parts_in_work().next().filter(|_| one.provisioning != Provisioning::Error) else {
        return whole;
    };
    if !observed.stuck {
        return wait(one, part);
    }
    if observed.repairs > parts::REPLACED {
        return whole;
    }
    let listener = one.listeners.iter().find(|listener| listener.is_in_work());
    let listener = listener.map(|listener| Step::DeleteListener { listener: listener.id.clone(), why: Reason::Failed });
    let pool = one.pools.iter().find(|pool| pool.is_in_work());
    let pool = pool.map(|pool| Step::DeletePool { pool: pool.id.clone(), why: Reason::Failed });
    listener.or(pool).unwrap_or(whole)
}

fn wait(load_balancer: &ObservedLoadBalancer, provisioning: Provisioning) -> Step {
    Step::Wait { load_balancer: load_balancer.id.clone(), provisioning }
}

/// Which of several load balancers with the same owner mark stays: the recorded one; else one that didn't fail; else the smallest id, so that
/// everybody who decides comes to the same result. One that is about to go stays only if there is no other.
fn survivor<'a>(ours: &[&'a ObservedLoadBalancer], recorded: Option<&str>) -> Option<&'a ObservedLoadBalancer> {
    let rank = |one: &&&'a ObservedLoadBalancer| {
        (
            one.provisioning == Provisioning::PendingDelete,
            recorded != Some(one.id.as_str()),
            one.provisioning == Provisioning::Error,
            one.id.clone(),
        )
    };
    ours.iter().min_by_key(rank).copied()
}

/// All at once where the provider can do it, else the load balancer alone: the rest follows, one by one. So it does after a failure: when OVN's
/// provider can't make a load balancer, its parts stay in Octavia for good.
fn create(graph: &Graph, abilities: &Abilities, repairs: u32) -> Step {
    let mut graph = graph.clone();
    if repairs > 0 || !abilities.has(Feature::PopulatedCreate) {
        graph.listeners.clear();
    }
    Step::Create { graph: Box::new(graph) }
}

/// What is to be done with the load balancer as a whole.
fn whole(graph: &Graph, current: &ObservedLoadBalancer, observed: &Observed, abilities: &Abilities) -> Option<Step> {
    let id = || current.id.clone();
    if current.provisioning.is_pending() {
        return Some(wait(current, current.provisioning));
    }
    if current.provisioning == Provisioning::Error {
        let fresh = observed.repairs == 0 && abilities.has(Feature::Failover);
        let rebuild = delete(current, observed, Reason::Failed);
        return Some(if fresh { Step::Failover { load_balancer: id() } } else { rebuild });
    }
    if let Some(attribute) = immutable(graph, current) {
        return Some(delete(current, observed, Reason::Immutable(attribute)));
    }
    if let Some(part) = current.parts().find(|part| part.is_pending()).filter(|_| !observed.stuck) {
        return Some(wait(current, part));
    }
    let as_named = current.name == graph.name && current.admin_state_up;
    (!as_named).then(|| Step::UpdateLoadBalancer { load_balancer: id(), name: graph.name.clone() })
}

/// What is to be another and can't be changed. A flavor or zone that nobody asks for may be the cloud's default.
fn immutable(graph: &Graph, current: &ObservedLoadBalancer) -> Option<Attribute> {
    let differs = |wanted: &Option<String>, has: &Option<String>| wanted.is_some() && wanted != has;
    let provider = graph.provider.as_deref().map(Provider::of);
    if graph.vip != current.vip || graph.additional_vips != current.additional_vips {
        Some(Attribute::Vips)
    } else if provider.is_some_and(|provider| provider != Provider::of(&current.provider)) {
        Some(Attribute::Provider)
    } else if differs(&graph.flavor_id, &current.flavor_id) {
        Some(Attribute::Flavor)
    } else if differs(&graph.availability_zone, &current.availability_zone) {
        Some(Attribute::AvailabilityZone)
    } else {
        None
    }
}
