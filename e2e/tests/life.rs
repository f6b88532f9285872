//! How pods end: whatever ends them, they keep their network until their sandbox is gone, give their port back then, and nobody
//! has to edit a finalizer.

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};
use kube::{
    ResourceExt,
    api::{EvictParams, ListParams, LogParams, PostParams},
};
use kuryr_api::{KuryrPoolPort, KuryrPort};
use kuryr_core::names::INTERFACE_FINALIZER;
use kuryr_e2e::{
    Cluster, PodTemplate, inventory,
    traffic::{self, From},
    wait::{eventually, holds},
    workload::{HTTP_PORT, Namespace, POD_PATIENCE, addresses},
};
use serde_json::json;
use std::{collections::BTreeSet, net::IpAddr};

/// The parts of a node that has fallen silent: nobody there does or tells anything, and its pods go on.
const NODE1: [&str; 2] = ["kubelet@node1", "kuryr-daemon@node1"];

/// Stops these parts in their tracks while `meanwhile` happens, then lets them go on, whatever the outcome.
async fn while_paused<T>(cluster: &Cluster, parts: &[&str], meanwhile: impl Future<Output = Result<T>>) -> Result<T> {
    let mut outcome = Ok(());
    for part in parts {
        outcome = outcome.and_then(|()| cluster.lab.pause(part));
    }
    let outcome = match outcome {
        Ok(()) => meanwhile.await,
        Err(error) => Err(error),
    };
    for part in parts {
        cluster.lab.resume(part)?;
    }
    outcome
}

/// The KuryrPort of a pod, by the pod's uid.
async fn claim_of(cluster: &Cluster, space: &Namespace, uid: &str) -> Result<Option<KuryrPort>> {
    let all = cluster.api::<KuryrPort>(&space.name).list(&ListParams::default()).await?.items;
    Ok(all.into_iter().find(|claim| claim.spec.pod_uid == uid))
}

/// Waits until a pod's KuryrPort has gone.
async fn claim_gone(cluster: &Cluster, space: &Namespace, uid: &str) -> Result<()> {
    eventually("the KuryrPort to go", POD_PATIENCE, async || {
        let claim = claim_of(cluster, space, uid).await?;
        holds(claim.is_none(), || format!("it is still there: {:?}", claim.map(|c| c.metadata)))
    })
    .await
}

/// Waits until a pod's KuryrPort is being deleted. Its node's word must then be outstanding.
async fn claim_awaits_its_node(cluster: &Cluster, space: &Namespace, uid: &str) -> Result<KuryrPort> {
    eventually("the KuryrPort to be deleted", POD_PATIENCE, async || {
        let claim = claim_of(cluster, space, uid).await?.context("it has gone, and nobody asked its node")?;
        holds(claim.metadata.deletion_timestamp.is_some(), || "it isn't being deleted".to_owned())?;
        holds(claim.finalizers().iter().any(|f| f == INTERFACE_FINALIZER), || {
            "its node's finalizer is off".to_owned()
        })?;
        Ok(claim)
    })
    .await
}

/// The port that a claim holds.
async fn port_of(cluster: &Cluster, claim: &KuryrPort) -> Result<KuryrPoolPort> {
    let all = kube::Api::<KuryrPoolPort>::all(cluster.client.clone()).list(&ListParams::default()).await?.items;
    let uid = claim.uid();
    let held =
        all.into_iter().find(|p| p.spec.claim_ref.as_ref().is_some_and(|holder| Some(&holder.uid) == uid.as_ref()));
    held.with_context(|| format!("no port is claimed by {}", claim.name_any()))
}

/// A pod talks to another one all the time; its deletion, its `preStop` hook and SIGTERM don't cut a word of it. What it says is
/// numbered, and the other one writes down what it hears.
#[tokio::test(flavor = "multi_thread")]
async fn packets_pass_until_the_grace_period_is_over() -> Result<()> {
    const GRACE: i64 = 15;
    let cluster = Cluster::attach().await?;
    let space = cluster.namespace("grace").await?;
    let peer = space.run(&PodTemplate::server("peer").on("node2")).await?;
    let ip = *addresses(&peer).iter().find(|ip| ip.is_ipv4()).context("no IPv4 address")?;
    let script = format!(
        r#"trap '' TERM; i=0
           while true; do
             i=$((i+1)); printf "GET /echo?msg=tick-$i- HTTP/1.0\r\n\r\n" | nc -w 2 {ip} {HTTP_PORT} >/dev/null; sleep 0.3
           done"#
    );
    let mut spec = PodTemplate::idle("talker").command(&["sh", "-c", &script]).on("node1").grace(GRACE).spec();
    spec["containers"][0]["lifecycle"] = json!({ "preStop": { "exec": { "command": ["sleep", "5"] } } });
    let talker: Pod = serde_json::from_value(json!({ "metadata": { "name": "talker" }, "spec": spec }))?;
    space.pods().create(&PostParams::default(), &talker).await?;
    let uid = space.ready("talker").await?.uid().context("no uid")?;
    let heard = async || ticks(&space).await;
    eventually("the first words", POD_PATIENCE, async || {
        let heard = heard().await?;
        holds(heard.len() > 2, || format!("{heard:?}"))
    })
    .await?;
    space.delete("talker", None).await?;
    let asked = Timestamp::now();
    eventually("the talker to go", POD_PATIENCE, async || {
        let there = space.pods().get_opt("talker").await?;
        holds(there.is_none(), || "it is there".to_owned())
    })
    .await?;
    let all = heard().await?;
    let missing: Vec<_> = (1..).zip(&all).filter(|(i, (tick, _))| i != tick).take(1).collect();
    ensure!(missing.is_empty(), "a word was lost, at {missing:?} of {} words", all.len());
    let last = all.last().context("nothing was heard")?.1;
    let until = asked + SignedDuration::from_secs(GRACE - 2);
    ensure!(last > until, "the last word was heard at {last}, before {until}");
    claim_gone(&cluster, &space, &uid).await?;
    space.remove().await?;
    inventory::settled(&cluster).await.map(drop)
}

