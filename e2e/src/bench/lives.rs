//! Pods that come and go: what the benchmarks have in common that keep some on their way.

use crate::{
    Cluster, PodTemplate,
    timeline::Timeline,
    wait::again,
    workload::{Namespace, POD_PATIENCE},
};
use anyhow::{Context, Error, Result, anyhow};
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// The event of a kubelet whose container runtime could not make a sandbox: an ADD has failed.
const FAILED_SANDBOX: &str = "FailedCreatePodSandBox";

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For how long a request is made again that the API server doesn't take.
    pub request: Duration,
    /// A pod until it is Ready, and again until it has gone.
    pub pod: Duration,
}

impl Patience {
    /// Where nothing is broken: a request that fails is a failure.
    pub const USUAL: Self = Self { request: Duration::ZERO, pod: POD_PATIENCE };
}

/// The pods of one namespace, counted.
pub struct Lives<'a> {
    cluster: &'a Cluster,
    space: &'a Namespace,
    timeline: &'a Timeline,
    patience: Patience,
    begun: AtomicUsize,
    gone: AtomicUsize,
    failed: AtomicUsize,
}

impl<'a> Lives<'a> {
    /// None yet.
    #[must_use]
    pub const fn new(cluster: &'a Cluster, space: &'a Namespace, timeline: &'a Timeline, patience: Patience) -> Self {
        let [begun, gone, failed] = [const { AtomicUsize::new(0) }; 3];
        Self { cluster, space, timeline, patience, begun, gone, failed }
    }

    /// The name of the next pod.
    pub fn next_name(&self) -> String {
        format!("p{}", self.begun.fetch_add(1, Ordering::Relaxed))
    }

    /// Creates the pod `name` from its template.
    ///
    /// # Errors
    /// When the API server doesn't take it.
    pub async fn create(&self, name: &str, template: &PodTemplate) -> Result<()> {
        self.timeline.creating(name);
        again(self.patience.request, async || self.space.create(template).await.map(drop)).await
    }

    /// Waits until a pod is Ready.
    ///
    /// # Errors
    /// When it isn't in time; the error says what its events and its KuryrPort say.
    pub async fn ready(&self, name: &str) -> Result<()> {
        match self.timeline.pod_reached(name, "Ready", self.patience.pod, |steps| steps.ready).await {
            Err(error) => Err(anyhow!("{error:#}\n{}", self.cluster.explain(&self.space.name, name).await)),
            ready => ready,
        }
    }

    /// Deletes a pod and waits until it has gone.
    ///
    /// # Errors
    /// When the API server doesn't take the request, or the pod hasn't gone in time.
    pub async fn end(&self, name: &str) -> Result<()> {
        again(self.patience.request, async || self.space.delete(name, None).await).await?;
        self.timeline.pod_reached(name, "gone", self.patience.pod, |steps| steps.gone).await?;
        self.gone.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Counts a pod that failed, and tells why.
    pub fn fail(&self, error: &Error) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        println!("    {error:#}");
    }

    /// How many pods have gone.
    pub fn gone(&self) -> usize {
        self.gone.load(Ordering::Relaxed)
    }

    /// How many pods have failed.
    pub fn failed(&self) -> usize {
        self.failed.load(Ordering::Relaxed)
    }

    /// The counts for people.
    pub fn shown(&self) -> String {
        format!("pod {}, {} failed", self.begun.load(Ordering::Relaxed), self.failed())
    }

    /// How many sandboxes had to be made again, as far as events tell.
    ///
    /// # Errors
    /// When the events can't be listed.
    pub async fn failed_sandboxes(&self) -> Result<i32> {
        let events = self.cluster.api::<Event>(&self.space.name).list(&ListParams::default()).await;
        let of = |event: Event| event.series.map(|series| series.count).or(event.deprecated_count).unwrap_or(1);
        let events = events.context("listing events")?.items;
        Ok(events.into_iter().filter(|e| e.reason.as_deref() == Some(FAILED_SANDBOX)).map(of).sum())
    }
}
