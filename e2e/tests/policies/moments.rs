//! No open moment, and no closed one.

use super::{
    case::having,
    chase::Chase,
    stage::{FAMILIES, PROTOCOLS, Stage},
};
use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use kuryr_e2e::{
    PodTemplate,
    policies::{
        knock::Listener,
        objects,
        probe::Outcome::{Open, Silent},
        steady::{Record, Steady},
        table::{Family, Protocol},
    },
    wait::{eventually, holds},
    workload::{Namespace, POD_PATIENCE, addresses},
};
use serde_json::json;
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Instant,
};

/// How many pods start, and how many of them at a time.
const STARTS: u16 = 100;
const AT_A_TIME: u16 = 10;

/// Where pods are knocked at, which nobody serves: who says so has been reached.
const KNOCKED: u16 = 7001;
/// Where they try to get out to.
const OUTSIDE: u16 = 7002;

/// The name of a port of theirs.
const OWN: &str = "own";

/// A pod whose first command is to connect to these addresses: at once, then again and again, soon more slowly.
fn restless(name: &str, node: &str, to: &[IpAddr]) -> PodTemplate {
    let connect = |ip: &IpAddr| format!("nc -w 1 {ip} {OUTSIDE} </dev/null >/dev/null 2>&1 &");
    let connects: String = to.iter().map(connect).collect();
    let script =
        format!("n=0; while :; do {connects} n=$((n+1)); if [ $n -lt 25 ]; then sleep 0.02; else sleep 0.2; fi; done");
    PodTemplate::idle(name).on(node).command(&["sh", "-c", &script])
}

/// Both of a pod that is knocked at from outside and one that tries to get out.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_starts_under_a_policy_is_never_open() -> Result<()> {
    let mut stage = Stage::begin("outside").await?;
    stage.run([("watcher", PodTemplate::server("watcher").on("node1").probed())]).await?;
    let watcher = stage.inside("watcher")?;
    let outside = [stage.ip("watcher", Family::V4)?, stage.ip("watcher", Family::V6)?];
    let listener = Listener::at(&watcher, OUTSIDE).await?;

    // A pod that is open is seen in both ways: so would be the others.
    let free = Chase::begin(&stage.cluster, &stage.space.name, watcher.clone(), KNOCKED);
    stage.run([("free", restless("free", "node2", &outside))]).await?;
    for ip in [stage.ip("free", Family::V4)?, stage.ip("free", Family::V6)?] {
        eventually("an open pod to be seen", POD_PATIENCE, async || {
            holds(free.through(ip) > 0, || format!("{ip} isn't reached"))?;
            holds(listener.came().contains_key(&ip), || format!("{ip} doesn't come"))
        })
        .await?;
    }
    drop(free);

    let closed = closed(&stage).await?;
    let chase = Chase::begin(&stage.cluster, &closed.name, watcher, KNOCKED);
    let begin = Instant::now();
    let ips = start_all(&stage, &closed, &chase, &outside).await?;
    println!("{STARTS} starts in {:.1} s, {} addresses", begin.elapsed().as_secs_f32(), ips.len());
    let reached: Vec<_> = ips.iter().map(|ip| (ip, chase.through(*ip))).filter(|(_, times)| *times > 0).collect();
    let came: Vec<_> = listener.came().into_iter().filter(|(ip, _)| ips.contains(ip)).collect();
    ensure!(reached.is_empty(), "{} addresses were reached, so often: {reached:?}", reached.len());
    ensure!(came.is_empty(), "{} addresses got out, so often: {came:?}", came.len());
    drop(chase);
    closed.remove().await?;
    stage.end().await
}

/// A namespace whose policy is in force for a pod: so it must be for others that come, from their first moment.
async fn closed(stage: &Stage) -> Result<Namespace> {
    let space = stage.cluster.namespace("closed").await?;
    // It opens nothing. But pods whose port of this name has other numbers may need other groups, which aren't there yet.
    let rule = json!({ "from": peers(&["nobody"]), "ports": [{ "port": OWN }] });
    let spec = json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [rule] });
    objects::create(&stage.cluster, &space.name, "nothing", &spec).await?;
    for ip in addresses(&space.run(&PodTemplate::idle("first").on("node2")).await?) {
        stage.is(Silent, "watcher", Protocol::Tcp, SocketAddr::new(ip, KNOCKED)).await?;
    }
    Ok(space)
}

/// Starts pods, some at a time; gives all the addresses that they had. Those that come later may have those of earlier ones.
async fn start_all(stage: &Stage, space: &Namespace, chase: &Chase, to: &[IpAddr]) -> Result<BTreeSet<IpAddr>> {
    let nodes = stage.cluster.nodes();
    let mut all = BTreeSet::new();
    for batch in 0..STARTS / AT_A_TIME {
        let names: Vec<_> = (0..AT_A_TIME).map(|nth| format!("pod-{batch}-{nth}")).collect();
        let started = names.iter().enumerate().map(|(nth, name)| {
            let template = restless(name, &nodes[nth % nodes.len()], to);
            // Most of a batch have a number of their own for the port that the policy names, and two have no such port.
            let template = if nth < 2 { template } else { template.port(OWN, "TCP", 8000 + batch) };
            async move { space.run(&template).await }
        });
        let ips: Vec<_> = try_join_all(started).await?.iter().flat_map(addresses).collect();
        chase.has_knocked(&ips).await?;
        all.extend(ips);
        // The next ones start while these go. Not by force: a pod that Kubernetes has forgotten is nobody that a policy selects, though
        // it may run for a while.
        try_join_all(names.iter().map(|name| space.delete(name, None))).await?;
    }
    Ok(all)
}

