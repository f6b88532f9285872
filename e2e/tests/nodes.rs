//! Nodes that go and come back, and Kuryr itself being away: nothing hangs, nothing is left, nobody edits a finalizer.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
};
use kuryr_api::{KuryrPoolPort, KuryrPort};
use kuryr_e2e::{
    Cluster, PodTemplate,
    inventory::{self, Inventory},
    wait::{eventually, holds},
    workload::{Namespace, addresses},
};
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};

/// How long the controller-manager may take to give a deleted node's pods up: it waits 40 s and looks every 20 s.
const POD_GC: Duration = Duration::from_secs(180);

/// Longest time for a namespace of many pods to go, on a busy machine.
const MANY_PODS: Duration = Duration::from_secs(400);

/// A dead machine whose Node somebody deletes: its ports are released though it never says a word. Then it comes back.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_nodes_ports_are_released_and_it_comes_back() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let space = cluster.namespace("nodeless").await?;
    for i in 0..4 {
        space.create(&PodTemplate::idle(&format!("p{i}")).on("node2")).await?;
    }
    for i in 0..4 {
        space.ready(&format!("p{i}")).await?;
    }
    let parts = ["kubelet@node2", "kuryr-daemon@node2"];
    for part in parts {
        cluster.lab.kill(part)?;
    }
    let outcome = async {
        let nodes: Api<Node> = Api::all(cluster.client.clone());
        nodes.delete("node2", &DeleteParams::default()).await.context("deleting the Node")?;
        eventually("everything of the node to be released", POD_GC, async || nothing_left_of(&cluster, "node2").await)
            .await
    }
    .await;
    // A kubelet that starts makes its Node again.
    for part in parts {
        cluster.lab.start(part)?;
    }
    outcome?;
    ready(&cluster, "node2").await?;
    inventory::settled(&cluster).await.context("the node's sandboxes and its own port")?;
    space.run(&PodTemplate::idle("again").on("node2")).await?;
    space.remove().await?;
    inventory::settled(&cluster).await.map(drop)
}

async fn nothing_left_of(cluster: &Cluster, node: &str) -> Result<()> {
    let all = ListParams::default();
    let claims = Api::<KuryrPort>::all(cluster.client.clone()).list(&all).await?.items;
    let claims: Vec<_> = claims.iter().filter(|c| c.spec.node_name == node).map(ResourceExt::name_any).collect();
    holds(claims.is_empty(), || format!("KuryrPorts: {claims:?}"))?;
    let ports = Api::<KuryrPoolPort>::all(cluster.client.clone()).list(&all).await?.items;
    let ports: Vec<_> = ports.iter().filter(|p| p.spec.node_name == node).map(ResourceExt::name_any).collect();
    holds(ports.is_empty(), || format!("KuryrPoolPorts: {ports:?}"))?;
    let neutron = Inventory::take(cluster).await?.neutron;
    let bound: Vec<_> = neutron.iter().filter(|p| p.host_id.as_deref() == Some(node)).map(|p| &p.id).collect();
    holds(bound.is_empty(), || format!("Neutron ports: {bound:?}"))
}

async fn ready(cluster: &Cluster, node: &str) -> Result<()> {
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    eventually("the node to be Ready", inventory::SETTLING, async || {
        let conditions = nodes.get(node).await?.status.and_then(|s| s.conditions).unwrap_or_default();
        let ready = conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True");
        holds(ready, || format!("{node} isn't"))
    })
    .await
}

