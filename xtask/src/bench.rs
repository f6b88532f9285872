//! `cargo xtask bench`: measurements on the lab.

use crate::programs;
use anyhow::Result;
use std::path::PathBuf;

/// What is to be measured.
#[derive(Debug, clap::Subcommand)]
pub enum Bench {
    /// From a pod's creation until it is Ready, with its phases, beside the floor and a trivial bridge CNI
    Pods {
        /// Write a list of records to this file
        #[arg(long)]
        json: Option<PathBuf>,
        /// How often each case is measured
        #[arg(long, default_value_t = 3)]
        rounds: u32,
    },
}

/// Runs a benchmark on the lab, which is brought up where it isn't.
pub fn run(bench: &Bench) -> Result<()> {
    let Bench::Pods { json, rounds } = bench;
    crate::lab::up(2, true)?;
    let mut args = vec!["pods".to_owned(), format!("--rounds={rounds}")];
    if let Some(file) = json {
        args.push(format!("--json={}", std::path::absolute(file)?.display()));
    }
    programs::run_in_control("kuryr-bench", &args)
}