/// What the peer has heard: numbers, and when.
async fn ticks(space: &Namespace) -> Result<Vec<(u64, Timestamp)>> {
    let log = space.pods().logs("peer", &LogParams { timestamps: true, ..LogParams::default() }).await?;
    let tick = |line: &str| {
        let (at, rest) = line.split_once(' ')?;
        let number = rest.split_once("msg=tick-")?.1.split_once('-')?.0;
        Some((number.parse().ok()?, at.parse().ok()?))
    };
    Ok(log.lines().filter_map(tick).collect())
}

/// Force-deleted: the API forgets the pod at once, but its sandbox lives on its silent node, and so does its address.
#[tokio::test(flavor = "multi_thread")]
async fn a_force_deleted_pods_address_waits_for_its_nodes_word() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let space = cluster.namespace("force").await?;
    let victim = space.run(&PodTemplate::idle("victim").on("node1").grace(30)).await?;
    let (uid, old) = (victim.uid().context("no uid")?, addresses(&victim));
    let others: Vec<_> = (0..8).map(|i| format!("other{i}")).collect();
    while_paused(&cluster, &["kubelet@node1"], async {
        space.delete("victim", Some(0)).await?;
        let claim = claim_awaits_its_node(&cluster, &space, &uid).await?;
        // Claims on the same node, which its free ports and cool-down would serve first, and on the other one.
        for (i, name) in others.iter().enumerate() {
            space.create(&PodTemplate::idle(name).on(if i % 2 == 0 { "node1" } else { "node2" })).await?;
        }
        let mut given: BTreeSet<IpAddr> = BTreeSet::new();
        for name in &others {
            given.extend(allocated(&cluster, &space, name).await?);
        }
        ensure!(given.is_disjoint(&old.iter().copied().collect()), "{old:?} was given to another pod: {given:?}");
        claim_awaits_its_node(&cluster, &space, &uid).await?;
        port_of(&cluster, &claim).await.context("its port was released before the node said so")?;
        // It is forgotten, but it runs.
        traffic::ping(&cluster, &From::node("node2"), *old.first().context("no address")?, 84).await
    })
    .await?;
    claim_gone(&cluster, &space, &uid).await?;
    for name in &others {
        space.ready(name).await?;
    }
    space.remove().await?;
    inventory::settled(&cluster).await.map(drop)
}

/// Waits until a pod has its addresses, running or not.
async fn allocated(cluster: &Cluster, space: &Namespace, pod: &str) -> Result<Vec<IpAddr>> {
    let claims = cluster.api::<KuryrPort>(&space.name);
    eventually("the pod's addresses", POD_PATIENCE, async || {
        let claim = claims.list(&ListParams::default()).await?.items.into_iter().find(|c| c.spec.pod_name == pod);
        let interfaces = claim.and_then(|c| c.status).map(|s| s.interfaces).unwrap_or_default();
        holds(!interfaces.is_empty(), || format!("{pod} has none"))?;
        Ok(interfaces.iter().flat_map(|i| &i.addresses).map(|a| a.ip).collect())
    })
    .await
}

/// Pods that have ended give their port back, though their objects stay: completed, failed, and ended by their kubelet, which
/// makes them `Failed` when their time is over (`activeDeadlineSeconds`) in the same way as when it evicts them.
#[tokio::test(flavor = "multi_thread")]
async fn pods_that_have_ended_give_their_ports_back() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let space = cluster.namespace("ended").await?;
    space.create(&PodTemplate::idle("done").command(&["true"]).once()).await?;
    space.create(&PodTemplate::idle("failed").command(&["false"]).once()).await?;
    let mut spec = PodTemplate::idle("late").on("node1").spec();
    spec["activeDeadlineSeconds"] = json!(5);
    let late: Pod = serde_json::from_value(json!({ "metadata": { "name": "late" }, "spec": spec }))?;
    space.pods().create(&PostParams::default(), &late).await?;
    for (name, phase) in [("done", "Succeeded"), ("failed", "Failed"), ("late", "Failed")] {
        let pod = eventually("the pod to end", POD_PATIENCE, async || {
            let pod = space.pods().get(name).await?;
            let now = pod.status.as_ref().and_then(|s| s.phase.clone());
            holds(now.as_deref() == Some(phase), || format!("{name} is {now:?}"))?;
            Ok(pod)
        })
        .await?;
        claim_gone(&cluster, &space, &pod.uid().context("no uid")?).await.with_context(|| name.to_owned())?;
    }
    let inventory = inventory::settled(&cluster).await?;
    ensure!(inventory.claims.iter().all(|c| c.namespace().as_deref() != Some(&space.name)), "a KuryrPort is left");
    ensure!(space.pods().list(&ListParams::default()).await?.items.len() == 3, "a pod's object has gone");
    space.remove().await?;
    inventory::settled(&cluster).await.map(drop)
}

