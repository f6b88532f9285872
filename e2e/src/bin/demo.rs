//! What `cargo xtask demo` shows once the lab is up: pods on both nodes, their Neutron ports, and packets.

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kuryr_e2e::{
    Cluster, PodTemplate,
    inventory::{self, Inventory},
    traffic::{self, From},
    wait::eventually,
    workload::{Namespace, POD_PATIENCE, addresses},
};
use kuryr_openstack::neutron::{Port, PortUpdate, SecurityGroupQuery};
use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// MTU of the lab's pod networks: 1500 less Geneve's headers.
const MTU: u32 = 1442;

#[tokio::main]
async fn main() -> Result<()> {
    let start = Instant::now();
    let cluster = Cluster::attach().await?;
    let mut show = Show::default();

    show.title("Pods on both nodes");
    let space = cluster.namespace("demo").await?;
    let pods = start_pods(&cluster, &mut show, &space).await?;

    show.title("Each pod's KuryrPort and Neutron port, side by side");
    let ports = table(&cluster, &space).await?;

    show.title("Packets");
    packets(&cluster, &mut show, &space, &pods).await?;

    show.title("A Neutron security group decides");
    group_blocks(&cluster, &mut show, &space, &pods, &ports).await?;

    show.title("The pods go, and nothing is left");
    leave(&cluster, &mut show, space).await?;

    show.summary(start.elapsed())
}

/// Prints what happens, and remembers what failed.
#[derive(Default)]
struct Show {
    passed: usize,
    failed: Vec<String>,
}

impl Show {
    fn title(&self, text: &str) {
        println!("\n\x1b[1m{text}\x1b[0m");
    }

    fn line(&mut self, what: &str, took: Duration, outcome: Result<()>) {
        match outcome {
            Ok(()) => {
                self.passed += 1;
                println!("  \x1b[32m✓\x1b[0m {what:<66} {:>7.2} s", took.as_secs_f64());
            }
            Err(error) => {
                self.failed.push(what.to_owned());
                println!("  \x1b[31m✗\x1b[0m {what}\n      {error:#}");
            }
        }
    }

    async fn check(&mut self, what: &str, work: impl Future<Output = Result<()>>) {
        let start = Instant::now();
        let outcome = work.await;
        self.line(what, start.elapsed(), outcome);
    }

    fn summary(&self, took: Duration) -> Result<()> {
        println!(
            "\n\x1b[1m{} of {} shown\x1b[0m in {:.0} s",
            self.passed,
            self.passed + self.failed.len(),
            took.as_secs_f64()
        );
        if self.failed.is_empty() {
            return Ok(());
        }
        bail!("this did not work: {}", self.failed.join("; "))
    }
}

/// Three servers with readiness probes: two on one node, one on the other.
async fn start_pods(cluster: &Cluster, show: &mut Show, space: &Namespace) -> Result<Vec<Pod>> {
    let nodes = cluster.nodes();
    let other = nodes.get(1).unwrap_or(&nodes[0]);
    let start = Instant::now();
    for (name, node) in [("web-1", &nodes[0]), ("web-2", &nodes[0]), ("web-3", other)] {
        space.create(&PodTemplate::server(name).on(node).probed()).await?;
    }
    let mut pods = Vec::new();
    for name in ["web-1", "web-2", "web-3"] {
        let pod = space.ready(name).await?;
        let node = pod.spec.as_ref().and_then(|s| s.node_name.clone()).unwrap_or_default();
        show.line(&format!("{name} is Ready on {node}: its kubelet's probe reaches it"), start.elapsed(), Ok(()));
        pods.push(pod);
    }
    Ok(pods)
}

/// One row a pod. Returns the Neutron ports in the order of the KuryrPorts.
async fn table(cluster: &Cluster, space: &Namespace) -> Result<Vec<Port>> {
    let inventory = inventory::settled(cluster).await?;
    println!("  {:<8}{:<18}{:<8}{:<38}{:<8}ADDRESSES", "POD", "KURYRPORT", "NODE", "NEUTRON PORT", "STATUS");
    let mut ports = Vec::new();
    for claim in inventory.claims.iter().filter(|c| c.namespace().as_deref() == Some(&space.name)) {
        let interface = claim.status.as_ref().and_then(|s| s.interfaces.first()).context("no interface")?;
        let port = inventory.neutron.iter().find(|p| p.id.to_string() == interface.port_id);
        let port = port.with_context(|| format!("Neutron has no port {}", interface.port_id))?;
        let ips: Vec<_> = port.fixed_ips.iter().map(|f| f.ip_address.to_string()).collect();
        println!(
            "  {:<8}{:<18}{:<8}{:<38}{:<8}{}",
            claim.spec.pod_name,
            claim.name_any(),
            port.host_id.as_deref().unwrap_or("?"),
            port.id.to_string(),
            port.status.to_string(),
            ips.join(" ")
        );
        ports.push(port.clone());
    }
    Ok(ports)
}

