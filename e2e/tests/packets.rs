//! What packets do: pods on the same node and on different ones, hosts, both address families, security groups.

use anyhow::{Context, Result, ensure};
use kuryr_e2e::{
    Cluster, PodTemplate, inventory,
    traffic::{self, From},
    wait::eventually,
    workload::{POD_PATIENCE, addresses},
};
use kuryr_openstack::neutron::{PortUpdate, SecurityGroupQuery};
use std::net::{IpAddr, SocketAddr};

/// MTU of the lab's pod networks: 1500 less Geneve's headers.
const MTU: u32 = 1442;

#[tokio::test(flavor = "multi_thread")]
async fn pods_reach_each_other_and_their_hosts() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let space = cluster.namespace("packets").await?;
    for (name, node) in [("a", "node1"), ("b", "node1"), ("c", "node2")] {
        space.create(&PodTemplate::server(name).on(node).probed()).await?;
    }
    let a = From::pod(&space.name, "a");
    for name in ["a", "b", "c"] {
        let pod = space.ready(name).await.context("a pod with a readiness probe, which its node's kubelet sends")?;
        let ips = addresses(&pod);
        ensure!(ips.iter().any(IpAddr::is_ipv4) && ips.iter().any(IpAddr::is_ipv6), "{name} has {ips:?} only");
        if name == "a" {
            continue;
        }
        for ip in ips {
            traffic::ping(&cluster, &a, ip, 84).await?;
            traffic::ping(&cluster, &a, ip, MTU).await?;
            ensure!(traffic::http(&cluster, &a, ip).await? == name);
            traffic::bulk(&cluster, &a, ip).await?;
            traffic::udp(&cluster, &a, ip, name).await?;
            for node in cluster.nodes() {
                let host = From::node(&node);
                traffic::ping(&cluster, &host, ip, 84).await?;
                ensure!(traffic::http(&cluster, &host, ip).await? == name, "{node} to {name}");
            }
        }
    }
    space.remove().await?;
    inventory::settled(&cluster).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_reach_their_node_the_api_server_and_dns() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let space = cluster.namespace("outwards").await?;
    for node in cluster.nodes() {
        let name = format!("on-{node}");
        space.run(&PodTemplate::server(&name).on(&node)).await?;
        let pod = From::pod(&space.name, &name);
        for ip in node_port_addresses(&cluster, &node).await? {
            traffic::ping(&cluster, &pod, ip, 84).await.context("a pod to its host")?;
        }
        traffic::connect(&cluster, &pod, SocketAddr::new("10.96.0.1".parse()?, 443)).await.context("the API server")?;
        let answer = cluster.shell(&pod, "nslookup kubernetes.default.svc.cluster.local 10.96.0.10").await?;
        ensure!(answer.contains("10.96.0.1"), "DNS answered {answer}");
    }
    space.remove().await
}

/// Neutron gives addresses of deleted ports away again: hosts that talked to the old port know its MAC address.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_packets_reach_a_new_pod_with_an_old_pods_address() -> Result<()> {
    const DEVICE: &str = "kuryr0";
    let cluster = Cluster::attach().await?;
    let space = cluster.namespace("successors").await?;
    // Its pool has free ports from now on: the next pod gets one of them.
    space.run(&PodTemplate::idle("first").on("node2")).await?;
    let free =
        eventually("a free port on node2", POD_PATIENCE, async || free_addresses(&cluster, "node2").await).await?;
    for node in cluster.nodes() {
        let host = From::node(&node);
        for ip in &free {
            let wrong = format!("/sbin/ip neigh replace {ip} lladdr fa:16:3e:ff:ff:ff nud stale dev {DEVICE}");
            cluster.shell(&host, &wrong).await?;
        }
    }
    let pod = space.run(&PodTemplate::idle("successor").on("node2")).await?;
    let reached = async {
        for ip in addresses(&pod) {
            ensure!(free.contains(&ip), "the pod has {ip}, which was not free before: {free:?}");
            for node in cluster.nodes() {
                traffic::ping(&cluster, &From::node(&node), ip, 84).await?;
            }
        }
        Ok(())
    };
    let reached = reached.await;
    // The other free ports' addresses are wrong, too: whatever came of it, the next tests don't meet them.
    for node in cluster.nodes() {
        cluster.shell(&From::node(&node), &format!("/sbin/ip neigh flush dev {DEVICE}")).await?;
    }
    reached?;
    space.remove().await
}

