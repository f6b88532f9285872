//! What is there of a port: who holds it, and what Neutron is known to have.

use crate::{
    context::Context,
    error::Error,
    inventory::pool_of,
    port::recorded,
    runtime::{apply, cache::object_ref, queue},
};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, ResourceExt};
use kuryr_api::{ClaimKind, ClaimRef, KuryrPoolPort, KuryrPort};
use kuryr_core::claim::Claimant;
use std::{sync::Arc, time::Duration};

/// What is there of a port.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The object.
    pub object: Arc<KuryrPoolPort>,
    /// Who holds it.
    pub claimant: Option<Claimant>,
    /// The pool that the port belongs to.
    pub pool: Pool,
    /// A request to create the port may still be under way for this time; zero: look at Neutron once more.
    pub unsettled: Option<Duration>,
    /// The wait after a failed request to Neutron isn't over.
    pub wait: Option<Duration>,
}

/// What is to be said of a port's pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    /// Its object is there.
    Exists,
    /// Its object isn't there and is to be.
    Wanted,
    /// It has none and gets none: the node is gone, or the port is of a network that pods no longer get ports of.
    Unwanted,
}

/// Reads the caches, and asks the API server where a cache's silence would end something.
pub async fn observe(context: &Context, object: Arc<KuryrPoolPort>) -> Result<Observed, Error> {
    let claimant = match &object.spec.claim_ref {
        Some(claim) => Some(claimant(context, &object, claim).await?),
        None => None,
    };
    let key = queue::key::<KuryrPoolPort>(&object_ref(None, &object.name_any()));
    let pool = pool(context, &object);
    Ok(Observed {
        claimant,
        pool,
        unsettled: context.attempts.unsettled(&object.uid().unwrap_or_default()),
        wait: context.retries.remaining(&key, object.metadata.generation),
        object,
    })
}

fn pool(context: &Context, object: &KuryrPoolPort) -> Pool {
    let defaults = context.networks.defaults();
    let spec = &object.spec;
    let of_node = spec.claim_ref.as_ref().is_some_and(|claim| claim.kind == ClaimKind::Node);
    if context.pools.get(None, &pool_of(object)).is_some_and(|pool| pool.metadata.deletion_timestamp.is_none()) {
        Pool::Exists
    } else if !of_node
        && context.nodes.get(None, &spec.node_name).is_some()
        && (&spec.network_id, &spec.subnet_ids) == (&defaults.network, &defaults.subnets)
    {
        Pool::Wanted
    } else {
        Pool::Unwanted
    }
}

async fn claimant(context: &Context, object: &KuryrPoolPort, claim: &ClaimRef) -> Result<Claimant, Error> {
    Ok(match claim.kind {
        ClaimKind::KuryrPort => kuryr_port(context, object, claim).await?,
        ClaimKind::Node if node_exists(context, object, claim).await? => Claimant::Yields,
        ClaimKind::Node => Claimant::Gone,
    })
}

async fn kuryr_port(context: &Context, object: &KuryrPoolPort, claim: &ClaimRef) -> Result<Claimant, Error> {
    let namespace = claim.namespace.as_deref().unwrap_or_default();
    let cached = context.ports.get(Some(namespace), &claim.name).filter(|port| port.uid().as_ref() == Some(&claim.uid));
    if let Some(port) = cached {
        return Ok(living_claimant(&port, object, claim));
    }
    // The metadata only: a claim that can't be read still is one.
    let api: Api<KuryrPort> = Api::namespaced(context.client.clone(), namespace);
    let found = api.get_metadata_opt(&claim.name).await;
    let found = found.map_err(Error::kubernetes("look for the claimant of", apply::described(object)))?;
    let exists = found.is_some_and(|port| port.uid().as_ref() == Some(&claim.uid));
    Ok(if exists { Claimant::Holds } else { Claimant::Gone })
}

/// What a claimant that exists is to the port. A claim that has settled never leaves its port, so an old cache says nothing
/// wrong here.
pub fn living_claimant(port: &KuryrPort, object: &KuryrPoolPort, claim: &ClaimRef) -> Claimant {
    let settled = recorded(port, &claim.interface);
    let other = settled.is_some_and(|settled| settled != object.name_any());
    if other { Claimant::Superseded } else { Claimant::Holds }
}

async fn node_exists(context: &Context, object: &KuryrPoolPort, claim: &ClaimRef) -> Result<bool, Error> {
    if context.nodes.get(None, &claim.name).is_some_and(|node| node.uid().as_ref() == Some(&claim.uid)) {
        return Ok(true);
    }
    let api: Api<Node> = Api::all(context.client.clone());
    let found = api.get_metadata_opt(&claim.name).await;
    let found = found.map_err(Error::kubernetes("look for the claimant of", apply::described(object)))?;
    Ok(found.is_some_and(|node| node.uid().as_ref() == Some(&claim.uid)))
}
