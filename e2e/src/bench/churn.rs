//! Pods that come and go without a pause, as fast as the kubelets take them.

use super::{
    goals::Goal,
    lives::{Lives, Patience},
    report::{per_pod, quantile, round},
    requests::{self, Counter, Requests, label, samples},
    samples::by_role,
    usage::{self, Usages},
};
use crate::{Cluster, PodTemplate, inventory, timeline::Timeline};
use anyhow::{Context, Result};
use futures::future::join_all;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// The controller's count of how pods got their ports: from a pool, or by waiting for Neutron.
const CLAIMS: &str = "kuryr_pool_claims_total";

/// How much more memory may be used at the end than in the middle, in parts of what was used then: caches and the allocator are warm by
/// then, and what is left is measured to within a few percent.
const GROWTH: f64 = 1.1;

/// How often the state is told.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// For how long.
    pub time: Duration,
    /// How many pods are on their way at any time: each is deleted when it is Ready, and replaced when it has gone.
    pub pods: usize,
}

/// What came of it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Record {
    /// `churn`.
    pub case: String,
    /// How long it went on, in seconds.
    pub seconds: f64,
    /// Pods on their way at any time.
    pub at_once: usize,
    /// Pods that came and went.
    pub pods: usize,
    /// Pods that were not Ready, or not gone, in time.
    pub failed_pods: usize,
    /// Sandboxes that had to be made again, because an ADD had failed.
    pub failed_sandboxes: i32,
    /// Pods a second.
    pub pods_per_s: f64,
    /// Median of creation to Ready, in seconds.
    pub p50_s: f64,
    /// 99th percentile, in seconds.
    pub p99_s: f64,
    /// How pods got their ports, by the result's name in the controller's metrics.
    pub claims: BTreeMap<String, f64>,
    /// Part of the pods whose port was there when they came, 0 to 1.
    pub hit_rate: f64,
    /// Requests to Neutron per pod by method.
    pub neutron_per_pod: BTreeMap<String, f64>,
    /// Proportional set size in MiB of the controller, of a daemon (mean of the nodes) and of all, at the start, in the middle
    /// and at the end.
    pub pss_mib: [BTreeMap<String, f64>; 3],
    /// What of it was added from the start to the end.
    pub growth_mib: BTreeMap<String, f64>,
    /// Processor time, in seconds; by part as `pss_mib`.
    pub cpu_s: BTreeMap<String, f64>,
    /// What Kubernetes, Neutron and the nodes don't agree about after all pods have gone; `None`: nothing is left.
    pub leak: Option<String>,
    /// What the run is held to.
    pub goals: Vec<Goal>,
}

impl Record {
    fn judged(mut self) -> Self {
        let [_, middle, end] = &self.pss_mib;
        let growth = end.iter().filter(|(role, _)| *role != "all").filter_map(|(role, mib)| {
            let what = format!("memory of the {role} at the end / in the middle");
            Some(Goal::new(&what, mib / middle.get(role)?, Some(GROWTH)))
        });
        #[allow(clippy::cast_precision_loss, reason = "a few thousand pods")]
        let failed = self.failed_pods as f64;
        let counts = [
            Goal::new("failed pods", failed, Some(0.0)),
            Goal::new("sandboxes made again", self.failed_sandboxes.into(), Some(0.0)),
            Goal::new("leaks", u8::from(self.leak.is_some()).into(), Some(0.0)),
            Goal::new("hit rate", self.hit_rate, None),
        ];
        self.goals = counts.into_iter().chain(growth).collect();
        self
    }
}

/// Lets pods come and go, then looks whether anything is left.
///
/// # Errors
/// When the API server or the metrics don't answer. A pod that fails is counted, not an error.
pub async fn run(cluster: &Cluster, plan: Plan) -> Result<Record> {
    inventory::settled(cluster).await.context("before the churn")?;
    let parts = kuryr_lab::kuryr::processes(&cluster.lab);
    let used = || usage::of(&cluster.lab, &parts);
    let (requests, claims) = (Counter::Kuryr.read(cluster).await?, claims(cluster).await?);
    let space = cluster.namespace("churn").await?;
    let timeline = Timeline::start(cluster, &space.name);
    let churn = Churn(Lives::new(cluster, &space, &timeline, Patience::USUAL));

    let (start, begin) = (used(), Instant::now());
    churn.go(plan.pods, begin + plan.time / 2).await;
    let middle = used();
    println!("  middle: {}", shown(&middle));
    churn.go(plan.pods, begin + plan.time).await;
    let (end, seconds) = (used(), begin.elapsed().as_secs_f64());
    println!("  end: {}", shown(&end));

    let failed_pods = churn.0.failed();
    let failed_sandboxes = churn.0.failed_sandboxes().await?;
    let times = timeline.times_to_ready();
    space.remove().await?;
    let leak = inventory::settled(cluster).await.err().map(|error| format!("{error:#}"));
    let requests = requests::between(&requests, &Counter::Kuryr.read(cluster).await?);
    let claims = requests::between(&claims, &self::claims(cluster).await?);
    #[allow(clippy::cast_precision_loss, reason = "a few thousand pods")]
    let pods = times.len() as f64;
    let [first, last] = [&start, &end].map(|usages| by_role(usages, |usage| usage.pss_mib));
    let record = Record {
        case: "churn".to_owned(),
        seconds: round(seconds),
        at_once: plan.pods,
        pods: times.len(),
        failed_pods,
        failed_sandboxes,
        pods_per_s: round(pods / seconds),
        p50_s: quantile(&times, 0.5),
        p99_s: quantile(&times, 0.99),
        hit_rate: hit_rate(&claims),
        claims,
        neutron_per_pod: per_pod(&requests, pods.max(1.0)),
        growth_mib: last.iter().map(|(role, mib)| (role.clone(), round(mib - first[role]))).collect(),
        pss_mib: [first, by_role(&middle, |usage| usage.pss_mib), last],
        cpu_s: by_role(&usage::since(&start, &end), |usage| usage.cpu_s),
        leak,
        goals: Vec::new(),
    };
    Ok(record.judged())
}