/// The controller is away, then a daemon as well, while 20 pods come and as many go. How long it lasts makes no difference: what
/// they do at their start is to compare what is with what should be. (What depends on time is the kubelet's patience: it asks for
/// a waiting sandbox again, at most every five minutes.)
#[tokio::test(flavor = "multi_thread")]
async fn pods_come_and_go_while_kuryr_is_away() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let space = cluster.namespace("away").await?;
    let names = |stem: &str, count: usize| (0..count).map(|i| format!("{stem}{i}")).collect::<Vec<_>>();
    let (old, never, new) = (names("old", 10), names("never", 10), names("new", 10));
    for name in &old {
        space.create(&PodTemplate::idle(name)).await?;
    }
    for name in &old {
        space.ready(name).await?;
    }
    let short = cluster.namespace("short").await?;
    short.run(&PodTemplate::idle("a")).await?;
    short.run(&PodTemplate::idle("b")).await?;
    let parts = ["kuryr-controller", "kuryr-daemon@node1"];
    let outcome = async {
        cluster.lab.stop(parts[0])?;
        create_all(&space, &never).await?;
        // The nodes need no controller to let pods go, nor does a namespace that is deleted.
        delete_all(&space, &old[..5]).await?;
        gone(&space, &old[..5]).await?;
        short.remove().await.context("a namespace, while the controller is away")?;
        cluster.lab.stop(parts[1])?;
        delete_all(&space, &old[5..]).await?;
        delete_all(&space, &never).await?;
        create_all(&space, &new).await
    }
    .await;
    for part in parts {
        cluster.lab.start(part)?;
    }
    outcome?;
    let mut seen = BTreeSet::new();
    for name in &new {
        for ip in addresses(&space.ready(name).await?) {
            ensure!(seen.insert(ip), "{ip} was given to two pods");
        }
    }
    gone(&space, &old).await?;
    gone(&space, &never).await?;
    inventory::settled(&cluster).await?;
    space.remove().await?;
    inventory::settled(&cluster).await.map(drop)
}

async fn create_all(space: &Namespace, names: &[String]) -> Result<()> {
    for name in names {
        space.create(&PodTemplate::idle(name)).await?;
    }
    Ok(())
}

async fn delete_all(space: &Namespace, names: &[String]) -> Result<()> {
    for name in names {
        space.delete(name, None).await?;
    }
    Ok(())
}

async fn gone(space: &Namespace, names: &[String]) -> Result<()> {
    eventually("the pods to go", inventory::SETTLING, async || {
        let left = space.pods().list(&ListParams::default()).await?.items;
        let left: Vec<_> = left.iter().map(Pod::name_any).filter(|name| names.contains(name)).collect();
        holds(left.is_empty(), || format!("there are still {left:?}"))
    })
    .await
}

/// 200 pods with a KuryrPort each: some run, and the others are bound to nodes whose kubelets stand still, because 200 containers
/// are too many for this machine. The kubelets wake up to find them all deleted.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_with_200_pods_goes_by_itself() -> Result<()> {
    const RUNNING: usize = 12;
    const PODS: usize = 200;
    let cluster = Cluster::attach().await?;
    let space = cluster.namespace("many").await?;
    let running: Vec<_> = (0..RUNNING).map(|i| format!("running{i}")).collect();
    create_all(&space, &running).await?;
    for name in &running {
        space.ready(name).await?;
    }
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(cluster.client.clone());
    let parts = ["kubelet@node1", "kubelet@node2"];
    for part in parts {
        cluster.lab.pause(part)?;
    }
    let outcome = async {
        for i in RUNNING..PODS {
            let (name, node) = (format!("bound{i}"), format!("node{}", 1 + i % 2));
            let mut spec = PodTemplate::idle(&name).spec();
            spec["nodeName"] = json!(node);
            let pod = serde_json::from_value(json!({ "metadata": { "name": name }, "spec": spec }))?;
            space.pods().create(&PostParams::default(), &pod).await?;
        }
        eventually("200 KuryrPorts", inventory::SETTLING, async || {
            let claims = cluster.api::<KuryrPort>(&space.name).list(&ListParams::default()).await?.items.len();
            holds(claims == PODS, || format!("{claims}"))
        })
        .await?;
        namespaces.delete(&space.name, &DeleteParams::default()).await.context("deleting the namespace").map(drop)
    }
    .await;
    for part in parts {
        cluster.lab.resume(part)?;
    }
    outcome?;
    eventually("the namespace to go", MANY_PODS, async || {
        let there = namespaces.get_opt(&space.name).await?;
        holds(there.is_none(), || format!("{:?}", there.and_then(|n| n.status).and_then(|s| s.conditions)))
    })
    .await?;
    let inventory = eventually("everything to be given back", MANY_PODS, async || {
        let inventory = Inventory::take(&cluster).await?;
        inventory.agrees()?;
        Ok(inventory)
    })
    .await?;
    ensure!(inventory.claims.iter().all(|c| c.namespace().as_deref() != Some(&space.name)), "a KuryrPort is left");
    for node in cluster.nodes() {
        ready(&cluster, &node).await?;
    }
    Ok(())
}
