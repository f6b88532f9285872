//! The pods that tests create.

use crate::Cluster;
use crate::wait::{eventually, holds};
use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, PostParams},
    runtime::{conditions::is_pod_running, wait::await_condition},
};
use serde_json::json;
use std::{collections::BTreeMap, net::IpAddr, time::Duration};

/// Port of the HTTP server in a [`PodTemplate::server`].
pub const HTTP_PORT: u16 = 8080;
/// Port of the UDP server in a [`PodTemplate::server`].
pub const UDP_PORT: u16 = 8081;

/// Longest time that a pod may take to become ready or to go, on a busy machine.
pub const POD_PATIENCE: Duration = Duration::from_secs(120);

/// A pod to be created.
#[derive(Debug, Clone)]
pub struct PodTemplate {
    name: String,
    node: Option<String>,
    command: Vec<String>,
    args: Vec<String>,
    once: bool,
    probe: Option<Probe>,
    ports: Vec<serde_json::Value>,
    labels: BTreeMap<String, String>,
    host_network: bool,
    grace: i64,
}

/// By what a pod is known to be ready.
#[derive(Debug, Clone, Copy)]
enum Probe {
    /// It answers over HTTP.
    Http,
    /// [`READY_FILE`] is there.
    File,
}

/// The file that makes a pod [ready by a file](PodTemplate::ready_by_file).
pub const READY_FILE: &str = "/tmp/ready";

impl PodTemplate {
    /// A pod that does nothing.
    #[must_use]
    pub fn idle(name: &str) -> Self {
        let args = vec!["pause".to_owned()];
        Self {
            name: name.to_owned(),
            node: None,
            command: Vec::new(),
            args,
            once: false,
            probe: None,
            ports: Vec::new(),
            labels: [("app".to_owned(), name.to_owned())].into(),
            host_network: false,
            grace: 1,
        }
    }

    /// A pod that serves HTTP on [`HTTP_PORT`] and UDP on [`UDP_PORT`]; its HTTP `/dial` sends requests to others.
    #[must_use]
    pub fn server(name: &str) -> Self {
        let args = ["netexec".to_owned(), format!("--http-port={HTTP_PORT}"), format!("--udp-port={UDP_PORT}")];
        let server = Self { args: args.to_vec(), ..Self::idle(name) };
        server.port("http", "TCP", HTTP_PORT).port("echo", "UDP", UDP_PORT)
    }

    /// Binds the pod to a node by a node selector, so that the scheduler still has its part.
    #[must_use]
    pub fn on(mut self, node: &str) -> Self {
        self.node = Some(node.to_owned());
        self
    }

    /// Runs another program of the image than agnhost.
    #[must_use]
    pub fn command(mut self, command: &[&str]) -> Self {
        self.command = command.iter().map(|&word| word.to_owned()).collect();
        self.args = Vec::new();
        self
    }

    /// Doesn't start the program again when it has ended.
    #[must_use]
    pub const fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// Gives a server a readiness probe over HTTP, which the kubelet sends from the node.
    #[must_use]
    pub const fn probed(mut self) -> Self {
        self.probe = Some(Probe::Http);
        self
    }

    /// Makes it ready while [`READY_FILE`] is there, and not before.
    #[must_use]
    pub const fn ready_by_file(mut self) -> Self {
        self.probe = Some(Probe::File);
        self
    }

    /// Gives it the label `service`, by which a Service of that name selects it.
    #[must_use]
    pub fn behind(self, service: &str) -> Self {
        self.label("service", service)
    }

    /// Gives it a label. Without that it has `app`, which is its name.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Gives a port of its container a name.
    #[must_use]
    pub fn port(mut self, name: &str, protocol: &str, number: u16) -> Self {
        self.ports.push(json!({ "name": name, "protocol": protocol, "containerPort": number }));
        self
    }

    /// Puts the pod into the node's own network.
    #[must_use]
    pub const fn on_host_network(mut self) -> Self {
        self.host_network = true;
        self
    }

    /// Sets `terminationGracePeriodSeconds`.
    #[must_use]
    pub const fn grace(mut self, seconds: i64) -> Self {
        self.grace = seconds;
        self
    }

    /// The pod's specification, for a Pod or a template of pods.
    #[must_use]
    pub fn spec(&self) -> serde_json::Value {
        let mut container = json!({
            "name": "main", "image": kuryr_lab::install::AGNHOST_IMAGE, "imagePullPolicy": "IfNotPresent", "args": self.args,
        });
        if !self.command.is_empty() {
            container["command"] = json!(self.command);
        }
        let probe = match self.probe {
            Some(Probe::Http) => json!({ "httpGet": { "path": "/hostname", "port": HTTP_PORT } }),
            Some(Probe::File) => json!({ "exec": { "command": ["test", "-e", READY_FILE] } }),
            None => json!(null),
        };
        if !probe.is_null() {
            container["readinessProbe"] = probe;
            container["readinessProbe"]["periodSeconds"] = json!(1);
            container["readinessProbe"]["timeoutSeconds"] = json!(2);
        }
        // On the node's own network they would be ports of the node, which only one pod can have.
        if !self.host_network {
            container["ports"] = json!(self.ports);
        }
        let mut spec = json!({
            "terminationGracePeriodSeconds": self.grace, "enableServiceLinks": false,
            "automountServiceAccountToken": false, "hostNetwork": self.host_network, "containers": [container],
            "restartPolicy": if self.once { "Never" } else { "Always" },
        });
        if let Some(node) = &self.node {
            spec["nodeSelector"] = json!({ "kubernetes.io/hostname": node });
        }
        spec
    }

