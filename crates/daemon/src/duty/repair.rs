//! Removes from the node what a crash, a reboot or a lost DEL left, at the start and every few minutes.

use super::{Action, Duty, Failure};
use crate::{
    caches::{Since, chain},
    decide::OrphanFacts,
    node::Node,
};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kuryr_datapath::{Attached, Stale, StaleReason};
use std::{collections::BTreeMap, sync::Arc};
use tokio::time::{Duration, Instant};

/// How soon the daemon looks again after it has found something.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The same while there is more than can be removed at once, as after a reboot, and it becomes less.
const GO_ON: Duration = Duration::from_millis(100);

/// Finds leftovers and removes them.
#[derive(Default)]
pub struct Repair {
    next: Option<Instant>,
    /// How much there was to remove at the last look.
    found: usize,
    unknown: Since<String>,
}

/// Something to remove.
pub enum Leftover {
    /// Broken: half-made, or its sandbox is gone.
    Stale(Box<Stale>),
    /// Whole, but its pod has been gone for long.
    Orphan(Box<Attached>),
}

impl Duty for Repair {
    type What = Leftover;

    fn name(&self) -> &'static str {
        "repair"
    }

    async fn plan(&mut self, node: &Node) -> Option<Vec<Action<Leftover>>> {
        let now = Instant::now();
        if self.next.is_some_and(|next| now < next) || !*node.switch.live.borrow() {
            return None;
        }
        let driver = &node.switch.driver;
        let (stale, attached) = match tokio::try_join!(driver.stale(), driver.attachments()) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "can't look for leftovers; trying again");
                return None;
            }
        };
        let clean = stale.is_empty();
        let gone: Vec<&str> = stale.iter().map(|stale| stale.host_interface.as_str()).collect();
        let living = attached.into_iter().filter(|attached| !gone.contains(&attached.host_interface.as_str()));
        let orphans = self.orphans(node, living.collect(), now);
        let stale = stale.into_iter().filter(|stale| is_idle(node, stale));
        let stale = stale.map(|stale| action(stale.host_interface.clone(), Leftover::Stale(Box::new(stale)), now));
        let orphans =
            orphans.map(|orphan| action(orphan.host_interface.clone(), Leftover::Orphan(Box::new(orphan)), now));
        let plan: Vec<_> = stale.chain(orphans).collect();
        let before = std::mem::replace(&mut self.found, plan.len());
        self.next = Some(now + pause(clean, before, plan.len(), node.settings.timeouts.repair()));
        Some(plan)
    }

    /// A look that is due but couldn't be had (no connection to the switch) waits for a change.
    fn again(&self, now: Instant) -> Option<Duration> {
        self.next.and_then(|next| next.checked_duration_since(now)).filter(|left| !left.is_zero())
    }

    async fn act(node: Arc<Node>, what: Leftover) -> Result<(), Failure> {
        let outcome = match what {
            Leftover::Stale(stale) => remove_stale(&node, &stale).await,
            Leftover::Orphan(orphan) => remove_orphan(&node, &orphan).await,
        };
        node.changed.send_replace(());
        outcome
    }
}

impl Repair {
    /// The interfaces whose sandbox lives though their pod has been gone for long.
    fn orphans(&mut self, node: &Node, living: Vec<Attached>, now: Instant) -> impl Iterator<Item = Attached> {
        let synced = node.caches.unsynced().is_empty();
        let known = |of: &Attached| node.caches.knows_pod(&of.pod.namespace, &of.pod.name, &of.pod.uid);
        let unknown = living.iter().filter(|attached| synced && !known(attached));
        let unknown: BTreeMap<_, _> = self.unknown.update(unknown.map(|a| a.host_interface.clone()), now);
        living.into_iter().filter(move |attached| {
            let unknown_for = unknown.get(&attached.host_interface);
            OrphanFacts {
                synced,
                busy: node.in_flight.busy(&attached.container_id),
                pod_known: unknown_for.is_none(),
                unknown_for: unknown_for.copied().unwrap_or(Duration::ZERO),
                grace: node.settings.timeouts.orphan(),
            }
            .remove()
        })
    }
}

