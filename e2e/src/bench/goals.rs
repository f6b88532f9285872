//! The goals of the benchmarks, and whether they are met: ratios between cases of the same run, and limits.

use super::{
    case::Case,
    report::{Record, round},
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Methods that write.
const WRITES: [&str; 3] = ["POST", "PUT", "DELETE"];

/// A ratio or a rate and what it is to be at most.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    /// What is compared.
    pub what: String,
    /// What came out.
    pub value: f64,
    /// What it is to be at most; `None`: only for information.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// Whether it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub met: Option<bool>,
}

impl Goal {
    /// This value, held to at most `at_most`.
    #[must_use]
    pub fn new(what: &str, value: f64, at_most: Option<f64>) -> Self {
        Self { what: what.to_owned(), value: round(value), at_most, met: at_most.map(|limit| value <= limit) }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = self.at_most.map_or_else(String::new, |limit| format!("{limit:.2}"));
        let verdict = match self.met {
            Some(true) => "  met",
            Some(false) => "  NOT MET",
            None => "",
        };
        write!(f, "{:<48}{:>9.2}{limit:>8}{verdict}", self.what, self.value)
    }
}

/// What isn't as it should be, a line each.
#[must_use]
pub fn missed(goals: &[Goal]) -> Vec<String> {
    goals.iter().filter(|goal| goal.met == Some(false)).map(|goal| format!("{goal}")).collect()
}

/// Adds to each record of Kuryr what it is held to, as far as the cases that it is compared with were measured too.
pub fn judge(records: &mut [Record]) {
    let all = records.to_vec();
    for record in records {
        record.goals = if record.case == Case::KuryrWarm.name() {
            warm(record, &all)
        } else if record.case == Case::KuryrCold.name() {
            cold(record, &all)
        } else {
            Vec::new()
        };
    }
}

fn warm(record: &Record, all: &[Record]) -> Vec<Goal> {
    let mut goals = Vec::new();
    if let Some(bridge) = beside(record, all, Case::Bridge) {
        goals.push(Goal::new("p50 to Ready / bridge", record.p50_s / bridge.p50_s, Some(1.1)));
        goals.push(Goal::new("all Ready / bridge", record.all_ready_s / bridge.all_ready_s, None));
    }
    let writes = writes(&record.neutron_creation_per_pod) + writes(&record.neutron_deletion_per_pod);
    goals.push(Goal::new("Neutron writes per recycled pod", writes, Some(0.0)));
    goals.extend(originals(record, all));
    goals
}

fn cold(record: &Record, all: &[Record]) -> Vec<Goal> {
    let mut goals = Vec::new();
    if let Some(floor) = beside(record, all, Case::Floor) {
        goals.push(Goal::new("all Ready / floor", record.all_ready_s / floor.all_ready_s, Some(1.3)));
        goals.push(Goal::new("p50 to Ready / floor", record.p50_s / floor.p50_s, None));
        if let Some(bridge) = beside(record, all, Case::Bridge) {
            let sum = floor.p50_s + bridge.p50_s;
            goals.push(Goal::new("p50 to Ready / (floor + bridge)", record.p50_s / sum, None));
        }
    }
    // A burst is what requests can be gathered in.
    let limit = (record.pods >= 40).then_some(0.2);
    goals.push(Goal::new("Neutron writes per cold pod, creation", writes(&record.neutron_creation_per_pod), limit));
    goals.extend(originals(record, all));
    goals
}

/// Memory and speed beside the original, whichever of its cases is the better one.
fn originals(record: &Record, all: &[Record]) -> Vec<Goal> {
    let originals = [Case::OriginalNoop, Case::OriginalPool].map(|case| beside(record, all, case));
    let least = |of: fn(&Record) -> Option<f64>| {
        let values = originals.iter().flatten().filter_map(|original| of(original));
        values.min_by(f64::total_cmp).filter(|value| *value > 0.0)
    };
    let mut goals = Vec::new();
    let of_all = |record: &Record| record.pss_mib.get("all").copied();
    if let (Some(ours), Some(theirs)) = (of_all(record), least(|r| r.pss_mib.get("all").copied())) {
        goals.push(Goal::new("memory (PSS of all processes) / the original's", ours / theirs, Some(0.1)));
    }
    if let Some(theirs) = least(|r| Some(r.all_ready_s)) {
        goals.push(Goal::new("all Ready / the original's", record.all_ready_s / theirs, None));
    }
    goals
}

fn beside<'a>(record: &Record, all: &'a [Record], case: Case) -> Option<&'a Record> {
    all.iter().find(|other| other.case == case.name() && other.pods == record.pods)
}

fn writes(per_pod: &std::collections::BTreeMap<String, f64>) -> f64 {
    WRITES.iter().filter_map(|method| per_pod.get(*method)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn mk_record(case: Case, pods: usize, p50_s: f64) -> Record {
        Record { case: case.name().to_owned(), pods, p50_s, all_ready_s: p50_s * 2.0, ..Record::default() }
    }

    fn find<'a>(records: &'a [Record], case: Case, what: &str) -> &'a Goal {
        let record = records.iter().find(|r| r.case == case.name()).unwrap();
        record.goals.iter().find(|goal| goal.what == what).unwrap()
    }

    #[test]
    fn warm_pods_are_held_to_the_bridge_of_the_same_size() {
        let mut records =
            [mk_record(Case::Bridge, 5, 9.0), mk_record(Case::Bridge, 20, 2.0), mk_record(Case::KuryrWarm, 20, 2.3)];
        judge(&mut records);
        let goal = find(&records, Case::KuryrWarm, "p50 to Ready / bridge");
        assert_eq!((goal.value, goal.at_most, goal.met), (1.15, Some(1.1), Some(false)));
    }

    #[test]
    fn reads_are_no_writes_and_only_a_large_burst_is_held_to_the_cold_goal() {
        let requests = BTreeMap::from([("POST".to_owned(), 0.1), ("PUT".to_owned(), 0.05), ("GET".to_owned(), 3.0)]);
        for (pods, met) in [(5, None), (40, Some(true))] {
            let mut records = [mk_record(Case::KuryrCold, pods, 1.0)];
            records[0].neutron_creation_per_pod = requests.clone();
            judge(&mut records);
            let goal = find(&records, Case::KuryrCold, "Neutron writes per cold pod, creation");
            assert_eq!((goal.value, goal.met), (0.15, met));
        }
    }

    #[test]
    fn memory_is_compared_with_the_smaller_original() {
        let mut records = [Case::KuryrWarm, Case::OriginalNoop, Case::OriginalPool].map(|case| mk_record(case, 1, 1.0));
        for (record, pss) in records.iter_mut().zip([40.0, 500.0, 400.0]) {
            record.pss_mib.insert("all".to_owned(), pss);
        }
        judge(&mut records);
        let goal = find(&records, Case::KuryrWarm, "memory (PSS of all processes) / the original's");
        assert_eq!((goal.value, goal.met), (0.1, Some(true)));
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        let mut records = [mk_record(Case::KuryrCold, 1, 1.0)];
        judge(&mut records);
        assert!(records[0].goals.iter().all(|goal| !goal.what.contains('/')));
    }
}
