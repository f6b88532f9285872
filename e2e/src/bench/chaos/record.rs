//! What came of it, for people and for machines.

use super::{Plan, kills::EXCLUDED, kills::Kills, reach::Reach, round};
use serde::Serialize;
use std::collections::BTreeMap;

/// What came of it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Record {
    /// `chaos`.
    pub case: String,
    /// What decided the order of the kills.
    pub seed: u64,
    /// How long components were killed and pods came and went, until all were up and alive, in seconds.
    pub seconds: f64,
    /// Pods at any time.
    pub at_once: usize,
    /// How often each component was killed.
    pub kills: BTreeMap<String, usize>,
    /// Components that were not killed, and why.
    pub excluded: BTreeMap<String, String>,
    /// How often components ended though nobody had killed them.
    pub ended_by_themselves: BTreeMap<String, usize>,
    /// How often components had to be started once more because they didn't become ready.
    pub started_again: BTreeMap<String, usize>,
    /// Longest time from a component's start until it was ready, in seconds.
    pub longest_start_s: f64,
    /// Pods that came and went.
    pub pods: usize,
    /// Pods that were not Ready, or not gone, in time.
    pub failed_pods: usize,
    /// Sandboxes that had to be made again, because an ADD had failed; as far as the API server heard of them.
    pub failed_sandboxes: i32,
    /// Median of creation to Ready, in seconds.
    pub p50_s: f64,
    /// 99th percentile, in seconds.
    pub p99_s: f64,
    /// Longest time, in seconds.
    pub longest_s: f64,
    /// Pods that lived when all was over.
    pub living_pods: usize,
    /// From then until everything agreed, in seconds.
    pub settled_s: f64,
    /// What Kubernetes, Neutron and the nodes didn't agree about then.
    pub disagreement: Option<String>,
    /// Whether the living pods reached each other.
    pub reach: Reach,
    /// From the end of all pods until everything agreed again, in seconds.
    pub emptied_s: f64,
    /// What was left over then; `None`: nothing.
    pub leak: Option<String>,
    /// KuryrPorts of the pods that were left over then.
    pub kuryr_ports_left: usize,
}

impl Record {
    pub(super) fn of(plan: Plan) -> Self {
        let excluded = EXCLUDED.iter().map(|&(part, why)| (part.to_owned(), why.to_owned())).collect();
        Self { case: "chaos".to_owned(), seed: plan.seed, at_once: plan.pods, excluded, ..Self::default() }
    }

    pub(super) fn tell_kills(&mut self, kills: Kills) {
        self.kills = kills.killed;
        self.ended_by_themselves = kills.ended;
        self.started_again = kills.retried;
        self.longest_start_s = round(kills.longest.as_secs_f64());
    }

    /// All that isn't as it should be. `kuryr`: the names of Kuryr's own components, which never end by themselves. (What others
    /// do when they miss something is theirs.)
    #[must_use]
    pub fn wrong(&self, kuryr: &[String]) -> Vec<String> {
        let ended: Vec<_> = self.ended_by_themselves.keys().filter(|part| kuryr.contains(part)).cloned().collect();
        let checks = [
            (!ended.is_empty(), format!("{} ended by themselves", ended.join(", "))),
            (self.failed_pods > 0, format!("{} pods failed", self.failed_pods)),
            (self.living_pods < self.at_once, format!("{} of {} pods lived", self.living_pods, self.at_once)),
            (self.disagreement.is_some(), self.disagreement.clone().unwrap_or_default()),
            (
                !self.reach.missing.is_empty(),
                format!("{} of {} pairs of pods reach each other", self.reach.reached, self.reach.pairs),
            ),
            (self.leak.is_some(), format!("left over: {}", self.leak.as_deref().unwrap_or_default())),
            (self.kuryr_ports_left > 0, format!("{} KuryrPorts are left over", self.kuryr_ports_left)),
        ];
        checks.into_iter().filter(|(wrong, _)| *wrong).map(|(_, what)| what).collect()
    }
}

/// Prints the record for people.
pub fn print(record: &Record) {
    let Record { seed, seconds, at_once, pods, failed_pods, failed_sandboxes, .. } = record;
    println!("\nseed {seed}: {} kills in {seconds:.0} s", record.kills.values().sum::<usize>());
    println!("{}", counts(&record.kills));
    for (what, counted) in
        [("ended by themselves", &record.ended_by_themselves), ("started more than once", &record.started_again)]
    {
        if !counted.is_empty() {
            println!("{what}: {}", counts(counted));
        }
    }
    record.excluded.iter().for_each(|(part, why)| println!("not killed: {part}, {why}"));
    println!("slowest start of a component: {:.1} s", record.longest_start_s);
    println!(
        "{pods} pods came and went ({at_once} at once), {failed_pods} failed, {failed_sandboxes} sandboxes made again"
    );
    println!("to Ready: p50 {:.2} s, p99 {:.2} s, longest {:.2} s", record.p50_s, record.p99_s, record.longest_s);
    println!(
        "{} living pods, agreed after {:.1} s: {}",
        record.living_pods,
        record.settled_s,
        record.disagreement.as_deref().unwrap_or("Neutron has exactly the pods', the nodes' and the pools' ports")
    );
    println!("{}", record.reach);
    println!(
        "left over {:.1} s after the pods' end: {}, {} KuryrPorts",
        record.emptied_s,
        record.leak.as_deref().unwrap_or("nothing"),
        record.kuryr_ports_left
    );
}

fn counts(counts: &BTreeMap<String, usize>) -> String {
    counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_kuryrs_own_parts_may_not_end() {
        let kuryr = ["kuryr-controller".to_owned()];
        let ended = |part: &str| {
            let ended_by_themselves = BTreeMap::from([(part.to_owned(), 1)]);
            Record { ended_by_themselves, ..Record::default() }.wrong(&kuryr)
        };
        assert!(ended("kubelet@node1").is_empty());
        assert_eq!(ended("kuryr-controller"), ["kuryr-controller ended by themselves"]);
    }

    #[test]
    fn pods_that_are_missing_and_what_is_left_are_wrong() {
        let record = Record { at_once: 3, living_pods: 2, kuryr_ports_left: 1, ..Record::default() };
        assert_eq!(record.wrong(&[]), ["2 of 3 pods lived", "1 KuryrPorts are left over"]);
    }
}
