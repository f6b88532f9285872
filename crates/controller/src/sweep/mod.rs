//! The sweep (design, section 7): compares the objects with Neutron's list of ports, now and then. Ports that carry this
//! cluster's mark and that nobody needs are removed; what is missing or was changed in Neutron is told.
//!
//! It is the safety net: whatever Kuryr itself does leaves nothing behind, with or without it.

mod act;
mod compare;
mod look;
mod metrics;
pub mod once;
mod tell;

pub use metrics::SweepMetrics;

use crate::{context::Context, error::Error};
use act::Removal;
use compare::{Comparer, Found, Looked};
use k8s_openapi::api::core::v1::ObjectReference;
use kuryr_core::sweep::Limit;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Sweeps until `stop`.
pub async fn run(context: Arc<Context>, stop: CancellationToken) {
    let settings = context.settings.sweep;
    if settings.period_seconds == 0 {
        return stop.cancelled().await;
    }
    let mut sweeper = Sweeper { comparer: None, refused: false };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(settings.period_seconds)) => {}
        }
        if let Err(error) = sweeper.sweep(&context).await {
            context.sweep_metrics.failed();
            tracing::warn!(%error, "our ports could not be compared with Neutron's, trying again later");
        }
    }
}

/// What is remembered from one sweep to the next.
struct Sweeper {
    comparer: Option<Comparer>,
    /// The last sweep refused to remove anything.
    refused: bool,
}

impl Sweeper {
    async fn sweep(&mut self, context: &Context) -> Result<(), Error> {
        let comparer = match &mut self.comparer {
            Some(comparer) => comparer,
            none => none.insert(comparer(context).await?),
        };
        let objects = context.pool_ports.all();
        let looked = comparer.look(&objects).await?;
        for (object, id) in &looked.missing {
            passed_over(context, tell::missing(context, object, id).await);
        }
        for object in looked.changed.iter().map(|(object, _)| object).chain(&looked.restored) {
            passed_over(context, tell::changed(context, comparer, object).await);
        }
        for found in looked.found.iter().filter(|found| found.for_.is_zero()) {
            tell_new(found, comparer.grace, context.settings.sweep.dry_run);
        }
        if !refuses(context, &looked, &mut self.refused).await && !context.settings.sweep.dry_run {
            for found in looked.found.iter().filter(|found| found.due) {
                remove(context, comparer, found).await;
            }
        }
        context.sweep_metrics.swept(&looked.counts(), looked.marked, looked.implausible.is_some());
        Ok(())
    }
}

/// What can't be told of one object now is told by the next sweep: the others don't wait for it.
fn passed_over(context: &Context, told: Result<(), Error>) {
    match told {
        Ok(()) => {}
        // Somebody has just changed it.
        Err(error) if error.is_stale() => tracing::debug!(%error, "changed while it was looked at"),
        Err(error) => {
            context.sweep_metrics.failed();
            tracing::warn!(%error, "could not tell what Neutron says of a port, trying again later");
        }
    }
}

async fn comparer(context: &Context) -> Result<Comparer, Error> {
    let settings = context.settings.sweep;
    let (client, neutron) = (context.client.clone(), context.neutron.clone());
    let mut comparer = Comparer::new(client, neutron, context.settings.cluster.clone()).await?;
    comparer.grace = Duration::from_secs(settings.grace_seconds);
    comparer.limit = Limit { percent: settings.most_percent };
    Ok(comparer)
}

/// Tells once of a port that is found for the first time.
fn tell_new(found: &Found, grace: Duration, dry_run: bool) {
    let (port, host, reason) =
        (&found.port, found.port.host_id.as_deref().unwrap_or_default(), found.finding.to_string());
    let seconds = (found.finding.removable() && !dry_run).then_some(grace.as_secs());
    tracing::warn!(port = %port.id, name = port.name, host, reason, removed_after_seconds = seconds, "found a Neutron port that nobody needs");
}

/// Whether so much is without an object that nothing is removed. Told when it begins and when it ends.
async fn refuses(context: &Context, looked: &Looked, refused: &mut bool) -> bool {
    let before = std::mem::replace(refused, looked.implausible.is_some());
    match &looked.implausible {
        Some(implausible) if !before => {
            let note = format!(
                "{implausible}: nothing is removed, because the objects must be missing and pods may still use the ports. Were the custom \
                 resource definitions deleted, or an old backup restored? When the ports are really not needed any more, run `kuryr \
                 sweep --most-percent 100`"
            );
            tracing::error!("{note}");
            context.events.warn(&definition(), "Sweep", "SweepRefused", &note).await;
        }
        None if before => tracing::info!("the sweep removes ports again"),
        _ => {}
    }
    looked.implausible.is_some()
}

/// The definition of the KuryrPoolPorts: what an Event about all of them is about.
fn definition() -> ObjectReference {
    ObjectReference {
        api_version: Some("apiextensions.k8s.io/v1".to_owned()),
        kind: Some("CustomResourceDefinition".to_owned()),
        name: Some("kuryrpoolports.kuryr.openstack.org".to_owned()),
        ..ObjectReference::default()
    }
}

/// Removes one port. What fails is found again by the next sweep.
async fn remove(context: &Context, comparer: &Comparer, found: &Found) {
    let (port, reason) = (&found.port, found.finding.as_str());
    match comparer.remove(found).await {
        Ok(Removal::Removed) => {
            tracing::info!(port = %port.id, name = port.name, reason, "removed a Neutron port that nobody needed");
            context.sweep_metrics.removed(reason);
        }
        Ok(Removal::Kept) => tracing::info!(port = %port.id, reason, "this port is no longer ours to remove"),
        Err(error) => tracing::warn!(%error, "a port that nobody needs could not be removed, trying again"),
    }
}
