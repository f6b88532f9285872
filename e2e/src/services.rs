//! Services as a user makes them, and what the cloud has of them.

use crate::{
    Cluster,
    traffic::{self, From},
    wait::{eventually, holds},
    workload::Namespace,
};
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use kuryr_api::{KuryrLoadBalancer, conditions};
use kuryr_core::names;
use kuryr_openstack::{
    neutron::{FloatingIpQuery, PortQuery},
    octavia::Query,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// How long a change of a Service or its endpoints may take until packets tell, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// How Neutron marks the ports of load balancers' addresses, by provider.
const VIP_OWNERS: [&str; 2] = ["ovn-lb:vip", "Octavia"];

/// Makes a Service of this specification. Unless it says otherwise, it selects the pods that are [behind](crate::PodTemplate::behind) it.
///
/// # Errors
/// When the API server refuses it.
pub async fn create(cluster: &Cluster, space: &Namespace, name: &str, mut spec: Value) -> Result<Service> {
    if spec.get("selector").is_none() {
        spec["selector"] = json!({ "service": name });
    }
    let service = serde_json::from_value(json!({ "metadata": { "name": name }, "spec": spec }))?;
    let made = cluster.api::<Service>(&space.name).create(&PostParams::default(), &service).await;
    made.with_context(|| format!("creating the Service {}/{name}", space.name))
}

/// Changes a Service by a merge patch of its `spec`.
///
/// # Errors
/// When the API server refuses it.
pub async fn change(cluster: &Cluster, space: &Namespace, name: &str, spec: Value) -> Result<Service> {
    let patch = Patch::Merge(json!({ "spec": spec }));
    let changed = cluster.api::<Service>(&space.name).patch(name, &PatchParams::default(), &patch).await;
    changed.with_context(|| format!("changing the Service {}/{name}", space.name))
}

/// Deletes a Service, without waiting for what follows.
///
/// # Errors
/// When the API server refuses it.
pub async fn delete(cluster: &Cluster, space: &Namespace, name: &str) -> Result<()> {
    let deleted = cluster.api::<Service>(&space.name).delete(name, &DeleteParams::default()).await;
    deleted.map(drop).with_context(|| format!("deleting the Service {}/{name}", space.name))
}

/// A Service's cluster IPs.
#[must_use]
pub fn cluster_ips(service: &Service) -> Vec<IpAddr> {
    let ips = service.spec.as_ref().and_then(|spec| spec.cluster_ips.as_deref()).unwrap_or_default();
    ips.iter().filter_map(|ip| ip.parse().ok()).collect()
}

/// A port of a Service's first cluster IP.
///
/// # Errors
/// When it has none.
pub fn at(service: &Service, port: u16) -> Result<SocketAddr> {
    let ip = cluster_ips(service).first().copied();
    let ip = ip.with_context(|| format!("the Service {} has no cluster IP", service.name_any()))?;
    Ok(SocketAddr::new(ip, port))
}

/// Waits until exactly these pods answer at an address, each of them, and no connection fails.
///
/// # Errors
/// When it doesn't come to that.
pub async fn answered_by(cluster: &Cluster, from: &From, at: SocketAddr, pods: &[&str]) -> Result<()> {
    let wanted: BTreeSet<_> = pods.iter().map(|&pod| pod.to_owned()).collect();
    // One request fails soon where many would each wait for their answers.
    let times = if pods.len() == 1 { 3 } else { 8 * pods.len() };
    eventually(&format!("{at} to be served by {pods:?}, as seen from {from:?}"), PATIENCE, async || {
        traffic::names_at(cluster, from, at, 1).await?;
        let names: BTreeSet<_> = traffic::names_at(cluster, from, at, times).await?.into_iter().collect();
        holds(names == wanted, || format!("{names:?} answer"))
    })
    .await
}

/// Waits until nobody answers at an address.
///
/// # Errors
/// When somebody still does.
pub async fn unanswered(cluster: &Cluster, from: &From, at: SocketAddr) -> Result<()> {
    eventually(&format!("{at} to be closed, as seen from {from:?}"), PATIENCE, async || {
        let answer = traffic::names_at(cluster, from, at, 1).await;
        holds(answer.is_err(), || format!("{answer:?} still answers"))
    })
    .await
}

/// The KuryrLoadBalancer of a Service.
///
/// # Errors
/// When there is none.
pub async fn object(cluster: &Cluster, service: &Service) -> Result<KuryrLoadBalancer> {
    let api: Api<KuryrLoadBalancer> = cluster.api(&service.namespace().unwrap_or_default());
    let name = names::kuryr_load_balancer(&service.name_any(), &service.uid().unwrap_or_default());
    api.get(&name).await.with_context(|| format!("the KuryrLoadBalancer of {}", service.name_any()))
}

/// Waits until a Service's KuryrLoadBalancer says that it is served as its newest specification asks.
///
/// # Errors
/// When it doesn't come to that.
pub async fn ready(cluster: &Cluster, service: &Service) -> Result<KuryrLoadBalancer> {
    eventually(&format!("the Service {} to be served", service.name_any()), PATIENCE, async || {
        let object = object(cluster, service).await?;
        let status = object.status.clone().unwrap_or_default();
        let is_seen = status.observed_generation == object.metadata.generation;
        let is_ready =
            [conditions::PROGRAMMED, conditions::READY].iter().all(|one| conditions::is_true(&status.conditions, one));
        holds(is_seen && is_ready, || format!("{:?}", status.conditions))?;
        Ok(object)
    })
    .await
}

/// What the cloud has of all Services.
#[derive(Debug, PartialEq, Eq)]
pub struct Holdings {
    load_balancers: BTreeSet<String>,
    listeners: BTreeSet<String>,
    pools: BTreeSet<String>,
    floating_ips: BTreeSet<String>,
    ports: BTreeSet<String>,
}

impl Holdings {
    /// Takes the lists of Octavia and Neutron.
    ///
    /// # Errors
    /// When one of them can't be had.
    pub async fn take(cluster: &Cluster) -> Result<Self> {
        let (octavia, neutron, all) = (cluster.cloud.octavia(), cluster.cloud.neutron(), Query::default());
        let load_balancers = octavia.list_load_balancers(&all).await.context("listing load balancers")?;
        let listeners = octavia.list_listeners(&all).await.context("listing listeners")?;
        let pools = octavia.list_pools(&all).await.context("listing pools")?;
        let floating = neutron.list_floating_ips(&FloatingIpQuery::default()).await.context("listing floating IPs")?;
        let of_vips = PortQuery { device_owners: VIP_OWNERS.map(str::to_owned).to_vec(), ..PortQuery::default() };
        let ports = neutron.list_ports(&of_vips).await.context("listing Neutron's ports")?;
        Ok(Self {
            load_balancers: load_balancers.iter().map(|one| format!("{} ({})", one.id, one.name)).collect(),
            listeners: listeners.iter().map(|one| one.id.to_string()).collect(),
            pools: pools.iter().map(|one| one.id.to_string()).collect(),
            floating_ips: floating.iter().map(|one| one.id.to_string()).collect(),
            ports: ports.iter().map(|one| format!("{} ({})", one.id, one.name)).collect(),
        })
    }

    /// Waits until the cloud has nothing that it hadn't. What an earlier test left may go meanwhile.
    ///
    /// # Errors
    /// When it doesn't come to that.
    pub async fn are_back(&self, cluster: &Cluster) -> Result<()> {
        eventually("Octavia and Neutron to have what they had before", PATIENCE, async || {
            let now = Self::take(cluster).await?;
            let kinds = [
                ("load balancers", &self.load_balancers, &now.load_balancers),
                ("listeners", &self.listeners, &now.listeners),
                ("pools", &self.pools, &now.pools),
                ("floating IPs", &self.floating_ips, &now.floating_ips),
                ("ports", &self.ports, &now.ports),
            ];
            for (kind, before, now) in kinds {
                let left: Vec<_> = now.difference(before).collect();
                ensure!(left.is_empty(), "{kind}: {left:?} are left");
            }
            Ok(())
        })
        .await
    }
}
