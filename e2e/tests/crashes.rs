//! `kill -9` of each part while pods come and go: everything converges, nothing leaks, nothing is duplicated (promise P6).

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use kuryr_e2e::{
    Cluster, PodTemplate, inventory,
    traffic::{self, From},
    wait::again,
    workload::{Namespace, addresses},
};
use std::collections::BTreeSet;

/// Pods that start while the part is killed, and as many that stop.
const PODS: usize = 20;

async fn survives(parts: &'static [&'static str]) -> Result<()> {
    let cluster = Cluster::attach().await?;
    let outcome = churn_while_killed(&cluster, parts).await;
    // A part that stayed away would fail the tests that follow, too.
    for part in parts {
        cluster.lab.start(part)?;
    }
    outcome
}

async fn churn_while_killed(cluster: &Cluster, parts: &[&str]) -> Result<()> {
    let space = cluster.namespace("crash").await?;
    let old: Vec<_> = (0..PODS / 2).map(|i| format!("old{i}")).collect();
    for name in &old {
        space.create(&PodTemplate::idle(name)).await?;
    }
    for name in &old {
        space.ready(name).await?;
    }

    let new: Vec<_> = (0..PODS / 2).map(|i| format!("new{i}")).collect();
    churn(&space, &old, &new, || kill(cluster, parts)).await?;
    for part in parts {
        cluster.lab.start(part).with_context(|| format!("starting {part} again"))?;
    }

    let mut seen = BTreeSet::new();
    for name in &new {
        for ip in addresses(&space.ready(name).await?) {
            ensure!(seen.insert(ip), "{ip} was given to two pods");
        }
    }
    let inventory = inventory::settled(cluster).await?;
    ensure!(inventory.pods.len() >= new.len(), "pods are missing");
    packets_cross(cluster, &space, &seen).await?;
    space.remove().await?;
    inventory::settled(cluster).await?;
    Ok(())
}

/// Deletes the old pods and creates the new ones; in the middle of it, does `harm`. Requests that an API server which was
/// killed didn't answer are made again.
async fn churn(space: &Namespace, old: &[String], new: &[String], harm: impl FnOnce() -> Result<()>) -> Result<()> {
    let (first, rest) = new.split_at(new.len() / 2);
    for (old, new) in old.iter().zip(first) {
        space.delete(old, None).await?;
        space.create(&PodTemplate::server(new)).await?;
    }
    harm()?;
    for (i, new) in rest.iter().enumerate() {
        again(inventory::SETTLING, async || space.delete(&old[first.len() + i], None).await).await?;
        again(inventory::SETTLING, async || space.create(&PodTemplate::server(new)).await.map(drop)).await?;
    }
    Ok(())
}

fn kill(cluster: &Cluster, parts: &[&str]) -> Result<()> {
    for part in parts {
        cluster.lab.kill(part)?;
        // What the node or Kubernetes itself runs would be started again by its supervisor within moments.
        if !part.starts_with("kuryr-") {
            cluster.lab.start(part)?;
        }
    }
    Ok(())
}

/// Every new pod answers the first one.
async fn packets_cross(cluster: &Cluster, space: &Namespace, ips: &BTreeSet<std::net::IpAddr>) -> Result<()> {
    let from = From::pod(&space.name, "new0");
    try_join_all(ips.iter().map(|&ip| traffic::ping(cluster, &from, ip, 84))).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controller_is_killed() -> Result<()> {
    survives(&["kuryr-controller"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemons_are_killed() -> Result<()> {
    survives(&["kuryr-daemon@node1", "kuryr-daemon@node2"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn open_vswitch_is_killed() -> Result<()> {
    survives(&["ovs-vswitchd@node1"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_is_killed() -> Result<()> {
    survives(&["kube-apiserver"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn neutron_is_killed() -> Result<()> {
    survives(&["neutron-api"]).await
}
