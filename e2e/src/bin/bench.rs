//! `cargo xtask bench`: measurements on the lab, as tables for people and as JSON for machines.

use anyhow::{Context, Result};
use clap::Parser;
use kuryr_e2e::bench::{pods, report};
use std::path::PathBuf;

/// What is to be measured.
#[derive(Parser)]
enum Bench {
    /// Pod creation to Ready: a trivial bridge CNI, plain API calls without Kuryr, and Kuryr without free ports
    Pods {
        /// How often each case is measured; the cases take turns
        #[arg(long, default_value_t = 3)]
        rounds: u32,
        /// Where to write the records
        #[arg(long)]
        json: Option<PathBuf>,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    let Bench::Pods { rounds, json } = Bench::parse();
    let cluster = kuryr_e2e::Cluster::attach().await?;
    let records = pods::measure(&cluster, rounds).await?;
    report::print(&records);
    if let Some(file) = json {
        let text = serde_json::to_string_pretty(&records).context("writing the records as JSON")?;
        std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        println!("\nrecords: {}", file.display());
    }
    Ok(())
}
