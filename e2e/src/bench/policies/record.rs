//! What was measured of one case with so many other policies, over all rounds, and the goals that Kuryr is held to.

use super::{Case, scene::Change};
use crate::bench::{
    goals::{Goal, missed},
    report::{quantile, round},
    requests::Requests,
};
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};

/// What a change may take at most, in parts of the floor's time.
const LIMIT: f64 = 1.5;

/// One change, once.
#[derive(Debug, Clone, Default)]
pub(super) struct Times {
    /// From the request until packets followed.
    pub took: Duration,
    /// Requests to Neutron.
    pub requests: Requests,
    /// The longest moment in which the server was closed to who may always reach it.
    pub closed: Duration,
}

/// Each change over all rounds.
#[derive(Debug, Default)]
pub(super) struct Samples(BTreeMap<Change, Vec<Times>>);

/// A change in a record.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Step {
    /// How often it was measured.
    pub samples: usize,
    /// Median, in seconds.
    pub p50_s: f64,
    /// 90th percentile, in seconds.
    pub p90_s: f64,
    /// 99th percentile, in seconds.
    pub p99_s: f64,
    /// Requests to Neutron, by method and resource.
    pub requests: BTreeMap<String, f64>,
    /// Those of them that change something.
    pub writes: f64,
    /// Those that only ask.
    pub reads: f64,
    /// The longest moment in which the server was closed to who may always reach it, in seconds.
    pub closed_s: f64,
}

/// What a case measured, over all rounds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Record {
    /// Name of the case: `floor`, `kuryr`.
    pub case: String,
    /// Other policies that there were.
    pub policies: usize,
    /// From a policy's creation until it blocks those that it doesn't allow.
    pub created: Step,
    /// From the new label of a pod (an address added) until it passes.
    pub admitted: Step,
    /// From the loss of the label (the address removed) until it is blocked.
    pub expelled: Step,
    /// From the policy's deletion until everybody passes.
    pub deleted: Step,
    /// What the case is held to.
    pub goals: Vec<Goal>,
}

impl Record {
    /// The goals that it misses, a line each.
    #[must_use]
    pub fn missed(&self) -> Vec<String> {
        missed(&self.goals)
            .into_iter()
            .map(|goal| format!("{} beside {} policies: {goal}", self.case, self.policies))
            .collect()
    }

    const fn steps(&self) -> [&Step; 4] {
        [&self.created, &self.admitted, &self.expelled, &self.deleted]
    }
}

impl Samples {
    /// Adds what was measured in a turn.
    pub fn add(&mut self, turn: Vec<(Change, Times)>) {
        turn.into_iter().for_each(|(change, times)| self.0.entry(change).or_default().push(times));
    }

    /// The record of a case beside so many policies.
    #[must_use]
    pub fn record(&self, case: Case, policies: usize) -> Record {
        let of = |change| step(self.0.get(&change).map(Vec::as_slice).unwrap_or_default());
        Record {
            case: case.name().to_owned(),
            policies,
            created: of(Change::Close),
            admitted: of(Change::Admit),
            expelled: of(Change::Expel),
            deleted: of(Change::Open),
            goals: Vec::new(),
        }
    }
}

fn step(times: &[Times]) -> Step {
    let took: Vec<_> = times.iter().map(|one| one.took).collect();
    let mut sums = Requests::new();
    for (name, count) in times.iter().flat_map(|one| &one.requests) {
        *sums.entry(name.clone()).or_default() += count;
    }
    #[allow(clippy::cast_precision_loss, reason = "a handful of changes")]
    let each = |sum: f64| round(sum / times.len().max(1) as f64);
    let sum = |reads: bool| {
        let counts = sums.iter().filter(|(name, _)| name.starts_with("GET ") == reads);
        each(counts.fold(0.0, |sum, (_, count)| sum + count))
    };
    Step {
        samples: times.len(),
        p50_s: quantile(&took, 0.5),
        p90_s: quantile(&took, 0.9),
        p99_s: quantile(&took, 0.99),
        writes: sum(false),
        reads: sum(true),
        requests: sums.iter().map(|(name, count)| (name.clone(), each(*count))).collect(),
        closed_s: times.iter().map(|one| one.closed).max().map_or(0.0, |gap| round(gap.as_secs_f64())),
    }
}

