//! The records of a benchmark, as a table for people and as JSON for machines.

use super::{goals::Goal, requests::Requests};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fs, io::ErrorKind, path::Path, time::Duration};

/// What a case measured, over all rounds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Record {
    /// Name of the case: `floor`, `bridge`, `kuryr-cold`, `kuryr-warm`, `original-noop`, `original-pool`.
    pub case: String,
    /// Pods (or, for the floor, ports) at once.
    pub pods: usize,
    /// Median of creation to Ready, in seconds.
    pub p50_s: f64,
    /// 90th percentile, in seconds.
    pub p90_s: f64,
    /// 99th percentile, in seconds.
    pub p99_s: f64,
    /// From the first creation until all are Ready, median of the rounds, in seconds.
    pub all_ready_s: f64,
    /// Pods a second: `pods / all_ready_s`.
    pub pods_per_s: f64,
    /// From the first deletion until all have gone, median of the rounds, in seconds.
    pub all_gone_s: f64,
    /// Requests to Neutron in one round, by method and resource.
    pub neutron_requests: BTreeMap<String, f64>,
    /// Requests to Neutron per pod by method, until all pods were Ready.
    pub neutron_creation_per_pod: BTreeMap<String, f64>,
    /// Requests to Neutron per pod by method, from then until everything was settled again.
    pub neutron_deletion_per_pod: BTreeMap<String, f64>,
    /// Resident memory after the last round in MiB: of the controller, of a daemon (mean of the nodes), of all processes.
    pub rss_mib: BTreeMap<String, f64>,
    /// As `rss_mib`, where what processes share is divided among them (proportional set size).
    pub pss_mib: BTreeMap<String, f64>,
    /// Processor time of one round, creation and deletion, in seconds; by part as `rss_mib`. What runs for a moment in the
    /// container runtime's name, as `kuryr-cni` does, isn't in it.
    pub cpu_s: BTreeMap<String, f64>,
    /// Mean time of the daemon's part of an ADD, by phase, in seconds: waiting for the claim, plugging, waiting for the
    /// dataplane, all of it.
    pub add_s: BTreeMap<String, f64>,
    /// Median time from creation until each step was seen, in seconds.
    pub phases_s: BTreeMap<String, f64>,
    /// What the case is held to.
    pub goals: Vec<Goal>,
}

/// The `q`-quantile of times, in seconds; `NaN`-free: 0 where there is none.
#[must_use]
pub fn quantile(times: &[Duration], q: f64) -> f64 {
    let mut seconds: Vec<_> = times.iter().map(Duration::as_secs_f64).collect();
    seconds.sort_by(f64::total_cmp);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into a short list"
    )]
    let index = ((seconds.len() as f64 * q) as usize).min(seconds.len().saturating_sub(1));
    seconds.get(index).copied().map_or(0.0, round)
}

/// To three digits behind the point.
#[must_use]
pub fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Requests per pod by method, whatever the resource.
#[must_use]
pub fn per_pod(requests: &Requests, pods: f64) -> BTreeMap<String, f64> {
    let mut methods = BTreeMap::new();
    for (name, count) in requests {
        let method = name.split(' ').next().unwrap_or_default();
        *methods.entry(method.to_owned()).or_insert(0.0) += count / pods;
    }
    methods.values_mut().for_each(|n| *n = round(*n));
    methods
}

/// The records of a file of an earlier run; none where there is no file.
///
/// # Errors
/// When the file isn't one of records.
pub fn read(file: &Path) -> Result<Vec<Record>> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("reading {}", file.display())),
    };
    serde_json::from_str(&text).with_context(|| format!("{} isn't a list of records", file.display()))
}

/// Writes records to a file.
///
/// # Errors
/// When it can't be written.
pub fn write(file: &Path, records: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(records).context("writing the records as JSON")?;
    fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
    println!("\nrecords: {}", file.display());
    Ok(())
}

/// The earlier records of cases and sizes that were not measured anew, and the new ones, in order.
#[must_use]
pub fn merge(earlier: Vec<Record>, measured: Vec<Record>) -> Vec<Record> {
    let again = |old: &Record| measured.iter().any(|new| new.case == old.case && new.pods == old.pods);
    let mut records: Vec<_> = earlier.into_iter().filter(|old| !again(old)).collect();
    records.extend(measured);
    records.sort_by(|a, b| (&a.case, a.pods).cmp(&(&b.case, b.pods)));
    records
}