/// A pod in its node's own network reaches pods of every node: by the node port.
#[tokio::test(flavor = "multi_thread")]
async fn host_network_pods_have_no_port_and_reach_pods() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let space = cluster.namespace("hosts").await?;
    let before = inventory::settled(&cluster).await?.claims.len();
    space.run(&PodTemplate::idle("host").on("node1").on_host_network()).await?;
    ensure!(inventory::settled(&cluster).await?.claims.len() == before, "a hostNetwork pod has a KuryrPort");
    let host = From::pod(&space.name, "host");
    for node in cluster.nodes() {
        let name = format!("target-{node}");
        let target = space.run(&PodTemplate::server(&name).on(&node).probed()).await?;
        for ip in addresses(&target) {
            ensure!(traffic::http(&cluster, &host, ip).await? == name);
        }
    }
    space.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_security_group_blocks() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let space = cluster.namespace("groups").await?;
    space.create(&PodTemplate::server("asker").on("node1").probed()).await?;
    space.create(&PodTemplate::server("closed").on("node2").probed()).await?;
    let asker = From::pod(&space.name, "asker");
    space.ready("asker").await?;
    let pod = space.ready("closed").await?;
    let ip = *addresses(&pod).first().context("the pod has no address")?;
    traffic::http(&cluster, &asker, ip).await.context("before")?;

    let neutron = cluster.cloud.neutron();
    let query = SecurityGroupQuery { names: vec!["kuryr-closed".to_owned()], ..Default::default() };
    let group = neutron.list_security_groups(&query).await?.pop().context("the lab has no group kuryr-closed")?;
    let inventory = inventory::Inventory::take(&cluster).await?;
    let port = inventory.neutron.iter().find(|p| p.fixed_ips.iter().any(|f| f.ip_address == ip));
    let port = port.context("the pod's Neutron port")?;
    let closed = PortUpdate { security_groups: Some(vec![group.id]), ..Default::default() };
    neutron.update_port(&port.id, &closed).await?;
    eventually("the closed group to block", POD_PATIENCE, async || {
        ensure!(traffic::http(&cluster, &asker, ip).await.is_err(), "it still answers");
        Ok(())
    })
    .await?;
    let open = PortUpdate { security_groups: Some(port.security_groups.clone()), ..Default::default() };
    neutron.update_port(&port.id, &open).await?;
    eventually("the open group to let through", POD_PATIENCE, async || traffic::http(&cluster, &asker, ip).await)
        .await?;
    space.remove().await
}

/// The addresses of the ports that a node's next pod may get.
async fn free_addresses(cluster: &Cluster, node: &str) -> Result<Vec<IpAddr>> {
    let inventory = inventory::Inventory::take(cluster).await?;
    let ports = inventory.free().filter(|port| port.spec.node_name == node).filter_map(|port| port.status.as_ref());
    let addresses: Vec<_> = ports.flat_map(|status| &status.addresses).map(|address| address.ip).collect();
    ensure!(!addresses.is_empty(), "{node} has no free port");
    Ok(addresses)
}

async fn node_port_addresses(cluster: &Cluster, node: &str) -> Result<Vec<IpAddr>> {
    let ports = inventory::Inventory::take(cluster).await?.ports;
    let of_node = ports
        .iter()
        .find(|p| p.spec.claim_ref.as_ref().is_some_and(|c| c.kind == kuryr_api::ClaimKind::Node && c.name == node));
    let status = of_node.and_then(|p| p.status.as_ref()).with_context(|| format!("{node} has no port"))?;
    Ok(status.addresses.iter().map(|a| a.ip).collect())
}
