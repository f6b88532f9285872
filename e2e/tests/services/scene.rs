//! What the tests of Services have in common.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Service;
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use kuryr_api::KuryrLoadBalancer;
use kuryr_e2e::{
    Cluster, PodTemplate,
    services::{self, Holdings},
    traffic::From,
    workload::{HTTP_PORT, Namespace},
};
use kuryr_openstack::octavia::LoadBalancerId;
use serde_json::json;

/// One test's namespace, and what the cloud had before.
pub struct Scene {
    pub cluster: Cluster,
    pub space: Namespace,
    before: Holdings,
}

impl Scene {
    pub async fn begin(stem: &str) -> Result<Self> {
        let cluster = Cluster::attach().await?;
        let before = Holdings::take(&cluster).await?;
        let space = cluster.namespace(stem).await?;
        Ok(Self { cluster, space, before })
    }

    /// Removes all that the test made, and looks whether nothing of it is left in the cloud.
    pub async fn end(self) -> Result<()> {
        self.space.remove().await?;
        self.before.are_back(&self.cluster).await
    }

    pub fn pod(&self, name: &str) -> From {
        From::pod(&self.space.name, name)
    }

    /// Runs server pods behind the Service `web`, by name and node.
    pub async fn web(&self, pods: &[(&str, &str)]) -> Result<()> {
        for (name, node) in pods {
            self.space.create(&PodTemplate::server(name).on(node).probed().behind("web")).await?;
        }
        for (name, _) in pods {
            self.space.ready(name).await?;
        }
        Ok(())
    }

    /// Runs the pod `client` on the first node.
    pub async fn client(&self) -> Result<From> {
        self.space.run(&PodTemplate::server("client").on("node1").probed()).await?;
        Ok(self.pod("client"))
    }

    pub async fn service(&self, name: &str, spec: serde_json::Value) -> Result<Service> {
        services::create(&self.cluster, &self.space, name, spec).await
    }

    pub async fn change(&self, name: &str, spec: serde_json::Value) -> Result<Service> {
        services::change(&self.cluster, &self.space, name, spec).await
    }

    /// Gives a Service a label, or takes it off.
    pub async fn label(&self, name: &str, label: &str, value: Option<&str>) -> Result<()> {
        self.patch(name, json!({ "metadata": { "labels": { label: value } } })).await
    }

    /// Gives a Service an annotation.
    pub async fn annotate(&self, name: &str, annotation: &str, value: &str) -> Result<()> {
        self.patch(name, json!({ "metadata": { "annotations": { annotation: value } } })).await
    }

    async fn patch(&self, name: &str, patch: serde_json::Value) -> Result<()> {
        let services = self.cluster.api::<Service>(&self.space.name);
        services.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    pub async fn objects(&self) -> Result<Vec<KuryrLoadBalancer>> {
        let api: Api<KuryrLoadBalancer> = self.cluster.api(&self.space.name);
        Ok(api.list(&ListParams::default()).await?.items)
    }
}

/// `spec.ports` of a Service that has HTTP at port 80.
pub fn http() -> serde_json::Value {
    json!([{ "port": 80, "targetPort": HTTP_PORT }])
}

pub fn load_balancer_id(object: &KuryrLoadBalancer) -> Result<LoadBalancerId> {
    let id = object.status.as_ref().and_then(|status| status.load_balancer_id.clone());
    Ok(LoadBalancerId::from(id.context("the KuryrLoadBalancer names no load balancer")?))
}
