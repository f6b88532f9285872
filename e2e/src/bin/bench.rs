//! `cargo xtask bench`: measurements on the lab, as tables for people and as JSON for machines.

use anyhow::{Result, bail};
use clap::Parser;
use kuryr_e2e::{
    Cluster,
    bench::{
        case::Case,
        chaos, churn,
        goals::missed,
        pods::{self, Plan},
        policies, report, services,
    },
};
use std::{path::PathBuf, time::Duration};

/// What is to be measured.
#[derive(Parser)]
enum Bench {
    /// Pod creation to Ready, side by side in all ways to give a pod its network
    Pods {
        /// Which cases, in this order
        #[arg(long, value_enum, value_delimiter = ',', required = true)]
        cases: Vec<Case>,
        /// How many pods at once
        #[arg(long, value_delimiter = ',', required = true)]
        sizes: Vec<usize>,
        /// How often each case is measured; the cases take turns
        #[arg(long)]
        rounds: u32,
        /// Where to write the records
        #[arg(long)]
        json: Option<PathBuf>,
        /// Keep what the file already has of other cases and sizes
        #[arg(long, requires = "json")]
        merge: bool,
    },
    /// Services: created until the VIP answers, endpoints changed until traffic follows
    Services {
        /// Which cases, in this order
        #[arg(long, value_enum, value_delimiter = ',', required = true)]
        cases: Vec<services::Case>,
        /// How many Services at once
        #[arg(long, value_delimiter = ',', required = true)]
        sizes: Vec<usize>,
        /// How often each case is measured; the cases take turns
        #[arg(long)]
        rounds: u32,
        /// Where to write the records
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// NetworkPolicies: created until they are enforced, pods relabelled until packets follow
    Policies {
        /// Which cases, in this order
        #[arg(long, value_enum, value_delimiter = ',', required = true)]
        cases: Vec<policies::Case>,
        /// How many other policies there are
        #[arg(long, value_delimiter = ',', required = true)]
        policies: Vec<usize>,
        /// How often each case is measured; the cases take turns
        #[arg(long)]
        rounds: u32,
        /// Where to write the records
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// Pods that come and go without a pause
    Churn {
        /// For how long
        #[arg(long)]
        minutes: f64,
        /// How many pods are on their way at any time
        #[arg(long)]
        pods: usize,
        /// Where to write the record
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// Every component is killed and started again while pods come and go
    Chaos {
        /// For how long; longer if not every component has been killed by then
        #[arg(long)]
        minutes: f64,
        /// How many pods there are at any time
        #[arg(long)]
        pods: usize,
        /// What decides the order of the kills; by default something random
        #[arg(long)]
        seed: Option<u64>,
        /// Where to write the record
        #[arg(long)]
        json: Option<PathBuf>,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    match Bench::parse() {
        Bench::Pods { cases, sizes, rounds, json, merge } => {
            measure_pods(Plan { cases, sizes, rounds }, json, merge).await
        }
        Bench::Services { cases, sizes, rounds, json } => {
            measure_services(services::Plan { cases, sizes, rounds }, json).await
        }
        Bench::Policies { cases, policies, rounds, json } => {
            measure_policies(policies::Plan { cases, policies, rounds }, json).await
        }
        Bench::Churn { minutes, pods, json } => {
            measure_churn(churn::Plan { time: Duration::from_secs_f64(minutes * 60.0), pods }, json).await
        }
        Bench::Chaos { minutes, pods, seed, json } => {
            let seed = seed.unwrap_or_else(|| fastrand::u32(..).into());
            break_everything(chaos::Plan { time: Duration::from_secs_f64(minutes * 60.0), pods, seed }, json).await
        }
    }
}

async fn measure_services(plan: services::Plan, json: Option<PathBuf>) -> Result<()> {
    let outcome = services::measure(&Cluster::attach().await?, &plan).await?;
    services::print(&outcome.records);
    if let Some(file) = json {
        report::write(&file, &outcome.records)?;
    }
    if !outcome.failures.is_empty() {
        bail!("not everything could be measured:\n{}", outcome.failures.join("\n"));
    }
    let missed: Vec<_> = outcome.records.iter().flat_map(services::Record::missed).collect();
    if !missed.is_empty() {
        bail!("not everything is as fast as it should be:\n{}", missed.join("\n"));
    }
    Ok(())
}

async fn measure_policies(plan: policies::Plan, json: Option<PathBuf>) -> Result<()> {
    let outcome = policies::measure(&Cluster::attach().await?, &plan).await?;
    policies::print(&outcome.records);
    if let Some(file) = json {
        report::write(&file, &outcome.records)?;
    }
    if !outcome.failures.is_empty() {
        bail!("not everything could be measured:\n{}", outcome.failures.join("\n"));
    }
    let missed: Vec<_> = outcome.records.iter().flat_map(policies::Record::missed).collect();
    if !missed.is_empty() {
        bail!("not everything is as fast as it should be:\n{}", missed.join("\n"));
    }
    Ok(())
}

async fn measure_churn(plan: churn::Plan, json: Option<PathBuf>) -> Result<()> {
    let record = churn::run(&Cluster::attach().await?, plan).await?;
    churn::print(&record);
    if let Some(file) = json {
        report::write(&file, &[&record])?;
    }
    let missed = missed(&record.goals);
    if !missed.is_empty() {
        bail!("not everything is as it should be:\n{}", missed.join("\n"));
    }
    Ok(())
}

async fn break_everything(plan: chaos::Plan, json: Option<PathBuf>) -> Result<()> {
    let cluster = Cluster::attach().await?;
    let record = chaos::run(&cluster, plan).await?;
    chaos::print(&record);
    if let Some(file) = json {
        report::write(&file, &[&record])?;
    }
    let wrong = record.wrong(&kuryr_lab::kuryr::processes(&cluster.lab));
    if !wrong.is_empty() {
        bail!("not everything is as it should be:\n{}", wrong.join("\n"));
    }
    Ok(())
}

async fn measure_pods(plan: Plan, json: Option<PathBuf>, merge: bool) -> Result<()> {
    let earlier = match &json {
        Some(file) if merge => report::read(file)?,
        _ => Vec::new(),
    };
    let cluster = Cluster::attach().await?;
    let outcome = pods::measure(&cluster, &plan, earlier).await?;
    report::print(&outcome.records);
    if let Some(file) = json {
        report::write(&file, &outcome.records)?;
    }
    if !outcome.failures.is_empty() {
        bail!("not everything could be measured:\n{}", outcome.failures.join("\n"));
    }
    Ok(())
}