    /// The manifest of a static pod in this namespace.
    #[must_use]
    pub fn manifest(&self, namespace: &str) -> String {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": self.name, "namespace": namespace, "labels": self.labels },
            "spec": self.spec(),
        })
        .to_string()
    }

    fn pod(&self) -> Result<Pod> {
        let pod = json!({ "metadata": { "name": self.name, "labels": self.labels }, "spec": self.spec() });
        serde_json::from_value(pod).context("building a pod")
    }
}

/// One namespace of a test, with the pods that the test makes in it.
#[derive(Clone)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    cluster: Cluster,
}

impl Namespace {
    /// The namespace `name` of a cluster. [`Cluster::namespace`] makes a new one.
    #[must_use]
    pub const fn new(cluster: Cluster, name: String) -> Self {
        Self { name, cluster }
    }

    /// The namespace's pods.
    #[must_use]
    pub fn pods(&self) -> Api<Pod> {
        self.cluster.api(&self.name)
    }

    /// Creates a pod.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn create(&self, template: &PodTemplate) -> Result<Pod> {
        let pod = template.pod()?;
        self.pods()
            .create(&PostParams::default(), &pod)
            .await
            .with_context(|| format!("creating pod {}/{}", self.name, template.name))
    }

    /// Creates a pod and waits until it runs (and is ready, where it has a probe).
    ///
    /// # Errors
    /// When it doesn't come up in time; the error says what its events and its KuryrPort say.
    pub async fn run(&self, template: &PodTemplate) -> Result<Pod> {
        self.create(template).await?;
        self.ready(&template.name).await
    }

    /// Waits until a pod is Ready.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn ready(&self, name: &str) -> Result<Pod> {
        let waiting = await_condition(self.pods(), name, |pod: Option<&Pod>| pod.is_some_and(is_ready));
        match tokio::time::timeout(POD_PATIENCE, waiting).await {
            Ok(pod) => pod?.with_context(|| format!("pod {}/{name} has gone", self.name)),
            Err(_) => {
                let why = self.cluster.explain(&self.name, name).await;
                Err(anyhow::anyhow!("pod {}/{name} isn't ready after {} s\n{why}", self.name, POD_PATIENCE.as_secs()))
            }
        }
    }

    /// Asks for a pod's deletion; `grace` overrides the pod's own period.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn delete(&self, name: &str, grace: Option<u32>) -> Result<()> {
        let params = DeleteParams { grace_period_seconds: grace, ..DeleteParams::default() };
        match self.pods().delete(name, &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error).with_context(|| format!("deleting pod {}/{name}", self.name)),
        }
    }

    /// Waits until no pod of the namespace is left.
    ///
    /// # Errors
    /// When some are left after the patience for pods.
    pub async fn empty(&self) -> Result<()> {
        eventually("pods to go", POD_PATIENCE, async || {
            let left: Vec<_> = self.pods().list(&Default::default()).await?.items.iter().map(Pod::name_any).collect();
            holds(left.is_empty(), || format!("pods of {} that are left: {}", self.name, left.join(", ")))
        })
        .await
    }

    /// Deletes the namespace with all that is in it and waits until it has gone. One that has gone already is fine.
    ///
    /// # Errors
    /// When it can't be deleted, or is stuck.
    pub async fn remove(self) -> Result<()> {
        let all: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(self.cluster.client.clone());
        match all.delete(&self.name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            asked => asked.with_context(|| format!("deleting {}", self.name))?,
        };
        eventually("the namespace to go", POD_PATIENCE, async || {
            let there = all.get_opt(&self.name).await?;
            holds(there.is_none(), || format!("namespace {} is still there: {:?}", self.name, there.map(|n| n.status)))
        })
        .await
    }
}

/// Whether a pod runs and its condition Ready is true.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    use kube::runtime::wait::Condition as _;
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    is_pod_running().matches_object(Some(pod)) && conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// A pod's addresses as its status says them.
#[must_use]
pub fn addresses(pod: &Pod) -> Vec<IpAddr> {
    let ips = pod.status.as_ref().and_then(|s| s.pod_ips.as_deref()).unwrap_or_default();
    ips.iter().filter_map(|ip| ip.ip.parse().ok()).collect()
}
