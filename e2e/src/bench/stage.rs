//! Makes the lab ready for a case: who runs, which pod network the nodes have, how full the pools are.

use super::{
    burst::Burst,
    case::{Case, Party},
    pools::{self, Levels},
    requests::Counter,
};
use crate::{
    Cluster, PodTemplate, inventory,
    neutron_proxy::NeutronProxy,
    wait::{eventually, holds},
    workload::{Namespace, POD_PATIENCE},
};
use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Namespace as KubeNamespace;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use kuryr_lab::{
    kuryr::{self, NodeNetwork},
    node::control_address,
    openstack, original,
};
use kuryr_openstack::neutron::PortQuery;
use std::time::Duration;

/// How long pods of the original may take: for 40 it needs minutes.
const ORIGINALS_PATIENCE: Duration = Duration::from_secs(420);

/// What the names of the bursts' namespaces begin with.
pub(super) const NAMESPACE: &str = "bench";

/// Ports that each pool has beyond its share of a burst: the scheduler doesn't spread pods quite evenly.
const SLACK: usize = 4;

/// The lab as one case needs it.
pub struct Stage<'a> {
    cluster: &'a Cluster,
    case: Case,
    counter: Counter,
    parts: Vec<String>,
    largest: usize,
}

impl<'a> Stage<'a> {
    /// Prepares the lab for a case whose largest burst has `largest` pods, and starts a pod on each node, so that nothing is
    /// measured that happens only once.
    ///
    /// # Errors
    /// When somebody doesn't start, or a pool isn't filled.
    pub async fn enter(cluster: &'a Cluster, case: Case, largest: usize) -> Result<Self> {
        let ports = share(cluster, largest);
        let party = case.party(ports);
        let (counter, parts) = match party {
            Party::Nobody => {
                bare(cluster)?;
                (Counter::None, Vec::new())
            }
            Party::Kuryr => {
                // What pods needed before, in other cases and tests, is none of this one's demand.
                kuryr::stop(&cluster.lab)?;
                pools::forget(cluster).await?;
                kuryr::start(&cluster.lab)?;
                (Counter::Kuryr, kuryr::processes(&cluster.lab))
            }
            Party::Original(pool) => {
                let proxy = NeutronProxy::start(control_address().into(), &openstack::neutron_url()).await?;
                kuryr::stop(&cluster.lab)?;
                let (lab, url) = (cluster.lab.clone(), proxy.url());
                tokio::task::spawn_blocking(move || original::up(&lab, pool, &url)).await??;
                (Counter::Proxy(proxy), original::processes(&cluster.lab))
            }
        };
        let stage = Self { cluster, case, counter, parts, largest };
        if case != Case::Floor {
            stage.prime().await.context("a first pod on each node")?;
        }
        stage.fill(ports).await?;
        Ok(stage)
    }

    /// Waits until a burst of this size can be measured: everything before it is over, and what it is to find is there.
    ///
    /// # Errors
    /// When it doesn't come to that.
    pub async fn ready_for(&self, pods: usize) -> Result<()> {
        match (self.case, &self.counter) {
            (Case::KuryrCold, _) => inventory::settled(self.cluster).await.map(drop),
            (Case::KuryrWarm, _) => {
                let ports = share(self.cluster, pods);
                pools::filled(self.cluster, ports, ports).await
            }
            (Case::OriginalPool, Counter::Proxy(proxy)) => recycled(proxy).await,
            _ => Ok(()),
        }
    }

