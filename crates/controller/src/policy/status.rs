//! What a policy has become: its groups, and whether it is in force.

use crate::{context::Context, policies::State};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kuryr_api::{
    KuryrNetworkPolicyStatus, MOST_GROUPS_SHOWN, SecurityGroupStatus,
    conditions::{
        self, Wanted,
        network_policy::{AS_DESIRED, INVALID, SERVICE_CLOSED, UNSUPPORTED, UPDATING},
    },
};
use kuryr_core::policy::{
    AddressGroupKey, GroupKey, Key,
    cluster::read::Reason,
    facts::{Name, Uid},
};
use std::{collections::BTreeSet, time::Duration};
use tokio::time::Instant;

/// Most Services that are named in a condition.
const MOST_NAMED: usize = 5;

/// What there is of a policy.
#[derive(Debug)]
pub struct Seen {
    /// What of its own words isn't followed.
    pub problems: Vec<String>,
    /// Whether that can be meant.
    pub problem: &'static str,
    /// Services that are closed because only some of their backends are allowed.
    pub closed: Vec<String>,
    /// What Neutron couldn't or wouldn't do.
    pub failures: Vec<String>,
    /// Since its last change.
    pub since: Duration,
    /// It has changed, and nobody has said that it is in force.
    pub is_new: bool,
    reason: Option<&'static str>,
    under_way: bool,
    groups: Vec<SecurityGroupStatus>,
    group_count: usize,
    pods: usize,
    rules: usize,
    address_groups: usize,
    members: usize,
}

/// What is looked at: who is meant by it, its groups, and what isn't followed of it.
struct Of {
    pods: BTreeSet<Uid>,
    groups: Vec<GroupKey>,
    touched: Option<Instant>,
    problems: Vec<String>,
    problem: &'static str,
    closed: Vec<String>,
}

/// Looks at what is known of a NetworkPolicy. `None`: nothing.
pub fn look(context: &Context, state: &State, uid: &Uid) -> Option<Seen> {
    let of = Of {
        pods: state.world.selected(uid)?.clone(),
        groups: state.world.groups_for(uid),
        touched: state.unprogrammed.get(uid).copied(),
        problems: state.world.problems(uid).iter().map(ToString::to_string).collect(),
        problem: INVALID,
        closed: state.world.closed_services(uid).iter().map(ToString::to_string).collect(),
    };
    seen(context, state, of)
}

/// Looks at what is known of a ClusterNetworkPolicy. `None`: nothing.
pub fn look_at_cluster(context: &Context, state: &State, name: &Name) -> Option<Seen> {
    let refusals = state.world.refusals(name);
    let is_invalid = refusals.iter().any(|refusal| refusal.reason == Reason::Invalid);
    let of = Of {
        pods: state.world.subjects_of(name)?.clone(),
        groups: state.world.groups_deciding(name),
        touched: state.cluster_unprogrammed.get(name).copied(),
        problems: refusals.iter().map(ToString::to_string).collect(),
        problem: if is_invalid { INVALID } else { UNSUPPORTED },
        closed: state.world.services_closed_by(name).iter().map(ToString::to_string).collect(),
    };
    seen(context, state, of)
}

fn seen(context: &Context, state: &State, of: Of) -> Option<Seen> {
    if !state.is_loaded {
        return None;
    }
    let Of { pods, groups, touched, problems, problem, closed } = of;
    let named: BTreeSet<AddressGroupKey> = state.address_groups_of(&groups).into_iter().cloned().collect();
    let keys: Vec<Key> =
        groups.iter().cloned().map(Key::Group).chain(named.iter().cloned().map(Key::AddressGroup)).collect();
    let failures: Vec<_> = keys.iter().filter_map(|key| state.failures.get(key)).filter(|one| one.lasts()).collect();
    let moves = |uid: &Uid| state.unsettled.contains(uid) && state.is_connected(context, uid);
    let under_way = touched.is_some() && (keys.iter().any(|key| state.pending.contains(key)) || pods.iter().any(moves));
    let rules = |key: &GroupKey| state.world.rules(key).map_or(0, BTreeSet::len);
    Some(Seen {
        problems,
        problem,
        closed,
        reason: failures.first().map(|failure| failure.reason()),
        failures: failures.iter().map(|failure| failure.message.clone()).collect::<BTreeSet<_>>().into_iter().collect(),
        since: touched.map(|since| since.elapsed()).unwrap_or_default(),
        is_new: touched.is_some(),
        under_way,
        groups: groups.iter().filter_map(|key| shown(state, key)).take(MOST_GROUPS_SHOWN).collect(),
        group_count: groups.len(),
        pods: pods.len(),
        rules: groups.iter().map(rules).sum(),
        members: named.iter().map(|key| state.world.members(key).map_or(0, |members| members.len())).sum(),
        address_groups: named.len(),
    })
}

