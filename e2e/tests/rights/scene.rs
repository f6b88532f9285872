//! The pods and ports that attempts are made on.

use crate::attempts::FOREIGN_FINALIZER;
use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use kuryr_api::{KuryrPoolPort, KuryrPort};
use kuryr_e2e::{
    Cluster, PodTemplate,
    identity::{DAEMON_ACCOUNT, SYSTEM},
    wait::{eventually, holds},
    workload::{Namespace, POD_PATIENCE},
};
use serde_json::json;

/// A pod's claim, and the port that it has.
pub struct Held {
    pub claim: KuryrPort,
    pub port: KuryrPoolPort,
}

/// Three running pods: one on each node, and one on node1 whose KuryrPort is being deleted.
pub struct Scene {
    pub space: Namespace,
    /// On node1.
    pub own: Held,
    /// On node2.
    pub foreign: Held,
    /// On node1: being deleted, with a finalizer of somebody else as well.
    pub deleting: KuryrPort,
}

impl Scene {
    /// Sets the scene, lets `play` happen, and clears up whatever the outcome.
    pub async fn play(cluster: &Cluster, play: impl AsyncFnOnce(&Self) -> Result<()>) -> Result<()> {
        let space = cluster.namespace("rights").await?;
        for (name, node) in [("own", "node1"), ("foreign", "node2"), ("leaver", "node1")] {
            space.create(&PodTemplate::idle(name).on(node)).await?;
        }
        let outcome = async {
            let (own, foreign) = (held(cluster, &space, "own").await?, held(cluster, &space, "foreign").await?);
            let deleting = deleting(cluster, &space, "leaver").await?;
            play(&Self { space: space.clone(), own, foreign, deleting }).await
        }
        .await;
        let claims = cluster.api::<KuryrPort>(&space.name);
        for claim in claims.list(&ListParams::default()).await?.items {
            if claim.finalizers().iter().any(|f| f == FOREIGN_FINALIZER) {
                let rest: Vec<_> = claim.finalizers().iter().filter(|f| *f != FOREIGN_FINALIZER).collect();
                let patch = json!({ "metadata": { "finalizers": rest, "resourceVersion": claim.resource_version() } });
                claims.patch(&claim.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await?;
            }
        }
        space.remove().await?;
        outcome
    }
}

/// A running pod's claim and port.
async fn held(cluster: &Cluster, space: &Namespace, pod: &str) -> Result<Held> {
    let uid = space.ready(pod).await?.uid().context("a pod has a uid")?;
    let claims = cluster.api::<KuryrPort>(&space.name).list(&ListParams::default()).await?.items;
    let claim =
        claims.into_iter().find(|c| c.spec.pod_uid == uid).with_context(|| format!("{pod} has no KuryrPort"))?;
    let ports = Api::<KuryrPoolPort>::all(cluster.client.clone()).list(&ListParams::default()).await?.items;
    let port =
        ports.into_iter().find(|p| p.spec.claim_ref.as_ref().is_some_and(|c| Some(&c.uid) == claim.uid().as_ref()));
    Ok(Held { claim, port: port.with_context(|| format!("{pod} has no KuryrPoolPort"))? })
}

/// The claim of a running pod, which somebody deletes: the interface is there, so that the node's finalizer stays.
async fn deleting(cluster: &Cluster, space: &Namespace, pod: &str) -> Result<KuryrPort> {
    let claim = held(cluster, space, pod).await?.claim;
    let (claims, name) = (cluster.api::<KuryrPort>(&space.name), claim.name_any());
    let both: Vec<_> = claim.finalizers().iter().map(String::as_str).chain([FOREIGN_FINALIZER]).collect();
    let patch = json!({ "metadata": { "finalizers": both, "resourceVersion": claim.resource_version() } });
    claims.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await.context("adding a finalizer")?;
    claims.delete(&name, &DeleteParams::default()).await.context("deleting the KuryrPort")?;
    let claim = claims.get(&name).await?;
    holds(claim.metadata.deletion_timestamp.is_some(), || "the KuryrPort isn't being deleted".to_owned())?;
    Ok(claim)
}

/// A pod on a node with the daemons' service account, as a DaemonSet would make it.
pub async fn daemon_pod(cluster: &Cluster, node: &str) -> Result<String> {
    let accounts: Api<ServiceAccount> = cluster.api(SYSTEM);
    let account = serde_json::from_value(json!({ "metadata": { "name": DAEMON_ACCOUNT } }))?;
    match accounts.create(&PostParams::default(), &account).await {
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        outcome => drop(outcome.context("making the service account")?),
    }
    let name = format!("kuryr-e2e-daemon-{node}");
    let mut spec = PodTemplate::idle(&name).on(node).on_host_network().spec();
    spec["serviceAccountName"] = json!(DAEMON_ACCOUNT);
    let pod = serde_json::from_value(json!({ "metadata": { "name": name }, "spec": spec }))?;
    let pods: Api<Pod> = cluster.api(SYSTEM);
    pods.create(&PostParams::default(), &pod).await.context("creating a daemon's pod")?;
    eventually("the daemon's pod to be bound", POD_PATIENCE, async || {
        let bound = pods.get(&name).await?.spec.and_then(|spec| spec.node_name);
        holds(bound.as_deref() == Some(node), || format!("{name} is on {bound:?}"))
    })
    .await?;
    Ok(name)
}

/// Removes what [`daemon_pod`] made.
pub async fn without_daemon_pods(cluster: &Cluster, nodes: &[&str]) -> Result<()> {
    let pods: Api<Pod> = cluster.api(SYSTEM);
    let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    for node in nodes {
        gone(pods.delete(&format!("kuryr-e2e-daemon-{node}"), &at_once).await.map(drop))?;
    }
    let accounts: Api<ServiceAccount> = cluster.api(SYSTEM);
    gone(accounts.delete(DAEMON_ACCOUNT, &DeleteParams::default()).await.map(drop))
}

/// What was to be deleted may not have been there.
pub fn gone(outcome: Result<(), kube::Error>) -> Result<()> {
    match outcome {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        outcome => outcome.context("deleting"),
    }
}