/// Adds to each record of Kuryr what it is held to, as far as the floor beside as many policies was measured too.
pub(super) fn judge(records: &mut [Record]) {
    let floors: Vec<_> = records.iter().filter(|one| one.case == Case::Floor.name()).cloned().collect();
    for record in records.iter_mut().filter(|one| one.case == Case::Kuryr.name()) {
        let floor = floors.iter().find(|floor| floor.policies == record.policies);
        record.goals = floor.map(|floor| beside(record, floor)).unwrap_or_default();
    }
}

fn beside(record: &Record, floor: &Record) -> Vec<Goal> {
    let names = [
        ("policy created, p50 / floor", Some(LIMIT)),
        ("relabelled in, p50 / floor", Some(LIMIT)),
        ("relabelled out, p50 / floor", Some(LIMIT)),
        ("policy deleted, p50 / floor", None),
    ];
    let steps = names.into_iter().zip(record.steps().into_iter().zip(floor.steps()));
    let measured = steps.filter(|(_, (ours, floor))| ours.samples > 0 && floor.p50_s > 0.0);
    measured.map(|((what, limit), (ours, floor))| Goal::new(what, ours.p50_s / floor.p50_s, limit)).collect()
}

/// Prints the records as tables: times, requests to Neutron, goals.
pub fn print(records: &[Record]) {
    const STEPS: [&str; 4] = ["policy created", "relabelled in", "relabelled out", "policy deleted"];
    let heads: String = STEPS.iter().map(|step| format!("{step:^18}")).collect();
    println!("\n{:<16}{heads}{:>9}", "", "friend");
    println!("{:<7}{:>9}{}{:>9}", "case", "policies", format!("{:>9}{:>9}", "p50 s", "p99 s").repeat(4), "closed s");
    for r in records {
        let times: String = r.steps().iter().map(|step| format!("{:>9.3}{:>9.3}", step.p50_s, step.p99_s)).collect();
        let closed = r.steps().iter().map(|step| step.closed_s).fold(0.0, f64::max);
        println!("{:<7}{:>9}{times}{closed:>9.3}", r.case, r.policies);
    }
    println!("\n{:<16}{heads}", "Neutron");
    println!("{:<7}{:>9}{}", "case", "policies", format!("{:>9}{:>9}", "writes", "reads").repeat(4));
    for r in records {
        let counts: String = r.steps().iter().map(|step| format!("{:>9.2}{:>9.2}", step.writes, step.reads)).collect();
        println!("{:<7}{:>9}{counts}", r.case, r.policies);
    }
    println!("\n{:<7}{:>9}  {:<48}{:>9}{:>8}", "case", "policies", "ratio", "is", "goal");
    for r in records {
        r.goals.iter().for_each(|goal| println!("{:<7}{:>9}  {goal}", r.case, r.policies));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_times(milliseconds: u64, requests: &[(&str, f64)]) -> Times {
        Times {
            took: Duration::from_millis(milliseconds),
            requests: requests.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            closed: Duration::from_millis(milliseconds / 10),
        }
    }

    fn mk_record(case: Case, policies: usize, milliseconds: u64) -> Record {
        let mut samples = Samples::default();
        let all = [Change::Close, Change::Admit, Change::Expel, Change::Open];
        samples.add(all.map(|change| (change, mk_times(milliseconds, &[]))).into());
        samples.record(case, policies)
    }

    #[test]
    fn requests_are_of_each_change_and_the_longest_moment_counts() {
        let put = ("PUT /address-groups", 1.0);
        let times = [mk_times(100, &[put]), mk_times(300, &[put, ("GET /ports", 1.0)])];
        let step = step(&times);
        assert_eq!((step.samples, step.p50_s, step.p99_s, step.closed_s), (2, 0.3, 0.3, 0.03));
        assert_eq!((step.writes, step.reads, step.requests["PUT /address-groups"]), (1.0, 0.5, 1.0));
    }

    #[test]
    fn kuryr_is_held_to_the_floor_beside_as_many_policies() {
        let mut records =
            [mk_record(Case::Floor, 10, 100), mk_record(Case::Floor, 100, 900), mk_record(Case::Kuryr, 10, 160)];
        judge(&mut records);
        let verdicts: Vec<_> = records[2].goals.iter().map(|goal| (goal.value, goal.met)).collect();
        let missed = (1.6, Some(false));
        assert_eq!(verdicts, [missed, missed, missed, (1.6, None)]);
        assert!(records[0].goals.is_empty());
    }

    #[test]
    fn what_wasn_t_measured_is_not_judged() {
        let mut records = [mk_record(Case::Kuryr, 10, 160), mk_record(Case::Floor, 100, 100)];
        judge(&mut records);
        assert!(records.iter().all(|record| record.goals.is_empty()));
    }
}
