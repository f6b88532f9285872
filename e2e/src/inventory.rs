//! What there is in Kubernetes, in Neutron and on the nodes, side by side: after everything has settled they agree.

use crate::{Cluster, wait::eventually};
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, ResourceExt, api::ListParams};
use kuryr_api::{ClaimKind, KuryrPool, KuryrPoolPort, KuryrPort, conditions};
use kuryr_core::names::{self, DEVICE_OWNER, OwnerMark};
use kuryr_openstack::neutron::{Port, PortQuery};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// How long everything may take to agree after the last change, on a busy machine: repairs that a sweep or a backoff
/// has to bring about are within.
pub const SETTLING: Duration = Duration::from_secs(180);

/// The cluster's name in the lab (`cluster` in its configuration of Kuryr). Ports with another's mark are none of ours.
pub const CLUSTER: &str = "lab";

/// A picture of everything that has to do with pods' ports.
#[derive(Debug)]
pub struct Inventory {
    /// Pods that are to have a port: uid to name.
    pub pods: BTreeMap<String, String>,
    /// All KuryrPorts.
    pub claims: Vec<KuryrPort>,
    /// All KuryrPoolPorts.
    pub ports: Vec<KuryrPoolPort>,
    /// All KuryrPools.
    pub pools: Vec<KuryrPool>,
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
        let ports = Api::<KuryrPoolPort>::all(client.clone()).list(&all).await.context("listing KuryrPoolPorts")?.items;
        let pools = Api::<KuryrPool>::all(client).list(&all).await.context("listing KuryrPools")?.items;
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
            pools,
            neutron: neutron
                .into_iter()
                .filter(|p| OwnerMark::parse(&p.description).is_some_and(|mark| mark.cluster == CLUSTER))
                .collect(),
            plugged,
            nodes: nodes.iter().map(ResourceExt::name_any).collect(),
        })
    }

    /// The ports that nobody has claimed.
    pub fn free(&self) -> impl Iterator<Item = &KuryrPoolPort> {
        self.ports.iter().filter(|port| port.spec.claim_ref.is_none())
    }

    /// The port of a pod, by the pod's uid.
    #[must_use]
    pub fn port_of(&self, pod_uid: &str) -> Option<&KuryrPoolPort> {
        let claim = self.claims.iter().find(|claim| claim.spec.pod_uid == pod_uid)?.uid()?;
        self.ports.iter().find(|port| port.spec.claim_ref.as_ref().is_some_and(|holder| holder.uid == claim))
    }

    /// Whether all agree: each pod has one claim, each claim and each node one port, all other ports are free and counted in
    /// a pool (promise P3), each port has one Neutron port, and plugged on the nodes are the claimed ports and those of the
    /// free ones that are said to be.
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
            self.ports.len() == holders.len() + self.nodes.len() + self.free().count(),
            "{} KuryrPoolPorts for {} pods and {} nodes, {} free",
            self.ports.len(),
            holders.len(),
            self.nodes.len(),
            self.free().count()
        );

        let pools: BTreeSet<_> = self.pools.iter().map(ResourceExt::name_any).collect();
        for free in self.free() {
            let (spec, name) = (&free.spec, free.name_any());
            ensure!(free.metadata.deletion_timestamp.is_none(), "the free port {name} is still being deleted");
            ensure!(self.nodes.contains(&spec.node_name), "the free port {name} is of a node that doesn't exist");
            let pool = names::pool(&spec.node_name, &spec.network_id, &spec.subnet_ids);
            ensure!(pools.contains(&pool), "the free port {name} is in no pool: there is no {pool}");
        }

        let known: BTreeSet<_> = self.ports.iter().filter_map(|p| p.status.as_ref()?.port_id.clone()).collect();
        let there: BTreeSet<_> = self.neutron.iter().map(|p| p.id.to_string()).collect();
        same("KuryrPoolPorts", &known, "Neutron ports", &there)?;
        ensure!(known.len() == self.ports.len(), "a KuryrPoolPort has no Neutron port yet");

        for (node, plugged) in &self.plugged {
            let bound = self
                .ports
                .iter()
                .filter(|p| p.spec.node_name == *node && (p.spec.claim_ref.is_some() || is_plugged(p)));
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
    settled_within(cluster, SETTLING).await
}

/// As [`settled`], with another patience.
///
/// # Errors
/// As [`settled`].
pub async fn settled_within(cluster: &Cluster, patience: Duration) -> Result<Inventory> {
    eventually("Kubernetes, Neutron and the nodes to agree", patience, async || {
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

/// Whether its node says that it holds the port plugged.
fn is_plugged(port: &KuryrPoolPort) -> bool {
    port.status.as_ref().is_some_and(|status| conditions::is_true(&status.conditions, conditions::PLUGGED))
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