fn shown(state: &State, key: &GroupKey) -> Option<SecurityGroupStatus> {
    let GroupKey::Policy { resolution, .. } = key else { return None };
    let ports: Vec<String> = resolution.iter().map(|(name, numbers)| format!("{name} is {numbers:?}")).collect();
    Some(SecurityGroupStatus {
        id: state.observed.groups.get(key)?.id.clone(),
        ports: ports.join(", ").chars().take(1024).collect(),
        rules: count(state.world.rules(key).map_or(0, BTreeSet::len)),
    })
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl Seen {
    /// Whether its last change isn't in force yet, and nothing is in its way.
    pub fn is_under_way(&self) -> bool {
        self.under_way && self.reason.is_none()
    }

    /// Whether it is in force as it is now.
    pub fn is_programmed(&self) -> bool {
        !self.under_way && self.reason.is_none()
    }

    /// What somebody has to do something about: each with the reason of its condition.
    pub fn troubles(&self) -> Vec<(&'static str, String)> {
        let problems = self.problems.iter().map(|text| (self.problem, text));
        let others = self.failures.iter().chain(&self.closed).map(|text| (self.wanted_reason(), text));
        problems.chain(others).map(|(reason, text)| (reason, text.clone())).collect()
    }

    /// The reason of `Programmed`, or of `Accepted` where that one is as desired.
    fn wanted_reason(&self) -> &'static str {
        self.reason.unwrap_or(SERVICE_CLOSED)
    }

    /// The status to write.
    pub fn status(&self, generation: Option<i64>, present: &KuryrNetworkPolicyStatus) -> KuryrNetworkPolicyStatus {
        KuryrNetworkPolicyStatus {
            observed_generation: if self.is_programmed() { generation } else { present.observed_generation },
            groups: self.groups.clone(),
            group_count: count(self.group_count),
            pods: count(self.pods),
            rules: count(self.rules),
            address_groups: count(self.address_groups),
            members: count(self.members),
            conditions: self.conditions(generation, &present.conditions),
        }
    }

    /// The conditions to write: those that say the same as before stay as they are.
    pub fn conditions(&self, generation: Option<i64>, present: &[Condition]) -> Vec<Condition> {
        let onto = |wanted: Wanted| match present.iter().find(|one| one.type_ == wanted.type_) {
            Some(there) if wanted.is_in(present) && there.observed_generation == generation => there.clone(),
            _ => wanted.onto(present, generation, Timestamp::now()),
        };
        vec![onto(self.accepted()), onto(self.programmed())]
    }

    fn accepted(&self) -> Wanted {
        let named = |texts: &[String]| {
            let more = texts.len().saturating_sub(MOST_NAMED);
            let mut text = texts.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join("; ");
            if more > 0 {
                text.push_str(&format!("; and {more} more"));
            }
            text
        };
        let (status, reason, message) = if !self.problems.is_empty() {
            (false, self.problem, named(&self.problems))
        } else if !self.closed.is_empty() {
            (false, SERVICE_CLOSED, named(&self.closed))
        } else {
            (true, AS_DESIRED, "the policy is followed exactly".to_owned())
        };
        Wanted { type_: conditions::ACCEPTED, status: Some(status), reason, message }
    }

    fn programmed(&self) -> Wanted {
        let (status, reason, message) = match (self.reason, self.under_way) {
            (Some(reason), _) => {
                (false, reason, format!("what isn't there yet is closed: {}", self.failures.join("; ")))
            }
            (None, true) => (false, UPDATING, "Neutron is being brought to what the policy says".to_owned()),
            (None, false) => (true, AS_DESIRED, "Neutron has it, and so have all pods that it selects".to_owned()),
        };
        Wanted { type_: conditions::PROGRAMMED, status: Some(status), reason, message }
    }
}
