//! The records of a benchmark.

use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};

/// What a case measured, over all rounds.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// `bridge`, `floor` or `kuryr-cold`.
    pub case: &'static str,
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
    /// Requests that Kuryr sent to Neutron in one round, by method and resource.
    pub neutron_requests: BTreeMap<String, f64>,
    /// Resident memory of Kuryr's processes after the last round, in MiB.
    pub rss_mib: BTreeMap<&'static str, f64>,
    /// Mean time of the daemon's part of an ADD, by phase, in seconds: waiting for the claim, plugging, waiting for the
    /// dataplane, all of it.
    pub add_s: BTreeMap<String, f64>,
    /// Median time from creation until each step was seen, in seconds.
    pub phases_s: BTreeMap<&'static str, f64>,
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
    seconds.get(index).copied().map_or(0.0, |s| (s * 1000.0).round() / 1000.0)
}

/// Prints the records as a table, then the phases.
pub fn print(records: &[Record]) {
    println!(
        "\n{:<12}{:>5}{:>9}{:>9}{:>9}{:>11}{:>9}{:>10}",
        "case", "pods", "p50 s", "p90 s", "p99 s", "all ready", "pods/s", "all gone"
    );
    for r in records {
        println!(
            "{:<12}{:>5}{:>9.2}{:>9.2}{:>9.2}{:>11.2}{:>9.2}{:>10.2}",
            r.case, r.pods, r.p50_s, r.p90_s, r.p99_s, r.all_ready_s, r.pods_per_s, r.all_gone_s
        );
    }
    for r in records.iter().filter(|r| !r.phases_s.is_empty()) {
        let phases: Vec<_> = r.phases_s.iter().map(|(name, s)| format!("{name} {s:.3}")).collect();
        println!("\n{} x{}: {}", r.case, r.pods, phases.join(", "));
        if !r.add_s.is_empty() {
            let phases: Vec<_> = r.add_s.iter().map(|(name, s)| format!("{name} {s:.4}")).collect();
            println!("  in the daemon's ADD: {}", phases.join(", "));
        }
        if !r.neutron_requests.is_empty() {
            let requests: Vec<_> = r.neutron_requests.iter().map(|(name, n)| format!("{name}: {n}")).collect();
            println!("  Neutron: {}", requests.join(", "));
        }
        if !r.rss_mib.is_empty() {
            let memory: Vec<_> = r.rss_mib.iter().map(|(name, mib)| format!("{name} {mib:.1} MiB")).collect();
            println!("  resident: {}", memory.join(", "));
        }
    }
    overhead(records);
}

/// What Kuryr adds to what can't be avoided: the floor, and what the kubelet takes with a trivial CNI.
fn overhead(records: &[Record]) {
    for cold in records.iter().filter(|r| r.case == "kuryr-cold") {
        let of = |case| records.iter().find(|r| r.case == case && r.pods == cold.pods);
        if let (Some(bridge), Some(floor)) = (of("bridge"), of("floor")) {
            println!(
                "\nx{}: kuryr-cold {:.2} s = floor {:.2} + bridge {:.2} + {:.2} s; {:.2} of the floor's rate",
                cold.pods,
                cold.p50_s,
                floor.p50_s,
                bridge.p50_s,
                cold.p50_s - floor.p50_s - bridge.p50_s,
                cold.pods_per_s / floor.pods_per_s
            );
        }
    }
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
}