/// Evicted by the API, as `kubectl drain` does.
#[tokio::test(flavor = "multi_thread")]
async fn an_evicted_pod_goes_as_a_deleted_one_does() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let space = cluster.namespace("evicted").await?;
    let pod = space.run(&PodTemplate::idle("drained").grace(3)).await?;
    space.pods().evict("drained", &EvictParams::default()).await?;
    space.empty().await?;
    claim_gone(&cluster, &space, &pod.uid().context("no uid")?).await?;
    space.remove().await?;
    inventory::settled(&cluster).await.map(drop)
}

/// The successor of a StatefulSet's pod starts elsewhere while the old node is silent. It has a port of its own, and the old one
/// stays with the old node until that says something: for ever if need be, which a restarted controller knows as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_stateful_pod_starts_elsewhere_while_its_old_node_is_silent() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let space = cluster.namespace("silent").await?;
    let mut template = PodTemplate::idle("db").spec();
    let name =
        |operator: &str, node: &str| json!({ "key": "kubernetes.io/hostname", "operator": operator, "values": [node] });
    template["affinity"] = json!({ "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [
        { "weight": 100, "preference": { "matchExpressions": [name("In", "node1")] } }
    ] } });
    let set: StatefulSet = serde_json::from_value(json!({
        "metadata": { "name": "db" },
        "spec": {
            "replicas": 1, "serviceName": "db", "selector": { "matchLabels": { "app": "db" } },
            "template": { "metadata": { "labels": { "app": "db" } }, "spec": template },
        },
    }))?;
    cluster.api::<StatefulSet>(&space.name).create(&PostParams::default(), &set).await?;
    eventually("the pod", POD_PATIENCE, async || Ok(space.pods().get("db-0").await?)).await?;
    let old = space.ready("db-0").await?;
    ensure!(node_of(&old) == Some("node1"), "the scheduler chose {:?}", node_of(&old));
    let (uid, ips) = (old.uid().context("no uid")?, addresses(&old));
    while_paused(&cluster, &NODE1, async {
        unreachable(&cluster, "node1").await?;
        space.delete("db-0", Some(0)).await?;
        let new = eventually("the successor", POD_PATIENCE, async || {
            let pod = space.pods().get("db-0").await?;
            holds(pod.uid().as_ref() != Some(&uid) && node_of(&pod) == Some("node2"), || {
                format!("on {:?}", node_of(&pod))
            })
        });
        new.await?;
        let new = space.ready("db-0").await?;
        ensure!(addresses(&new).iter().all(|ip| !ips.contains(ip)), "it has its predecessor's address");
        cluster.lab.restart("kuryr-controller")?;
        let next =
            space.run(&PodTemplate::idle("next").on("node2")).await.context("the controller is at work again")?;
        ensure!(addresses(&next).iter().all(|ip| !ips.contains(ip)), "another pod has the old one's address");
        let claim = claim_awaits_its_node(&cluster, &space, &uid).await?;
        port_of(&cluster, &claim).await.map(drop)
    })
    .await?;
    claim_gone(&cluster, &space, &uid).await.context("the node is back")?;
    reachable(&cluster, "node1").await?;
    space.remove().await?;
    inventory::settled(&cluster).await.map(drop)
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

async fn ready_is(cluster: &Cluster, node: &str, wanted: &str) -> Result<()> {
    let nodes = kube::Api::<k8s_openapi::api::core::v1::Node>::all(cluster.client.clone());
    eventually("the node's condition Ready", inventory::SETTLING, async || {
        let conditions = nodes.get(node).await?.status.and_then(|s| s.conditions).unwrap_or_default();
        let ready = conditions.into_iter().find(|c| c.type_ == "Ready").map(|c| c.status);
        holds(ready.as_deref() == Some(wanted), || format!("{node} is {ready:?}"))
    })
    .await
}

/// Waits until the cluster has noticed that a node is silent.
async fn unreachable(cluster: &Cluster, node: &str) -> Result<()> {
    ready_is(cluster, node, "Unknown").await
}

/// Waits until a node is Ready.
async fn reachable(cluster: &Cluster, node: &str) -> Result<()> {
    ready_is(cluster, node, "True").await
}
