//! The lab with Kuryr on it: its API server, its Neutron, its nodes.

use crate::{
    traffic::From,
    workload::{self, Namespace},
};
use anyhow::{Context, Result, ensure};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{core::v1::Namespace as KubeNamespace, events::v1::Event},
};
use kube::{
    Api, Client, Config, Resource, ResourceExt,
    api::{ListParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use kuryr_api::KuryrPort;
use kuryr_lab::{
    Lab,
    engine::{CONTROL, node_name, node_netns},
    kubernetes, node, openstack,
};
use kuryr_openstack::{Cloud, CloudConfig, Metrics, Settings, config::Files};
use prometheus_client::registry::Registry;
use serde_json::json;
use std::process::Stdio;

/// The lab, with clients for what runs on it. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    /// The lab itself, to break and mend its components.
    pub lab: Lab,
    /// Kubernetes, as cluster administrator.
    pub client: Client,
    /// OpenStack, as Kuryr's own project.
    pub cloud: Cloud,
}

impl Cluster {
    /// The running lab.
    ///
    /// # Errors
    /// When the lab isn't up, or this process doesn't run in its control network namespace.
    pub async fn attach() -> Result<Self> {
        // Another thread may have installed it already: both install the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let lab = Lab::open()?;
        let file = kubernetes::kubeconfig(&lab);
        let kubeconfig = Kubeconfig::read_from(&file).with_context(|| format!("reading {}", file.display()))?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config).context("connecting to the API server")?;
        let version = client.apiserver_version().await;
        version.context("the lab's API server doesn't answer: is the lab up, and this run through `cargo xtask`?")?;
        let clouds = Files { clouds: openstack::clouds_file(&lab), secure: None };
        let config = CloudConfig::read(&clouds, Some("kuryr")).context("reading the lab's clouds.yaml")?;
        let metrics = Metrics::register(&mut Registry::default());
        let cloud = Cloud::connect(config, Settings::default(), metrics).await.context("logging in to Keystone")?;
        Ok(Self { lab, client, cloud })
    }

    /// Objects of one namespace.
    #[must_use]
    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// A new namespace whose name begins with `stem`.
    ///
    /// # Errors
    /// When it can't be created.
    pub async fn namespace(&self, stem: &str) -> Result<Namespace> {
        let all: Api<KubeNamespace> = Api::all(self.client.clone());
        let wanted = serde_json::from_value(json!({ "metadata": { "generateName": format!("{stem}-") } }))?;
        let made = all.create(&PostParams::default(), &wanted).await.context("creating a namespace")?;
        let namespace = Namespace::new(self.clone(), made.name_any());
        // Pods are refused until the controller-manager has made the namespace's service account.
        let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = self.api(&namespace.name);
        crate::wait::eventually("the namespace's service account", workload::POD_PATIENCE, async || {
            Ok(accounts.get("default").await?)
        })
        .await?;
        Ok(namespace)
    }

    /// The names of the lab's nodes.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        self.lab.nodes().map(node_name).collect()
    }

    /// Runs a shell script in a pod (as `kubectl exec` does) or on a node; returns what it printed.
    ///
    /// # Errors
    /// When it fails; the error holds what it printed.
    pub async fn shell(&self, from: &From, script: &str) -> Result<String> {
        let command = match from {
            From::Pod(namespace, name) => {
                let mut kubectl = kubernetes::kubectl(&self.lab)?;
                kubectl.args(["exec", "--namespace", namespace, name, "--", "sh", "-c", script]);
                kubectl
            }
            From::Node(name) => {
                let number = name.trim_start_matches("node").parse().with_context(|| format!("{name} is no node"))?;
                let mut shell = self.lab.command(Some(&node_netns(number)), "busybox");
                shell.args(["sh", "-c", script]);
                shell
            }
            From::Outside => {
                let mut shell = self.lab.command(Some(CONTROL), "busybox");
                shell.args(["sh", "-c", script]);
                shell
            }
        };
        run(command).await.with_context(|| format!("`{script}` from {from:?}"))
    }

    /// Runs `ovs-vsctl` on a node, by its number; returns what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub async fn vsctl(&self, node: u32, args: &[&str]) -> Result<String> {
        let (lab, args) = (self.lab.clone(), args.iter().map(|&a| a.to_owned()).collect::<Vec<_>>());
        let call = move || node::ovs::vsctl(&lab, node, &args.iter().map(String::as_str).collect::<Vec<_>>());
        tokio::task::spawn_blocking(call).await?
    }

    /// Runs a command inside the control network namespace; returns what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub async fn in_control(&self, program: &str, args: &[&str]) -> Result<String> {
        let mut command = self.lab.command(Some(CONTROL), program);
        command.args(args);
        run(command).await
    }

    /// What a user would look at when a pod doesn't start: its events and its KuryrPort.
    pub async fn explain(&self, namespace: &str, pod: &str) -> String {
        let mut text = String::new();
        let events: Api<Event> = self.api(namespace);
        for event in events.list(&ListParams::default()).await.map(|l| l.items).unwrap_or_default() {
            if event.regarding.as_ref().and_then(|r| r.name.as_deref()) == Some(pod) {
                text += &format!("  event {}: {}\n", event.reason.unwrap_or_default(), event.note.unwrap_or_default());
            }
        }
        let ports: Api<KuryrPort> = self.api(namespace);
        for port in ports.list(&ListParams::default()).await.map(|l| l.items).unwrap_or_default() {
            if port.spec.pod_name == pod {
                for condition in port.status.iter().flat_map(|s| &s.conditions) {
                    text += &format!(
                        "  KuryrPort {} {}={}: {}\n",
                        port.name_any(),
                        condition.type_,
                        condition.status,
                        condition.message
                    );
                }
            }
        }
        text
    }
}

async fn run(command: std::process::Command) -> Result<String> {
    let mut command = tokio::process::Command::from(command);
    let output = command.stdin(Stdio::null()).output().await.context("starting the command")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {}{}", output.status, text, errors.trim());
    Ok(text)
}
