//! The smallest request that gives a pool its members.

use super::super::{
    abilities::{Abilities, Feature},
    graph::{Member, MemberKey, Members},
    observed::{ObservedMember, ObservedPool, Provisioning},
};

/// A request for the members of a pool (`PUT /pools/ID/members`).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) members: Members,
    pub(super) additive: bool,
}

/// What is done about a member that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failing {
    /// It is sent again.
    Again,
    /// It goes, so that it can come again.
    Anew,
    /// Nothing: others come first.
    Left,
}

impl Failing {
    /// After so many requests about failures.
    pub(super) const fn of(repairs: u32) -> Self {
        if repairs == 0 { Self::Again } else { Self::Anew }
    }
}

/// What is the matter with a member that Octavia has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Difference {
    /// Nothing.
    None,
    /// It is changed by being sent again.
    Changed,
    /// It must go before it can come again.
    Replaced,
    /// It must go.
    Surplus,
}

/// The request that comes nearest to the wanted members. None: the pool has them.
///
/// Members that come, or that are sent again, are named alone where none goes. Where some come and others go, all are named: one request
/// changes the pool once, so that it is never without members that it has before and after.
pub(super) fn request(
    wanted: &Members,
    pool: &ObservedPool,
    abilities: &Abilities,
    failing: Failing,
) -> Option<Request> {
    let difference = |key: &MemberKey, has: &ObservedMember| {
        wanted.get(key).map_or(Difference::Surplus, |member| compare(member, has, failing))
    };
    let is = |key: &MemberKey, what: Difference| pool.members.get(key).is_some_and(|has| difference(key, has) == what);
    let comes = |key: &MemberKey| !pool.members.contains_key(key);
    let any = |what: Difference| pool.members.iter().any(|(key, has)| difference(key, has) == what);
    let subset = |of: &dyn Fn(&MemberKey) -> bool| -> Members {
        wanted.iter().filter(|(key, _)| of(key)).map(|(key, member)| (*key, member.clone())).collect()
    };
    if any(Difference::Replaced) {
        let members = subset(&|key| !is(key, Difference::Replaced));
        return Some(Request { members, additive: false });
    }
    if any(Difference::Surplus) {
        return Some(Request { members: wanted.clone(), additive: false });
    }
    let members = subset(&|key| comes(key) || is(key, Difference::Changed));
    if members.is_empty() {
        None
    } else if abilities.has(Feature::AdditiveMembers) {
        Some(Request { members, additive: true })
    } else {
        Some(Request { members: wanted.clone(), additive: false })
    }
}

/// A subnet that nobody knows may be any.
fn compare(wanted: &Member, has: &ObservedMember, failing: Failing) -> Difference {
    let failed = has.provisioning == Provisioning::Error || has.provisioning.is_pending();
    let moved = wanted.subnet_id.is_some() && wanted.subnet_id != has.member.subnet_id;
    if moved || (failed && failing == Failing::Anew) {
        Difference::Replaced
    } else if (failed && failing == Failing::Again)
        || wanted.weight != has.member.weight
        || wanted.admin_state_up != has.member.admin_state_up
    {
        Difference::Changed
    } else {
        Difference::None
    }
}
