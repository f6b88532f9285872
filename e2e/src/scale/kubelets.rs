//! The nodes' kubelets, hollow: a pod has no containers, only a sandbox that the node's daemon gives its network.

use super::{
    daemons::Daemon,
    site::{AT_ONCE, NAMESPACE, node_name},
};
use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use kuryr_cni::{Call, Command, wire::Reply};
use serde_json::json;
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
};

/// How long a kubelet waits until it makes a failed call once more.
const AGAIN: Duration = Duration::from_secs(1);

/// Calls under way at a time, of all nodes: each is two open files of this one process. Others wait for their turn, in order.
const CALLS: usize = 5000;

/// The nodes: their kubelets and daemons. Cheap to clone.
#[derive(Clone)]
pub struct Nodes(Arc<Inner>);

struct Inner {
    daemons: HashMap<String, Daemon>,
    calls: Semaphore,
    /// Pods with a network.
    ready: watch::Sender<usize>,
    /// Why calls failed, by command and what the answer says without the pod's name, and how often.
    failed: Mutex<BTreeMap<String, usize>>,
}

impl Nodes {
    /// Starts the daemons of so many nodes.
    ///
    /// # Errors
    /// When one doesn't start.
    pub async fn start(nodes: usize, config: &kube::Config, folder: &Path) -> Result<Self> {
        let started = stream::iter(0..nodes).map(|number| async move {
            let daemon = Daemon::start(number, config, folder).await;
            anyhow::Ok((node_name(number), daemon.with_context(|| format!("starting the daemon of node {number}"))?))
        });
        let daemons = started.buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(Self(Arc::new(Inner {
            daemons,
            calls: Semaphore::new(CALLS),
            ready: watch::Sender::new(0),
            failed: Mutex::default(),
        })))
    }

    /// Does the kubelets' work for as long as it is polled: an ADD for every pod that comes, a DEL for every pod that has gone.
    ///
    /// # Errors
    /// When the pods can't be watched.
    pub async fn work(&self, client: Client) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(client, NAMESPACE);
        let mut events = std::pin::pin!(watcher::watcher(pods, watcher::Config::default()).default_backoff());
        let mut sandboxes: HashMap<String, JoinHandle<()>> = HashMap::new();
        while let Some(event) = events.try_next().await? {
            match event {
                Event::Apply(pod) | Event::InitApply(pod) => {
                    let uid = pod.uid().unwrap_or_default();
                    sandboxes.entry(uid).or_insert_with(|| tokio::spawn(self.clone().add(pod)));
                }
                Event::Delete(pod) => {
                    let adding = sandboxes.remove(&pod.uid().unwrap_or_default());
                    tokio::spawn(self.clone().del(pod, adding));
                }
                Event::Init | Event::InitDone => {}
            }
        }
        Ok(())
    }

    /// Waits until so many pods have a network.
    pub async fn until_ready(&self, pods: usize) {
        // The sender lives as long as `self`.
        let _ = self.0.ready.subscribe().wait_for(|ready| *ready >= pods).await;
    }

    /// Waits until no pod has one.
    pub async fn until_gone(&self) {
        let _ = self.0.ready.subscribe().wait_for(|ready| *ready == 0).await;
    }

    /// How many calls failed, and were made again, by reason.
    #[must_use]
    pub fn failed_calls(&self) -> BTreeMap<String, usize> {
        self.failed().clone()
    }

    fn failed(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.0.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// # Errors
    /// When a daemon has ended.
    pub fn all_run(&self) -> Result<()> {
        let ended: Vec<_> = self.0.daemons.iter().filter(|(_, daemon)| !daemon.runs()).map(|(node, _)| node).collect();
        ensure!(ended.is_empty(), "the daemons of {ended:?} have ended");
        Ok(())
    }

    async fn add(self, pod: Pod) {
        self.until_done(Command::Add, &pod).await;
        self.0.ready.send_modify(|ready| *ready += 1);
    }

    /// `adding`: the ADD of the same pod, which may not have ended.
    async fn del(self, pod: Pod, adding: Option<JoinHandle<()>>) {
        let had_network = match adding {
            Some(adding) if adding.is_finished() => true,
            Some(adding) => {
                adding.abort();
                adding.await.is_ok()
            }
            None => false,
        };
        self.until_done(Command::Del, &pod).await;
        if had_network {
            self.0.ready.send_modify(|ready| *ready -= 1);
        }
    }

    async fn until_done(&self, command: Command, pod: &Pod) {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
        let Some(daemon) = self.0.daemons.get(node) else { return };
        let call = call(command, pod);
        loop {
            // It is never closed.
            let turn = self.0.calls.acquire().await;
            let outcome = daemon.call(&call).await;
            drop(turn);
            let why = match outcome {
                Ok(Reply::Result(_)) => return,
                Ok(Reply::Error(error)) => error.to_string().replace(&pod.name_any(), "..."),
                Err(error) => format!("{error:#}"),
            };
            *self.failed().entry(format!("{}: {why}", command.as_str())).or_default() += 1;
            tokio::time::sleep(AGAIN).await;
        }
    }
}

fn call(command: Command, pod: &Pod) -> Call {
    let uid = pod.uid().unwrap_or_default();
    Call {
        command,
        container_id: uid.clone(),
        netns: format!("/run/netns/{uid}"),
        ifname: "eth0".into(),
        args: format!("K8S_POD_NAMESPACE={NAMESPACE};K8S_POD_NAME={};K8S_POD_UID={uid}", pod.name_any()),
        path: "/opt/cni/bin".into(),
        config: json!({ "cniVersion": "1.1.0", "name": "kuryr", "type": "kuryr-cni" }),
    }
}
