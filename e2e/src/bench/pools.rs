//! The levels of Kuryr's pools: none for the cold case, enough for the warm one.

use crate::{Cluster, inventory::SETTLING, wait::eventually};
use anyhow::{Context, Result, ensure};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use kuryr_api::KuryrPool;
use serde_json::json;

/// What each pool's `spec` is to say; `None` leaves a level to Kuryr's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Levels {
    minimum: Option<u32>,
    maximum: Option<u32>,
    plugged: Option<u32>,
}

impl Levels {
    /// As configured.
    pub const CONFIGURED: Self = Self { minimum: None, maximum: None, plugged: None };
    /// No free port, ever.
    pub const NONE: Self = Self { minimum: Some(0), maximum: Some(0), plugged: Some(0) };

    /// `ports` free ports, `plugged` of them plugged; ports that come back beyond that are kept.
    #[must_use]
    pub const fn of(ports: u32, plugged: u32) -> Self {
        Self { minimum: Some(ports), maximum: Some(ports + 3 * plugged), plugged: Some(plugged) }
    }
}

/// All pools. A pool begins to exist with its node's first pod.
///
/// # Errors
/// When they can't be listed.
pub async fn all(cluster: &Cluster) -> Result<Vec<KuryrPool>> {
    let api: Api<KuryrPool> = Api::all(cluster.client.clone());
    Ok(api.list(&ListParams::default()).await.context("listing KuryrPools")?.items)
}

/// Deletes all pools while no controller runs: it makes them anew, with the ports that are there and without what they remember.
///
/// # Errors
/// When a pool can't be deleted.
pub async fn forget(cluster: &Cluster) -> Result<()> {
    let api: Api<KuryrPool> = Api::all(cluster.client.clone());
    for pool in all(cluster).await? {
        let name = pool.name_any();
        api.delete(&name, &DeleteParams::default()).await.with_context(|| format!("deleting KuryrPool {name}"))?;
    }
    Ok(())
}

/// Sets the levels of all pools.
///
/// # Errors
/// When a pool can't be changed.
pub async fn set(cluster: &Cluster, levels: Levels) -> Result<()> {
    let api: Api<KuryrPool> = Api::all(cluster.client.clone());
    let spec = json!({ "minimum": levels.minimum, "maximum": levels.maximum, "plugged": levels.plugged });
    for pool in all(cluster).await? {
        let name = pool.name_any();
        let patch = Patch::Merge(json!({ "spec": spec }));
        api.patch(&name, &PatchParams::default(), &patch)
            .await
            .with_context(|| format!("setting the levels of KuryrPool {name}"))?;
    }
    Ok(())
}

/// Waits until every node has a pool with at least this many free ports, so many of them plugged, and nothing is cooling down
/// or being made.
///
/// # Errors
/// When it doesn't come to that.
pub async fn filled(cluster: &Cluster, ports: u32, plugged: u32) -> Result<()> {
    settled(cluster, "the pools to be filled", |pool| {
        let Some(status) = &pool.status else { return false };
        status.free >= ports && status.plugged >= plugged
    })
    .await
}

/// Waits until no pool has a free port, or one on its way.
///
/// # Errors
/// When it doesn't come to that.
pub async fn empty(cluster: &Cluster) -> Result<()> {
    settled(cluster, "the pools to be empty", |pool| pool.status.as_ref().is_some_and(|status| status.free == 0)).await
}

async fn settled(cluster: &Cluster, what: &str, wanted: impl Fn(&KuryrPool) -> bool) -> Result<()> {
    eventually(what, SETTLING, async || {
        let pools = all(cluster).await?;
        ensure!(pools.len() >= cluster.nodes().len(), "there are {} KuryrPools", pools.len());
        for pool in &pools {
            let status = pool.status.clone().unwrap_or_default();
            let current = status.observed_generation == pool.metadata.generation;
            let quiet = status.cooling_down == 0 && status.creating == 0 && status.waiting == 0;
            ensure!(current && quiet && wanted(pool), "KuryrPool {}: {status:?}", pool.name_any());
        }
        Ok(())
    })
    .await
}
