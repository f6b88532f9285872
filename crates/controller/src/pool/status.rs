//! What a pool has and is filled up to.

use super::{observe::Observed, plan::Plan};
use crate::{context::Context, error::Error, reasons, runtime::apply};
use jiff::Timestamp;
use kube::{Api, ResourceExt};
use kuryr_api::{
    KuryrPool, KuryrPoolStatus,
    conditions::{self, Wanted},
};
use kuryr_core::pool::Levels;
use std::time::Duration;

/// Pause between two writes of a pool's status: its numbers change with every pod.
const PAUSE: Duration = Duration::from_secs(2);

/// Writes the status where it differs. The time until it may be written, where it was written a moment ago.
pub async fn publish(context: &Context, seen: &Observed, plan: &Plan) -> Result<Option<Duration>, Error> {
    let object = &*seen.object;
    if plan.delete_pool || object.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    let present = object.status.clone().unwrap_or_default();
    let filled = filled(seen, plan);
    let configured = seen.is_current.then(|| context.networks.configured());
    let wanted = KuryrPoolStatus { conditions: present.conditions.clone(), configured, ..status(seen, plan) };
    if wanted == present && filled.is_in(&present.conditions) {
        return Ok(None);
    }
    // What the node acts on isn't held back.
    let urgent = present.to_plug != wanted.to_plug || object.status.is_none();
    if let Err(left) = context.inventory.may_tell(&object.name_any(), PAUSE)
        && !urgent
    {
        return Ok(Some(left));
    }
    let conditions = vec![filled.onto(&present.conditions, object.metadata.generation, Timestamp::now())];
    let api: Api<KuryrPool> = Api::all(context.client.clone());
    let written = apply::status(&api, object, &KuryrPoolStatus { conditions, ..wanted }).await?;
    context.pools.wrote(written);
    Ok(None)
}

fn status(seen: &Observed, plan: &Plan) -> KuryrPoolStatus {
    let Levels { minimum, maximum, plugged } = plan.levels;
    KuryrPoolStatus {
        observed_generation: seen.object.metadata.generation,
        minimum,
        maximum,
        to_plug: plugged,
        target: plan.step.target,
        free: seen.claimable,
        plugged: seen.plugged,
        cooling_down: seen.cooling_down,
        creating: seen.creating(),
        claimed: seen.claimed,
        waiting: seen.waiting,
        demand: seen.demand.peak,
        configured: None,
        conditions: Vec::new(),
    }
}

/// The condition `Filled`.
fn filled(seen: &Observed, plan: &Plan) -> Wanted {
    let wanted = |status, reason, message: &str| Wanted {
        type_: conditions::FILLED,
        status: Some(status),
        reason,
        message: message.to_owned(),
    };
    if plan.draining {
        return wanted(
            false,
            reasons::DRAINING,
            "the node is cordoned for long or going, or pods get ports of another network",
        );
    }
    if seen.no_room {
        return wanted(
            false,
            reasons::NO_ROOM,
            "free ports are given up: pods wait because the quota or the addresses are used up",
        );
    }
    let failure = seen.free.iter().filter_map(|port| port.status.as_ref()).flat_map(|status| &status.conditions);
    let failure =
        failure.into_iter().find(|condition| condition.type_ == conditions::CREATED && condition.status == "False");
    match failure {
        Some(failure) => wanted(false, reasons::known(&failure.reason), &failure.message),
        None if seen.claimable + seen.cooling_down >= plan.step.target => {
            wanted(true, reasons::FILLED, "there are as many free ports as are to be")
        }
        None => wanted(false, reasons::FILLING, "free ports are being made"),
    }
}
