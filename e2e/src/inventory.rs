//! What there is in Kubernetes, in Neutron and on the nodes, side by side: after everything has settled they agree.

use crate::{Cluster, wait::eventually};
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, ResourceExt, api::ListParams};
use kuryr_api::{ClaimKind, KuryrPoolPort, KuryrPort};
use kuryr_core::names::{DEVICE_OWNER, OwnerMark};
use kuryr_openstack::neutron::{Port, PortQuery};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// How long everything may take to agree after the last change, on a busy machine: repairs that a sweep or a backoff
/// has to bring about are within.
pub const SETTLING: Duration = Duration::from_secs(180);

/// A picture of everything that has to do with pods' ports.
#[derive(Debug)]
pub struct Inventory {
    /// Pods that are to have a port: uid to name.
    pub pods: BTreeMap<String, String>,
    /// All KuryrPorts.
    pub claims: Vec<KuryrPort>,
    /// All KuryrPoolPorts.
    pub ports: Vec<KuryrPoolPort>,
    /// Neutron's ports that carry this cluster's mark.
    pub neutron: Vec<Port>,
    /// Neutron ids of what is plugged, by node.
    pub plugged: BTreeMap<String, BTreeSet<String>>,
    nodes: BTreeSet<String>,
}

impl Inventory {
    /// Takes the picture.
    ///
    /// # Errors
    /// When one of the parties can't be asked.
    pub async fn take(cluster: &Cluster) -> Result<Self> {
        let (client, all) = (cluster.client.clone(), ListParams::default());
        let pods = Api::<Pod>::all(client.clone()).list(&all).await.context("listing pods")?;
        let nodes = Api::<Node>::all(client.clone()).list(&all).await.context("listing nodes")?;
        let claims = Api::<KuryrPort>::all(client.clone()).list(&all).await.context("listing KuryrPorts")?.items;
        let ports = Api::<KuryrPoolPort>::all(client).list(&all).await.context("listing KuryrPoolPorts")?.items;
        let query = PortQuery { device_owners: vec![DEVICE_OWNER.to_owned()], ..PortQuery::default() };
        let neutron = cluster.cloud.neutron().list_ports(&query).await.context("listing Neutron's ports")?;
        let mut plugged = BTreeMap::new();
        for node in cluster.nodes() {
            plugged.insert(node.clone(), plugged_on(cluster, &node).await?);
        }
        Ok(Self {
            pods: pods.iter().filter(|p| needs_port(p)).filter_map(|p| Some((p.uid()?, p.name_any()))).collect(),
            claims,
            ports,
            neutron: neutron.into_iter().filter(|p| OwnerMark::parse(&p.description).is_some()).collect(),
            plugged,
            nodes: nodes.iter().map(ResourceExt::name_any).collect(),
        })
    }

    /// Whether all agree: each pod has one claim, each claim and each node one port, each port one Neutron port, and
    /// exactly those are plugged on the nodes that hold them.
    ///
    /// # Errors
    /// When they don't; the error says where.
    pub fn agrees(&self) -> Result<()> {
        let pods: BTreeSet<_> = self.pods.keys().cloned().collect();
        let claims: BTreeSet<_> = self.claims.iter().map(|c| c.spec.pod_uid.clone()).collect();
        same("pods", &pods, "KuryrPorts", &claims)?;
        ensure!(self.claims.len() == claims.len(), "a pod has several KuryrPorts");

        let holders: BTreeSet<_> = self.claims.iter().filter_map(ResourceExt::uid).collect();
        let (for_pods, for_nodes): (Vec<_>, Vec<_>) = self
            .ports
            .iter()
            .filter_map(|p| p.spec.claim_ref.clone())
            .partition(|claim| claim.kind == ClaimKind::KuryrPort);
        let held: BTreeSet<_> = for_pods.iter().map(|c| c.uid.clone()).collect();
        same("KuryrPorts", &holders, "claims in KuryrPoolPorts", &held)?;
        let nodes: BTreeSet<_> = for_nodes.iter().map(|c| c.name.clone()).collect();
        same("nodes", &self.nodes, "node ports", &nodes)?;
        ensure!(
            self.ports.len() == holders.len() + self.nodes.len(),
            "{} KuryrPoolPorts for {} pods and {} nodes",
            self.ports.len(),
            holders.len(),
            self.nodes.len()
        );

        let known: BTreeSet<_> = self.ports.iter().filter_map(|p| p.status.as_ref()?.port_id.clone()).collect();
        let there: BTreeSet<_> = self.neutron.iter().map(|p| p.id.to_string()).collect();
        same("KuryrPoolPorts", &known, "Neutron ports", &there)?;
        ensure!(known.len() == self.ports.len(), "a KuryrPoolPort has no Neutron port yet");

        for (node, plugged) in &self.plugged {
            let bound = self.ports.iter().filter(|p| p.spec.node_name == *node);
            let bound: BTreeSet<_> = bound.filter_map(|p| p.status.as_ref()?.port_id.clone()).collect();
            same(&format!("ports of {node}"), &bound, &format!("interfaces plugged on {node}"), plugged)?;
        }
        Ok(())
    }
}

/// Waits until everything agrees.
///
/// # Errors
/// When it doesn't within [`SETTLING`]; the error says what differed last.
pub async fn settled(cluster: &Cluster) -> Result<Inventory> {
    eventually("Kubernetes, Neutron and the nodes to agree", SETTLING, async || {
        let inventory = Inventory::take(cluster).await?;
        inventory.agrees()?;
        Ok(inventory)
    })
    .await
}

fn same(left: &str, ours: &BTreeSet<String>, right: &str, theirs: &BTreeSet<String>) -> Result<()> {
    let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>().join(", ");
    let (missing, extra) = (only(ours, theirs), only(theirs, ours));
    ensure!(missing.is_empty() && extra.is_empty(), "only in {left}: [{missing}]; only in {right}: [{extra}]");
    Ok(())
}

fn needs_port(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    kuryr_core::pod::PodFacts {
        node: spec.and_then(|s| s.node_name.as_deref()),
        host_network: spec.and_then(|s| s.host_network).unwrap_or_default(),
        phase: pod.status.as_ref().and_then(|s| s.phase.as_deref()),
    }
    .needs_port()
}

/// Neutron ids of a node's Open vSwitch interfaces, as `ovs-vsctl` shows them.
async fn plugged_on(cluster: &Cluster, node: &str) -> Result<BTreeSet<String>> {
    let number = node.trim_start_matches("node").parse()?;
    let text = cluster.vsctl(number, &["--bare", "--columns=external_ids", "list", "Interface"]).await?;
    let ids = text.split_whitespace().filter_map(|pair| pair.strip_prefix("iface-id="));
    Ok(ids.map(|id| id.trim_matches(['"', ',']).to_owned()).collect())
}
