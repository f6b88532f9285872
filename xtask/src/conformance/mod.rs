//! `cargo xtask conformance`: Kubernetes' own tests on the lab.

mod known;
mod report;
mod suite;

use std::{
    fs,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use kuryr_lab::{Lab, install, kubernetes};
use serde::Serialize;

use report::Verdict;
use suite::Suite;

/// What the issue of Services, EndpointSlices and DNS is measured by.
const FOCUS: &str = r"\[sig-network\].*\[Conformance\]";

/// What must have the cluster for itself.
const ALONE: [&str; 2] = ["[Serial]", "[Disruptive]"];

/// What `cargo xtask conformance` is asked for.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only tests whose name matches this regular expression (Go's)
    #[arg(long, default_value = FOCUS)]
    focus: String,
    /// Only list them
    #[arg(long)]
    list: bool,
    /// On the lab as it runs: Kuryr isn't built anew
    #[arg(long)]
    as_it_is: bool,
    /// How many tests at a time
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    at_a_time: u8,
    /// How long one test may take
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Write a list of records to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What is known of a test at the end.
#[derive(Debug, Serialize)]
struct Record {
    name: String,
    #[serde(flatten)]
    verdict: Verdict,
    /// Why it can't pass here.
    known: Option<&'static str>,
    seconds: f64,
    log: PathBuf,
}

/// Runs the tests on the lab, which is brought up where it isn't, and prints the closing line. Fails if anything failed.
pub fn run(args: &Args) -> Result<ExitCode> {
    let json = args.json.as_deref().map(std::path::absolute).transpose().context("finding the file for the records")?;
    if !args.as_it_is {
        crate::lab::up(2, true)?;
    }
    let lab = Lab::open()?;
    let conformance = install::install_conformance(lab.cache())?;
    let suite = Suite::new(&lab, &conformance)?;
    let names = suite.select(&args.focus)?;
    ensure!(!names.is_empty(), "no test of Kubernetes' matches {}", args.focus);
    if args.list {
        println!("{}", names.join("\n"));
        return Ok(ExitCode::SUCCESS);
    }
    println!("Giving the nodes the tests' images, kube-proxy and host ports");
    kubernetes::import_test_images(&lab, &conformance)?;
    kubernetes::node_ports::start(&lab)?;
    println!("\n== {} tests of Kubernetes {}", names.len(), install::Conformance::version()?);
    let begin = Instant::now();
    let records = run_all(&suite, &names, args);
    kubernetes::node_ports::stop(&lab)?;
    let records = records?;
    if let Some(file) = json {
        let text = serde_json::to_string_pretty(&records).context("writing the records")?;
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    }
    println!("\n{:.0} s; the tests' logs are in {}", begin.elapsed().as_secs_f64(), suite.dir().display());
    Ok(close(&records))
}

/// Runs the tests, some at a time, then one by one those that must be alone; the records are in the order of the names.
fn run_all(suite: &Suite<'_>, names: &[String], args: &Args) -> Result<Vec<Record>> {
    let (alone, together): (Vec<_>, Vec<_>) =
        names.iter().partition(|name| ALONE.iter().any(|mark| name.contains(mark)));
    let (records, ended) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    for (group, at_a_time) in [(together, usize::from(args.at_a_time)), (alone, 1)] {
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            let work = || -> Result<()> {
                while let Some(name) = group.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let record = run_one(suite, name, args)?;
                    tell(&record, ended.fetch_add(1, Ordering::Relaxed) + 1, names.len());
                    records.lock().unwrap_or_else(PoisonError::into_inner).push(record);
                }
                Ok(())
            };
            let workers: Vec<_> = (0..at_a_time).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| {
                worker.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a thread that ran tests has panicked")))
            })
        })?;
    }
    let mut records = records.into_inner().unwrap_or_else(PoisonError::into_inner);
    records.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(records)
}

fn run_one(suite: &Suite<'_>, name: &str, args: &Args) -> Result<Record> {
    let run = suite.run(name, Duration::from_secs(60 * args.minutes)).with_context(|| format!("running {name}"))?;
    Ok(Record {
        name: name.to_owned(),
        known: known::reason(name),
        verdict: run.verdict,
        seconds: run.took.as_secs_f64(),
        log: run.log,
    })
}

/// A line for a test that has ended.
fn tell(record: &Record, ended: usize, of: usize) {
    let (word, more) = match &record.verdict {
        Verdict::Passed => ("ok  ", String::new()),
        Verdict::Skipped { why } => ("skip", format!(": {why}")),
        Verdict::Failed { why, .. } => ("FAIL", format!(": {why}")),
    };
    println!("  {word}  [{ended}/{of}] {} ({:.0} s){more}", record.name, record.seconds);
}

/// Says what failed and what was skipped, and the closing line.
fn close(records: &[Record]) -> ExitCode {
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for record in records {
        match &record.verdict {
            Verdict::Passed => {
                passed += 1;
                if let Some(reason) = record.known {
                    println!("\npassed, though it was known to fail ({reason}): {}", record.name);
                }
            }
            Verdict::Skipped { why } => {
                skipped += 1;
                println!("\nskipped: {}\n  {why}", record.name);
            }
            Verdict::Failed { why, at } => {
                failed += 1;
                let known = record.known.map_or_else(String::new, |reason| format!("\n  known: {reason}"));
                println!("\nfailed: {}\n  {why}\n  {at}{known}\n  {}", record.name, record.log.display());
            }
        }
    }
    let skipped = if skipped == 0 { String::new() } else { format!(", {skipped} skipped") };
    println!("\n{passed} passed, {failed} failed{skipped}");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