/// The time until the next look.
fn pause(clean: bool, before: usize, found: usize, long: Duration) -> Duration {
    let is_many = found > Repair::AT_ONCE;
    if is_many && (before <= Repair::AT_ONCE || found < before) {
        GO_ON
    } else if clean && found == 0 {
        long
    } else {
        // Whether what was removed is really gone; and what a call is at work on may be left by it.
        LOOK_AGAIN
    }
}

fn action(key: String, what: Leftover, now: Instant) -> Action<Leftover> {
    // What is left is to be removed, as often as it takes.
    Action { key, basis: super::basis(&format!("{now:?}")), what }
}

/// Whether no call is at work on it.
///
/// What has no record of a pod (a device without a port, a broken hold) may be what an ADD is making, or taking apart. It isn't that
/// of an ADD that waits for its KuryrPort, which has made nothing yet: what an earlier ADD of its sandbox left is replaced when it
/// plugs. Nor that of an ADD that waits for its dataplane: its interface is on record.
fn is_idle(node: &Node, stale: &Stale) -> bool {
    match &stale.attached {
        Some(attached) => !node.in_flight.busy(&attached.container_id),
        None => node.in_flight.plugging() == 0,
    }
}

async fn remove_stale(node: &Node, stale: &Stale) -> Result<(), Failure> {
    let reason = match stale.reason {
        StaleReason::NoPort => "no_port",
        StaleReason::NoDevice => "no_device",
        StaleReason::NoNamespace => "no_namespace",
        StaleReason::NotWaiting => "not_waiting",
    };
    let pod = stale.attached.as_ref().map(|attached| attached.pod.to_string());
    tracing::warn!(interface = stale.host_interface, pod, reason, "removing a leftover");
    let removed = node.switch.driver.remove_stale(stale).await;
    removed.map_err(|source| Failure::Switch { what: format!("removing {}", stale.host_interface), source })?;
    node.metrics.repaired(reason);
    Ok(())
}

/// The cache may be wrong for long, when the API server can't be reached: it has the last word itself.
async fn remove_orphan(node: &Node, orphan: &Attached) -> Result<(), Failure> {
    let what = || format!("asking for pod {}", orphan.pod);
    let api = Api::<Pod>::namespaced(node.client.clone(), &orphan.pod.namespace);
    let asked = tokio::time::timeout(node.settings.timeouts.api(), api.get_metadata_opt(&orphan.pod.name)).await;
    let found = asked
        .map_err(|_| Failure::Slow { what: what(), seconds: node.settings.timeouts.api_seconds })?
        .map_err(|source| Failure::Api { what: what(), source })?;
    if found.is_some_and(|pod| pod.metadata.uid.as_deref() == Some(&orphan.pod.uid)) {
        return Ok(());
    }
    tracing::warn!(interface = orphan.host_interface, pod = %orphan.pod, sandbox = orphan.container_id,
        "removing an interface whose pod is gone though its sandbox lives: no DEL came");
    let _lock = node.in_flight.lock(&orphan.container_id).await;
    let removed = node.switch.driver.unplug(&orphan.container_id, &orphan.ifname).await;
    removed.map_err(|source| Failure::Switch { what: format!("removing {}", orphan.host_interface), source })?;
    node.metrics.repaired("orphan");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_leftovers_go_one_after_the_other_as_long_as_they_become_fewer() {
        let long = Duration::from_secs(180);
        let pauses = |found: &[usize]| {
            let before = [0].into_iter().chain(found.iter().copied());
            let pauses = before.zip(found).map(|(before, found)| pause(*found == 0, before, *found, long));
            pauses.collect::<Vec<_>>()
        };
        assert_eq!(pauses(&[110, 94, 40, 16, 0]), [GO_ON, GO_ON, GO_ON, LOOK_AGAIN, long]);
        assert_eq!(pauses(&[40, 40, 40, 24]), [GO_ON, LOOK_AGAIN, LOOK_AGAIN, GO_ON], "what stays isn't hurried");
        assert_eq!(pause(false, 0, 0, long), LOOK_AGAIN, "a call is at work on it");
    }
}