    /// A burst in this case.
    #[must_use]
    pub fn burst(&self, pods: usize) -> Burst<'_> {
        let original = matches!(self.counter, Counter::Proxy(_));
        Burst {
            cluster: self.cluster,
            pods,
            patience: if original { ORIGINALS_PATIENCE } else { POD_PATIENCE },
            counter: &self.counter,
            parts: &self.parts,
            kuryr: matches!(self.counter, Counter::Kuryr),
        }
    }

    /// Takes away what the case needed.
    ///
    /// # Errors
    /// When something can't be undone.
    pub async fn leave(self) -> Result<()> {
        match self.counter {
            Counter::None => Ok(()),
            Counter::Kuryr => pools::set(self.cluster, Levels::CONFIGURED).await,
            Counter::Proxy(_) => {
                let lab = self.cluster.lab.clone();
                tokio::task::spawn_blocking(move || original::down(&lab)).await?
            }
        }
    }

    async fn prime(&self) -> Result<()> {
        let space = self.cluster.namespace(NAMESPACE).await?;
        let nodes = self.cluster.nodes();
        let pods = nodes.iter().map(async |node| space.run(&PodTemplate::idle(node).on(node)).await.map(drop));
        let result = try_join_all(pods).await;
        space.remove().await?;
        result.map(drop)
    }

    async fn fill(&self, ports: u32) -> Result<()> {
        match self.case {
            Case::KuryrCold if pools::all(self.cluster).await?.is_empty() => {
                println!("    this Kuryr has no pools");
                Ok(())
            }
            Case::KuryrCold => {
                pools::set(self.cluster, Levels::NONE).await?;
                pools::empty(self.cluster).await
            }
            Case::KuryrWarm => {
                // What a burst leaves is as much as bursts of late have taken: none is made for those that it takes.
                pools::set(self.cluster, Levels::of(3 * ports, ports)).await?;
                pools::filled(self.cluster, 3 * ports, ports).await?;
                pools::set(self.cluster, Levels::of(ports, ports)).await?;
                // From now on ports that were used are used again.
                self.burst(self.largest).run().await.context("using the pools' ports by a first burst")?;
                pools::filled(self.cluster, ports, ports).await
            }
            Case::OriginalPool => self.originals_ports(ports).await,
            Case::Floor | Case::Bridge | Case::OriginalNoop => Ok(()),
        }
    }

    /// Waits until the original's pools have what its first pods have made it ask for.
    async fn originals_ports(&self, ports: u32) -> Result<()> {
        let network = original::network(&self.cluster.lab)?;
        let query = PortQuery { network_ids: vec![network.as_str().into()], ..PortQuery::default() };
        eventually("the original's pools to be filled", ORIGINALS_PATIENCE, async || {
            let found = self.cluster.cloud.neutron().list_ports(&query).await?;
            for node in self.cluster.nodes() {
                let there = found.iter().filter(|port| port.host_id.as_deref() == Some(node.as_str())).count();
                ensure!(there >= ports as usize, "{node} has {there} ports of {ports}");
            }
            Ok(())
        })
        .await
    }
}

/// Free ports that each node needs for a burst.
fn share(cluster: &Cluster, pods: usize) -> u32 {
    let share = pods.div_ceil(cluster.nodes().len().max(1)) + SLACK;
    u32::try_from(share.min(pods)).unwrap_or(u32::MAX)
}

/// Gives the nodes a trivial bridge network and ends Kuryr, which would make ports for the pods all the same.
fn bare(cluster: &Cluster) -> Result<()> {
    kuryr::use_network(&cluster.lab, NodeNetwork::Bridge)?;
    kuryr::stop(&cluster.lab)?;
    kuryr::wait_for_nodes(&cluster.lab)
}

/// Waits until the original has put released ports back into its pools. Nothing tells it, but it asks for a list of all ports
/// each time (every 20 s): when it asks for the second time, the first is done.
async fn recycled(proxy: &NeutronProxy) -> Result<()> {
    let asked = || proxy.seen().get("GET /ports").copied().unwrap_or_default();
    let before = asked();
    eventually("the original to look after its released ports", ORIGINALS_PATIENCE, async || {
        holds(asked() >= before + 2, || "it hasn't asked for its ports twice".to_owned())
    })
    .await
}

/// Brings back the lab that every other program expects, whatever state it is in.
///
/// # Errors
/// When Kuryr doesn't start, or something of the original can't be removed.
pub async fn restore(cluster: &Cluster) -> Result<()> {
    let spaces: Api<KubeNamespace> = Api::all(cluster.client.clone());
    let left = spaces.list(&ListParams::default()).await.context("listing namespaces")?;
    let left: Vec<_> = left.iter().map(ResourceExt::name_any).filter(|name| is_ours(name)).collect();
    for name in &left {
        spaces.delete(name, &DeleteParams::default()).await.with_context(|| format!("deleting {name}"))?;
    }
    // Where the original runs it has to let its pods go; what it doesn't manage is taken from it below.
    for name in &left {
        let space = Namespace::new(cluster.clone(), name.clone());
        if let Err(error) = space.empty().await {
            println!("    {error:#}");
        }
    }
    let lab = cluster.lab.clone();
    tokio::task::spawn_blocking(move || {
        if original::processes(&lab).iter().any(|part| lab.pid(part).is_some()) {
            original::down(&lab)?;
        }
        kuryr::start(&lab)
    })
    .await??;
    pools::set(cluster, Levels::CONFIGURED).await?;
    inventory::settled(cluster).await.map(drop)
}

/// Whether a namespace was made for a burst ([`Cluster::namespace`] makes its name).
fn is_ours(namespace: &str) -> bool {
    namespace.strip_prefix(NAMESPACE).is_some_and(|rest| rest.starts_with('-'))
}