/// Prints the records as tables: times, requests to Neutron, use of the machine, phases, goals.
pub fn print(records: &[Record]) {
    println!(
        "\n{:<14}{:>5}{:>9}{:>9}{:>9}{:>11}{:>9}{:>10}",
        "case", "pods", "p50 s", "p90 s", "p99 s", "all ready", "pods/s", "all gone"
    );
    for r in records {
        println!(
            "{:<14}{:>5}{:>9.2}{:>9.2}{:>9.2}{:>11.2}{:>9.2}{:>10.2}",
            r.case, r.pods, r.p50_s, r.p90_s, r.p99_s, r.all_ready_s, r.pods_per_s, r.all_gone_s
        );
    }
    print_use(records);
    for r in records.iter().filter(|r| !r.phases_s.is_empty()) {
        println!("\n{} x{}: {}", r.case, r.pods, list(&r.phases_s, 3));
        if !r.add_s.is_empty() {
            println!("  in the daemon's ADD: {}", list(&r.add_s, 4));
        }
        if !r.neutron_requests.is_empty() {
            println!("  Neutron, one round: {}", list(&r.neutron_requests, 0));
        }
    }
    print_goals(records);
}

fn print_use(records: &[Record]) {
    const METHODS: [&str; 4] = ["POST", "PUT", "DELETE", "GET"];
    println!("\n{:<19}{:^28}{:^28}{:^22}", "", "Neutron per pod, creation", "... deletion", "all processes");
    let header: String = METHODS.iter().chain(&METHODS).map(|method| format!("{method:>7}")).collect();
    println!("{:<14}{:>5}{header}{:>8}{:>8}{:>7}", "case", "pods", "RSS MiB", "PSS MiB", "CPU s");
    for r in records.iter().filter(|r| !r.pss_mib.is_empty()) {
        let of = |counts: &BTreeMap<String, f64>| -> String {
            METHODS.iter().map(|m| format!("{:>7.2}", counts.get(*m).copied().unwrap_or_default())).collect()
        };
        let all = |values: &BTreeMap<String, f64>| values.get("all").copied().unwrap_or_default();
        println!(
            "{:<14}{:>5}{}{}{:>8.1}{:>8.1}{:>7.2}",
            r.case,
            r.pods,
            of(&r.neutron_creation_per_pod),
            of(&r.neutron_deletion_per_pod),
            all(&r.rss_mib),
            all(&r.pss_mib),
            all(&r.cpu_s)
        );
    }
}

fn print_goals(records: &[Record]) {
    println!("\n{:<14}{:>5}  {:<48}{:>9}{:>8}", "case", "pods", "ratio or rate", "is", "goal");
    for r in records {
        for goal in &r.goals {
            println!("{:<14}{:>5}  {goal}", r.case, r.pods);
        }
    }
}

fn list(values: &BTreeMap<String, f64>, digits: usize) -> String {
    values.iter().map(|(name, value)| format!("{name} {value:.digits$}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_a_short_list() {
        let times: Vec<_> = (1..=10).rev().map(Duration::from_secs).collect();
        assert!((quantile(&times, 0.5) - 6.0).abs() < f64::EPSILON);
        assert!((quantile(&times, 0.99) - 10.0).abs() < f64::EPSILON);
        assert!(quantile(&[], 0.5).abs() < f64::EPSILON);
    }

    #[test]
    fn resources_of_one_method_count_together() {
        let requests = Requests::from([("GET /ports".to_owned(), 3.0), ("GET /networks".to_owned(), 1.0)]);
        assert_eq!(per_pod(&requests, 8.0), BTreeMap::from([("GET".to_owned(), 0.5)]));
    }

    #[test]
    fn what_was_measured_anew_replaces_what_was_there() {
        let mk = |case: &str, pods, p50_s| Record { case: case.to_owned(), pods, p50_s, ..Record::default() };
        let merged = merge(vec![mk("floor", 1, 1.0), mk("bridge", 1, 1.0)], vec![mk("floor", 1, 2.0)]);
        let seen: Vec<_> = merged.iter().map(|r| (r.case.as_str(), r.p50_s)).collect();
        assert_eq!(seen, [("bridge", 1.0), ("floor", 2.0)]);
    }
}