async fn packets(cluster: &Cluster, show: &mut Show, space: &Namespace, pods: &[Pod]) -> Result<()> {
    let from = From::pod(&space.name, "web-1");
    for (pod, place) in [(&pods[1], "the same node"), (&pods[2], "the other node")] {
        let name = pod.name_any();
        for ip in addresses(pod) {
            let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
            let what = format!("pod to pod on {place}, {family}");
            show.check(&format!("{what}, ICMP, {MTU} byte packets"), traffic::ping(cluster, &from, ip, MTU)).await;
            show.check(&format!("{what}, TCP"), async {
                let got = traffic::http(cluster, &from, ip).await?;
                ensure!(got == name, "`{got}` answered instead of {name}");
                traffic::bulk(cluster, &from, ip).await
            })
            .await;
            show.check(&format!("{what}, UDP"), traffic::udp(cluster, &from, ip, &name)).await;
        }
    }
    let target = *addresses(&pods[2]).first().context("web-3 has no address")?;
    for node in cluster.nodes() {
        let host = From::node(&node);
        show.check(&format!("host {node} to pod web-3"), async {
            traffic::http(cluster, &host, target).await.map(drop)
        })
        .await;
        let ip = node_address(cluster, &node).await?;
        show.check(&format!("pod web-1 to host {node}"), traffic::ping(cluster, &from, ip, 84)).await;
    }
    let api = SocketAddr::new("10.96.0.1".parse()?, 443);
    show.check("pod to the API server's Service, 10.96.0.1:443", traffic::connect(cluster, &from, api)).await;
    show.check("pod to the cluster's DNS, 10.96.0.10", async {
        cluster.shell(&from, "nslookup kubernetes.default.svc.cluster.local 10.96.0.10").await.map(drop)
    })
    .await;
    Ok(())
}

async fn node_address(cluster: &Cluster, node: &str) -> Result<IpAddr> {
    let ports = Inventory::take(cluster).await?.ports;
    let port = ports.iter().find(|p| p.spec.claim_ref.as_ref().is_some_and(|c| c.name == node));
    let address = port.and_then(|p| p.status.as_ref()?.addresses.first().map(|a| a.ip));
    address.with_context(|| format!("{node} has no port of its own"))
}

/// Puts a pod's port into a group without rules and back, and asks its server each time.
async fn group_blocks(
    cluster: &Cluster,
    show: &mut Show,
    space: &Namespace,
    pods: &[Pod],
    ports: &[Port],
) -> Result<()> {
    let from = From::pod(&space.name, "web-1");
    let ip = *addresses(&pods[2]).first().context("web-3 has no address")?;
    let port = ports.iter().find(|p| p.fixed_ips.iter().any(|f| f.ip_address == ip)).context("web-3's port")?;
    let neutron = cluster.cloud.neutron();
    let query = SecurityGroupQuery { names: vec!["kuryr-closed".to_owned()], ..Default::default() };
    let closed = neutron.list_security_groups(&query).await?.pop().context("the lab's group kuryr-closed")?;

    let groups = |ids| PortUpdate { security_groups: Some(ids), ..Default::default() };
    neutron.update_port(&port.id, &groups(vec![closed.id])).await?;
    show.check("web-3 in a group without rules: web-1 is blocked", async {
        eventually("the group to block", POD_PATIENCE, async || {
            ensure!(traffic::http(cluster, &from, ip).await.is_err(), "web-3 still answers");
            Ok(())
        })
        .await
    })
    .await;
    neutron.update_port(&port.id, &groups(port.security_groups.clone())).await?;
    show.check("back in its own group: web-1 gets through", async {
        eventually("the group to let through", POD_PATIENCE, async || traffic::http(cluster, &from, ip).await.map(drop))
            .await
    })
    .await;
    Ok(())
}

async fn leave(cluster: &Cluster, show: &mut Show, space: Namespace) -> Result<()> {
    let name = space.name.clone();
    show.check("the namespace is deleted", space.remove()).await;
    show.check("Neutron holds the nodes' own ports, free ones, and no other of ours", async {
        let left = eventually("Neutron to be empty", inventory::SETTLING, async || {
            let inventory = inventory::settled(cluster).await?;
            let of_demo = inventory.claims.iter().filter(|c| c.namespace().as_deref() == Some(&name)).count();
            ensure!(of_demo == 0, "{of_demo} KuryrPorts are left");
            Ok(inventory)
        })
        .await?;
        let others = left.claims.len() + left.free().count() + cluster.nodes().len();
        ensure!(left.neutron.len() == others, "{} ports in Neutron, {others} expected", left.neutron.len());
        Ok(())
    })
    .await;
    Ok(())
}
