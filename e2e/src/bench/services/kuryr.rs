//! Services as a user has them, with Kuryr behind.

use super::{
    judge::{Judge, Until},
    probe::Client,
    scene::{Endpoint, PATIENCE, PORT, Way},
};
use crate::{
    Cluster,
    bench::requests::{self, Requests},
    services,
    wait::{eventually, holds},
    workload::{HTTP_PORT, Namespace},
};
use anyhow::{Context, Result};
use futures::future::try_join_all;
use k8s_openapi::api::{
    core::v1::{Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use kuryr_api::KuryrLoadBalancer;
use kuryr_openstack::octavia::LoadBalancerId;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// The label of pods that the Services with a selector select.
const LABEL: &str = "bench";

/// Who tells Kuryr the endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// We do, by an EndpointSlice for each Service, which is there before the Service is: what is measured is Kuryr's time alone.
    Slices,
    /// Kubernetes, which follows the labels of pods.
    Selector,
}

/// Services, with Kuryr behind.
pub(super) struct Kuryr<'a> {
    cluster: &'a Cluster,
    space: &'a Namespace,
    source: Source,
    /// The controller's metrics.
    metrics: String,
    services: Vec<Service>,
}

impl<'a> Kuryr<'a> {
    pub(super) const fn new(cluster: &'a Cluster, space: &'a Namespace, source: Source, metrics: String) -> Self {
        Self { cluster, space, source, metrics, services: Vec::new() }
    }

    async fn one(&self, client: &Client, number: usize) -> Result<(Service, Duration)> {
        let selector = match self.source {
            Source::Slices => Value::Null,
            Source::Selector => json!({ LABEL: "in" }),
        };
        let spec = json!({ "ports": [{ "port": PORT, "targetPort": HTTP_PORT }], "selector": selector });
        let begin = Instant::now();
        let service = services::create(self.cluster, self.space, &name(number), spec).await?;
        // Kubernetes has just said what the address is.
        let watch = client.watch(services::at(&service, PORT)?, Judge::new(Until::Answered));
        Ok((service, watch.seen().await?.at.saturating_duration_since(begin)))
    }

    fn slices(&self) -> Api<EndpointSlice> {
        self.cluster.api(&self.space.name)
    }

    async fn make_slice(&self, number: usize, with: &[Endpoint]) -> Result<()> {
        let name = name(number);
        let slice = serde_json::from_value(json!({
            "metadata": { "name": name, "labels": { "kubernetes.io/service-name": name } },
            "addressType": "IPv4", "ports": [{ "name": "", "port": HTTP_PORT }], "endpoints": listed(with),
        }))?;
        let made = self.slices().create(&PostParams::default(), &slice).await;
        made.map(drop).context("creating an EndpointSlice")
    }

    async fn change_slice(&self, number: usize, to: &[Endpoint]) -> Result<()> {
        let patch = Patch::Merge(json!({ "endpoints": listed(to) }));
        let changed = self.slices().patch(&name(number), &PatchParams::default(), &patch).await;
        changed.map(drop).context("changing an EndpointSlice")
    }

    /// Labels these pods, and takes the label from all others.
    async fn label(&self, to: &[Endpoint]) -> Result<()> {
        let pods: Api<Pod> = self.cluster.api(&self.space.name);
        let labelled = pods.list(&ListParams::default().labels(LABEL)).await.context("listing the pods")?;
        let has = |name: &str| labelled.iter().any(|pod| pod.metadata.name.as_deref() == Some(name));
        let wants = |name: &str| to.iter().any(|endpoint| endpoint.name == name);
        let more = to.iter().map(|endpoint| endpoint.name.as_str()).filter(|name| !has(name));
        let less = labelled.iter().filter_map(|pod| pod.metadata.name.as_deref()).filter(|name| !wants(name));
        for (name, value) in more.map(|name| (name, json!("in"))).chain(less.map(|name| (name, Value::Null))) {
            let patch = Patch::Merge(json!({ "metadata": { "labels": { LABEL: value } } }));
            pods.patch(name, &PatchParams::default(), &patch).await.context("labelling a pod")?;
        }
        Ok(())
    }
}

impl Way for Kuryr<'_> {
    async fn create(&mut self, client: &Client, count: usize, with: &[Endpoint]) -> Result<Vec<Duration>> {
        let this = &*self;
        match self.source {
            Source::Slices => {
                try_join_all((0..count).map(|number| this.make_slice(number, with))).await?;
            }
            Source::Selector => self.label(with).await?,
        }
        let (services, took) =
            try_join_all((0..count).map(|number| this.one(client, number))).await?.into_iter().unzip();
        self.services = services;
        Ok(took)
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.services.iter().filter_map(|service| services::at(service, PORT).ok()).collect()
    }

    async fn change(&mut self, to: &[Endpoint]) -> Result<()> {
        let this = &*self;
        match self.source {
            Source::Slices => {
                try_join_all((0..self.services.len()).map(|number| this.change_slice(number, to))).await.map(drop)
            }
            Source::Selector => self.label(to).await,
        }
    }

    async fn load_balancers(&self) -> Result<Vec<LoadBalancerId>> {
        let id = async |service: &Service| {
            let object = services::ready(self.cluster, service).await?;
            let id = object.status.and_then(|status| status.load_balancer_id);
            anyhow::Ok(LoadBalancerId::from(id.context("a KuryrLoadBalancer names no load balancer")?))
        };
        try_join_all(self.services.iter().map(id)).await
    }

    async fn delete(&mut self) -> Result<()> {
        let (cluster, space) = (self.cluster, self.space);
        // A creation that failed may have made some.
        let made: Api<Service> = cluster.api(&space.name);
        let made = made.list_metadata(&ListParams::default()).await.context("listing the Services")?.items;
        try_join_all(made.iter().map(async |one| services::delete(cluster, space, &one.name_any()).await)).await?;
        self.services.clear();
        let objects: Api<KuryrLoadBalancer> = cluster.api(&space.name);
        eventually("the KuryrLoadBalancers to go", PATIENCE, async || {
            let left = objects.list_metadata(&ListParams::default()).await?.items.len();
            holds(left == 0, || format!("{left} are left"))
        })
        .await?;
        if self.source == Source::Slices {
            let deleted = self.slices().delete_collection(&DeleteParams::default(), &ListParams::default()).await;
            deleted.context("deleting the EndpointSlices")?;
        }
        Ok(())
    }

    async fn requests(&self) -> Result<Requests> {
        Ok(requests::of_service(&requests::metrics(&self.metrics).await?, requests::OCTAVIA))
    }
}

fn name(number: usize) -> String {
    format!("web-{number}")
}

/// `endpoints` of an EndpointSlice.
fn listed(endpoints: &[Endpoint]) -> Value {
    endpoints.iter().map(|endpoint| json!({ "addresses": [endpoint.ip] })).collect()
}
