//! The world of one test. Worlds share nothing but the API server, and see nothing of each other there.

use super::{
    cloud::Cloud,
    history::History,
    life::{Life, Point},
    node::Nodes,
    server,
    view::Views,
    wire::Wire,
};
use futures::{FutureExt, StreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use kuryr_api::{KuryrPool, KuryrPoolPort, KuryrPort, conditions};
use kuryr_controller::{
    Settings, StartError,
    once::{self, Options, Progress, Row},
    settings::{self, Controller, Lease, NodePort, Pods, Pools, Sweep},
};
use kuryr_openstack::CloudConfig;
use kuryr_openstack_fake::PortView;
use serde_json::json;
use std::{
    fmt::Debug,
    future::Future,
    panic::AssertUnwindSafe,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{runtime::Runtime, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// How long a condition may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(300);

/// A sweep that looks once and has no limit.
pub const SWEEP_AT_ONCE: Options = Options { dry_run: false, grace: Duration::ZERO, most_percent: 100 };

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(150);

/// The world of one test.
#[derive(Clone)]
pub struct World {
    /// The API server as it is.
    pub client: Client,
    /// Neutron and Keystone.
    pub fake: Cloud,
    /// The name of the cluster, the namespace and the node.
    pub name: String,
    /// How controllers log in.
    pub cloud: CloudConfig,
    pub settings: Settings,
    /// How patient they are with it.
    pub openstack: kuryr_openstack::Settings,
    /// What controllers see.
    pub views: Views,
    /// The nodes, once they work.
    pub nodes: Nodes,
    history: History,
}

/// A controller in a runtime of its own. Dropped, as by a test that fails, it is killed.
pub struct Running {
    pub life: Life,
    stop: CancellationToken,
    task: JoinHandle<Result<(), StartError>>,
    runtime: Option<Runtime>,
}

/// The controller stands still until this is dropped.
pub struct Standstill {
    _go_on: std::sync::mpsc::Sender<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.life.end();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Running {
    /// Stops it as SIGTERM does.
    pub async fn stop(mut self) {
        self.stop.cancel();
        (&mut self.task).await.unwrap().unwrap();
    }

    /// Stops it as SIGKILL does: nothing more leaves, and when this returns nothing of it is left.
    pub async fn kill(mut self) {
        self.life.end();
        let runtime = self.runtime.take().unwrap();
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE)).await.unwrap();
    }

    /// Makes one that has one thread stand still, as SIGSTOP or a suspended machine does.
    pub async fn stand_still(&self) -> Standstill {
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let (tell, still) = tokio::sync::oneshot::channel();
        self.runtime.as_ref().unwrap().spawn(async move {
            tell.send(()).unwrap();
            // The runtime has one thread, and this holds it. An error says that the sender is gone.
            let _ = wait.recv();
        });
        still.await.unwrap();
        Standstill { _go_on: go_on }
    }

    /// Waits until it ends by itself.
    pub async fn ended(mut self) -> Result<(), StartError> {
        tokio::time::timeout(PATIENCE, &mut self.task).await.expect("the controller goes on").unwrap()
    }
}

/// Runs a test in a world of its own. What it leaves goes with the API server: nobody else sees it.
pub fn in_world<F: Future<Output = ()>>(test: impl FnOnce(World) -> F) {
    server::runtime(2).block_on(in_new_world(test));
}

/// Runs a test for each of these cases, `at_once` of them at a time, each in a world of its own. Fails at the end, with the names
/// of all cases that failed.
pub fn in_worlds<T: Clone + Debug, R, F: Future<Output = R>>(
    at_once: usize,
    cases: Vec<T>,
    test: impl Fn(World, T) -> F + Copy,
) -> Vec<R> {
    let worlds = stream::iter(cases).map(|case| async move {
        let told = case.clone();
        let result = AssertUnwindSafe(in_new_world(move |world| test(world, case))).catch_unwind().await;
        result.map_err(|_| eprintln!("FAILED: {told:?}")).map_err(|()| format!("{told:?}"))
    });
    let results: Vec<_> = server::runtime(2).block_on(worlds.buffered(at_once).collect());
    let failed: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).cloned().collect();
    assert!(failed.is_empty(), "{} of {} cases failed:\n{}", failed.len(), results.len(), failed.join("\n"));
    results.into_iter().flatten().collect()
}

async fn in_new_world<R, F: Future<Output = R>>(test: impl FnOnce(World) -> F) -> R {
    test(World::new().await).await
}

/// Waits until `look` finds something.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    eventually_so(what, || look().map(|found| found.ok_or_else(String::new))).await
}

