//! The times of one case and size, over all rounds, and the record that comes of them.

use super::{
    burst::Times,
    case::Case,
    floor::Floor,
    report::{Record, per_pod, quantile, round},
    requests::Requests,
    usage::Usages,
};
use crate::timeline::Steps;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// What was measured.
#[derive(Debug, Default)]
pub struct Samples {
    each: Vec<Duration>,
    all: Vec<Duration>,
    gone: Vec<Duration>,
    phases: BTreeMap<&'static str, Vec<Duration>>,
    creation: Requests,
    deletion: Requests,
    add: BTreeMap<String, f64>,
    usage: Usages,
    rounds: u32,
}

impl Samples {
    /// Adds a burst. `kuryr`: its pods have KuryrPorts.
    pub fn add(&mut self, times: Times, kuryr: bool) {
        for steps in &times.steps {
            self.add_steps(steps, kuryr);
        }
        self.all.push(times.ready);
        self.gone.push(times.gone);
        for (sum, more) in [(&mut self.creation, times.creation), (&mut self.deletion, times.deletion)] {
            more.into_iter().for_each(|(name, count)| *sum.entry(name).or_default() += count);
        }
        for (part, used) in times.usage {
            let sum = self.usage.entry(part).or_default();
            // Memory is that of the last round; processor time is added up.
            (sum.rss_mib, sum.pss_mib) = (used.rss_mib, used.pss_mib);
            sum.cpu_s += used.cpu_s;
        }
        self.add = times.add;
        self.rounds += 1;
    }

    /// Adds a round of plain ports.
    pub fn add_floor(&mut self, times: Floor) {
        self.each.extend(times.each);
        self.all.push(times.all);
        self.gone.push(times.gone);
        self.rounds += 1;
    }

    fn add_steps(&mut self, steps: &Steps, kuryr: bool) {
        let Some(created) = steps.created else { return };
        let after = |step: Option<Instant>| step.map(|at| at.saturating_duration_since(created));
        self.each.extend(after(steps.ready));
        let mut phases = vec![("1 scheduled", steps.scheduled)];
        if kuryr {
            phases.extend([("2 KuryrPort", steps.claimed), ("3 allocated", steps.allocated)]);
        }
        phases.push(("4 ready", steps.ready));
        for (name, step) in phases {
            self.phases.entry(name).or_default().extend(after(step));
        }
    }

    /// The record of a case with this many pods at once.
    #[must_use]
    pub fn record(self, case: Case, pods: usize) -> Record {
        let phases_s = self.phases.iter().map(|(name, times)| ((*name).to_owned(), quantile(times, 0.5))).collect();
        let all_ready_s = quantile(&self.all, 0.5);
        #[allow(clippy::cast_precision_loss, reason = "a handful of pods")]
        let (count, bursts) = (pods as f64, f64::from(self.rounds.max(1)));
        let mut requests = self.creation.clone();
        self.deletion.iter().for_each(|(name, n)| *requests.entry(name.clone()).or_default() += n);
        requests.values_mut().for_each(|n| *n = round(*n / bursts));
        Record {
            case: case.name().to_owned(),
            pods,
            p50_s: quantile(&self.each, 0.5),
            p90_s: quantile(&self.each, 0.9),
            p99_s: quantile(&self.each, 0.99),
            all_ready_s,
            pods_per_s: if all_ready_s > 0.0 { round(count / all_ready_s) } else { 0.0 },
            all_gone_s: quantile(&self.gone, 0.5),
            neutron_requests: requests,
            neutron_creation_per_pod: per_pod(&self.creation, count * bursts),
            neutron_deletion_per_pod: per_pod(&self.deletion, count * bursts),
            rss_mib: by_role(&self.usage, |usage| usage.rss_mib),
            pss_mib: by_role(&self.usage, |usage| usage.pss_mib),
            cpu_s: by_role(&self.usage, |usage| usage.cpu_s / bursts),
            add_s: self.add,
            phases_s,
            goals: Vec::new(),
        }
    }
}

/// Of each part by its role, `controller` and `daemon` (the mean of the nodes), and of all together (`all`).
pub(super) fn by_role(usages: &Usages, of: impl Fn(&super::usage::Usage) -> f64) -> BTreeMap<String, f64> {
    let mut roles: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (part, usage) in usages {
        let role = part.split('@').next().unwrap_or(part);
        let role = role.trim_start_matches("kuryr-").trim_start_matches("original-");
        roles.entry(role.to_owned()).or_default().push(of(usage));
    }
    #[allow(clippy::cast_precision_loss, reason = "a handful of nodes")]
    let mean = |values: Vec<f64>| round(values.iter().sum::<f64>() / values.len() as f64);
    let mut means: BTreeMap<_, _> = roles.into_iter().map(|(role, values)| (role, mean(values))).collect();
    if !means.is_empty() {
        means.insert("all".to_owned(), round(usages.values().map(of).sum()));
    }
    means
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::usage::Usage;

    fn mk_usage(rss_mib: f64, cpu_s: f64) -> Usage {
        Usage { rss_mib, pss_mib: rss_mib / 2.0, cpu_s }
    }

    fn mk_times(rss_mib: f64) -> Times {
        let usage =
            [("original-controller", rss_mib), ("original-daemon@node1", 10.0), ("original-daemon@node2", 30.0)];
        Times {
            ready: Duration::from_secs(4),
            creation: Requests::from([("POST /ports".to_owned(), 4.0)]),
            deletion: Requests::from([("DELETE /ports".to_owned(), 2.0)]),
            usage: usage.into_iter().map(|(part, rss)| (part.to_owned(), mk_usage(rss, 2.0))).collect(),
            ..Times::default()
        }
    }

    #[test]
    fn rounds_are_put_together() {
        let mut samples = Samples::default();
        samples.add(mk_times(50.0), false);
        samples.add(mk_times(60.0), false);
        let record = samples.record(Case::OriginalNoop, 8);
        assert_eq!(record.neutron_requests["POST /ports"], 4.0);
        assert_eq!(record.neutron_creation_per_pod, BTreeMap::from([("POST".to_owned(), 0.5)]));
        assert_eq!(record.neutron_deletion_per_pod, BTreeMap::from([("DELETE".to_owned(), 0.25)]));
        assert_eq!(
            (record.rss_mib["controller"], record.rss_mib["daemon"], record.rss_mib["all"]),
            (60.0, 20.0, 100.0)
        );
        assert_eq!(record.cpu_s["all"], 6.0);
        assert_eq!(record.pods_per_s, 2.0);
    }
}
