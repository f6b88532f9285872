//! Pods from creation to Ready.

use super::{
    floor,
    report::{Record, quantile},
    usage,
};
use crate::{
    Cluster, PodTemplate, inventory,
    timeline::{Steps, Timeline},
    workload::{Namespace, POD_PATIENCE},
};
use anyhow::{Context, Result};
use kuryr_lab::{kuryr::NodeNetwork, openstack};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How many pods at once are measured.
const SIZES: [usize; 3] = [1, 5, 20];

/// Times of one case and size, over all rounds.
#[derive(Default)]
struct Samples {
    each: Vec<Duration>,
    all: Vec<Duration>,
    gone: Vec<Duration>,
    phases: BTreeMap<&'static str, Vec<Duration>>,
    requests: BTreeMap<String, f64>,
    add: BTreeMap<String, f64>,
    resident: BTreeMap<&'static str, f64>,
}

/// Measures all cases; they take turns, so that whatever else the machine does hits them alike.
///
/// # Errors
/// When a pod doesn't become Ready, or a port can't be made.
pub async fn measure(cluster: &Cluster, rounds: u32) -> Result<Vec<Record>> {
    let contents = openstack::Cloud::read(&cluster.lab)?;
    let mut samples: BTreeMap<(&'static str, usize), Samples> = BTreeMap::new();
    for round in 1..=rounds {
        println!("round {round} of {rounds}");
        without_kuryr(cluster)?;
        for size in SIZES {
            burst(cluster, "bridge", size, samples.entry(("bridge", size)).or_default()).await?;
        }
        for size in SIZES {
            let times = floor::round(cluster, &contents, size).await?;
            let sample = samples.entry(("floor", size)).or_default();
            sample.each.extend(times.each);
            sample.all.push(times.all);
            sample.gone.push(times.gone);
        }
        with_kuryr(cluster)?;
        inventory::settled(cluster).await?;
        for size in SIZES {
            let sample = samples.entry(("kuryr-cold", size)).or_default();
            let before = usage::neutron_requests(cluster).await?;
            let added = usage::add_phases(cluster).await?;
            burst(cluster, "kuryr-cold", size, sample).await?;
            inventory::settled(cluster).await?;
            sample.requests = usage::between(&before, &usage::neutron_requests(cluster).await?);
            sample.add = usage::mean_between(&added, &usage::add_phases(cluster).await?);
            sample.resident = usage::resident(cluster);
        }
    }
    Ok(samples.into_iter().map(|((case, pods), sample)| sample.record(case, pods)).collect())
}

/// Gives the nodes a trivial bridge network and ends Kuryr, which would make ports for the pods all the same.
fn without_kuryr(cluster: &Cluster) -> Result<()> {
    kuryr_lab::kuryr::use_network(&cluster.lab, NodeNetwork::Bridge)?;
    parts(cluster).iter().try_for_each(|part| cluster.lab.stop(part))
}

fn with_kuryr(cluster: &Cluster) -> Result<()> {
    parts(cluster).iter().try_for_each(|part| cluster.lab.start(part))?;
    kuryr_lab::kuryr::use_network(&cluster.lab, NodeNetwork::Kuryr)
}

/// Kuryr's processes, by their names in the lab.
fn parts(cluster: &Cluster) -> Vec<String> {
    let daemons = cluster.nodes().into_iter().map(|node| format!("kuryr-daemon@{node}"));
    std::iter::once("kuryr-controller".to_owned()).chain(daemons).collect()
}

/// Creates pods at once, waits until all are Ready, deletes them and waits until all have gone.
async fn burst(cluster: &Cluster, case: &'static str, size: usize, sample: &mut Samples) -> Result<()> {
    let space = cluster.namespace("bench").await?;
    let timeline = Timeline::start(cluster, &space.name);
    let (all, gone) = live_and_die(&space, &timeline, size).await.with_context(|| format!("{case}, {size} pods"))?;
    sample.all.push(all);
    sample.gone.push(gone);
    for steps in timeline.steps().values() {
        sample.add(steps, case == "kuryr-cold");
    }
    space.remove().await
}

async fn live_and_die(space: &Namespace, timeline: &Timeline, size: usize) -> Result<(Duration, Duration)> {
    let start = Instant::now();
    for i in 0..size {
        let name = format!("p{i}");
        timeline.creating(&name);
        space.create(&PodTemplate::idle(&name)).await?;
    }
    timeline.reached("pods to be Ready", size, POD_PATIENCE, |s| s.ready).await?;
    let all = start.elapsed();
    let leaving = Instant::now();
    for i in 0..size {
        space.delete(&format!("p{i}"), None).await?;
    }
    timeline.reached("pods to go", size, POD_PATIENCE, |s| s.gone).await?;
    Ok((all, leaving.elapsed()))
}

impl Samples {
    fn add(&mut self, steps: &Steps, with_claims: bool) {
        let Some(created) = steps.created else { return };
        let after = |step: Option<Instant>| step.map(|at| at.saturating_duration_since(created));
        self.each.extend(after(steps.ready));
        let mut phases = vec![("1 scheduled", steps.scheduled)];
        if with_claims {
            phases.extend([
                ("2 KuryrPort", steps.claimed),
                ("4 allocated", steps.allocated),
                ("5 plugged", steps.plugged),
            ]);
        }
        phases.push(("6 ready", steps.ready));
        for (name, step) in phases {
            self.phases.entry(name).or_default().extend(after(step));
        }
    }

    /// The moment of the ADD can't be watched: it is as long before the interface was ready as the daemon says that ADDs
    /// took.
    fn add_called(&self) -> Option<f64> {
        let plugged = quantile(self.phases.get("5 plugged")?, 0.5);
        Some(((plugged - self.add.get("total")?) * 1000.0).round() / 1000.0)
    }

    fn record(self, case: &'static str, pods: usize) -> Record {
        let mut phases_s: BTreeMap<_, _> =
            self.phases.iter().map(|(name, times)| (*name, quantile(times, 0.5))).collect();
        phases_s.extend(self.add_called().map(|called| ("3 ADD called", called)));
        let all_ready_s = quantile(&self.all, 0.5);
        #[allow(clippy::cast_precision_loss, reason = "a handful of pods")]
        let pods_per_s = if all_ready_s > 0.0 { pods as f64 / all_ready_s } else { 0.0 };
        Record {
            case,
            pods,
            p50_s: quantile(&self.each, 0.5),
            p90_s: quantile(&self.each, 0.9),
            p99_s: quantile(&self.each, 0.99),
            all_ready_s,
            pods_per_s: (pods_per_s * 100.0).round() / 100.0,
            all_gone_s: quantile(&self.gone, 0.5),
            neutron_requests: self.requests,
            add_s: self.add,
            rss_mib: self.resident,
            phases_s,
        }
    }
}