/// As [`eventually`], but says in the end what was lacking.
pub async fn eventually_so<T, F: Future<Output = Result<T, String>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let (mut ticks, mut lacking) = (tokio::time::interval(LOOK), String::new());
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            ticks.tick().await;
            match look().await {
                Ok(found) => return found,
                Err(lacks) => lacking = lacks,
            }
        }
    });
    let found = found.await;
    found.unwrap_or_else(|_| panic!("waited {} s in vain until {what}: {lacking}", PATIENCE.as_secs()))
}

/// No name is the beginning of another one.
fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    format!("it-{now:x}-{:05}", COUNT.fetch_add(1, Ordering::Relaxed))
}

impl World {
    async fn new() -> Self {
        let client = server::client().await;
        server::prepared(&client).await;
        let (fake, name) = (Cloud::start().await, unique());
        let settings = Settings {
            cluster: name.clone(),
            pods: Pods {
                subnets: vec!["pods-v4".to_owned(), "pods-v6".to_owned()],
                security_groups: vec!["kuryr-pods".to_owned()],
                ..Pods::default()
            },
            node_port: NodePort { enabled: false, security_groups: vec![] },
            pools: Pools { minimum: 0, maximum: 0, plugged: 0, ..Pools::default() },
            controller: Controller {
                listen: ([127, 0, 0, 1], 0).into(),
                // The tests say themselves which controllers run; those of the election switch it on.
                lease: Lease { enabled: false, ..Lease::default() },
                ..Controller::default()
            },
            nodes: settings::Nodes::default(),
            sweep: Sweep { period_seconds: 1, grace_seconds: 2, ..Sweep::default() },
            services: settings::Services::default(),
            network_policies: settings::NetworkPolicies { enabled: false, ..settings::NetworkPolicies::default() },
        };
        let cloud = fake.config();
        let (views, nodes, history) = (Views::default(), Nodes::default(), History::default());
        let openstack = kuryr_openstack::Settings::default();
        let world = Self { client, fake, name, cloud, settings, openstack, views, nodes, history };
        world.create_node(&world.name).await;
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": world.name } });
        Api::<Namespace>::all(world.client.clone())
            .create(&PostParams::default(), &serde_json::from_value(namespace).unwrap())
            .await
            .unwrap();
        world
    }

    /// Services are switched on, on a cloud that has what they need.
    pub async fn with_services(self) -> Self {
        let fake = Cloud::start_with_services().await;
        let services = settings::Services {
            subnets: vec!["services-v4".to_owned(), "services-v6".to_owned()],
            floating_network: Some("ext".to_owned()),
            ..settings::Services::default()
        };
        let settings = Settings { services, ..self.settings.clone() };
        Self { cloud: fake.config(), fake, settings, ..self }
    }

    /// NetworkPolicies are enforced.
    pub fn with_policies(mut self) -> Self {
        self.settings.pods.security_groups = Vec::new();
        self.settings.network_policies = settings::NetworkPolicies { audit_seconds: 1, ..Default::default() };
        self
    }

    /// Another cluster that has the same project of the same cloud.
    pub async fn beside(&self) -> Self {
        let other = Self::new().await;
        Self { fake: self.fake.clone(), cloud: self.cloud.clone(), ..other }
    }

