//! When each step of many pods' lives happened, seen by watching the API server.

use crate::Cluster;
use crate::workload::is_ready;
use anyhow::Result;
use futures::{StreamExt, future};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    runtime::watcher::{self, Event, watcher},
};
use kuryr_api::{KuryrPort, conditions};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// When a pod reached each step. A step that it didn't reach has no time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Steps {
    /// Asked for by us.
    pub created: Option<Instant>,
    /// Bound to a node.
    pub scheduled: Option<Instant>,
    /// Its KuryrPort exists.
    pub claimed: Option<Instant>,
    /// Its KuryrPort is Allocated: Neutron has answered.
    pub allocated: Option<Instant>,
    /// Its KuryrPort is Ready: the dataplane lets packets through.
    pub plugged: Option<Instant>,
    /// The pod is Ready.
    pub ready: Option<Instant>,
    /// The pod has gone.
    pub gone: Option<Instant>,
}

/// Watches the pods and KuryrPorts of one namespace.
pub struct Timeline {
    steps: Arc<Mutex<HashMap<String, Steps>>>,
    watching: tokio::task::JoinHandle<()>,
}

impl Timeline {
    /// Starts to watch.
    #[must_use]
    pub fn start(cluster: &Cluster, namespace: &str) -> Self {
        let steps: Arc<Mutex<HashMap<String, Steps>>> = Arc::default();
        let (of_pods, of_ports) = (steps.clone(), steps.clone());
        let pods = watcher(cluster.api::<Pod>(namespace), watcher::Config::default());
        let ports = watcher(cluster.api::<KuryrPort>(namespace), watcher::Config::default());
        let pods = pods.for_each(move |event| {
            note_pod(&mut lock(&of_pods), event);
            future::ready(())
        });
        let ports = ports.for_each(move |event| {
            note_port(&mut lock(&of_ports), event);
            future::ready(())
        });
        let watching = tokio::spawn(async move {
            future::join(pods, ports).await;
        });
        Self { steps, watching }
    }

    /// Notes that a pod is being asked for now.
    pub fn creating(&self, pod: &str) {
        lock(&self.steps).entry(pod.to_owned()).or_default().created = Some(Instant::now());
    }

    /// The times so far, by pod.
    #[must_use]
    pub fn steps(&self) -> HashMap<String, Steps> {
        lock(&self.steps).clone()
    }

    /// Waits until `count` pods have reached a step.
    ///
    /// # Errors
    /// When they haven't after `patience`.
    pub async fn reached(
        &self,
        what: &str,
        count: usize,
        patience: Duration,
        step: fn(&Steps) -> Option<Instant>,
    ) -> Result<()> {
        crate::wait::eventually(what, patience, async || {
            let reached = lock(&self.steps).values().filter(|s| step(s).is_some()).count();
            crate::wait::holds(reached >= count, || format!("{reached} of {count} pods"))
        })
        .await
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

fn lock(steps: &Mutex<HashMap<String, Steps>>) -> MutexGuard<'_, HashMap<String, Steps>> {
    steps.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps the first time: later events of the same state say nothing new.
fn first(step: &mut Option<Instant>, reached: bool) {
    if reached {
        step.get_or_insert_with(Instant::now);
    }
}

fn note_pod(all: &mut HashMap<String, Steps>, event: Result<Event<Pod>, watcher::Error>) {
    let Ok(event) = event else { return };
    match event {
        Event::Apply(pod) | Event::InitApply(pod) => {
            let steps = all.entry(pod.name_any()).or_default();
            first(&mut steps.scheduled, pod.spec.as_ref().is_some_and(|s| s.node_name.is_some()));
            first(&mut steps.ready, is_ready(&pod));
        }
        Event::Delete(pod) => first(&mut all.entry(pod.name_any()).or_default().gone, true),
        Event::Init | Event::InitDone => {}
    }
}

fn note_port(all: &mut HashMap<String, Steps>, event: Result<Event<KuryrPort>, watcher::Error>) {
    let Ok(Event::Apply(port) | Event::InitApply(port)) = event else { return };
    let present = port.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    let steps = all.entry(port.spec.pod_name.clone()).or_default();
    first(&mut steps.claimed, true);
    first(&mut steps.allocated, conditions::is_true(present, conditions::ALLOCATED));
    first(&mut steps.plugged, conditions::is_true(present, conditions::READY));
}
