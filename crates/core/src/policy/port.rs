//! Which groups a port may have now, on its way to those that it is to have.

use super::{
    groups::{GroupKey, Rule},
    observed::{Observed, ObservedRule},
};
use std::collections::BTreeSet;

/// What becomes of a port's groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// It gets these, or has them already.
    Groups(BTreeSet<GroupKey>),
    /// A new port waits: this group isn't as it is to be yet.
    Wait(GroupKey),
}

/// The groups that a port may have now. `rules` says which rules each group is to have (`None`: there is to be no such group), and `otherwise`
/// which groups the port must have as long as those that it is to have aren't whole: [`meanwhile`](super::meanwhile).
///
/// A pod is never wider than its policies allow, so a port gets no group that has rules which are to go. It waits for what is missing, so
/// that what was allowed and will be stays allowed, but not for what can't be had (`hopeless`, as where a quota is used up): then it is closed.
/// Members of address groups aren't waited for: they come and go all the time.
#[must_use]
pub fn target<'a>(
    rules: impl Fn(&GroupKey) -> Option<&'a BTreeSet<Rule>>,
    observed: &Observed,
    (has, wants): (&BTreeSet<GroupKey>, &BTreeSet<GroupKey>),
    hopeless: impl Fn(&GroupKey) -> bool,
    otherwise: impl FnOnce() -> BTreeSet<GroupKey>,
) -> Target {
    let state = |key: &GroupKey| State::of(rules(key), observed, key);
    let unready = wants.iter().find(|key| state(key) != State::Whole && !hopeless(key));
    match unready {
        Some(key) if has.is_empty() => Target::Wait(key.clone()),
        Some(_) => Target::Groups(otherwise()),
        None => {
            let may_have = |key: &&GroupKey| match state(key) {
                State::Absent => false,
                State::Wide => has.contains(*key),
                State::Lacking | State::Whole => true,
            };
            Target::Groups(wants.iter().filter(may_have).cloned().collect())
        }
    }
}

/// How far a group's own rules are from what they are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is no such group.
    Absent,
    /// It has rules that are to go: whoever gets it is too open.
    Wide,
    /// It lacks rules.
    Lacking,
    /// It is as it is to be.
    Whole,
}

impl State {
    fn of(wanted: Option<&BTreeSet<Rule>>, observed: &Observed, key: &GroupKey) -> Self {
        let Some(has) = observed.groups.get(key) else { return Self::Absent };
        // What isn't to be there at all is about to go, with all that it has.
        let Some(wanted) = wanted else { return Self::Wide };
        let rules = || has.rules.values().map(ObservedRule::rule);
        if rules().any(|rule| rule.is_none_or(|rule| !wanted.contains(rule))) {
            Self::Wide
        } else if wanted.iter().any(|rule| !rules().any(|has| has == Some(rule))) {
            Self::Lacking
        } else {
            Self::Whole
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{
        clause::Ports,
        facts::Family,
        groups::{Direction, Remote},
        observed::{Desired, ObservedGroup},
        plan::meanwhile,
    };

    const OPEN: GroupKey = GroupKey::OpenIngress;

    fn policy() -> GroupKey {
        GroupKey::Policy { uid: "p".into(), resolution: [].into() }
    }

    fn rule(family: Family) -> Rule {
        Rule { direction: Direction::Ingress, family, ports: Ports::All, remote: Remote::Any }
    }

    fn observed(groups: &[(GroupKey, &[Family])]) -> Observed {
        let group = |families: &[Family]| ObservedGroup {
            rules: families.iter().map(|family| (format!("{family:?}"), ObservedRule::Rule(rule(*family)))).collect(),
            ..ObservedGroup::default()
        };
        let groups = groups.iter().map(|(key, families)| (key.clone(), group(families))).collect();
        Observed { groups, ..Observed::default() }
    }

    /// The open group has both families, the policy's IPv4.
    fn desired() -> Desired {
        let groups =
            [(OPEN, Some([rule(Family::V4), rule(Family::V6)].into())), (policy(), Some([rule(Family::V4)].into()))];
        Desired { groups: groups.into(), ..Desired::default() }
    }

    fn groups(keys: &[&GroupKey]) -> BTreeSet<GroupKey> {
        keys.iter().map(|key| (*key).clone()).collect()
    }

    fn decide(policy_has: Option<&[Family]>, has: &[&GroupKey], wants: &[&GroupKey], hopeless: bool) -> Target {
        let mut all = vec![(OPEN, &Family::BOTH[..])];
        all.extend(policy_has.map(|families| (policy(), families)));
        let (desired, observed, has, wants) = (desired(), observed(&all), groups(has), groups(wants));
        let rules = |key: &GroupKey| desired.groups.get(key).and_then(Option::as_ref);
        let otherwise = || meanwhile(&desired, &observed, &has, &wants);
        target(rules, &observed, (&has, &wants), |_| hopeless, otherwise)
    }

    #[test]
    fn a_new_port_waits_for_its_groups_and_is_closed_without_them() {
        let policy = policy();
        let wants = [&policy];
        let whole = Target::Groups(groups(&wants));
        assert_eq!(decide(Some(&[Family::V4]), &[], &wants, false), whole);
        for not_whole in [None, Some(&[][..]), Some(&Family::BOTH[..])] {
            assert_eq!(decide(not_whole, &[], &wants, false), Target::Wait(policy.clone()), "{not_whole:?}");
        }
        let closed = Target::Groups(groups(&[]));
        assert_eq!(decide(None, &[], &wants, true), closed, "it can't be made");
        assert_eq!(decide(Some(&Family::BOTH), &[], &wants, true), closed, "it allows too much");
        assert_eq!(decide(Some(&[]), &[], &wants, true), whole, "it only lacks something");
    }

    #[test]
    fn a_port_changes_when_its_new_groups_are_whole_and_closes_where_they_can_t_be() {
        let policy = policy();
        let (has, wants) = ([&OPEN], [&policy]);
        let stays = Target::Groups(groups(&has));
        assert_eq!(decide(None, &has, &wants, false), stays);
        assert_eq!(decide(Some(&[]), &has, &wants, false), stays, "what both allow stays allowed");
        assert_eq!(decide(Some(&[Family::V4]), &has, &wants, false), Target::Groups(groups(&wants)));
        assert_eq!(decide(None, &has, &wants, true), Target::Groups(groups(&[])), "nothing is wider than it may be");
        assert_eq!(
            decide(Some(&Family::BOTH), &wants, &wants, true),
            Target::Groups(groups(&wants)),
            "what it has it keeps"
        );
    }
}