    /// Makes a node. Its name must begin with the world's.
    pub async fn create_node(&self, name: &str) {
        let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name } });
        let nodes = Api::<Node>::all(self.client.clone());
        nodes.create(&PostParams::default(), &serde_json::from_value(node).unwrap()).await.unwrap();
    }

    /// Whether there is a node of this name.
    pub async fn has_node(&self, name: &str) -> bool {
        Api::<Node>::all(self.client.clone()).get_metadata_opt(name).await.unwrap().is_some()
    }

    /// Cordons the node or takes that back: the taint is what the node lifecycle controller makes of it.
    pub async fn cordon(&self, cordoned: bool) {
        let taint = json!({ "key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule", "timeAdded": jiff::Timestamp::now() });
        let taints = if cordoned { vec![taint] } else { vec![] };
        let patch = Patch::Merge(json!({ "spec": { "unschedulable": cordoned, "taints": taints } }));
        Api::<Node>::all(self.client.clone()).patch(&self.name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// A client that sees what this world's controllers see.
    pub async fn view(&self) -> Client {
        let wire = Wire { world: self.name.clone(), life: Life::new(None), views: Views::default() };
        wire.client(server::client().await)
    }

    /// An operator's sweep: what its last look has shown.
    pub async fn sweep(&self, options: Options) -> Vec<Row> {
        let mut shown = Vec::new();
        let tell = |progress| {
            if let Progress::Looked { rows, .. } = progress {
                shown = rows;
            }
        };
        once::sweep(self.name.clone(), &self.cloud, &self.openstack, self.view().await, options, tell).await.unwrap();
        shown
    }

    /// Starts a controller.
    pub fn start(&self) -> Running {
        self.start_until(None)
    }

    /// Starts a controller that dies at this point, if it comes to it.
    pub fn start_until(&self, death: Option<Point>) -> Running {
        self.start_on(server::runtime(2), death)
    }

    /// Starts a controller that can be made to stand still.
    pub fn start_on_one_thread(&self) -> Running {
        self.start_on(server::runtime(1), None)
    }

    fn start_on(&self, runtime: Runtime, death: Option<Point>) -> Running {
        let (life, stop) = (Life::new(death), CancellationToken::new());
        self.fake.serve(&life);
        let wire = Wire { world: self.name.clone(), life: life.clone(), views: self.views.clone() };
        let (settings, cloud, shutdown) = (self.settings.clone(), self.cloud.clone(), stop.clone());
        let openstack = self.openstack.clone();
        let task = runtime.spawn(async move {
            let client = wire.client(server::client().await);
            kuryr_controller::run(settings, &cloud, &openstack, client, shutdown).await
        });
        Running { life, stop, task, runtime: Some(runtime) }
    }

    /// Has the nodes do their work, and writes the history, until the test ends. Otherwise the test plays the nodes.
    pub fn enliven(&self) {
        tokio::spawn(self.nodes.clone().work(self.client.clone(), self.name.clone(), self.fake.clone()));
        tokio::spawn(self.history.clone().record(self.client.clone(), self.name.clone()));
    }

    /// What must never have happened and did.
    pub fn wrongs(&self) -> Vec<String> {
        [self.history.wrongs(), self.nodes.wrongs(), self.fake.wrongs()].concat()
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

    /// The KuryrPoolPorts of this world.
    pub async fn own_pool_ports(&self) -> Vec<KuryrPoolPort> {
        let mut all = self.pool_ports().list(&ListParams::default()).await.unwrap().items;
        all.retain(|port| port.name_any().starts_with(&self.name));
        all
    }

    pub fn pools(&self) -> Api<KuryrPool> {
        Api::all(self.client.clone())
    }

    /// Creates a pod on this world's node. No kubelet looks at it.
    pub async fn create_pod(&self, name: &str, host_network: bool) -> Pod {
        self.create_pod_on(&self.name, name, host_network).await
    }

    /// Creates a pod on a node.
    pub async fn create_pod_on(&self, node: &str, name: &str, host_network: bool) -> Pod {
        let pod = json!({
            "metadata": { "name": name },
            "spec": {
                "nodeName": node, "hostNetwork": host_network, "automountServiceAccountToken": false,
                "tolerations": [{ "operator": "Exists" }],
                "containers": [{ "name": "c", "image": "none" }],
            },
        });
        self.pods().create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap()
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

    /// The KuryrPort as it is now.
    pub async fn allocated_now(&self, port: &KuryrPort) -> KuryrPort {
        self.ports().get(&port.name_any()).await.unwrap()
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
        // A node that works may have been quicker.
        let _ = self.ports().patch_metadata(name, &PatchParams::default(), &patch).await;
    }

    /// The Neutron ports that carry the mark of this world's cluster.
    pub fn neutron_ports(&self) -> Vec<PortView> {
        self.fake.ports(&self.name)
    }

    /// Waits until neither the cluster nor Neutron has anything of this world's pods.
    pub async fn nothing_left(&self) {
        eventually("nothing is left in the cluster and in Neutron", || async {
            (self.own_pool_ports().await.is_empty() && self.neutron_ports().is_empty()).then_some(())
        })
        .await;
    }
}
