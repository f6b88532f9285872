//! When each step of many pods' lives happened, seen by watching the API server.

use crate::Cluster;
use crate::workload::is_ready;
use anyhow::Result;
use futures::{StreamExt, future::join};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    runtime::watcher::{self, Event, watcher},
};
use kuryr_api::{KuryrPort, conditions};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long a watch waits after a failure: an API server that is away refuses connections at once.
const WATCH_AGAIN: Duration = Duration::from_millis(500);

/// When a pod reached each step. A step that it didn't reach has no time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Steps {
    /// Asked for by us.
    pub created: Option<Instant>,
    /// Seen in the API for the first time.
    pub seen: Option<Instant>,
    /// Bound to a node.
    pub scheduled: Option<Instant>,
    /// Its KuryrPort exists.
    pub claimed: Option<Instant>,
    /// Its KuryrPort is Allocated: Neutron has answered.
    pub allocated: Option<Instant>,
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
        let mut listed = HashSet::new();
        let pods = pods.for_each(move |event| {
            let failed = event.is_err();
            note_pod(&mut lock(&of_pods), &mut listed, event);
            pause_after(failed)
        });
        let ports = ports.for_each(move |event| {
            let failed = event.is_err();
            note_port(&mut lock(&of_ports), event);
            pause_after(failed)
        });
        let watching = tokio::spawn(async move {
            join(pods, ports).await;
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

    /// How long each pod that was Ready took from its creation until it was.
    #[must_use]
    pub fn times_to_ready(&self) -> Vec<Duration> {
        let took = |steps: &Steps| Some(steps.ready?.saturating_duration_since(steps.created?));
        lock(&self.steps).values().filter_map(took).collect()
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

    /// Waits until one pod has reached a step.
    ///
    /// # Errors
    /// When it hasn't after `patience`.
    pub async fn pod_reached(
        &self,
        pod: &str,
        what: &str,
        patience: Duration,
        step: fn(&Steps) -> Option<Instant>,
    ) -> Result<()> {
        crate::wait::eventually(what, patience, async || {
            let reached = lock(&self.steps).get(pod).is_some_and(|steps| step(steps).is_some());
            crate::wait::holds(reached, || format!("pod {pod}"))
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

async fn pause_after(failed: bool) {
    if failed {
        tokio::time::sleep(WATCH_AGAIN).await;
    }
}

/// `listed`: the pods of a list that isn't complete yet. A watch that was cut off begins with one; who went meanwhile isn't in it,
/// and no event tells of them.
fn note_pod(all: &mut HashMap<String, Steps>, listed: &mut HashSet<String>, event: Result<Event<Pod>, watcher::Error>) {
    match event {
        Ok(Event::Apply(pod)) => note_presence(all, &pod),
        Ok(Event::Delete(pod)) => first(&mut all.entry(pod.name_any()).or_default().gone, true),
        Ok(Event::Init) => listed.clear(),
        Ok(Event::InitApply(pod)) => {
            note_presence(all, &pod);
            listed.insert(pod.name_any());
        }
        Ok(Event::InitDone) => {
            let missing = all.iter_mut().filter(|(name, steps)| steps.seen.is_some() && !listed.contains(*name));
            missing.for_each(|(_, steps)| first(&mut steps.gone, true));
        }
        Err(_) => {}
    }
}

fn note_presence(all: &mut HashMap<String, Steps>, pod: &Pod) {
    let steps = all.entry(pod.name_any()).or_default();
    first(&mut steps.seen, true);
    first(&mut steps.scheduled, pod.spec.as_ref().is_some_and(|s| s.node_name.is_some()));
    first(&mut steps.ready, is_ready(pod));
}

fn note_port(all: &mut HashMap<String, Steps>, event: Result<Event<KuryrPort>, watcher::Error>) {
    let Ok(Event::Apply(port) | Event::InitApply(port)) = event else { return };
    let present = port.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    let steps = all.entry(port.spec.pod_name.clone()).or_default();
    first(&mut steps.claimed, true);
    first(&mut steps.allocated, conditions::is_true(present, conditions::ALLOCATED));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_missing_when_the_watch_begins_anew_has_gone() {
        let pod = |name: &str| Pod {
            metadata: kube::core::ObjectMeta { name: Some(name.to_owned()), ..Default::default() },
            ..Pod::default()
        };
        let (mut all, mut listed) = (HashMap::new(), HashSet::new());
        all.insert("asked-for".to_owned(), Steps::default());
        let mut note = |event| note_pod(&mut all, &mut listed, Ok(event));
        note(Event::Apply(pod("stays")));
        note(Event::Apply(pod("goes")));
        for event in [Event::Init, Event::InitApply(pod("stays")), Event::InitApply(pod("new")), Event::InitDone] {
            note(event);
        }
        let gone: Vec<_> =
            all.iter().filter(|(_, steps)| steps.gone.is_some()).map(|(name, _)| name.as_str()).collect();
        assert_eq!(gone, ["goes"]);
    }
}
