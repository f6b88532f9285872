//! What the absent parts of a cluster would write.

use crate::support::{PATIENCE, until};
use k8s_openapi::{
    api::core::v1::{Namespace, Pod},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use kuryr_api::{KuryrPool, KuryrPoolPort, KuryrPort, conditions};
use kuryr_core::names::{INTERFACE_FINALIZER, kuryr_port};
use kuryr_lab::bare::BareApiServer;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// The namespace of all pods.
pub const NAMESPACE: &str = "shop";

/// The cluster as the scenario of one node sees it.
pub async fn cluster(node: String) -> Cluster {
    let client = connect(SocketAddr::from(([127, 0, 0, 1], 6443))).await;
    let cluster = Cluster { client, node };
    cluster.prepare().await;
    cluster
}

/// A client of the API server at `address`, or of what passes its connections on.
pub async fn connect(address: SocketAddr) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut kubeconfig: Kubeconfig = serde_json::from_value(BareApiServer::kubeconfig()).unwrap();
    let server = kubeconfig.clusters.first_mut().and_then(|named| named.cluster.as_mut()).unwrap();
    server.server = Some(format!("https://{address}"));
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

/// The API, and the node of one scenario.
#[derive(Clone)]
pub struct Cluster {
    pub client: Client,
    pub node: String,
}

impl Cluster {
    pub fn ports(&self) -> Api<KuryrPort> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    pub fn pool_ports(&self) -> Api<KuryrPoolPort> {
        Api::all(self.client.clone())
    }

    pub fn pools(&self) -> Api<KuryrPool> {
        Api::all(self.client.clone())
    }

    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// The kinds and the namespace. They stay from one scenario to the next.
    async fn prepare(&self) {
        let params = PatchParams::apply("test").force();
        let crds = Api::<CustomResourceDefinition>::all(self.client.clone());
        for crd in kuryr_api::all_crds() {
            let name = crd.metadata.name.clone().unwrap();
            until("the API server", || async { crds.patch(&name, &params, &Patch::Apply(&crd)).await.is_ok() }).await;
        }
        let namespaces = Api::<Namespace>::all(self.client.clone());
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        namespaces.patch(NAMESPACE, &params, &Patch::Apply(&namespace)).await.unwrap();
        until("the kinds", || async { self.ports().list(&Default::default()).await.is_ok() }).await;
        until("the kinds", || async { self.pool_ports().list(&Default::default()).await.is_ok() }).await;
        until("the kinds", || async { self.pools().list(&Default::default()).await.is_ok() }).await;
    }

    /// A name that no other scenario has.
    pub fn named(&self, name: &str) -> String {
        format!("{name}-{}", self.node)
    }

    /// The scheduler has bound a pod. Gives its uid.
    pub async fn pod(&self, name: &str, annotations: Value) -> String {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "annotations": annotations},
            "spec": {"nodeName": self.node, "containers": [{"name": "c", "image": "i"}]},
        });
        let made = self.pods().create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
        made.metadata.uid.unwrap()
    }

    /// The kubelet, or a force deletion, has removed the pod's object.
    pub async fn remove_pod(&self, name: &str) {
        self.pods().delete(name, &DeleteParams::default().grace_period(0)).await.unwrap();
        until("the pod's end", || async { self.pods().get_opt(name).await.unwrap().is_none() }).await;
    }

    /// The controller has made the pod's KuryrPort. Gives its name.
    pub async fn claim(&self, pod: &str, uid: &str) -> String {
        let name = kuryr_port(pod, uid);
        let port = json!({
            "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPort",
            "metadata": {"name": name, "finalizers": ["example.com/first", INTERFACE_FINALIZER]},
            "spec": {"podName": pod, "podUid": uid, "nodeName": self.node, "interfaces": [{"name": "eth0"}]},
        });
        self.ports().create(&PostParams::default(), &serde_json::from_value(port).unwrap()).await.unwrap();
        // Another one's finalizer first: the daemon takes off its own, wherever it stands, and then the other goes.
        name
    }

    /// The controller has allocated the addresses, or says why not.
    pub async fn allocate(&self, name: &str, allocated: bool, reason: &str, message: &str) {
        let status = if allocated { "True" } else { "False" };
        let mut patch = json!({
            "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPort", "metadata": {"name": name},
            "status": {"conditions": [{"type": conditions::ALLOCATED, "status": status, "reason": reason,
                                       "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
        });
        if allocated {
            patch["status"]["interfaces"] = json!([{
                "name": "eth0", "poolPort": "p", "portId": format!("port-of-{name}"), "macAddress": "fa:16:3e:00:00:07",
                "addresses": [{"ip": "10.244.0.7", "prefixLength": 16, "gateway": "10.244.0.1", "subnetId": "s"}],
                "routes": [{"destination": "0.0.0.0/0", "gateway": "10.244.0.1"}],
                "mtu": 1442, "binding": {"kind": "OVS"},
            }]);
        }
        let params = PatchParams::apply(kuryr_api::CONTROLLER).force();
        self.ports().patch_status(name, &params, &Patch::Apply(&patch)).await.unwrap();
    }

    /// The KuryrPort's deletion begins.
    pub async fn delete_claim(&self, name: &str) {
        self.ports().delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// The KuryrPort's finalizers. None: it is gone.
    pub async fn finalizers(&self, name: &str) -> Option<Vec<String>> {
        Some(self.ports().get_opt(name).await.unwrap()?.metadata.finalizers.unwrap_or_default())
    }

    /// Waits until the node has confirmed that the interface is gone.
    pub async fn confirmed(&self, name: &str) {
        until("the node's confirmation", || async {
            self.finalizers(name).await.is_none_or(|all| !all.iter().any(|one| one == INTERFACE_FINALIZER))
        })
        .await;
        assert_eq!(self.finalizers(name).await.unwrap(), ["example.com/first"], "other finalizers are others'");
    }

    /// Waits until a condition of the KuryrPort says so.
    pub async fn condition(&self, name: &str, type_: &str, status: &str, reason: &str) {
        until(&format!("condition {type_}={status} ({reason})"), || async {
            let port = self.ports().get(name).await.unwrap();
            port.status
                .unwrap_or_default()
                .conditions
                .iter()
                .any(|c| c.type_ == type_ && c.status == status && c.reason == reason)
        })
        .await;
    }

    /// Watches for as long as a few rounds of the daemon take whether something stays as it is.
    pub async fn stays<T: PartialEq + std::fmt::Debug, F: Future<Output = T>>(&self, mut look: impl FnMut() -> F) {
        let (before, end) = (look().await, Instant::now() + Duration::from_secs(3).min(PATIENCE));
        while Instant::now() < end {
            assert_eq!(look().await, before);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
