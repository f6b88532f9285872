//! Processors that all requests in flight share evenly.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

/// The arithmetic of processors that are shared evenly: with a capacity of `c` and jobs that would keep `n` processors
/// busy, each job advances at the rate `min(1, c / n)`.
///
/// All jobs advance at the same rate, so one clock is enough: it shows how far a job has come that has been there from
/// the beginning, and a job ends when the clock has advanced by what it needs.
#[derive(Debug)]
struct Sharing {
    capacity: f64,
    /// Processors that the jobs would keep busy.
    wanted: f64,
    clock: f64,
    /// When the clock was read, in seconds of real time.
    at: f64,
}

impl Sharing {
    fn rate(&self) -> f64 {
        if self.wanted > self.capacity { self.capacity / self.wanted } else { 1.0 }
    }

    /// Puts the clock to `now`.
    fn advance(&mut self, now: f64) {
        self.clock += (now - self.at).max(0.0) * self.rate();
        self.at = now;
    }

    /// How much real time is left until the clock shows `end`, if nobody comes or goes.
    fn left(&self, end: f64) -> f64 {
        (end - self.clock) / self.rate()
    }
}

/// Processors in real time.
pub(super) struct Processor {
    began: Instant,
    sharing: Mutex<Sharing>,
    /// Jobs have come or gone, so that the clock has another speed.
    changed: Notify,
}

/// A job that leaves when it is dropped, so that one that is given up doesn't slow the others down.
struct Job<'a> {
    processor: &'a Processor,
    processors: f64,
}

impl Drop for Job<'_> {
    fn drop(&mut self) {
        self.processor.advanced().wanted -= self.processors;
        self.processor.changed.notify_waiters();
    }
}

impl Processor {
    pub fn new(capacity: f64) -> Self {
        let sharing = Sharing { capacity, wanted: 0.0, clock: 0.0, at: 0.0 };
        Self { began: Instant::now(), sharing: Mutex::new(sharing), changed: Notify::new() }
    }

    /// Keeps so many processors busy, for so long if nobody else wants them.
    pub async fn use_for(&self, needs: Duration, processors: f64) {
        let end = {
            let mut sharing = self.advanced();
            sharing.wanted += processors;
            sharing.clock + needs.as_secs_f64()
        };
        let _job = Job { processor: self, processors };
        self.changed.notify_waiters();
        loop {
            let changed = self.changed.notified();
            let left = self.advanced().left(end);
            if left <= 0.0 {
                return;
            }
            // Whether the time is over or somebody has come or gone: the clock tells.
            let _ = timeout(Duration::from_secs_f64(left), changed).await;
        }
    }

    /// The state with the clock put to now.
    fn advanced(&self) -> MutexGuard<'_, Sharing> {
        let mut sharing = self.sharing.lock().unwrap_or_else(PoisonError::into_inner);
        sharing.advance(self.began.elapsed().as_secs_f64());
        sharing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// When each of the jobs ends that come at these times and need so much.
    fn ends(capacity: f64, jobs: &[(f64, f64)]) -> Vec<f64> {
        let mut sharing = Sharing { capacity, wanted: 0.0, clock: 0.0, at: 0.0 };
        let mut ends = vec![f64::NAN; jobs.len()];
        let mut coming: Vec<usize> = (0..jobs.len()).collect();
        coming.sort_by(|a, b| jobs[*b].0.total_cmp(&jobs[*a].0));
        let mut here: Vec<(usize, f64)> = Vec::new();
        while !(coming.is_empty() && here.is_empty()) {
            here.sort_by(|a, b| b.1.total_cmp(&a.1));
            let next_end = here.last().map_or(f64::INFINITY, |(_, end)| sharing.at + sharing.left(*end));
            let next_come = coming.last().map_or(f64::INFINITY, |job| jobs[*job].0);
            sharing.advance(next_end.min(next_come));
            if next_come < next_end {
                let job = coming.pop().unwrap();
                here.push((job, sharing.clock + jobs[job].1));
                sharing.wanted += 1.0;
            } else {
                ends[here.pop().unwrap().0] = sharing.at;
                sharing.wanted -= 1.0;
            }
        }
        ends
    }

    #[test]
    fn jobs_share_what_there_is() {
        for (capacity, jobs, expected) in [
            (1.0, &[(0.0, 10.0)][..], &[10.0][..]),
            (1.0, &[(0.0, 10.0), (0.0, 10.0)], &[20.0, 20.0]),
            (2.0, &[(0.0, 10.0), (0.0, 10.0)], &[10.0, 10.0]),
            (1.0, &[(0.0, 1.0), (0.0, 10.0)], &[2.0, 11.0]),
            (1.0, &[(0.0, 10.0), (4.0, 1.0)], &[11.0, 6.0]),
            (1.5, &[(0.0, 3.0), (0.0, 3.0), (0.0, 3.0)], &[6.0, 6.0, 6.0]),
        ] {
            for (end, expected) in ends(capacity, jobs).iter().zip(expected) {
                assert!((end - expected).abs() < 1e-9, "{capacity} {jobs:?}: {end} instead of {expected}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_more_is_done_than_there_is_to_do_it_with(
            capacity in 0.5_f64..4.0,
            jobs in prop::collection::vec((0.0_f64..10.0, 0.01_f64..5.0), 1..12),
        ) {
            let ends = ends(capacity, &jobs);
            let last = ends.iter().fold(0.0_f64, |a, b| a.max(*b));
            let work: f64 = jobs.iter().map(|(_, needs)| needs).sum();
            prop_assert!(work <= capacity * last + 1e-6);
            for ((comes, needs), end) in jobs.iter().zip(&ends) {
                prop_assert!(end - comes >= needs - 1e-6, "none is quicker than alone");
            }
        }
    }

    #[tokio::test]
    async fn a_job_takes_its_time_and_leaves() {
        let processor = Processor::new(1.0);
        let begun = Instant::now();
        let given_up = timeout(Duration::from_millis(10), processor.use_for(Duration::from_secs(3600), 1.0));
        let (given_up, ()) = tokio::join!(given_up, processor.use_for(Duration::from_millis(30), 1.0));
        assert!(given_up.is_err() && begun.elapsed() >= Duration::from_millis(34), "{:?}", begun.elapsed());
        assert!(processor.advanced().wanted.abs() < 1e-9);
    }
}
