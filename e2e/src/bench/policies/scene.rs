//! What all cases have in common: the pods, the policies that don't concern them, and what a way to close a pod must do.

use super::probe::Client;
use crate::{
    Cluster, PodTemplate,
    bench::requests::Requests,
    policies::{objects, progress},
    traffic::From,
    wait::eventually,
    workload::{HTTP_PORT, Namespace, POD_PATIENCE, addresses},
};
use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, future::try_join_all, stream};
use kube::api::ListParams;
use kuryr_api::KuryrPort;
use kuryr_openstack::neutron::PortId;
use serde_json::{Value, json};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// What the names of the benchmark's namespaces begin with.
pub(super) const NAMESPACE: &str = "bench-policies";

/// How long the controller may take for many policies at once.
const PATIENCE: Duration = Duration::from_secs(600);

/// Policies that one pod which is never asked has: a port can't have many more groups.
const PER_BYSTANDER: usize = 50;

/// Policies that are being made at a time.
const AT_ONCE: usize = 8;

/// The label of whom the policy lets in.
pub(super) const ROLE: &str = "role";

/// Its value.
pub(super) const FRIEND: &str = "friend";

/// A pod of the scene.
pub(super) struct Member {
    /// Its name.
    pub name: &'static str,
    /// Its addresses, of both families.
    pub addresses: Vec<IpAddr>,
}

/// The pods of one run. All cases have the same ones.
pub(super) struct Scene<'a> {
    /// The lab.
    pub cluster: &'a Cluster,
    /// Where all of it is.
    pub space: Namespace,
    /// Who is closed and opened.
    pub server: Member,
    /// Who may always reach it.
    pub friend: Member,
    /// Who may reach it at times.
    pub other: Member,
    /// The server's port.
    pub port: PortId,
    /// Asks from the pod that may always reach the server.
    pub from_friend: Client,
    /// Asks from the other one.
    pub from_other: Client,
    /// The controller's metrics.
    pub metrics: String,
    policies: usize,
}

/// What is done to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    /// It is closed to all but the friend.
    Close,
    /// The other one may reach it, too.
    Admit,
    /// The other one may no more.
    Expel,
    /// It is open to everybody, and nothing of the closure is left.
    Open,
}

/// One way to do it.
pub(super) trait Way {
    /// Asks for a change.
    async fn make(&mut self, change: Change) -> Result<()>;

    /// Waits until nothing is under way any more.
    async fn settled(&self) -> Result<()>;

    /// Requests to Neutron that were needed so far.
    async fn requests(&self) -> Result<Requests>;

    /// Takes away whatever was made, wherever it was left off.
    async fn clear(&mut self) -> Result<()>;
}

impl<'a> Scene<'a> {
    /// Starts the pods: the server on the first node, those that ask on the last.
    ///
    /// # Errors
    /// When one doesn't start. What is there then has to be [cleared away](super::clear) all the same.
    pub async fn begin(cluster: &'a Cluster, metrics: String) -> Result<Self> {
        let space = cluster.namespace(NAMESPACE).await?;
        let nodes = cluster.nodes();
        let (first, last) = nodes.first().zip(nodes.last()).context("the lab has no node")?;
        let start = async |name: &'static str, node: &str| {
            let pod = space.run(&PodTemplate::server(name).on(node).probed()).await?;
            anyhow::Ok(Member { name, addresses: addresses(&pod) })
        };
        let (server, other) = tokio::try_join!(start("server", first), start("other", last))?;
        let pod = space.run(&PodTemplate::server("friend").on(last).probed().label(ROLE, FRIEND)).await?;
        let friend = Member { name: "friend", addresses: addresses(&pod) };
        let ip = server.addresses.iter().copied().find(IpAddr::is_ipv4).context("the server has no IPv4 address")?;
        let at = SocketAddr::new(ip, HTTP_PORT);
        let client = async |name: &str| Client::in_pod(cluster, &From::pod(&space.name, name), at).await;
        let (from_friend, from_other) = (client(friend.name).await?, client(other.name).await?);
        let port = port_of(cluster, &space, server.name).await?;
        Ok(Self { cluster, space, server, friend, other, port, from_friend, from_other, metrics, policies: 0 })
    }

    /// Makes policies until there are so many, which select pods of their own, and waits until they are in force.
    ///
    /// # Errors
    /// When it doesn't come to that.
    pub async fn grow(&mut self, policies: usize) -> Result<()> {
        let (cluster, space, nodes) = (self.cluster, &self.space, self.cluster.nodes());
        let bystanders = self.policies.div_ceil(PER_BYSTANDER)..policies.div_ceil(PER_BYSTANDER);
        let pods = bystanders.map(async |number| {
            space.run(&PodTemplate::idle(&bystander(number)).on(&nodes[number % nodes.len()])).await
        });
        try_join_all(pods).await.context("starting the pods of other policies")?;
        let made = stream::iter(self.policies..policies).map(|number| async move {
            objects::create(cluster, &space.name, &format!("other-{number}"), &unrelated(number)).await
        });
        made.buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
        self.policies = self.policies.max(policies);
        progress::in_force(&cluster.client, &space.name, PATIENCE).await?;
        progress::nothing_left(&self.metrics, PATIENCE).await
    }

    /// Waits until both clients reach the server.
    ///
    /// # Errors
    /// When it doesn't come to that.
    pub async fn is_open(&self) -> Result<()> {
        self.from_friend.is_open().await.context("from the pod that may always reach it")?;
        self.from_other.is_open().await
    }
}

/// A policy that closes the server's port to all but those with the label of friends.
pub(super) fn only_friends(server: &str) -> Value {
    only(server, ROLE, FRIEND)
}

fn unrelated(number: usize) -> Value {
    only(&bystander(number / PER_BYSTANDER), "friend-of", &number.to_string())
}

fn only(app: &str, key: &str, value: &str) -> Value {
    let peer = json!({ "podSelector": { "matchLabels": { key: value } } });
    json!({
        "podSelector": { "matchLabels": { "app": app } },
        "ingress": [{ "from": [peer], "ports": [{ "protocol": "TCP", "port": HTTP_PORT }] }],
    })
}

fn bystander(number: usize) -> String {
    format!("bystander-{number}")
}

/// The Neutron port of a running pod.
async fn port_of(cluster: &Cluster, space: &Namespace, pod: &str) -> Result<PortId> {
    let ports: kube::Api<KuryrPort> = cluster.api(&space.name);
    eventually("the server's port", POD_PATIENCE, async || {
        let all = ports.list(&ListParams::default()).await?.items;
        let mut of_pod = all.into_iter().filter(|port| port.spec.pod_name == pod).filter_map(|port| port.status);
        let id = of_pod.find_map(|status| status.interfaces.first().map(|interface| interface.port_id.clone()));
        id.map(|id| PortId::from(id.as_str())).with_context(|| format!("{pod} has none"))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn other_policies_select_none_of_the_pods_that_are_measured_and_have_peers_of_their_own() {
        let all: Vec<_> = (0..120).map(unrelated).collect();
        let selected: BTreeSet<_> = all.iter().map(|spec| spec["podSelector"].to_string()).collect();
        assert_eq!(selected.len(), 3);
        assert!(selected.iter().all(|selector| selector.contains("bystander-")));
        let peers: BTreeSet<_> = all.iter().map(|spec| spec["ingress"][0]["from"].to_string()).collect();
        assert_eq!(peers.len(), 120);
        assert!(!peers.contains(&only_friends("server")["ingress"][0]["from"].to_string()));
    }
}
