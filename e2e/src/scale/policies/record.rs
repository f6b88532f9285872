//! What was measured among so many policies and pods, and what it is held to.

use super::event::{Event, is_about_groups};
use crate::bench::{
    goals::{Goal, missed},
    report::{quantile, round},
    usage::Usage,
};
use kuryr_openstack_fake::Entry;
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};

/// One event, once.
#[derive(Debug, Clone, Default)]
pub struct Times {
    /// From the write to Kubernetes until Neutron had it.
    pub took: Duration,
    /// Requests to Neutron, by method and resource.
    pub requests: BTreeMap<String, usize>,
    /// Those of them that are about groups.
    pub about_groups: usize,
}

/// The same event, all rounds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Step {
    /// How often it was measured.
    pub samples: usize,
    /// Median, in seconds.
    pub p50_s: f64,
    /// The longest, in seconds.
    pub longest_s: f64,
    /// Requests to Neutron about groups, their members and which ports have them; median.
    pub requests: usize,
    /// All requests, by method and resource; mean. Where a pod comes or goes, ports of its pool are among them.
    pub all_requests: BTreeMap<String, f64>,
}

/// What was measured among so many policies and pods.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// Always `policies-scale`.
    pub case: &'static str,
    /// Policies that aren't concerned.
    pub policies: usize,
    /// Pods that aren't concerned.
    pub pods: usize,
    /// Nodes.
    pub nodes: usize,
    /// By event.
    pub events: BTreeMap<&'static str, Step>,
    /// The controller's memory and processor time.
    pub controller: Option<Usage>,
    /// What it is held to.
    pub goals: Vec<Goal>,
}

impl Times {
    /// An event that took so long, and made these requests.
    #[must_use]
    pub fn of(took: Duration, sent: &[Entry]) -> Self {
        let mut requests = BTreeMap::new();
        for request in sent {
            *requests.entry(format!("{} /{}", request.method, request.resource)).or_default() += 1;
        }
        Self { took, requests, about_groups: sent.iter().filter(|request| is_about_groups(request)).count() }
    }
}

/// Puts the rounds together.
#[must_use]
pub fn step(times: &[Times]) -> Step {
    let took: Vec<_> = times.iter().map(|one| one.took).collect();
    let mut counts: Vec<_> = times.iter().map(|one| one.about_groups).collect();
    counts.sort_unstable();
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    #[allow(clippy::cast_precision_loss, reason = "a handful of requests")]
    for (name, count) in times.iter().flat_map(|one| &one.requests) {
        *sums.entry(name.clone()).or_default() += *count as f64;
    }
    #[allow(clippy::cast_precision_loss, reason = "a handful of rounds")]
    sums.values_mut().for_each(|sum| *sum = round(*sum / times.len() as f64));
    Step {
        samples: times.len(),
        p50_s: quantile(&took, 0.5),
        longest_s: took.iter().max().map_or(0.0, |took| round(took.as_secs_f64())),
        requests: counts.get(counts.len() / 2).copied().unwrap_or_default(),
        all_requests: sums,
    }
}

/// Adds what each record is held to: an event makes no more requests than among the fewest policies and pods.
pub fn judge(records: &mut [Record]) {
    let Some(least) = records.iter().min_by_key(|record| (record.pods, record.policies)).cloned() else { return };
    for record in records {
        let goals = Event::ALL.into_iter().filter_map(|event| {
            let (now, least) = (record.events.get(event.name())?, least.events.get(event.name())?);
            #[allow(clippy::cast_precision_loss, reason = "a handful of requests")]
            let (value, limit) = (now.requests as f64, least.requests as f64);
            Some(Goal::new(&format!("requests to Neutron, {}", event.name()), value, Some(limit)))
        });
        record.goals = goals.collect();
    }
}

/// What isn't as it should be, a line each.
#[must_use]
pub fn missed_by(records: &[Record]) -> Vec<String> {
    let of = |record: &Record| {
        let at = format!("{} policies, {} pods", record.policies, record.pods);
        missed(&record.goals).into_iter().map(move |goal| format!("{at}: {goal}"))
    };
    records.iter().flat_map(of).collect()
}

/// Prints the records as a table: seconds and requests of each event.
pub fn print(records: &[Record]) {
    let heads: String = Event::ALL.iter().map(|event| format!("{:^24}", event.name())).collect();
    println!("\n{:<15}{heads}{:>11}", "", "controller");
    let columns = format!("{:>8}{:>8}{:>8}", "p50 s", "max s", "sent").repeat(Event::ALL.len());
    println!("{:>6}{:>9}{columns}{:>11}", "pods", "policies", "MiB");
    for record in records {
        let step = |event: &Event| record.events.get(event.name()).cloned().unwrap_or_default();
        let shown = |step: Step| format!("{:>8.3}{:>8.3}{:>8}", step.p50_s, step.longest_s, step.requests);
        let steps: String = Event::ALL.iter().map(|event| shown(step(event))).collect();
        let memory = record.controller.map_or(0.0, |usage| usage.rss_mib);
        println!("{:>6}{:>9}{steps}{memory:>11.1}", record.pods, record.policies);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_times(milliseconds: u64, about_groups: usize) -> Times {
        let requests = [("PUT /address-groups".to_owned(), about_groups)].into();
        Times { took: Duration::from_millis(milliseconds), requests, about_groups }
    }

    fn mk_record(policies: usize, pods: usize, requests: usize) -> Record {
        let events = [(Event::PodComes.name(), step(&[mk_times(10, requests)]))].into();
        Record { case: "policies-scale", policies, pods, nodes: 1, events, controller: None, goals: Vec::new() }
    }

    #[test]
    fn rounds_are_put_together() {
        let step = step(&[mk_times(10, 1), mk_times(30, 1), mk_times(20, 4)]);
        assert_eq!((step.samples, step.p50_s, step.longest_s, step.requests), (3, 0.02, 0.03, 1));
        assert_eq!(step.all_requests["PUT /address-groups"], 2.0);
    }

    #[test]
    fn no_event_may_make_more_requests_than_among_the_fewest() {
        let mut records = [mk_record(500, 50, 2), mk_record(10, 50, 1), mk_record(10, 500, 1)];
        judge(&mut records);
        let met: Vec<_> = records.iter().map(|record| record.goals[0].met).collect();
        assert_eq!(met, [Some(false), Some(true), Some(true)]);
        assert_eq!(missed_by(&records).len(), 1);
    }
}
