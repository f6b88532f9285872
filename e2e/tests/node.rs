//! What happens to pods when their node does: held ports, static pods, sandboxes made anew, reboots.

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::ListParams};
use kuryr_api::{KuryrPool, KuryrPoolPort, conditions};
use kuryr_e2e::{
    Cluster, PodTemplate, inventory,
    traffic::{self, From},
    wait::{eventually, holds},
    workload::{Namespace, POD_PATIENCE, addresses},
};
use kuryr_lab::{kubernetes, node};
use std::{fs, net::IpAddr, path::Path};

/// The node that things happen to, and the one that looks on.
const NODE: u32 = 1;
const OTHER: &str = "node2";

fn node_name() -> String {
    format!("node{NODE}")
}

/// For how long a port that was released is no use to the next pod: the daemon's rest (`kuryr_daemon::decide_hold::REST`), which
/// is longer than the cool-down.
const REST: SignedDuration = SignedDuration::from_secs(30);

/// The free ports of the node that it says to hold plugged.
async fn held(cluster: &Cluster) -> Result<Vec<KuryrPoolPort>> {
    let ports = Api::<KuryrPoolPort>::all(cluster.client.clone()).list(&ListParams::default()).await?;
    let plugged = |port: &KuryrPoolPort| {
        let said = port.status.as_ref().is_some_and(|s| conditions::is_true(&s.conditions, conditions::PLUGGED));
        port.spec.node_name == node_name() && port.spec.claim_ref.is_none() && said
    };
    Ok(ports.items.into_iter().filter(plugged).collect())
}

/// Waits until the node holds exactly the ports that its pools want, and the dataplane is ready for all of them. Gives their
/// Neutron ids.
///
/// Then a pod that comes gets one of them, whatever was before. Ports that earlier pods have given back are held beside them
/// while they rest: as long as there are such, those that take their place are still to come, or one of both is still to go;
/// and a further port that is given back may find no room.
async fn all_held(cluster: &Cluster) -> Result<Vec<String>> {
    eventually("the free ports to be held, and no others", inventory::SETTLING, async || {
        let pools = Api::<KuryrPool>::all(cluster.client.clone()).list(&ListParams::default()).await?;
        let of_node = pools.iter().filter(|pool| pool.spec.node_name == node_name());
        let wanted: u32 = of_node.filter_map(|pool| Some(pool.status.as_ref()?.to_plug)).sum();
        let held = held(cluster).await?;
        holds(wanted > 0 && held.len() == wanted as usize, || format!("{} ports of {wanted} are held", held.len()))?;
        let now = Timestamp::now();
        let rests =
            |port: &KuryrPoolPort| port.spec.released_at.as_ref().is_some_and(|at| now.duration_since(at.0) < REST);
        holds(!held.iter().any(rests), || "a port that is held was given back just now".to_owned())?;
        let ids: Vec<String> = held.iter().filter_map(|port| port.status.as_ref()?.port_id.clone()).collect();
        for id in &ids {
            let said = interface(cluster, id, "external_ids").await?;
            holds(is_held(&said), || format!("{id}: {said}"))?;
        }
        Ok(ids)
    })
    .await
}

/// Whether the external ids of an interface say that it is held, and that OVN has its flows.
fn is_held(ids: &str) -> bool {
    ids.contains("kuryr-held") && ids.contains("ovn-installed=true")
}

/// The value of a column of the interface with that Neutron port.
async fn interface(cluster: &Cluster, port: &str, column: &str) -> Result<String> {
    let condition = format!("external_ids:iface-id={port}");
    let columns = format!("--columns={column}");
    let found = cluster.vsctl(NODE, &["--bare", &columns, "find", "interface", &condition]).await?;
    Ok(found.trim().to_owned())
}

