//! Pods from creation to Ready, and from deletion to gone.

use super::{
    case::Case,
    floor, goals,
    report::{self, Record},
    samples::Samples,
    stage::{self, Stage},
    usage,
};
use crate::Cluster;
use anyhow::{Context, Result, anyhow};
use kuryr_lab::openstack;
use std::collections::BTreeMap;

/// What is to be measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The cases, in this order.
    pub cases: Vec<Case>,
    /// How many pods at once.
    pub sizes: Vec<usize>,
    /// How often.
    pub rounds: u32,
}

/// What came of it.
pub struct Outcome {
    /// A record for each case and size, with the goals that it is held to.
    pub records: Vec<Record>,
    /// What could not be measured, and why.
    pub failures: Vec<String>,
}

/// The samples of each case and size.
type All = BTreeMap<(Case, usize), Samples>;

/// Measures all cases; they take turns, so that whatever else the machine does hits them alike. A case that fails doesn't keep
/// the others from being measured. The lab is left as it is found, also when an interrupt (SIGINT) ends it early.
///
/// # Errors
/// When it was interrupted, or the lab can't be brought back to what it was.
pub async fn measure(cluster: &Cluster, plan: &Plan, earlier: Vec<Record>) -> Result<Outcome> {
    let (mut samples, mut failures) = (All::new(), Vec::new());
    let measured = tokio::select! {
        done = rounds(cluster, plan, &mut samples, &mut failures) => done,
        _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted")),
    };
    stage::restore(cluster).await.context("bringing the lab back")?;
    measured?;
    let measured = samples.into_iter().map(|((case, pods), sample)| sample.record(case, pods)).collect();
    let mut records = report::merge(earlier, measured);
    goals::judge(&mut records);
    Ok(Outcome { records, failures })
}

async fn rounds(cluster: &Cluster, plan: &Plan, samples: &mut All, failures: &mut Vec<String>) -> Result<()> {
    for round in 1..=plan.rounds {
        for &case in &plan.cases {
            println!("round {round} of {}: {case}", plan.rounds);
            if let Err(error) = measure_case(cluster, case, &plan.sizes, samples).await {
                println!("    failed: {error:#}");
                failures.push(format!("{case}: {error:#}"));
                stage::restore(cluster).await.context("bringing the lab back after a failure")?;
            }
        }
    }
    Ok(())
}

async fn measure_case(cluster: &Cluster, case: Case, sizes: &[usize], samples: &mut All) -> Result<()> {
    let largest = sizes.iter().copied().max().unwrap_or_default();
    let stage = Stage::enter(cluster, case, largest).await.context("preparing the lab")?;
    for &pods in sizes {
        if case != Case::Floor {
            stage.ready_for(pods).await?;
        }
        usage::quiet().await?;
        let sample = samples.entry((case, pods)).or_default();
        let (ready, gone) = if case == Case::Floor {
            let times = floor::round(cluster, &openstack::Cloud::read(&cluster.lab)?, pods).await?;
            let shown = (times.all, times.gone);
            sample.add_floor(times);
            shown
        } else {
            let burst = stage.burst(pods);
            let times = burst.run().await.with_context(|| format!("{pods} pods"))?;
            let shown = (times.ready, times.gone);
            sample.add(times, burst.kuryr);
            shown
        };
        println!(
            "    {pods:>3} at once: all ready in {:.2} s, all gone in {:.2} s",
            ready.as_secs_f64(),
            gone.as_secs_f64()
        );
    }
    stage.leave().await.context("leaving the lab as it was")
}
