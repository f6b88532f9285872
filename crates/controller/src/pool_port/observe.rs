//! What is there of a port: who holds it, and what Neutron is known to have.

use crate::{
    context::Context,
    error::Error,
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
    /// A request to create the port may still be under way for this time; zero: look at Neutron once more.
    pub unsettled: Option<Duration>,
    /// The wait after a failed request to Neutron isn't over.
    pub wait: Option<Duration>,
}

/// Reads the caches, and asks the API server where a cache's silence would end something.
pub async fn observe(context: &Context, object: Arc<KuryrPoolPort>) -> Result<Observed, Error> {
    let claimant = match &object.spec.claim_ref {
        Some(claim) => Some(claimant(context, &object, claim).await?),
        None => None,
    };
    let key = queue::key::<KuryrPoolPort>(&object_ref(None, &object.name_any()));
    Ok(Observed {
        claimant,
        unsettled: context.attempts.unsettled(&object.uid().unwrap_or_default()),
        wait: context.retries.remaining(&key, object.metadata.generation),
        object,
    })
}

async fn claimant(context: &Context, object: &KuryrPoolPort, claim: &ClaimRef) -> Result<Claimant, Error> {
    let exists = match claim.kind {
        ClaimKind::KuryrPort => kuryr_port_exists(context, object, claim).await?,
        ClaimKind::Node => node_exists(context, object, claim).await?,
    };
    Ok(match (exists, claim.kind) {
        (false, _) => Claimant::Gone,
        (true, ClaimKind::KuryrPort) => Claimant::Holds,
        (true, ClaimKind::Node) => Claimant::Yields,
    })
}

async fn kuryr_port_exists(context: &Context, object: &KuryrPoolPort, claim: &ClaimRef) -> Result<bool, Error> {
    let namespace = claim.namespace.as_deref().unwrap_or_default();
    let cached = context.ports.get(Some(namespace), &claim.name);
    if cached.is_some_and(|port| port.uid().as_ref() == Some(&claim.uid)) {
        return Ok(true);
    }
    // The metadata only: a claim that can't be read still is one.
    let api: Api<KuryrPort> = Api::namespaced(context.client.clone(), namespace);
    let found = api.get_metadata_opt(&claim.name).await;
    let found = found.map_err(Error::kubernetes("look for the claimant of", apply::described(object)))?;
    Ok(found.is_some_and(|port| port.uid().as_ref() == Some(&claim.uid)))
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