/// A server without a probe is Ready before it listens.
async fn reaches(cluster: &Cluster, space: &Namespace, name: &str, pod: &Pod) -> Result<()> {
    for ip in addresses(pod) {
        eventually("the pod to answer", POD_PATIENCE, async || {
            let answer = traffic::http(cluster, &From::node(OTHER), ip).await;
            let answer = answer.with_context(|| format!("{}/{name} at {ip}", space.name))?;
            holds(answer.trim() == name, || format!("{ip} is not {name}: {answer}"))
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_pod_takes_a_held_port_and_gives_it_back() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let space = cluster.namespace("held").await?;
    space.run(&PodTemplate::idle("first").on(&node_name())).await?;
    // The row and the switch's number of it: both stay when a pod adopts the interface, and only then.
    let as_it_is = "_uuid,ofport";
    let mut before = Vec::new();
    for port in all_held(&cluster).await? {
        before.push(interface(&cluster, &port, as_it_is).await?);
    }
    let pod = space.run(&PodTemplate::server("second").on(&node_name())).await?;
    reaches(&cluster, &space, "second", &pod).await?;
    let uid = pod.uid().context("a pod without uid")?;
    let condition = format!("external_ids:kuryr-pod-uid={uid}");
    let columns = format!("--columns={as_it_is}");
    let port = cluster.vsctl(NODE, &["--bare", &columns, "find", "interface", &condition]).await?;
    ensure!(before.iter().any(|held| held == port.trim()), "the pod's port {port:?} was not held: {before:?}");
    // Back with it, without Neutron's notice.
    let neutron = cluster.vsctl(NODE, &["--bare", "--columns=external_ids", "find", "interface", &condition]).await?;
    let id =
        neutron.split_whitespace().find_map(|pair| pair.strip_prefix("iface-id=")).context("no iface-id")?.to_owned();
    space.delete("second", None).await?;
    eventually("the port to be held again", POD_PATIENCE, async || {
        let ids = interface(&cluster, &id, "external_ids").await?;
        holds(is_held(&ids), || format!("{id}: {ids}"))
    })
    .await?;
    space.remove().await?;
    inventory::settled(&cluster).await.map(drop)
}

#[tokio::test]
async fn the_daemon_knows_what_it_held_before_it_was_killed() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let space = cluster.namespace("held").await?;
    space.run(&PodTemplate::idle("first").on(&node_name())).await?;
    let ports = all_held(&cluster).await?;
    let mut before = Vec::new();
    for port in &ports {
        before.push(interface(&cluster, port, "_uuid").await?);
    }
    let daemon = format!("kuryr-daemon@{}", node_name());
    cluster.lab.kill(&daemon)?;
    cluster.lab.start(&daemon)?;
    all_held(&cluster).await?;
    for (port, before) in ports.iter().zip(before) {
        let after = interface(&cluster, port, "_uuid").await?;
        ensure!(after == before, "port {port} was connected anew: {before} became {after}");
    }
    space.remove().await?;
    inventory::settled(&cluster).await.map(drop)
}

#[tokio::test]
async fn a_static_pod_has_a_port_and_gives_it_back() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let space = cluster.namespace("static").await?;
    let manifest = kubernetes::static_pods(&cluster.lab, NODE).join("e2e-static.json");
    let outcome = static_pod(&cluster, &space, &manifest).await;
    // The kubelet would run it for ever.
    fs::remove_file(&manifest).with_context(|| format!("removing {}", manifest.display()))?;
    outcome?;
    space.empty().await?;
    inventory::settled(&cluster).await?;
    space.remove().await?;
    inventory::settled(&cluster).await.map(drop)
}

async fn static_pod(cluster: &Cluster, space: &Namespace, manifest: &Path) -> Result<()> {
    fs::write(manifest, PodTemplate::server("static").manifest(&space.name))
        .with_context(|| format!("writing {}", manifest.display()))?;
    let name = format!("static-{}", node_name());
    eventually("the mirror pod", POD_PATIENCE, async || {
        let found = space.pods().get_opt(&name).await?;
        holds(found.is_some(), || format!("no pod {name}"))
    })
    .await?;
    let pod = space.ready(&name).await?;
    reaches(cluster, space, &name, &pod).await?;
    // Who deletes the mirror gets another one, under another uid; the pod itself lives on, and so do its addresses.
    space.delete(&name, Some(0)).await?;
    let mirror = eventually("another mirror pod", POD_PATIENCE, async || {
        let found = space.pods().get_opt(&name).await?;
        found.filter(|found| found.uid() != pod.uid()).with_context(|| format!("no other pod {name}"))
    })
    .await?;
    let again = space.ready(&name).await?;
    ensure!(addresses(&again) == addresses(&pod), "{:?} became {:?}", addresses(&pod), addresses(&again));
    ensure!(mirror.uid() == again.uid(), "the mirror was made more than once");
    reaches(cluster, space, &name, &again).await
}

#[tokio::test]
async fn a_new_sandbox_of_a_living_pod_has_the_same_addresses() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let space = cluster.namespace("sandbox").await?;
    let pod = space.run(&PodTemplate::server("web").on(&node_name())).await?;
    let condition = format!("external_ids:kuryr-pod-uid={}", pod.uid().context("a pod without uid")?);
    let look = async || -> Result<String> {
        let ids = cluster.vsctl(NODE, &["--bare", "--columns=external_ids", "find", "interface", &condition]).await?;
        let netns = ids.split_whitespace().find_map(|pair| pair.strip_prefix("kuryr-netns="));
        netns.map(str::to_owned).with_context(|| format!("no kuryr-netns in {ids}"))
    };
    let sandbox = look().await?;
    let processes = kuryr_lab::engine::netns::processes_at(Path::new(&sandbox))?;
    ensure!(!processes.is_empty(), "nothing runs in {sandbox}");
    let pids: Vec<String> = processes.iter().map(ToString::to_string).collect();
    let killed = std::process::Command::new("kill").arg("-KILL").args(&pids).status()?;
    ensure!(killed.success(), "kill {pids:?}: {killed}");
    eventually("another sandbox", POD_PATIENCE, async || {
        let now = look().await?;
        holds(now != sandbox, || format!("still {sandbox}"))
    })
    .await?;
    let again = space.ready("web").await?;
    ensure!(again.uid() == pod.uid(), "another pod");
    ensure!(addresses(&again) == addresses(&pod), "{:?} became {:?}", addresses(&pod), addresses(&again));
    reaches(&cluster, &space, "web", &again).await?;
    space.remove().await?;
    inventory::settled(&cluster).await.map(drop)
}

