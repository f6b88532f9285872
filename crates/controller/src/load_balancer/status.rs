//! What a KuryrLoadBalancer says of itself. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kuryr_api::{
    FloatingIpStatus, KuryrLoadBalancer, KuryrLoadBalancerStatus, ListenerStatus,
    conditions::{self, Wanted, load_balancer as reasons},
};
use kuryr_core::service::{
    graph::{Desired, Unsupported},
    observed::{ObservedLoadBalancer, Provisioning},
    spec::Vip,
    step::Step,
};
use kuryr_openstack::Kind;
use std::collections::BTreeMap;

/// Longest message: what users write may be part of it.
const LONGEST: usize = 1000;

/// What the status follows from.
#[derive(Debug)]
pub struct Facts<'a> {
    /// What the Service is to have. `None` while it goes.
    pub desired: Option<&'a Desired>,
    /// What Octavia has of it.
    pub current: Option<&'a ObservedLoadBalancer>,
    /// The next step.
    pub step: &'a Step,
    /// Octavia is at work for longer than it may.
    pub stuck: bool,
    /// Its floating IP, or why it has none.
    pub floating_ip: &'a Result<Option<FloatingIpStatus>, NoAddress>,
}

/// Why the Service doesn't have the floating IP that it asks for, or that isn't known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoAddress {
    /// For machines.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// Neutron was looked at: what the Service had before isn't its any more.
    pub lost: bool,
}

