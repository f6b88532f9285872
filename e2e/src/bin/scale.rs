//! `cargo xtask bench scale`: Kuryr with thousands of pods.

use anyhow::{Context, Result, bail};
use clap::Parser;
use kuryr_e2e::{
    bench::{
        goals::{Goal, missed},
        usage::Usage,
    },
    scale::{
        controller::Controller,
        kubelets::Nodes,
        load,
        site::{Enforced, Site},
    },
};
use kuryr_openstack_fake::Latency;
use serde::Serialize;
use serde_json::json;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How long the controller may take for one step.
const PATIENCE: Duration = Duration::from_secs(1800);

/// What is to be measured.
#[derive(Parser)]
struct Plan {
    /// How many pods, in rising steps
    #[arg(long, value_delimiter = ',', required = true)]
    pods: Vec<usize>,
    /// How many nodes
    #[arg(long)]
    nodes: usize,
    /// How slow the cloud is, in parts of the lab's Neutron: 0 answers at once, 1 as the lab
    #[arg(long)]
    latency: f64,
    /// The program `kuryr`
    #[arg(long)]
    kuryr: PathBuf,
    /// Where to write the records
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What one step came to.
#[derive(Debug, Serialize)]
struct Record {
    case: &'static str,
    pods: usize,
    nodes: usize,
    /// From the first of the step's pods until all were ready.
    ready_s: f64,
    pods_per_s: f64,
    controller: Usage,
    /// Writes to Neutron of the step.
    neutron_writes: usize,
    /// CNI calls that failed, and were made again, since the beginning.
    failed_calls: BTreeMap<String, usize>,
    /// From the start of a new controller until it had nothing to do.
    restart_s: f64,
    restarted: Usage,
    restart_neutron_writes: usize,
    restart_neutron_requests: usize,
    restart_kubernetes_writes: u64,
    goals: Vec<Goal>,
}

impl Record {
    /// The goals of 10,000 pods hold for fewer, too.
    fn judged(mut self) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let writes = [self.restart_neutron_writes as f64, self.restart_kubernetes_writes as f64];
        let megabytes = |usage: &Usage| usage.rss_mib * 1.048_576;
        self.goals = vec![
            Goal::new("MB of memory, with all pods ready", megabytes(&self.controller), Some(150.0)),
            Goal::new("MB of memory, after the restart", megabytes(&self.restarted), Some(150.0)),
            Goal::new("s from restart to converged", self.restart_s, Some(10.0)),
            Goal::new("writes to Neutron after the restart", writes[0], Some(0.0)),
            Goal::new("writes to Kubernetes after the restart", writes[1], None),
        ];
        self
    }
}

fn main() -> Result<()> {
    let plan = Plan::parse();
    kuryr_e2e::scale::beside_an_api_server()?.block_on(measure(plan))
}

async fn measure(plan: Plan) -> Result<()> {
    let folder = tempdir()?;
    println!("{} nodes, up to {} pods; files in {}", plan.nodes, plan.pods.last().unwrap_or(&0), folder.display());
    let latency = if plan.latency > 0.0 { Latency::Scaled(plan.latency) } else { Latency::None };
    let site = Site::prepare(plan.nodes, latency, Enforced::No, &folder).await?;
    let nodes = Nodes::start(plan.nodes, &site.config, &folder).await?;
    println!("{} daemons listen", plan.nodes);
    let working = nodes.clone();
    let client = site.client.clone();
    tokio::spawn(async move {
        if let Err(error) = working.work(client).await {
            eprintln!("the kubelets have stopped: {error:#}");
        }
    });
    let mut controller = Controller::start(&plan.kuryr, &folder)?;
    let (mut records, mut before) = (Vec::new(), 0);
    for pods in plan.pods {
        let (record, next) = step(&site, &nodes, controller, &plan.kuryr, &folder, (before, pods, plan.nodes)).await?;
        controller = next;
        before = pods;
        println!("{}", serde_json::to_string(&record)?);
        record.goals.iter().for_each(|goal| println!("  {goal}"));
        records.push(record);
    }
    println!("all pods go");
    let started = Instant::now();
    load::delete(&site.client, 0..before).await?;
    nodes.until_gone().await;
    site.without_claims().await?;
    controller.converged(PATIENCE).await?;
    println!("gone after {:.1} s; {} ports in pools", started.elapsed().as_secs_f64(), site.cloud.port_count());
    controller.stop().await?;
    nodes.all_run()?;
    if let Some(file) = plan.json {
        std::fs::write(&file, serde_json::to_vec_pretty(&records)?)
            .with_context(|| format!("writing {}", file.display()))?;
    }
    std::fs::remove_dir_all(folder)?;
    let missed: Vec<_> = records.iter().flat_map(|record| missed(&record.goals)).collect();
    if !missed.is_empty() {
        bail!("not everything is as it should be:\n{}", missed.join("\n"));
    }
    Ok(())
}

/// Adds pods, then starts the controller anew.
async fn step(
    site: &Site,
    nodes: &Nodes,
    mut controller: Controller,
    kuryr: &Path,
    folder: &Path,
    (before, pods, many_nodes): (usize, usize, usize),
) -> Result<(Record, Controller)> {
    println!("{pods} pods ...");
    let (writes, started) = (site.cloud.writes(), Instant::now());
    load::create(&site.client, before..pods, many_nodes, |_| json!({})).await?;
    nodes.until_ready(pods).await;
    let ready = started.elapsed().as_secs_f64();
    controller.converged(PATIENCE).await?;
    let used = controller.usage().context("the controller's memory can't be read")?;
    let neutron_writes = site.cloud.writes() - writes;
    controller.stop().await?;

    let (writes, requests, kubernetes) =
        (site.cloud.writes(), site.cloud.count(|_| true), site.writes_to_kubernetes().await?);
    let mut next = Controller::start(kuryr, folder)?;
    let restart = next.converged(PATIENCE).await?;
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let record = Record {
        case: "scale",
        pods,
        nodes: many_nodes,
        ready_s: ready,
        pods_per_s: (pods - before) as f64 / ready,
        controller: used,
        neutron_writes,
        failed_calls: nodes.failed_calls(),
        restart_s: restart.as_secs_f64(),
        restarted: next.usage().context("the controller's memory can't be read")?,
        restart_neutron_writes: site.cloud.writes() - writes,
        restart_neutron_requests: site.cloud.count(|_| true) - requests,
        restart_kubernetes_writes: site.writes_to_kubernetes().await? - kubernetes,
        goals: Vec::new(),
    };
    Ok((record.judged(), next))
}

fn tempdir() -> Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("kuryr-scale-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    Ok(folder)
}
