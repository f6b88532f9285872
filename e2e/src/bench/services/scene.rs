//! What all cases have in common: the pods behind the Services, the client, and what a way to have a Service must do.

use super::{
    judge::{Judge, Seen, Until},
    probe::{Client, Watch},
};
use crate::{
    Cluster, PodTemplate,
    bench::requests::Requests,
    traffic::From,
    wait::{eventually, holds},
    workload::{HTTP_PORT, Namespace, addresses},
};
use anyhow::{Context, Result};
use futures::future::try_join_all;
use kuryr_openstack::octavia::{LoadBalancerId, LoadBalancerState};
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// What the names of the benchmark's namespaces begin with.
pub(super) const NAMESPACE: &str = "bench-services";

/// The port of the Services.
pub(super) const PORT: u16 = 80;

/// How long Octavia may be at work on as many load balancers as are made at once.
pub(super) const PATIENCE: Duration = Duration::from_secs(240);

/// A pod behind the Services.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its name, which it answers.
    pub name: String,
    /// Its IPv4 address.
    pub ip: IpAddr,
}

/// The pods of one run. The Services of all cases have the same ones.
pub struct Scene<'a> {
    /// The lab.
    pub cluster: &'a Cluster,
    /// Where all of it is.
    pub space: Namespace,
    endpoints: Vec<Endpoint>,
}

/// One way to have Services.
pub(super) trait Way {
    /// Makes so many at once, each with these endpoints. Says how long each took until it answered.
    async fn create(&mut self, client: &Client, count: usize, with: &[Endpoint]) -> Result<Vec<Duration>>;

    /// Where they are.
    fn addresses(&self) -> Vec<SocketAddr>;

    /// Gives all of them these endpoints and no others.
    async fn change(&mut self, to: &[Endpoint]) -> Result<()>;

    /// Their load balancers.
    async fn load_balancers(&self) -> Result<Vec<LoadBalancerId>>;

    /// Deletes all of them and waits until their load balancers are gone.
    async fn delete(&mut self) -> Result<()>;

    /// Requests to Octavia that were needed so far.
    async fn requests(&self) -> Result<Requests>;
}

impl<'a> Scene<'a> {
    /// Starts the pods: three servers on all nodes, and the client's on the first one.
    ///
    /// # Errors
    /// When one doesn't start. What is there then has to be [cleared away](super::clear) all the same.
    pub async fn begin(cluster: &'a Cluster) -> Result<Self> {
        let space = cluster.namespace(NAMESPACE).await?;
        let nodes = cluster.nodes();
        let of_all = nodes.iter().rev().cycle().zip(["one", "two", "three"]);
        let servers = of_all.map(async |(node, name)| {
            let pod = space.run(&PodTemplate::server(name).on(node).probed()).await?;
            let ip = addresses(&pod).into_iter().find(IpAddr::is_ipv4);
            anyhow::Ok(Endpoint { name: name.to_owned(), ip: ip.with_context(|| format!("{name} has no address"))? })
        });
        let endpoints = try_join_all(servers).await?;
        let node = nodes.first().context("the lab has no node")?;
        space.run(&PodTemplate::server("client").on(node).probed()).await?;
        Ok(Self { cluster, space, endpoints })
    }

    /// A client for so many Services.
    ///
    /// # Errors
    /// When it can't run.
    pub async fn client(&self, services: usize) -> Result<Client> {
        Client::in_pod(self.cluster, &From::pod(&self.space.name, "client"), services).await
    }

    /// The endpoints with which Services begin.
    #[must_use]
    pub fn first_two(&self) -> &[Endpoint] {
        self.endpoints.get(..2).unwrap_or_default()
    }

    /// All endpoints: one comes in addition.
    #[must_use]
    pub fn all(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The endpoints in the end: the first one has gone.
    #[must_use]
    pub fn last_two(&self) -> &[Endpoint] {
        self.endpoints.get(1..).unwrap_or_default()
    }
}

/// What it takes until traffic follows a change of endpoints that is made for all Services at once.
pub(super) struct Followed {
    /// Of each Service.
    pub each: Vec<Duration>,
    /// Connections that nobody answered.
    pub lost: usize,
}

/// Changes the endpoints of all Services, and waits until traffic has followed everywhere.
pub(super) async fn follow(way: &mut impl Way, client: &Client, to: &[Endpoint], until: &Until) -> Result<Followed> {
    let watches: Vec<_> = way.addresses().into_iter().map(|at| client.watch(at, Judge::new(until.clone()))).collect();
    let begin = Instant::now();
    way.change(to).await.context("changing the endpoints")?;
    let seen: Vec<Seen> = try_join_all(watches.into_iter().map(Watch::seen)).await?;
    Ok(Followed {
        each: seen.iter().map(|seen| seen.at.saturating_duration_since(begin)).collect(),
        lost: seen.iter().map(|seen| seen.lost).sum(),
    })
}

/// Waits until Octavia is done with all of them, and each has exactly these members.
pub(super) async fn settled(cluster: &Cluster, way: &impl Way, with: &[Endpoint]) -> Result<()> {
    let wanted: BTreeSet<_> = with.iter().map(|endpoint| (endpoint.ip, HTTP_PORT)).collect();
    for id in way.load_balancers().await? {
        eventually(&format!("the load balancer {id} to be as asked for"), PATIENCE, async || {
            let tree = cluster.cloud.octavia().get_status_tree(&id).await?;
            holds(members(&tree) == wanted, || format!("it has the members {:?}", members(&tree)))?;
            holds(!is_pending(&tree), || "Octavia is at work on it".to_owned())
        })
        .await?;
    }
    Ok(())
}

fn members(tree: &LoadBalancerState) -> BTreeSet<(IpAddr, u16)> {
    let pools = tree.listeners.iter().flat_map(|listener| &listener.pools);
    let members = pools.flat_map(|pool| &pool.members);
    members.filter_map(|member| Some((member.address?, member.protocol_port))).collect()
}

fn is_pending(tree: &LoadBalancerState) -> bool {
    let pools = || tree.listeners.iter().flat_map(|listener| &listener.pools);
    let parts = std::iter::once(&tree.provisioning_status)
        .chain(tree.listeners.iter().map(|listener| &listener.provisioning_status))
        .chain(pools().map(|pool| &pool.provisioning_status))
        .chain(pools().flat_map(|pool| &pool.members).map(|member| &member.provisioning_status));
    parts.into_iter().any(kuryr_openstack::octavia::ProvisioningStatus::is_pending)
}