#[tokio::test]
async fn pods_come_back_after_a_reboot() -> Result<()> {
    rebooted(false).await
}

#[tokio::test]
async fn pods_come_back_after_a_reboot_that_empties_the_switchs_database() -> Result<()> {
    rebooted(true).await
}

async fn rebooted(empty_database: bool) -> Result<()> {
    let cluster = Cluster::attach().await?;
    let space = cluster.namespace("reboot").await?;
    let names = ["one", "two", "three"];
    let mut before: Vec<Vec<IpAddr>> = Vec::new();
    for name in names {
        before.push(addresses(&space.run(&PodTemplate::server(name).on(&node_name())).await?));
    }
    let lab = cluster.lab.clone();
    tokio::task::spawn_blocking(move || node::reboot(&lab, NODE, empty_database)).await??;
    for (name, before) in names.iter().zip(before) {
        let pod = eventually("the pod to come back", inventory::SETTLING, async || {
            let pod = space.ready(name).await?;
            reaches(&cluster, &space, name, &pod).await?;
            Ok(pod)
        })
        .await?;
        ensure!(addresses(&pod) == before, "{name}: {before:?} became {:?}", addresses(&pod));
    }
    inventory::settled(&cluster).await?;
    space.remove().await?;
    inventory::settled(&cluster).await.map(drop)
}