/// The pods that come and go.
struct Churn<'a>(Lives<'a>);

impl Churn<'_> {
    /// Keeps this many pods on their way until `end`, and lets them come to theirs.
    async fn go(&self, at_once: usize, end: Instant) {
        let workers = join_all((0..at_once).map(async |_| {
            while Instant::now() < end {
                if let Err(error) = self.one().await {
                    self.0.fail(&error);
                }
            }
        }));
        let tell = async {
            let begin = Instant::now();
            loop {
                tokio::time::sleep(TELL_EVERY).await;
                println!("    {:.0} s: {}", begin.elapsed().as_secs_f64(), self.0.shown());
            }
        };
        tokio::select! { _ = workers => (), () = tell => () }
    }

    /// One pod from its creation until it has gone.
    async fn one(&self) -> Result<()> {
        let name = self.0.next_name();
        self.0.create(&name, &PodTemplate::idle(&name)).await?;
        let ready = self.0.ready(&name).await;
        let gone = self.0.end(&name).await;
        ready.and(gone)
    }
}

/// How many claims the controller has served, by result.
async fn claims(cluster: &Cluster) -> Result<Requests> {
    let text = requests::metrics(&kuryr_lab::kuryr::controller_url(&cluster.lab, "/metrics")).await?;
    let mut claims = Requests::new();
    for (labels, count) in samples(&text, CLAIMS) {
        *claims.entry(label(labels, "result").unwrap_or_default().to_lowercase()).or_default() += count;
    }
    Ok(claims)
}

/// The part of the claims that did not have to wait for Neutron.
fn hit_rate(claims: &Requests) -> f64 {
    let (all, missed): (f64, f64) = (claims.values().sum(), claims.get("miss").copied().unwrap_or_default());
    if all > 0.0 { round((all - missed) / all) } else { 0.0 }
}

fn shown(usages: &Usages) -> String {
    let parts: Vec<_> = usages.iter().map(|(part, usage)| format!("{part} {:.1} MiB", usage.pss_mib)).collect();
    parts.join(", ")
}

/// Prints the record for people.
pub fn print(record: &Record) {
    println!(
        "\n{} pods in {:.0} s ({:.2} a second, {} at once), {} failed, {} sandboxes made again",
        record.pods, record.seconds, record.pods_per_s, record.at_once, record.failed_pods, record.failed_sandboxes
    );
    println!("to Ready: p50 {:.2} s, p99 {:.2} s", record.p50_s, record.p99_s);
    println!("claims: {:?}, hit rate {:.3}", record.claims, record.hit_rate);
    println!("Neutron per pod: {:?}", record.neutron_per_pod);
    for (when, memory) in ["start", "middle", "end"].iter().zip(&record.pss_mib) {
        println!("PSS MiB at the {when}: {memory:?}");
    }
    println!("growth MiB: {:?}; CPU s: {:?}", record.growth_mib, record.cpu_s);
    println!("left over: {}\n", record.leak.as_deref().unwrap_or("nothing"));
    record.goals.iter().for_each(|goal| println!("{goal}"));
}

#[cfg(test)]
mod tests {
    use super::{super::goals::missed, *};

    #[test]
    fn only_misses_are_no_hits() {
        let claims = [("hit", 70.0), ("recycled", 20.0), ("miss", 10.0)].map(|(name, n)| (name.to_owned(), n));
        assert!((hit_rate(&Requests::from(claims)) - 0.9).abs() < 1e-9);
        assert!(hit_rate(&Requests::new()).abs() < 1e-9);
    }

    #[test]
    fn memory_that_grows_after_the_middle_is_no_good() {
        let of = |controller| BTreeMap::from([("controller".to_owned(), controller), ("all".to_owned(), 100.0)]);
        let record = |end| Record { pss_mib: [of(10.0), of(20.0), of(end)], ..Record::default() }.judged();
        assert_eq!(missed(&record(21.0).goals), Vec::<String>::new());
        assert!(matches!(&*missed(&record(23.0).goals), [one] if one.contains("controller")));
    }
}
