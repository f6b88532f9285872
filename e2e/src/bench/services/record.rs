//! What was measured of one case and size, over all rounds, and the goals that Kuryr is held to.

use super::Case;
use crate::bench::{
    goals::{Goal, missed},
    report::{quantile, round},
    requests::Requests,
};
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};

/// Seconds from a Service's creation until its VIP answered with the original Python Kuryr, as it was recorded.
const ORIGINAL_CREATION: f64 = 13.0;

/// Seconds from a change of endpoints until traffic followed, of the same.
const ORIGINAL_CHANGE: f64 = 9.0;

/// What a step may take at most, in parts of the floor's time.
const CREATION: f64 = 1.2;
const CHANGE: f64 = 1.5;

/// One step in one round, of all Services at once.
#[derive(Debug, Clone, Default)]
pub struct Times {
    /// What each Service took.
    pub each: Vec<Duration>,
    /// Requests to Octavia for all of them.
    pub requests: Requests,
    /// Connections that nobody answered.
    pub lost: usize,
}

/// One step over all rounds.
#[derive(Debug, Default)]
pub struct Samples {
    each: Vec<Duration>,
    slowest: Vec<Duration>,
    requests: Requests,
    lost: usize,
}

/// All steps of a case with so many Services at once.
#[derive(Debug, Default)]
pub struct AllSamples {
    /// Service created until its VIP answers.
    pub created: Samples,
    /// An endpoint added until it answers.
    pub added: Samples,
    /// An endpoint removed until it answers no more.
    pub removed: Samples,
    /// Deletion until all load balancers were gone.
    pub gone: Vec<Duration>,
}

/// A step in a record.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Step {
    /// Median, in seconds.
    pub p50_s: f64,
    /// 90th percentile, in seconds.
    pub p90_s: f64,
    /// 99th percentile, in seconds.
    pub p99_s: f64,
    /// Until all had come so far, median of the rounds, in seconds.
    pub all_s: f64,
    /// Requests to Octavia per Service, by method and resource.
    pub requests: BTreeMap<String, f64>,
    /// Those of them that change something.
    pub writes: f64,
    /// Those that only ask.
    pub reads: f64,
    /// Connections that nobody answered, in all rounds. Creation: not counted, as nobody is there yet.
    pub lost: usize,
}

/// What a case measured, over all rounds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Record {
    /// Name of the case: `floor`, `kuryr`, `kuryr-selector`.
    pub case: String,
    /// Services (or, for the floor, load balancers) at once.
    pub services: usize,
    /// From a Service's creation until its VIP answers.
    pub created: Step,
    /// From the change until the endpoint that was added answers.
    pub added: Step,
    /// From the change until the endpoint that was removed answers no more.
    pub removed: Step,
    /// From the first deletion until the last load balancer was gone, median of the rounds, in seconds.
    pub all_gone_s: f64,
    /// What the case is held to.
    pub goals: Vec<Goal>,
}

impl Record {
    /// The goals that it misses, a line each.
    #[must_use]
    pub fn missed(&self) -> Vec<String> {
        missed(&self.goals).into_iter().map(|goal| format!("{} x{}: {goal}", self.case, self.services)).collect()
    }
}

impl Samples {
    /// Adds a round.
    pub fn add(&mut self, times: Times) {
        self.slowest.extend(times.each.iter().max());
        self.each.extend(times.each);
        self.lost += times.lost;
        times.requests.into_iter().for_each(|(name, count)| *self.requests.entry(name).or_default() += count);
    }

    fn step(&self) -> Step {
        #[allow(clippy::cast_precision_loss, reason = "a handful of Services")]
        let per_service = |count: &f64| round(count / self.each.len().max(1) as f64);
        let requests: BTreeMap<_, _> =
            self.requests.iter().map(|(name, count)| (name.clone(), per_service(count))).collect();
        let (reads, writes): (Vec<_>, Vec<_>) = self.requests.iter().partition(|(name, _)| name.starts_with("GET "));
        let sum = |counts: &[(&String, &f64)]| per_service(&counts.iter().fold(0.0, |sum, (_, count)| sum + **count));
        Step {
            p50_s: quantile(&self.each, 0.5),
            p90_s: quantile(&self.each, 0.9),
            p99_s: quantile(&self.each, 0.99),
            all_s: quantile(&self.slowest, 0.5),
            writes: sum(&writes),
            reads: sum(&reads),
            requests,
            lost: self.lost,
        }
    }
}

impl AllSamples {
    /// The record of a case with so many Services at once.
    #[must_use]
    pub fn record(&self, case: Case, services: usize) -> Record {
        Record {
            case: case.name().to_owned(),
            services,
            created: self.created.step(),
            added: self.added.step(),
            removed: self.removed.step(),
            all_gone_s: quantile(&self.gone, 0.5),
            goals: Vec::new(),
        }
    }
}

/// Adds to each record of Kuryr what it is held to, as far as the floor of its size was measured too.
pub fn judge(records: &mut [Record]) {
    let floors: Vec<_> = records.iter().filter(|one| one.case == Case::Floor.name()).cloned().collect();
    for record in records.iter_mut().filter(|one| one.case != Case::Floor.name()) {
        let floor = floors.iter().find(|floor| floor.services == record.services);
        // Where Kubernetes tells the endpoints, its time is in it.
        let limits = record.case == Case::Kuryr.name();
        record.goals = floor.map(|floor| beside(record, floor, limits)).unwrap_or_default();
        if record.services == 1 {
            let change = (record.added.p50_s + record.removed.p50_s) / 2.0;
            record.goals.extend([
                Goal::new("creation, p50 / the original's 13 s", record.created.p50_s / ORIGINAL_CREATION, None),
                Goal::new("endpoint change, p50 / the original's 9 s", change / ORIGINAL_CHANGE, None),
            ]);
        }
    }
}

