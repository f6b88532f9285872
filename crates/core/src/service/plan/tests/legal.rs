//! What Octavia refuses (octavia 19.0.0 `api/v2/controllers`): a plan never asks for it.

use super::super::super::{
    observed::{Observed, ObservedLoadBalancer, ObservedPool, Provisioning},
    step::Step,
};
use proptest::prelude::*;

/// Whether Octavia takes the request that a step is.
pub fn check(step: &Step, before: &Observed) -> Result<(), TestCaseError> {
    let whole = |id: &String| before.load_balancers.iter().find(|one| one.id == *id);
    let active = |one: Option<&ObservedLoadBalancer>| one.is_some_and(|one| one.provisioning == Provisioning::Active);
    let good = match step {
        Step::Converged | Step::Wait { .. } | Step::Blocked(_) | Step::Create { .. } => true,
        Step::Failover { load_balancer } => whole(load_balancer).is_some_and(|one| !one.provisioning.is_pending()),
        // Octavia takes it whatever its parts do, and forgets those that aren't made yet.
        Step::Delete { load_balancer, .. } => whole(load_balancer).is_some_and(|one| {
            let rests = one.provisioning == Provisioning::Error || one.parts_in_work().next().is_none();
            !one.provisioning.is_pending() && (rests || (before.stuck && before.repairs > 3))
        }),
        Step::UpdateLoadBalancer { load_balancer, .. } => active(whole(load_balancer)),
        Step::CreateListener { load_balancer, key, pool, .. } => {
            let one = whole(load_balancer);
            let taken = |one: &ObservedLoadBalancer| {
                one.listeners.iter().any(|has| has.protocol.transport() == key.protocol && has.port == key.port)
            };
            active(one) && one.is_some_and(|one| !taken(one) && one.pools.iter().any(|has| has.id == *pool))
        }
        Step::CreatePool { load_balancer, listener, .. } => {
            let one = whole(load_balancer);
            let free = |id: &String| {
                one.is_some_and(|one| one.listeners.iter().any(|has| has.id == *id && has.pool_id.is_none()))
            };
            active(one) && listener.as_ref().is_none_or(free)
        }
        Step::UpdateListener { listener, pool, .. } => {
            let one = before.load_balancers.iter().find(|one| one.listeners.iter().any(|has| has.id == *listener));
            let there = |id: &String| one.is_some_and(|one| one.pools.iter().any(|has| has.id == *id));
            active(one) && pool.as_ref().is_none_or(there)
        }
        Step::DeleteListener { listener, .. } => {
            active(before.load_balancers.iter().find(|one| one.listeners.iter().any(|has| has.id == *listener)))
        }
        Step::UpdatePool { pool, .. } | Step::DeletePool { pool, .. } => {
            pool_of(before, |has| has.id == *pool).is_some()
        }
        // These want the pool itself to be well, too.
        Step::SetMembers { pool, .. } => pool_of(before, |has| has.id == *pool).is_some_and(well),
        Step::CreateMonitor { pool, .. } => {
            pool_of(before, |has| has.id == *pool).is_some_and(|has| well(has) && has.monitor.is_none())
        }
        Step::UpdateMonitor { monitor, .. } | Step::DeleteMonitor { monitor, .. } => {
            pool_of(before, |has| has.monitor.as_ref().is_some_and(|has| has.id == *monitor)).is_some_and(well)
        }
    };
    prop_assert!(good, "Octavia refuses {}", step);
    Ok(())
}

/// The pool, on a load balancer that takes changes.
fn pool_of(before: &Observed, is: impl Fn(&ObservedPool) -> bool) -> Option<&ObservedPool> {
    let active = before.load_balancers.iter().filter(|one| one.provisioning == Provisioning::Active);
    active.flat_map(|one| &one.pools).find(|pool| is(pool))
}

fn well(pool: &ObservedPool) -> bool {
    pool.provisioning == Provisioning::Active
}
