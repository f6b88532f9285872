//! The floor: what a port costs without Kuryr and without Kubernetes. One POST, one plug, one wait for the dataplane, each
//! by plain calls (`ip`, `ovs-vsctl`).

use crate::Cluster;
use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use kuryr_core::names::DEVICE_OWNER;
use kuryr_lab::{
    engine::{node_name, node_netns},
    openstack,
};
use kuryr_openstack::neutron::{NewPort, Port, SubnetId};
use std::time::{Duration, Instant};

/// Times of one round.
pub struct Floor {
    /// Of each port, from the request until packets can flow.
    pub each: Vec<Duration>,
    /// From the first request until packets can flow on all.
    pub all: Duration,
    /// Until all are unplugged and deleted again.
    pub gone: Duration,
}

/// Makes `count` ports at once, in turn on the nodes, and takes them away again.
///
/// # Errors
/// When a step fails.
pub async fn round(cluster: &Cluster, contents: &openstack::Cloud, count: usize) -> Result<Floor> {
    let nodes: Vec<u32> = cluster.lab.nodes().collect();
    let start = Instant::now();
    let made = try_join_all((0..count).map(|i| async move {
        let node = nodes_at(cluster, i);
        let begin = Instant::now();
        let port = create(cluster, contents, node).await?;
        plug(cluster, node, &port).await?;
        anyhow::Ok((node, port, begin.elapsed()))
    }))
    .await?;
    ensure!(!nodes.is_empty(), "the lab has no node");
    let all = start.elapsed();
    let leaving = Instant::now();
    try_join_all(made.iter().map(|(node, port, _)| async move {
        unplug(cluster, *node, port).await?;
        cluster.cloud.neutron().delete_port(&port.id).await.context("deleting the floor's port")
    }))
    .await?;
    Ok(Floor { each: made.into_iter().map(|(_, _, took)| took).collect(), all, gone: leaving.elapsed() })
}

fn nodes_at(cluster: &Cluster, index: usize) -> u32 {
    let nodes = cluster.lab.options().nodes;
    u32::try_from(index).unwrap_or_default() % nodes + 1
}

async fn create(cluster: &Cluster, contents: &openstack::Cloud, node: u32) -> Result<Port> {
    let subnets = contents.pod_subnets.iter();
    let new = NewPort {
        name: Some("floor".to_owned()),
        device_owner: Some(DEVICE_OWNER.to_owned()),
        host_id: Some(node_name(node)),
        fixed_ips: Some(subnets.map(|id| SubnetId::from(id.as_str()).into()).collect()),
        security_groups: Some(vec![contents.pod_security_group.as_str().into()]),
        ..NewPort::on(contents.pod_network.as_str().into())
    };
    cluster.cloud.neutron().create_port(&new).await.context("creating the floor's port")
}

/// One veth into the bridge, as any integration would do it, then the wait for OVN.
async fn plug(cluster: &Cluster, node: u32, port: &Port) -> Result<()> {
    let (device, mac) = (device(port), port.mac_address.context("the port has no MAC address")?);
    let script = format!(
        "ip link add {device} type veth peer name {device}p address {mac} && ip link set {device} up && ip link set {device}p up"
    );
    shell(cluster, node, &script).await?;
    vsctl(
        cluster,
        node,
        &[
            "add-port",
            "br-int",
            &device,
            "--",
            "set",
            "Interface",
            &device,
            &format!("external_ids:iface-id={}", port.id),
            &format!("external_ids:attached-mac=\"{mac}\""),
        ],
    )
    .await?;
    vsctl(cluster, node, &["wait-until", "Interface", &device, "external_ids:ovn-installed=\"true\""]).await
}

async fn unplug(cluster: &Cluster, node: u32, port: &Port) -> Result<()> {
    let device = device(port);
    vsctl(cluster, node, &["del-port", "br-int", &device]).await?;
    shell(cluster, node, &format!("ip link del {device}")).await
}

fn device(port: &Port) -> String {
    port.id
        .to_string()
        .chars()
        .filter(char::is_ascii_hexdigit)
        .take(10)
        .fold("flo".to_owned(), |name, c| name + &c.to_string())
}

async fn shell(cluster: &Cluster, node: u32, script: &str) -> Result<()> {
    let mut command = cluster.lab.command(Some(&node_netns(node)), "sh");
    command.args(["-c", script]);
    run(command, script).await
}

async fn vsctl(cluster: &Cluster, node: u32, args: &[&str]) -> Result<()> {
    cluster.vsctl(node, args).await.map(drop)
}

async fn run(command: std::process::Command, what: &str) -> Result<()> {
    let output = tokio::process::Command::from(command).output().await.with_context(|| format!("starting `{what}`"))?;
    ensure!(output.status.success(), "`{what}`: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
