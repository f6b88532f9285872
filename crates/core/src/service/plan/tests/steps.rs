//! What a single step may do.

use super::super::super::{
    abilities::{Abilities, Feature},
    graph::{Graph, Key, Listener, Member, MemberKey},
    observed::{Observed, ObservedLoadBalancer, Provisioning},
    step::{Reason, Step},
};
use proptest::prelude::*;

fn failed(provisioning: Provisioning) -> bool {
    provisioning == Provisioning::Error || provisioning.is_pending()
}

/// The load balancer that has the listener, pool or monitor.
fn holder(observed: &Observed, has: impl Fn(&ObservedLoadBalancer) -> bool) -> &ObservedLoadBalancer {
    observed.load_balancers.iter().find(|one| has(one)).unwrap()
}

/// Whether a deletion has one of the few good reasons.
pub fn check_deletion(
    step: &Step,
    wanted: &Graph,
    before: &Observed,
    abilities: &Abilities,
) -> Result<(), TestCaseError> {
    match step {
        Step::Delete { load_balancer, why } => {
            let one = holder(before, |one| one.id == *load_balancer);
            let other = one.vip != wanted.vip || wanted.flavor_id != one.flavor_id;
            let good = match why {
                Reason::Duplicate => before.load_balancers.len() > 1,
                Reason::Immutable(_) => other,
                Reason::Failed => one.provisioning == Provisioning::Error || before.repairs > 0,
                Reason::Unwanted | Reason::Foreign => false,
            };
            prop_assert!(good, "{:?}", step);
        }
        Step::DeleteListener { listener, .. } => {
            let one = holder(before, |one| one.listeners.iter().any(|has| has.id == *listener));
            let has = one.listeners.iter().find(|has| has.id == *listener).unwrap();
            let key = Key { protocol: has.protocol.transport(), port: has.port };
            let same = wanted.listeners.get(&key).is_some_and(|wanted| wanted.protocol == has.protocol);
            prop_assert!(!same || failed(has.provisioning) || (before.stuck && has.is_in_work()), "{:?}", step);
        }
        Step::DeletePool { pool, .. } => {
            let one = holder(before, |one| one.pools.iter().any(|has| has.id == *pool));
            let has = one.pools.iter().find(|has| has.id == *pool).unwrap();
            // A pool that somebody gave to several listeners is wanted by one of them at most.
            let users: Vec<_> = one.listeners.iter().filter(|user| user.pool_id.as_ref() == Some(pool)).collect();
            let [user] = users[..] else { return Ok(()) };
            let key = Key { protocol: user.protocol.transport(), port: user.port };
            let Some(Listener { pool: wanted, .. }) = wanted.listeners.get(&key) else { return Ok(()) };
            let same = wanted.protocol == has.protocol && abilities.has(Feature::PoolInPlace);
            prop_assert!(!same || failed(has.provisioning) || (before.stuck && has.is_in_work()), "{:?}", step);
        }
        _ => {}
    }
    Ok(())
}

/// Whether members are only touched where they differ.
pub fn check_members(step: &Step, before: &Observed) -> Result<(), TestCaseError> {
    let Step::SetMembers { pool, members, additive, .. } = step else { return Ok(()) };
    let one = holder(before, |one| one.pools.iter().any(|has| has.id == *pool));
    let has = one.pools.iter().find(|has| has.id == *pool).unwrap();
    let unchanged = |key: &MemberKey, member: &Member| {
        has.members.get(key).is_some_and(|has| has.member == *member && !failed(has.provisioning))
    };
    if *additive {
        prop_assert!(!members.is_empty() && members.iter().all(|(key, member)| !unchanged(key, member)));
    } else {
        let same = members.len() == has.members.len() && members.iter().all(|(key, member)| unchanged(key, member));
        prop_assert!(!same, "a request that changes nothing");
    }
    Ok(())
}