/// The status after a failed request. `None`: it says all this already. What is served goes on being served, so that only what never was
/// isn't ready.
pub fn failed(
    object: &KuryrLoadBalancer,
    failure: &(&'static str, String),
    now: Timestamp,
) -> Option<KuryrLoadBalancerStatus> {
    let mut status = object.status.clone().unwrap_or_default();
    let served = conditions::is_true(&status.conditions, conditions::PROVISIONED);
    let untrue: &[_] = match served {
        true => &[conditions::PROGRAMMED],
        false => &[conditions::PROVISIONED, conditions::PROGRAMMED, conditions::READY],
    };
    let wanted: Vec<_> = untrue.iter().map(|type_| condition(type_, false, failure.0, failure.1.clone())).collect();
    if wanted.iter().all(|wanted| wanted.is_in(&status.conditions)) {
        return None;
    }
    let generation = object.metadata.generation;
    let written: Vec<_> = wanted.iter().map(|wanted| wanted.onto(&status.conditions, generation, now)).collect();
    status.conditions.retain(|present| written.iter().all(|written| written.type_ != present.type_));
    status.conditions.extend(written);
    Some(status)
}

/// The status to write. `None`: it says all this already.
pub fn status(object: &KuryrLoadBalancer, facts: &Facts<'_>, now: Timestamp) -> Option<KuryrLoadBalancerStatus> {
    let present = object.status.clone().unwrap_or_default();
    let wanted = conditions(facts);
    let generation = object.metadata.generation;
    let written: Vec<Condition> =
        wanted.iter().map(|wanted| wanted.onto(&present.conditions, generation, now)).collect();
    let kept = || present.clone();
    let status = match facts.current {
        Some(current) => KuryrLoadBalancerStatus {
            observed_generation: generation,
            load_balancer_id: Some(current.id.clone()),
            provider: Some(current.provider.clone()),
            vips: std::iter::once(&current.vip).chain(&current.additional_vips).cloned().collect::<Vec<Vip>>(),
            vip_port_id: Some(current.vip_port_id.clone()).filter(|id| !id.is_empty()),
            floating_ip: floating(facts, &present),
            listeners: listeners(current),
            members: members(facts),
            conditions: written,
        },
        // What it had is still the trace by which it is found.
        None => KuryrLoadBalancerStatus {
            observed_generation: generation,
            listeners: Vec::new(),
            members: members(facts),
            floating_ip: floating(facts, &present),
            conditions: written,
            ..kept()
        },
    };
    let says = wanted.iter().all(|wanted| wanted.is_in(&present.conditions));
    let same = KuryrLoadBalancerStatus { conditions: Vec::new(), ..status.clone() }
        == KuryrLoadBalancerStatus { conditions: Vec::new(), ..present };
    (!says || !same).then_some(status)
}

fn floating(facts: &Facts<'_>, present: &KuryrLoadBalancerStatus) -> Option<FloatingIpStatus> {
    match facts.floating_ip {
        Ok(has) => has.clone(),
        Err(no) => present.floating_ip.clone().filter(|_| !no.lost),
    }
}

fn members(facts: &Facts<'_>) -> Option<u32> {
    facts.desired.map(|desired| u32::try_from(desired.graph.member_count()).unwrap_or(u32::MAX))
}

fn listeners(current: &ObservedLoadBalancer) -> Vec<ListenerStatus> {
    let mut listeners: Vec<_> = current
        .listeners
        .iter()
        .map(|listener| ListenerStatus {
            protocol: listener.protocol.transport(),
            port: listener.port,
            listener_id: listener.id.clone(),
            pool_id: listener.pool_id.clone(),
        })
        .collect();
    listeners.sort_by_key(|listener| (listener.protocol, listener.port));
    listeners.dedup_by_key(|listener| (listener.protocol, listener.port));
    listeners
}

/// `Accepted`, `Provisioned`, `Programmed` and `Ready`.
fn conditions(facts: &Facts<'_>) -> Vec<Wanted> {
    let (provisioned, programmed) = (provisioned(facts), programmed(facts));
    let ready = ready(facts, &provisioned, &programmed);
    facts
        .desired
        .map(|desired| accepted(&desired.unsupported))
        .into_iter()
        .chain([provisioned, programmed, ready])
        .collect()
}

fn condition(type_: &'static str, status: bool, reason: &'static str, message: impl Into<String>) -> Wanted {
    let message: String = message.into();
    let message = message.chars().take(LONGEST).collect();
    Wanted { type_, status: Some(status), reason, message }
}

fn accepted(unsupported: &[Unsupported]) -> Wanted {
    let worst = unsupported.iter().max_by_key(|one| one.effect);
    worst.map_or_else(
        || {
            condition(
                conditions::ACCEPTED,
                true,
                reasons::AS_DESIRED,
                "Everything that the Service asks for can be had.",
            )
        },
        |worst| {
            let all: Vec<_> = unsupported.iter().map(|one| one.message.as_str()).collect();
            condition(conditions::ACCEPTED, false, reasons::of_effect(worst.effect), all.join(" "))
        },
    )
}

fn provisioned(facts: &Facts<'_>) -> Wanted {
    let no = |reason, message: String| condition(conditions::PROVISIONED, false, reason, message);
    let Some(current) = facts.current else {
        let (reason, message) = waits(facts);
        return no(reason, message);
    };
    match current.provisioning {
        Provisioning::Active | Provisioning::PendingUpdate => {
            let address = current.vip.address;
            let message = format!("Octavia's load balancer {} serves {address}.", current.id);
            condition(conditions::PROVISIONED, true, reasons::AS_DESIRED, message)
        }
        Provisioning::Error => {
            let message = format!("Octavia couldn't make the load balancer {} (ERROR): it is repaired.", current.id);
            no(reasons::OCTAVIA_ERROR, message)
        }
        Provisioning::PendingCreate | Provisioning::PendingDelete => {
            let (reason, message) = waits(facts);
            no(reason, message)
        }
    }
}

fn programmed(facts: &Facts<'_>) -> Wanted {
    if *facts.step == Step::Converged {
        return condition(
            conditions::PROGRAMMED,
            true,
            reasons::AS_DESIRED,
            "Octavia has all that the Service asks for.",
        );
    }
    let (reason, message) = waits(facts);
    condition(conditions::PROGRAMMED, false, reason, message)
}

/// What is waited for.
fn waits(facts: &Facts<'_>) -> (&'static str, String) {
    if facts.stuck {
        let message =
            format!("Octavia is at work for longer than it may ({}): see its workers or provider agent.", facts.step);
        return (reasons::OCTAVIA_STUCK, message);
    }
    if let Some(part) = facts.current.and_then(failed_part) {
        return (reasons::OCTAVIA_ERROR, format!("Octavia couldn't make {part} (ERROR): it is repaired."));
    }
    (reasons::of_step(facts.step), format!("Next: {}.", facts.step))
}

/// What of a load balancer is in `ERROR`, for people: of several the first.
fn failed_part(current: &ObservedLoadBalancer) -> Option<String> {
    let is_failed = |part: Provisioning| part == Provisioning::Error;
    let listener = current.listeners.iter().find(|listener| is_failed(listener.provisioning));
    let listener = listener.map(|listener| format!("the listener {}", listener.settings.name));
    let pool = || current.pools.iter().find(|pool| is_failed(pool.provisioning));
    let member = || {
        let members = current.pools.iter().flat_map(|pool| pool.members.iter().map(move |member| (pool, member)));
        let (pool, (key, _)) = members.into_iter().find(|(_, (_, member))| is_failed(member.provisioning))?;
        Some(format!("the member {}:{} of {}", key.address, key.port, pool.settings.name))
    };
    listener.or_else(|| pool().map(|pool| format!("the pool {}", pool.settings.name))).or_else(member)
}

fn ready(facts: &Facts<'_>, provisioned: &Wanted, programmed: &Wanted) -> Wanted {
    let no = |reason, message: &str| condition(conditions::READY, false, reason, message);
    // Changes don't interrupt what is served: only what was never there, or is broken, isn't ready.
    if provisioned.status != Some(true) {
        return no(provisioned.reason, &provisioned.message);
    }
    if programmed.status != Some(true) {
        return no(programmed.reason, &programmed.message);
    }
    let asks = facts.desired.and_then(|desired| desired.external.as_ref()).is_some_and(|of| of.floating_ip.is_some());
    match facts.floating_ip {
        Err(NoAddress { reason, message, .. }) => no(reason, message),
        Ok(None) if asks => no(reasons::NO_FLOATING_IP, "The floating IP isn't there yet."),
        Ok(_) => condition(conditions::READY, true, reasons::AS_DESIRED, "The Service is served."),
    }
}

/// Reason and message of a failed request. The message is the same at every repetition: the log has the rest.
pub fn failure(error: &kuryr_openstack::Error, creates: bool) -> (&'static str, String) {
    let said = format!("{} {}: {}", error.method(), error.path(), error.message());
    match error.kind() {
        Kind::OverQuota => (
            reasons::QUOTA_EXCEEDED,
            format!(
                "A quota of the project is used up: delete what isn't needed or have it raised ({}).",
                error.message()
            ),
        ),
        Kind::Conflict if creates => (
            reasons::ADDRESS_IN_USE,
            format!(
                "The Service's address is in use by another load balancer or port: delete that one ({}).",
                error.message()
            ),
        ),
        Kind::BadRequest | Kind::Unsupported | Kind::NotFound | Kind::Forbidden | Kind::Conflict | Kind::Immutable => {
            (reasons::REFUSED, format!("OpenStack refuses what the Service needs, trying again ({said})."))
        }
        kind => (
            reasons::CLOUD_UNREACHABLE,
            format!("OpenStack doesn't do what the Service needs for now, trying again ({}).", kind.as_str()),
        ),
    }
}

/// What the conditions say that is bad, that a user or an operator can act on, and that wasn't said before: reason and message of each. Several
/// conditions tell the same trouble; `Accepted` stays `False` for as long as an option is ignored, and another option is news.
pub fn news<'a>(before: &[Condition], now: &'a [Condition]) -> BTreeMap<&'a str, &'a str> {
    let is_said = |says: &Condition| {
        let same = |said: &&Condition| said.status == "False" && said.reason == says.reason;
        let mut said = before.iter().filter(same);
        said.any(|said| {
            says.type_ != conditions::ACCEPTED || (said.type_ == says.type_ && said.message == says.message)
        })
    };
    let bad = now.iter().rev().filter(|says| says.status == "False" && is_for_users(&says.reason) && !is_said(says));
    bad.map(|says| (says.reason.as_str(), says.message.as_str())).collect()
}

/// Whether a user or an operator can act on it: then an Event tells it on the Service.
fn is_for_users(reason: &str) -> bool {
    [
        reasons::INVALID,
        reasons::OPTION_IGNORED,
        reasons::PORT_NOT_SERVED,
        reasons::FAMILY_NOT_SERVED,
        reasons::NOT_EXPOSED,
        reasons::OCTAVIA_STUCK,
        reasons::OCTAVIA_ERROR,
        reasons::REFUSED,
        reasons::QUOTA_EXCEEDED,
        reasons::NOT_OURS,
        reasons::ADDRESS_IN_USE,
        reasons::NO_FLOATING_IP,
    ]
    .contains(&reason)
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
