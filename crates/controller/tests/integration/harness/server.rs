//! The one API server of this process.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use kuryr_lab::{bare::BareApiServer, engine::Directories, install::Artefacts};
use std::sync::{LazyLock, Once};
use tokio::{
    runtime::{Builder, Runtime},
    sync::OnceCell,
};
use tracing_subscriber::EnvFilter;

static SERVER: LazyLock<BareApiServer> = LazyLock::new(|| BareApiServer::start().unwrap());

/// A runtime whose threads, and this one, reach the API server.
pub fn runtime(threads: usize) -> Runtime {
    static LOG: Once = Once::new();
    // RUST_LOG=kuryr_controller=info shows what the controllers do.
    LOG.call_once(|| {
        tracing_subscriber::fmt().with_env_filter(EnvFilter::from_default_env()).with_test_writer().init();
    });
    SERVER.enter().unwrap();
    Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .on_thread_start(|| SERVER.enter().unwrap())
        .build()
        .unwrap()
}

/// A client of the current runtime. It repeats nothing by itself.
pub async fn client() -> Client {
    // The first one installs it; for the others it is there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kubeconfig: Kubeconfig = serde_json::from_value(BareApiServer::kubeconfig()).unwrap();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

/// Kuryr's kinds are there.
pub async fn prepared(client: &Client) {
    static PREPARED: OnceCell<()> = OnceCell::const_new();
    PREPARED.get_or_init(|| prepare(client.clone())).await;
}

async fn prepare(client: Client) {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let params = PatchParams::apply("integration").force();
    for crd in kuryr_api::all_crds() {
        let name = crd.name_any();
        super::eventually("the API server takes a CRD", || async {
            crds.patch(&name, &params, &Patch::Apply(&crd)).await.ok()
        })
        .await;
        let version = &crd.spec.versions[0].name;
        serves(&client, &name, &format!("/apis/{}/{version}/{}", crd.spec.group, crd.spec.names.plural)).await;
    }
    let name = "clusternetworkpolicies.policy.networking.k8s.io";
    let path =
        format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}?fieldManager=integration&force=true");
    let artefacts = Artefacts::at(&Directories::from_env().cache).unwrap();
    let text = std::fs::read(artefacts.cluster_policies()).unwrap();
    super::eventually("the API server takes the definition of ClusterNetworkPolicies", || async {
        let request = http::Request::patch(&path).header("content-type", "application/apply-patch+yaml");
        client.request::<serde_json::Value>(request.body(text.clone()).unwrap()).await.ok()
    })
    .await;
    serves(&client, name, "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies").await;
}

/// Waits until a kind can be watched.
async fn serves(client: &Client, crd: &str, path: &str) {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    super::eventually("the CRD is established", || async {
        let status = crds.get(crd).await.unwrap().status?;
        status.conditions?.iter().any(|c| c.type_ == "Established" && c.status == "True").then_some(())
    })
    .await;
    super::eventually("the kind can be watched", || async {
        let request = http::Request::get(format!("{path}?resourceVersion=0")).body(Vec::new()).unwrap();
        client.request::<serde_json::Value>(request).await.ok()
    })
    .await;
}
