//! Where the controller works: the API server, the cloud, the nodes' objects.

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::{
    api::core::v1::{Namespace, Node},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{conditions::is_crd_established, wait::await_condition},
};
use kuryr_api::KuryrPort;
use kuryr_lab::bare::BareApiServer;
use kuryr_openstack_fake::{Config, FakeCloud, Latency};
use serde_json::json;
use std::{fs, path::Path, time::Duration};

/// Requests that are under way at a time while objects are made.
pub const AT_ONCE: usize = 32;

/// Name of the namespace of all pods.
pub const NAMESPACE: &str = "scale";

/// Whether NetworkPolicies are enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enforced {
    /// They are, and the controller looks at Neutron by itself seldom, so that it comes to rest.
    Yes,
    /// All ports have the same group.
    No,
}

/// An API server with nodes, and a cloud.
pub struct Site {
    /// How to reach the API server.
    pub config: kube::Config,
    /// The API server.
    pub client: Client,
    /// Keystone and Neutron.
    pub cloud: FakeCloud,
}

impl Site {
    /// Prepares everything that the controller needs, and writes `kubeconfig`, `clouds.yaml` and `kuryr.yaml` into `folder`.
    ///
    /// # Errors
    /// When a part doesn't start or an object can't be made.
    pub async fn prepare(nodes: usize, latency: Latency, policies: Enforced, folder: &Path) -> Result<Self> {
        let cloud = Config { latency, default_quota: -1, ..Config::default() };
        let cloud = FakeCloud::start(cloud).await.context("starting the cloud")?;
        let kubeconfig = BareApiServer::kubeconfig();
        let write =
            |name: &str, text: String| fs::write(folder.join(name), text).with_context(|| format!("writing {name}"));
        write("kubeconfig", kubeconfig.to_string())?;
        write("clouds.yaml", cloud.clouds_yaml())?;
        write("kuryr.yaml", configuration(folder, policies))?;
        let kubeconfig: Kubeconfig = serde_json::from_value(kubeconfig)?;
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        let site = Self { client: Client::try_from(config.clone())?, config, cloud };
        site.define_kinds().await?;
        site.make_nodes(nodes).await?;
        Ok(site)
    }

    async fn define_kinds(&self) -> Result<()> {
        let crds: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        for crd in kuryr_api::all_crds() {
            let name = crd.name_any();
            crds.patch(&name, &PatchParams::apply("scale").force(), &Patch::Apply(&crd)).await?;
            let established = await_condition(crds.clone(), &name, is_crd_established());
            let waited = tokio::time::timeout(Duration::from_secs(60), established).await;
            waited.with_context(|| format!("{name} isn't established"))??;
        }
        Ok(())
    }

    async fn make_nodes(&self, nodes: usize) -> Result<()> {
        let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": NAMESPACE } }))?;
        Api::all(self.client.clone()).create(&PostParams::default(), &namespace).await?;
        let api: Api<Node> = Api::all(self.client.clone());
        let made = stream::iter(0..nodes).map(|number| {
            let api = api.clone();
            async move {
                let node = json!({ "metadata": { "name": node_name(number) } });
                api.create(&PostParams::default(), &serde_json::from_value(node)?).await?;
                anyhow::Ok(())
            }
        });
        made.buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Waits until no pod has a KuryrPort.
    ///
    /// # Errors
    /// When the API server doesn't answer.
    pub async fn without_claims(&self) -> Result<()> {
        let claims: Api<KuryrPort> = Api::all(self.client.clone());
        while !claims.list_metadata(&ListParams::default().limit(1)).await?.items.is_empty() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// Writes to Kuryr's objects that the API server has taken so far, by whomever.
    ///
    /// # Errors
    /// When its metrics can't be read.
    pub async fn writes_to_kubernetes(&self) -> Result<u64> {
        let request = http::Request::get("/metrics").body(Vec::new())?;
        let metrics = self.client.request_text(request).await.context("reading the API server's metrics")?;
        let written = |line: &&str| {
            line.starts_with("apiserver_request_total{")
                && line.contains("group=\"kuryr.openstack.org\"")
                && ["POST", "PUT", "PATCH", "APPLY", "DELETE"]
                    .iter()
                    .any(|verb| line.contains(&format!("verb=\"{verb}\"")))
        };
        let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).unwrap_or(0.0);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter of requests")]
        Ok(metrics.lines().filter(written).map(value).sum::<f64>() as u64)
    }
}

/// Name of a node.
#[must_use]
pub fn node_name(number: usize) -> String {
    format!("node-{number:04}")
}

fn configuration(folder: &Path, policies: Enforced) -> String {
    let groups = match policies {
        Enforced::Yes => "networkPolicies:\n  auditSeconds: 3600\nsweep:\n  periodSeconds: 0\n",
        Enforced::No => "  securityGroups: [kuryr-pods]\nnetworkPolicies:\n  enabled: false\n",
    };
    format!(
        "cluster: scale\nopenstack:\n  cloud: kuryr\n  cloudsFile: {}\npods:\n  subnets: [pods-v4, pods-v6]\n{groups}nodePort:\n  enabled: false\n",
        folder.join("clouds.yaml").display()
    )
}
