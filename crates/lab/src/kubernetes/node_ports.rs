//! What Kubernetes' own tests count on beside the pod network: kube-proxy for Services' node ports, the CNI plugin `portmap` for pods' host
//! ports, and an API server that reaches pods (`kubectl proxy`), here through a node.
//!
//! Kuryr has no part in them, and the lab runs without. They change the addresses of packets in the nodes' own network stack; a pod's
//! packets never come there, so Services' cluster IPs are served by Octavia for all pods as ever. Only programs on the nodes' network have
//! kube-proxy's while it runs.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{cni::NodeNetwork, kubeconfig_of, pki, use_network};
use crate::{
    engine::{self, CONTROL, Component, Lab, Program, files, netns, node_name, node_netns, probe, shell},
    install::Conformance,
    node::{ip, node_address, on_node},
    openstack::PODS_V4,
    registry::Components,
};

/// The name of kube-proxy's certificate and kubeconfig.
pub(super) const IDENTITY: &str = "kube-proxy";

/// Where kube-proxy says that it is in time with the API server.
const HEALTH_PORT: u16 = 10256;

/// Kuryr's device by which a node reaches its pods (`daemon.nodePort`).
const NODE_PORT: &str = "kuryr0";

/// Our nftables table, and those of kube-proxy and portmap.
const TABLE: &str = "kuryr-lab-ports";
const TABLES: [(&str, &str); 5] =
    [("ip", TABLE), ("ip", "kube-proxy"), ("ip6", "kube-proxy"), ("ip", "cni_hostport"), ("ip6", "cni_hostport")];

/// Whether a node forwards packets, which those to another node's pods need.
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// Starts kube-proxy and gives the nodes' next pods their host ports. [`stop`] takes both away again.
///
/// # Errors
/// When they aren't installed ([`crate::install::install_conformance`]) or don't become ready.
pub fn start(lab: &Lab) -> Result<()> {
    for node in lab.nodes() {
        forward(node, "1")?;
        // Neutron lets nothing out of the node's port but from its own address.
        let rules = format!(
            "table ip {TABLE} {{ chain postrouting {{ type nat hook postrouting priority srcnat; \
             oifname \"{NODE_PORT}\" masquerade; }}; }};\n"
        );
        delete_table(lab, node, "ip", TABLE)?;
        let mut nft = lab.command(Some(&node_netns(node)), "nft");
        shell::run_with_input(nft.args(["-f", "-"]), &rules).context("letting node ports out to pods")?;
        use_network(lab, node, NodeNetwork::KuryrAndPortmap)?;
    }
    // Any node would do.
    ip(lab, CONTROL, &format!("route replace {PODS_V4} via {}", node_address(1)))?;
    let mut components = components(lab);
    // A lab that was brought up before has no certificate for kube-proxy.
    components.push(Box::new(pki::Pki));
    engine::up(lab, &components, &|_| {})
}

/// Ends kube-proxy, and gives the nodes the lab's usual pod network again. There should be no pods with host ports.
///
/// # Errors
/// When something can't be undone.
pub fn stop(lab: &Lab) -> Result<()> {
    for component in components(lab) {
        lab.stop(&component.name())?;
    }
    ip(lab, CONTROL, &format!("route flush exact {PODS_V4}"))?;
    for node in lab.nodes() {
        use_network(lab, node, NodeNetwork::Kuryr)?;
        TABLES.iter().try_for_each(|(family, table)| delete_table(lab, node, family, table))?;
        forward(node, "0")?;
    }
    Ok(())
}

/// kube-proxy of every node.
pub fn components(lab: &Lab) -> Components {
    lab.nodes().map(|node| Box::new(Proxy(node)) as _).collect()
}

fn forward(node: u32, value: &str) -> Result<()> {
    netns::enter(&node_netns(node), || fs::write(FORWARDING, value))?
        .with_context(|| format!("writing {FORWARDING} of {}", node_name(node)))
}

/// Deletes a table of a node's nftables, if it is there.
fn delete_table(lab: &Lab, node: u32, family: &str, table: &str) -> Result<()> {
    let mut nft = lab.command(Some(&node_netns(node)), "nft");
    // Deleting what isn't there is an error, adding what is there is none.
    let words = format!("add table {family} {table}\ndelete table {family} {table}\n");
    shell::run_with_input(nft.args(["-f", "-"]), &words).map(drop)
}

/// kube-proxy of one node.
struct Proxy(u32);

impl Proxy {
    fn config_file(&self, lab: &Lab) -> PathBuf {
        lab.etc().join(node_name(self.0)).join("kube-proxy.json")
    }

    fn config(&self, lab: &Lab) -> Value {
        json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "hostnameOverride": node_name(self.0),
            "clientConnection": { "kubeconfig": kubeconfig_of(lab, IDENTITY) },
            "healthzBindAddress": format!("127.0.0.1:{HEALTH_PORT}"),
            // These are the machine's, not the namespace's.
            "conntrack": { "maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s" },
        })
    }
}

impl Component for Proxy {
    fn name(&self) -> String {
        on_node("kube-proxy", self.0)
    }

    fn after(&self) -> Vec<String> {
        vec!["kube-apiserver".into(), pki::Pki.name()]
    }

    fn prepare(&self, lab: &Lab) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.config(lab)).context("writing kube-proxy's configuration")?;
        files::write_if_changed(&self.config_file(lab), &text).map(drop)
    }

    fn program(&self, lab: &Lab) -> Result<Option<Program>> {
        let file = self.config_file(lab);
        let program = Program::new(Conformance::at(lab.cache())?.proxy())
            .arg(format!("--config={}", file.display()))
            .config(file)
            .netns(node_netns(self.0));
        Ok(Some(program))
    }

    fn ready(&self, _lab: &Lab) -> Result<()> {
        probe::http_ok(&node_netns(self.0), &format!("http://127.0.0.1:{HEALTH_PORT}/healthz"))
    }
}