fn beside(record: &Record, floor: &Record, limits: bool) -> Vec<Goal> {
    let steps = [
        ("creation, p50 / floor", &record.created, &floor.created, CREATION),
        ("endpoint added, p50 / floor", &record.added, &floor.added, CHANGE),
        ("endpoint removed, p50 / floor", &record.removed, &floor.removed, CHANGE),
    ];
    let measured = steps.into_iter().filter(|(_, _, floor, _)| floor.p50_s > 0.0);
    measured
        .map(|(what, step, floor, limit)| Goal::new(what, step.p50_s / floor.p50_s, limits.then_some(limit)))
        .collect()
}

/// Prints the records as tables: times, requests to Octavia, goals.
pub fn print(records: &[Record]) {
    println!("\n{:<24}{:^26}{:^18}{:^18}", "", "created -> VIP answers", "endpoint added", "endpoint removed");
    println!(
        "{:<15}{:>9}{:>8}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>10}",
        "case", "services", "p50 s", "p99 s", "all", "p50 s", "p99 s", "p50 s", "p99 s", "all gone"
    );
    for r in records {
        println!(
            "{:<15}{:>9}{:>8.2}{:>9.2}{:>9.2}{:>9.2}{:>9.2}{:>9.2}{:>9.2}{:>10.2}",
            r.case,
            r.services,
            r.created.p50_s,
            r.created.p99_s,
            r.created.all_s,
            r.added.p50_s,
            r.added.p99_s,
            r.removed.p50_s,
            r.removed.p99_s,
            r.all_gone_s
        );
    }
    print_requests(records);
    println!("\n{:<15}{:>9}  {:<48}{:>9}{:>8}", "case", "services", "ratio", "is", "goal");
    for r in records {
        r.goals.iter().for_each(|goal| println!("{:<15}{:>9}  {goal}", r.case, r.services));
    }
}

fn print_requests(records: &[Record]) {
    println!("\n{:<24}{:^18}{:^18}{:^18}{:>16}", "Octavia, per Service", "creation", "added", "removed", "connections");
    let header = format!("{:>9}{:>9}", "writes", "reads").repeat(3);
    println!("{:<15}{:>9}{header}{:>16}", "case", "services", "lost by changes");
    for r in records {
        let steps = [&r.created, &r.added, &r.removed];
        let counts: String = steps.iter().map(|step| format!("{:>9.2}{:>9.2}", step.writes, step.reads)).collect();
        println!("{:<15}{:>9}{counts}{:>16}", r.case, r.services, r.added.lost + r.removed.lost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_times(seconds: &[u64], requests: &[(&str, f64)]) -> Times {
        Times {
            each: seconds.iter().copied().map(Duration::from_secs).collect(),
            requests: requests.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            lost: 1,
        }
    }

    fn mk_record(case: Case, services: usize, created: f64, changed: f64) -> Record {
        let step = |p50_s| Step { p50_s, ..Step::default() };
        Record {
            case: case.name().to_owned(),
            services,
            created: step(created),
            added: step(changed),
            removed: step(changed),
            ..Record::default()
        }
    }

    fn verdicts(record: &Record) -> Vec<(f64, Option<bool>)> {
        record.goals.iter().map(|goal| (goal.value, goal.met)).collect()
    }

    #[test]
    fn rounds_are_put_together_and_requests_are_per_service() {
        let mut samples = Samples::default();
        samples.add(mk_times(&[1, 3], &[("POST /loadbalancers", 2.0), ("GET /loadbalancers", 5.0)]));
        samples.add(mk_times(&[2, 4], &[("POST /loadbalancers", 2.0), ("PUT /members", 1.0)]));
        let step = samples.step();
        assert_eq!((step.p50_s, step.p99_s, step.all_s), (3.0, 4.0, 4.0));
        assert_eq!((step.writes, step.reads, step.lost), (1.25, 1.25, 2));
        assert_eq!(step.requests["PUT /members"], 0.25);
    }

    #[test]
    fn kuryr_is_held_to_the_floor_of_its_size() {
        let mut records = [
            mk_record(Case::Floor, 5, 1.0, 0.4),
            mk_record(Case::Floor, 20, 10.0, 4.0),
            mk_record(Case::Kuryr, 5, 1.3, 0.5),
            mk_record(Case::KuryrSelector, 5, 1.3, 0.5),
        ];
        judge(&mut records);
        assert_eq!(verdicts(&records[2]), [(1.3, Some(false)), (1.25, Some(true)), (1.25, Some(true))]);
        assert_eq!(verdicts(&records[3]), [(1.3, None), (1.25, None), (1.25, None)]);
        assert!(records[0].goals.is_empty());
    }

    #[test]
    fn what_has_no_floor_is_compared_with_the_original_alone() {
        let mut records = [mk_record(Case::Kuryr, 1, 1.3, 0.9), mk_record(Case::Kuryr, 5, 1.3, 0.9)];
        judge(&mut records);
        assert_eq!(verdicts(&records[0]), [(0.1, None), (0.1, None)]);
        assert!(records[1].goals.is_empty());
    }
}
