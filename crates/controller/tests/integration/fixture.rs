//! What every test needs: the cluster, the cloud, a node and a namespace of its own, and that nothing stays behind.

use super::proxy::Proxy;
use futures::FutureExt;
use k8s_openapi::{
    api::core::v1::{Namespace, Node, Pod},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use kuryr_api::{KuryrPoolPort, KuryrPort, conditions};
use kuryr_controller::{
    Settings, StartError,
    settings::{Controller, NodePort, Pods},
};
use kuryr_core::names::OwnerMark;
use kuryr_openstack::{
    Cloud, CloudConfig, Metrics, Neutron,
    config::Files,
    neutron::{Port, PortQuery},
};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use std::{
    future::Future,
    panic::{AssertUnwindSafe, resume_unwind},
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a condition may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(90);

/// The world of one test.
#[derive(Clone)]
pub struct World {
    pub client: Client,
    pub neutron: Neutron,
    pub proxy: Proxy,
    pub name: String,
    pub cloud: CloudConfig,
    pub settings: Settings,
}

/// A controller that runs in this process. Dropped, as by a test that fails, it is killed.
pub struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), StartError>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    /// Stops it as SIGTERM does.
    pub async fn stop(mut self) {
        self.stop.cancel();
        (&mut self.task).await.unwrap().unwrap();
    }

    /// Stops it as SIGKILL does: nothing that it was about to do is done.
    pub async fn kill(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    /// Waits until it ends by itself.
    pub async fn ended(mut self) -> Result<(), StartError> {
        tokio::time::timeout(PATIENCE, &mut self.task).await.expect("the controller goes on").unwrap()
    }
}

/// Runs a test in a world of its own and clears it away, also when the test fails.
pub fn in_world<F: Future<Output = ()>>(test: impl FnOnce(World) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::new().await;
        let result = AssertUnwindSafe(test(world.clone())).catch_unwind().await;
        let cleared = AssertUnwindSafe(world.clear()).catch_unwind().await;
        result.unwrap_or_else(|failure| resume_unwind(failure));
        cleared.unwrap_or_else(|failure| resume_unwind(failure));
    });
}

/// Waits until `look` finds something.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            ticks.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    });
    found.await.unwrap_or_else(|_| panic!("waited {} s in vain until {what}", PATIENCE.as_secs()))
}

fn lab_file(path: &str) -> PathBuf {
    let state = std::env::var_os("KURYR_LAB_STATE").map_or_else(|| PathBuf::from("/var/lib/kuryr-lab"), PathBuf::from);
    let file = state.join(path);
    assert!(file.exists(), "the lab isn't up ({} is missing): run `cargo xtask lab up`", file.display());
    file
}

fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    format!("it-{now:x}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

impl World {
    async fn new() -> Self {
        // The first test installs it; for the others it is there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (client, cloud) = (client().await, lab_file("clouds.yaml"));
        let mut cloud = CloudConfig::read(&Files { clouds: cloud, secure: None }, Some("kuryr")).unwrap();
        let registered = Metrics::register(&mut Registry::default());
        let connected = Cloud::connect(cloud.clone(), kuryr_openstack::Settings::default(), registered).await;
        let upstream = format!("http://{}:9696", cloud.auth_url.host_str().unwrap());
        let (proxy, url) = Proxy::start(upstream).await;
        cloud.endpoint_overrides.insert("network".to_owned(), url.parse().unwrap());
        let name = unique();
        let ids: Value = serde_json::from_slice(&std::fs::read(lab_file("cloud.json")).unwrap()).unwrap();
        let group = ids["pod_security_group"].as_str().unwrap().to_owned();
        let subnets = serde_json::from_value(ids["pod_subnets"].clone()).unwrap();
        let settings = Settings {
            cluster: name.clone(),
            pods: Pods { subnets, security_groups: vec![group] },
            node_port: NodePort { enabled: false, security_groups: vec![] },
            controller: Controller { listen: ([127, 0, 0, 1], 0).into(), audit_seconds: 1, ..Controller::default() },
        };
        let world = Self { client, neutron: connected.unwrap().neutron(), proxy, name, cloud, settings };
        world.prepare().await;
        world
    }

    async fn prepare(&self) {
        let crds: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        for crd in kuryr_api::all_crds() {
            let name = crd.name_any();
            crds.patch(&name, &PatchParams::apply("integration").force(), &Patch::Apply(&crd)).await.unwrap();
            eventually("the CRD is established", || async {
                let status = crds.get(&name).await.unwrap().status?;
                status.conditions?.iter().any(|c| c.type_ == "Established" && c.status == "True").then_some(())
            })
            .await;
        }
        let others: Api<KuryrPort> = Api::all(self.client.clone());
        let others = others.list(&ListParams::default()).await.unwrap().items.len();
        assert_eq!(others, 0, "the cluster has KuryrPorts already: stop the Kuryr that runs there and remove its pods");
        let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": self.name } });
        Api::<Node>::all(self.client.clone())
            .create(&PostParams::default(), &serde_json::from_value(node).unwrap())
            .await
            .unwrap();
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": self.name } });
        Api::<Namespace>::all(self.client.clone())
            .create(&PostParams::default(), &serde_json::from_value(namespace).unwrap())
            .await
            .unwrap();
    }

    /// Starts a controller.
    pub fn start(&self) -> Running {
        let (settings, cloud, client, stop) =
            (self.settings.clone(), self.cloud.clone(), self.client.clone(), CancellationToken::new());
        let shutdown = stop.clone();
        let task = tokio::spawn(async move {
            let openstack = kuryr_openstack::Settings::default();
            kuryr_controller::run(settings, &cloud, &openstack, client, shutdown).await
        });
        Running { stop, task }
    }

    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    pub fn ports(&self) -> Api<KuryrPort> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    pub fn pool_ports(&self) -> Api<KuryrPoolPort> {
        Api::all(self.client.clone())
    }

    /// Creates a pod on this world's node. No kubelet looks at it.
    pub async fn create_pod(&self, name: &str, host_network: bool) -> Pod {
        let pod = json!({
            "metadata": { "name": name },
            "spec": {
                "nodeName": self.name, "hostNetwork": host_network, "automountServiceAccountToken": false,
                "tolerations": [{ "operator": "Exists" }],
                "containers": [{ "name": "c", "image": "none" }],
            },
        });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        eventually("the namespace has its service account", || async {
            self.pods().create(&PostParams::default(), &pod).await.ok()
        })
        .await
    }

    /// Deletes a pod at once, as a node that has ended it does.
    pub async fn delete_pod(&self, name: &str) {
        self.pods().delete(name, &DeleteParams::default().grace_period(0)).await.unwrap();
    }

    /// The KuryrPorts of the pod with this uid.
    pub async fn ports_of(&self, uid: &str) -> Vec<KuryrPort> {
        let of_pod = ListParams::default().fields(&format!("spec.podUid={uid}"));
        self.ports().list(&of_pod).await.unwrap().items
    }

    /// Waits until the pod has its addresses.
    pub async fn allocated(&self, pod: &Pod) -> KuryrPort {
        let uid = pod.uid().unwrap();
        eventually("the pod has its addresses", || async {
            let port = self.ports_of(&uid).await.pop()?;
            conditions::is_true(&port.status.as_ref()?.conditions, conditions::ALLOCATED).then_some(port)
        })
        .await
    }

    /// Waits until the KuryrPort is being deleted, and confirms as the node's daemon does.
    pub async fn confirm(&self, port: &KuryrPort) {
        let name = port.name_any();
        eventually("the KuryrPort is being deleted", || async {
            self.ports().get_metadata(&name).await.unwrap().metadata.deletion_timestamp
        })
        .await;
        self.without_finalizers(&name).await;
    }

    async fn without_finalizers(&self, name: &str) {
        let patch = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        self.ports().patch_metadata(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// The Neutron ports that carry the mark of this world's cluster, whatever state the cluster is in.
    pub async fn neutron_ports(&self) -> Vec<Port> {
        let mut ports = self.neutron.list_ports(&PortQuery::default()).await.unwrap();
        ports.retain(|port| OwnerMark::parse(&port.description).is_some_and(|mark| mark.cluster == self.name));
        ports
    }

    /// Waits until neither the cluster nor Neutron has anything of this world's pods.
    pub async fn nothing_left(&self) {
        eventually("nothing is left in the cluster and in Neutron", || async {
            let pool_ports = self.pool_ports().list(&ListParams::default()).await.unwrap().items;
            let ours = pool_ports.iter().filter(|port| port.spec.node_name == self.name).count();
            (ours == 0 && self.neutron_ports().await.is_empty()).then_some(())
        })
        .await;
    }

    /// Clears away what the test left, with a controller of its own.
    async fn clear(&self) {
        self.proxy.heal();
        let all = ListParams::default();
        self.pods().delete_collection(&DeleteParams::default().grace_period(0), &all).await.unwrap();
        let controller = self.start();
        // The metadata only: a test may have left an object that can't be read.
        for port in self.ports().list_metadata(&all).await.unwrap() {
            let _ = self.ports().delete(&port.name_any(), &DeleteParams::default()).await;
            self.without_finalizers(&port.name_any()).await;
        }
        self.nothing_left().await;
        controller.stop().await;
        let _ = Api::<Node>::all(self.client.clone()).delete(&self.name, &DeleteParams::default()).await;
        Api::<Namespace>::all(self.client.clone()).delete(&self.name, &DeleteParams::default()).await.unwrap();
    }
}

async fn client() -> Client {
    let kubeconfig = Kubeconfig::read_from(lab_file("etc/kubernetes/admin.kubeconfig")).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}