/// What is allowed before and after a change is allowed in between.
#[tokio::test(flavor = "multi_thread")]
async fn what_stays_allowed_is_never_closed() -> Result<()> {
    let mut stage = Stage::begin("steady").await?;
    let server = |name: &str, node: &str| PodTemplate::server(name).on(node).probed();
    stage
        .run([
            ("client", server("client", "node1")),
            ("server", server("server", "node2")),
            ("other", server("other", "node1")),
            ("third", server("third", "node2")),
        ])
        .await?;
    stage.policy("in", allow_in("server", &["client", "third"])).await?;
    stage.policy("out", allow_out("client", &["server", "third"])).await?;
    stage.pod_is(Silent, "other", "server").await?;
    stage.pod_is(Silent, "client", "other").await?;
    stage.pod_is(Open, "client", "server").await?;

    let client = stage.inside("client")?;
    let mut clients = Vec::new();
    for protocol in PROTOCOLS {
        for family in FAMILIES {
            clients.push(Steady::begin(&client, protocol, stage.server("server", protocol, family)?));
        }
    }
    let changed = change_all(&stage).await;
    let mut records = Vec::new();
    for client in clients {
        records.push(client.end().await?);
    }
    changed?;
    judge(&records)?;
    stage.end().await
}

fn judge(records: &[Record]) -> Result<()> {
    let mut closed = Vec::new();
    for record in records {
        let (protocol, at, gaps) = (record.protocol.as_str(), record.at, record.gaps());
        println!("{at} over {protocol}: {} attempts, {} lost, {gaps:?}", record.attempts.len(), record.lost());
        ensure!(record.attempts.len() > 100, "there were hardly any attempts");
        closed.extend(gaps.into_iter().map(|gap| format!("{at} over {protocol}: {gap:?}")));
    }
    ensure!(closed.is_empty(), "it was closed for a moment: {closed:?}");
    Ok(())
}

/// A policy for the ingress of one pod, from some others by their names.
fn allow_in(pod: &str, from: &[&str]) -> serde_json::Value {
    json!({ "podSelector": having("app", pod), "policyTypes": ["Ingress"], "ingress": [{ "from": peers(from) }] })
}

fn allow_out(pod: &str, to: &[&str]) -> serde_json::Value {
    json!({ "podSelector": having("app", pod), "policyTypes": ["Egress"], "egress": [{ "to": peers(to) }] })
}

fn peers(names: &[&str]) -> Vec<serde_json::Value> {
    names.iter().map(|name| json!({ "podSelector": having("app", name) })).collect()
}

/// Changes that all leave `client` its way to `server`. Each has been followed when some other way tells so.
async fn change_all(stage: &Stage) -> Result<()> {
    policies_of_others(stage).await.context("policies of other pods")?;
    policies_that_also_allow(stage).await.context("policies that also allow it")?;
    what_isnt_meant(stage).await.context("labels and pods")
}

async fn policies_of_others(stage: &Stage) -> Result<()> {
    for _ in 0..3 {
        stage.policy("others", allow_in("other", &["client"])).await?;
        stage.pod_is(Silent, "server", "other").await?;
        stage.change("others", allow_in("other", &["server", "third"])).await?;
        stage.pod_is(Open, "server", "other").await?;
        stage.change("others", allow_in("other", &[])).await?;
        stage.pod_is(Open, "server", "other").await.context("a rule without peers")?;
        stage.change("others", allow_in("other", &["client", "third"])).await?;
        stage.pod_is(Silent, "server", "other").await?;
        stage.delete("others").await?;
        stage.pod_is(Open, "server", "other").await?;
    }
    Ok(())
}

/// First beside what allows it already, then instead of it.
async fn policies_that_also_allow(stage: &Stage) -> Result<()> {
    stage.policy("also-in", allow_in("server", &["other"])).await?;
    stage.pod_is(Open, "other", "server").await?;
    let at_tcp = |mut spec: serde_json::Value| {
        spec["ingress"][0]["ports"] = json!([{ "protocol": "TCP" }]);
        spec
    };
    stage.change("also-in", at_tcp(allow_in("server", &["other", "client"]))).await?;
    stage.protocol_is(Silent, "other", "server", Protocol::Udp).await?;
    stage.change("also-in", allow_in("server", &["other", "client"])).await?;
    stage.pod_is(Open, "other", "server").await?;
    stage.delete("in").await?;
    stage.pod_is(Silent, "third", "server").await.context("the first policy has gone")?;

    stage.policy("also-out", allow_out("client", &["other", "server"])).await?;
    stage.pod_is(Open, "client", "other").await?;
    stage.delete("out").await?;
    stage.pod_is(Silent, "client", "third").await.context("the first policy has gone")?;
    // And back.
    stage.policy("in", allow_in("server", &["client", "third"])).await?;
    stage.pod_is(Open, "third", "server").await?;
    stage.delete("also-in").await?;
    stage.pod_is(Silent, "other", "server").await
}

/// Labels that no policy means, and pods that come and go.
async fn what_isnt_meant(stage: &Stage) -> Result<()> {
    for value in [Some("red"), Some("blue"), None] {
        stage.label("server", "colour", value).await?;
        stage.label("client", "colour", value).await?;
    }
    // A peer of the policy loses the label by which it is one, and gets it back.
    stage.label("third", "app", Some("fourth")).await?;
    stage.pod_is(Silent, "third", "server").await?;
    stage.label("third", "app", Some("third")).await?;
    stage.pod_is(Open, "third", "server").await?;
    // As many peers as one address group has members come and go.
    for nth in 0..3 {
        let name = format!("passer-by-{nth}");
        stage.space.run(&PodTemplate::idle(&name).on("node2").label("app", "third")).await?;
        stage.space.delete(&name, None).await?;
    }
    objects::label_namespace(&stage.cluster, &stage.space.name, "colour", Some("green")).await
}
