//! Pods at once: created, Ready, deleted, gone; and what that took.

use super::{
    requests::{self, Counter, Requests},
    stage::NAMESPACE,
    usage::{self, Usages},
};
use crate::{
    Cluster, PodTemplate, inventory,
    timeline::{Steps, Timeline},
    workload::Namespace,
};
use anyhow::{Context, Result};
use futures::future::try_join_all;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How a burst is made and watched.
pub struct Burst<'a> {
    /// The lab.
    pub cluster: &'a Cluster,
    /// How many pods.
    pub pods: usize,
    /// How long they may take to be Ready, and to go.
    pub patience: Duration,
    /// Where requests to Neutron are counted.
    pub counter: &'a Counter,
    /// The parts whose use of the machine counts.
    pub parts: &'a [String],
    /// Whether Kuryr runs: then everything is over only when Kubernetes, Neutron and the nodes agree again.
    pub kuryr: bool,
}

/// What a burst took.
#[derive(Debug, Default)]
pub struct Times {
    /// The steps of each pod.
    pub steps: Vec<Steps>,
    /// From the first creation until the last pod was Ready.
    pub ready: Duration,
    /// From the first deletion until the last pod had gone.
    pub gone: Duration,
    /// Requests to Neutron until the last pod was Ready.
    pub creation: Requests,
    /// Requests to Neutron from then until all was settled.
    pub deletion: Requests,
    /// Mean seconds of the phases of Kuryr's ADDs.
    pub add: BTreeMap<String, f64>,
    /// The processes: their memory afterwards, their processor time from the first creation until all was settled.
    pub usage: Usages,
}

impl Burst<'_> {
    /// Makes it.
    ///
    /// # Errors
    /// When a pod doesn't become Ready or doesn't go in time; nothing of the namespace is left then either, if possible.
    pub async fn run(&self) -> Result<Times> {
        let space = self.cluster.namespace(NAMESPACE).await?;
        let result = self.measured(&space).await;
        let removed = space.remove().await;
        let times = result?;
        removed?;
        Ok(times)
    }

    async fn measured(&self, space: &Namespace) -> Result<Times> {
        let timeline = Timeline::start(self.cluster, &space.name);
        let (requests, used) = (self.counter.read(self.cluster).await?, usage::of(&self.cluster.lab, self.parts));
        let added = self.added().await?;
        let start = self.create(space, &timeline).await?;
        let all_ready = self.counter.read(self.cluster).await?;
        let leaving = self.delete(space, &timeline).await?;
        if self.kuryr {
            inventory::settled(self.cluster).await?;
        }
        let after = self.counter.read(self.cluster).await?;
        let steps: Vec<_> = timeline.steps().into_values().collect();
        let last = |step: fn(&Steps) -> Option<Instant>| steps.iter().filter_map(step).max();
        let took = |step: Option<Instant>, since: Instant| step.map_or(Duration::ZERO, |at| at.duration_since(since));
        Ok(Times {
            ready: took(last(|s| s.ready), start),
            gone: took(last(|s| s.gone), leaving),
            creation: requests::between(&requests, &all_ready),
            deletion: requests::between(&all_ready, &after),
            add: requests::mean_between(&added, &self.added().await?),
            usage: usage::since(&used, &usage::of(&self.cluster.lab, self.parts)),
            steps,
        })
    }

    async fn added(&self) -> Result<requests::Phases> {
        if self.kuryr { requests::add_phases(self.cluster).await } else { Ok(requests::Phases::new()) }
    }

    async fn create(&self, space: &Namespace, timeline: &Timeline) -> Result<Instant> {
        let start = Instant::now();
        try_join_all((0..self.pods).map(async |i| {
            let name = format!("p{i}");
            timeline.creating(&name);
            space.create(&PodTemplate::idle(&name)).await
        }))
        .await?;
        let waiting = timeline.reached("pods to be Ready", self.pods, self.patience, |s| s.ready).await;
        if waiting.is_err() {
            return waiting.map(|()| start).context(self.explain(space, timeline).await);
        }
        Ok(start)
    }

    async fn delete(&self, space: &Namespace, timeline: &Timeline) -> Result<Instant> {
        let start = Instant::now();
        try_join_all((0..self.pods).map(async |i| space.delete(&format!("p{i}"), None).await)).await?;
        timeline.reached("pods to go", self.pods, self.patience, |s| s.gone).await?;
        Ok(start)
    }

    /// What one of the pods that aren't Ready waits for.
    async fn explain(&self, space: &Namespace, timeline: &Timeline) -> String {
        let steps = timeline.steps();
        let late = steps.iter().find(|(_, steps)| steps.ready.is_none()).map_or("", |(name, _)| name);
        format!("pod {late} of {} isn't Ready\n{}", self.pods, self.cluster.explain(&space.name, late).await)
    }
}
