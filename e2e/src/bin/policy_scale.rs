//! `cargo xtask bench policies-scale`: NetworkPolicies among hundreds of others and thousands of pods.

use anyhow::{Context, Result, bail};
use clap::Parser;
use kuryr_e2e::{
    bench::report,
    scale::{self, policies},
};
use kuryr_openstack_fake::Latency;
use std::path::PathBuf;

/// What is to be measured.
#[derive(Parser)]
struct Args {
    /// How many policies that aren't concerned, in rising steps
    #[arg(long, value_delimiter = ',', required = true)]
    policies: Vec<usize>,
    /// How many pods that aren't concerned, in rising steps
    #[arg(long, value_delimiter = ',', required = true)]
    pods: Vec<usize>,
    /// How many nodes
    #[arg(long)]
    nodes: usize,
    /// How often each event is measured
    #[arg(long)]
    rounds: u32,
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

fn main() -> Result<()> {
    let args = Args::parse();
    scale::beside_an_api_server()?.block_on(measure(args))
}

async fn measure(args: Args) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("kuryr-policies-scale-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    println!("files in {}", folder.display());
    let Args { policies, pods, nodes, rounds, latency, kuryr, json } = args;
    let latency = if latency > 0.0 { Latency::Scaled(latency) } else { Latency::None };
    let records = policies::measure(&policies::Plan { policies, pods, nodes, rounds, latency, kuryr }, &folder).await?;
    policies::print(&records);
    if let Some(file) = json {
        report::write(&file, &records)?;
    }
    std::fs::remove_dir_all(folder)?;
    let missed = policies::missed_by(&records);
    if !missed.is_empty() {
        bail!("not everything is as it should be:\n{}", missed.join("\n"));
    }
    Ok(())
}
