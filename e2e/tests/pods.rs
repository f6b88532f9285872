//! The life and death of pods.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::{
    ResourceExt,
    api::{ListParams, PostParams},
};
use kuryr_api::KuryrPort;
use kuryr_e2e::{
    Cluster, PodTemplate, inventory,
    wait::{eventually, holds},
    workload::{POD_PATIENCE, addresses},
};
use serde_json::json;
use std::collections::BTreeSet;

#[tokio::test(flavor = "multi_thread")]
async fn thirty_pods_at_once() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let space = cluster.namespace("thirty").await?;
    let names: Vec<_> = (0..30).map(|i| format!("p{i}")).collect();
    for name in &names {
        space.create(&PodTemplate::idle(name)).await?;
    }
    let mut seen = BTreeSet::new();
    for name in &names {
        for ip in addresses(&space.ready(name).await?) {
            ensure!(seen.insert(ip), "{ip} was given to two pods");
        }
    }
    inventory::settled(&cluster).await?;
    for name in &names {
        space.delete(name, None).await?;
    }
    space.empty().await?;
    space.remove().await?;
    inventory::settled(&cluster).await?;
    Ok(())
}

/// The controller is away, so ADD waits; then the pod goes. ADD must end, and nothing may be left.
#[tokio::test(flavor = "multi_thread")]
async fn deleted_while_add_waits() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let space = cluster.namespace("waiting").await?;
    cluster.lab.pause("kuryr-controller")?;
    let outcome = async {
        let log = cluster.lab.log("kuryr-daemon@node1").end();
        space.create(&PodTemplate::idle("waits").on("node1")).await?;
        eventually("the daemon to have the ADD", POD_PATIENCE, async || {
            let since = cluster.lab.log("kuryr-daemon@node1").since(log)?;
            holds(since.contains("waits"), || "its log doesn't name the pod".to_owned())
        })
        .await?;
        space.delete("waits", Some(0)).await?;
        space.empty().await
    }
    .await;
    cluster.lab.resume("kuryr-controller")?;
    outcome?;
    space.remove().await?;
    inventory::settled(&cluster).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateful_pod_comes_back_with_a_port_of_its_own() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let space = cluster.namespace("stateful").await?;
    let set: StatefulSet = serde_json::from_value(json!({
        "metadata": { "name": "db" },
        "spec": {
            "replicas": 1, "serviceName": "db", "selector": { "matchLabels": { "app": "db" } },
            "template": { "metadata": { "labels": { "app": "db" } }, "spec": PodTemplate::idle("db").grace(2).spec() },
        },
    }))?;
    cluster.api::<StatefulSet>(&space.name).create(&PostParams::default(), &set).await?;
    eventually("the first pod", POD_PATIENCE, async || Ok(space.pods().get("db-0").await?)).await?;
    let first = space.ready("db-0").await?;
    for grace in [None, Some(0)] {
        let before = space.ready("db-0").await?;
        space.delete("db-0", grace).await?;
        let after = eventually("the next pod of the same name", POD_PATIENCE, async || {
            let pod = space.pods().get("db-0").await?;
            holds(pod.uid() != before.uid(), || "it is still the old one".to_owned())?;
            space.ready("db-0").await
        })
        .await?;
        let inventory = inventory::settled(&cluster).await?;
        let claim = inventory.claims.iter().find(|c| Some(&c.spec.pod_uid) == after.uid().as_ref());
        ensure!(claim.is_some_and(|c| c.namespace().as_deref() == Some(&space.name)), "no claim of its own");
    }
    ensure!(first.uid() != space.ready("db-0").await?.uid());
    space.remove().await?;
    inventory::settled(&cluster).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_with_no_grace() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let space = cluster.namespace("grace").await?;
    for i in 0..4 {
        space.create(&PodTemplate::idle(&format!("p{i}")).grace(30)).await?;
    }
    for i in 0..4 {
        space.ready(&format!("p{i}")).await?;
    }
    for i in 0..4 {
        space.delete(&format!("p{i}"), Some(0)).await?;
    }
    space.empty().await?;
    space.remove().await?;
    inventory::settled(&cluster).await?;
    Ok(())
}

/// While a pod still terminates, its port stays its own (promise P2), and its network works.
#[tokio::test(flavor = "multi_thread")]
async fn a_terminating_pod_keeps_its_network() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let space = cluster.namespace("terminating").await?;
    // A shell that ignores SIGTERM lives until the grace period is over.
    let script = "trap '' TERM; while true; do sleep 1; done";
    let stubborn = PodTemplate::idle("stubborn").command(&["sh", "-c", script]).on("node1").grace(15);
    let pod = space.run(&stubborn).await?;
    let ip = *addresses(&pod).first().context("no address")?;
    space.delete("stubborn", None).await?;
    let claims = cluster.api::<KuryrPort>(&space.name);
    eventually("the deletion to begin", POD_PATIENCE, async || {
        let pod = space.pods().get("stubborn").await?;
        holds(pod.metadata.deletion_timestamp.is_some(), || "no deletionTimestamp".to_owned())
    })
    .await?;
    let claim = claims.list(&ListParams::default()).await?.items.pop().context("its KuryrPort has gone")?;
    ensure!(claim.metadata.deletion_timestamp.is_none(), "its KuryrPort is being deleted while it runs");
    kuryr_e2e::traffic::ping(&cluster, &kuryr_e2e::traffic::From::node("node2"), ip, 84).await?;
    space.empty().await?;
    space.remove().await?;
    inventory::settled(&cluster).await?;
    Ok(())
}

/// A pod that has done its work gives its port back, though its object stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_completed_pod_gives_its_port_back() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let space = cluster.namespace("completed").await?;
    space.create(&PodTemplate::idle("job").command(&["true"]).once()).await?;
    eventually("the pod to succeed", POD_PATIENCE, async || {
        let phase = space.pods().get("job").await?.status.and_then(|s| s.phase);
        holds(phase.as_deref() == Some("Succeeded"), || format!("phase {phase:?}"))
    })
    .await?;
    let inventory = inventory::settled(&cluster).await?;
    ensure!(inventory.claims.iter().all(|c| c.namespace().as_deref() != Some(&space.name)), "it still has a KuryrPort");
    space.remove().await
}
