//! What processes use of the machine, from the kernel.

use anyhow::{Context, Result};
use kuryr_lab::Lab;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fs,
    process::Command,
    sync::LazyLock,
    time::{Duration, Instant},
};

/// A machine that works for no more than this part of the time is quiet.
const QUIET: f64 = 0.15;

/// How long that is waited for.
const LONGEST: Duration = Duration::from_secs(60);

/// Memory and processor time of one part, over all of its processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Usage {
    /// Resident memory in MiB; what processes share counts for each of them.
    pub rss_mib: f64,
    /// Proportional set size in MiB: what processes share is divided among them.
    pub pss_mib: f64,
    /// Processor time since they started, theirs and that of children that have ended, in seconds.
    pub cpu_s: f64,
}

/// The use of parts of the lab, by the parts' names.
pub type Usages = BTreeMap<String, Usage>;

/// What these parts use now. A part that doesn't run has no entry.
#[must_use]
pub fn of(lab: &Lab, parts: &[String]) -> Usages {
    let used = |part: &String| {
        let pids = lab.pids(part);
        let all = pids.iter().filter_map(|&pid| process(pid)).reduce(Usage::plus)?;
        Some((part.clone(), all))
    };
    parts.iter().filter_map(used).collect()
}

/// The processor time between two readings, with the memory of the later one.
#[must_use]
pub fn since(before: &Usages, after: &Usages) -> Usages {
    let part = |(name, now): (&String, &Usage)| {
        let spent = now.cpu_s - before.get(name).map_or(0.0, |then| then.cpu_s);
        (name.clone(), Usage { cpu_s: spent.max(0.0), ..*now })
    };
    after.iter().map(part).collect()
}

/// Waits until the machine has little to do: what came before a measurement is over (Neutron works for seconds on what OVN tells it). A machine
/// that never comes to rest is measured as it is.
///
/// # Errors
/// When the kernel doesn't say.
pub async fn quiet() -> Result<()> {
    quiet_within(LONGEST).await
}

/// As [`quiet`], for another time at most.
///
/// # Errors
/// When the kernel doesn't say.
pub async fn quiet_within(longest: Duration) -> Result<()> {
    let begin = Instant::now();
    let mut before = busy_and_all()?;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = busy_and_all()?;
        let part = (now.0 - before.0) / (now.1 - before.1).max(1.0);
        if part <= QUIET {
            return Ok(());
        }
        if begin.elapsed() > longest {
            println!("    the machine doesn't come to rest: {:.0} % busy", part * 100.0);
            return Ok(());
        }
        before = now;
    }
}

/// Ticks of all processors since the start of the machine: in which they worked, and all (`/proc/stat`, proc(5)).
fn busy_and_all() -> Result<(f64, f64)> {
    let text = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = line.split_ascii_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // The guests' time is in the users' already.
    let all: f64 = ticks.iter().take(8).sum();
    let idle: f64 = ticks.iter().skip(3).take(2).sum();
    Ok((all - idle, all))
}

/// Everything together.
#[must_use]
pub fn total(usages: &Usages) -> Usage {
    usages.values().copied().reduce(Usage::plus).unwrap_or_default()
}

impl Usage {
    fn plus(self, other: Self) -> Self {
        Self {
            rss_mib: self.rss_mib + other.rss_mib,
            pss_mib: self.pss_mib + other.pss_mib,
            cpu_s: self.cpu_s + other.cpu_s,
        }
    }
}

/// One process; `None` when it has ended.
#[must_use]
pub fn process(pid: i32) -> Option<Usage> {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
    let memory = read("smaps_rollup")?;
    Some(Usage {
        rss_mib: mebibytes(&memory, "Rss:")?,
        pss_mib: mebibytes(&memory, "Pss:")?,
        cpu_s: ticks(&read("stat")?)? / *TICKS_PER_SECOND,
    })
}

/// A line of `/proc/PID/smaps_rollup`, such as `Pss:    1234 kB` (proc(5)).
fn mebibytes(text: &str, key: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? / 1024.0)
}

/// `utime`, `stime`, `cutime`, `cstime` of `/proc/PID/stat`: fields 14 to 17, of which the second may hold spaces.
fn ticks(stat: &str) -> Option<f64> {
    let fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let times: Vec<f64> = fields.skip(11).take(4).filter_map(|field| field.parse().ok()).collect();
    (times.len() == 4).then(|| times.iter().sum())
}

/// Ticks of the clock in which the kernel counts (`sysconf(_SC_CLK_TCK)`); 100 wherever Linux runs today.
static TICKS_PER_SECOND: LazyLock<f64> = LazyLock::new(|| {
    let told = Command::new("getconf").arg("CLK_TCK").output().ok();
    told.and_then(|output| String::from_utf8_lossy(&output.stdout).trim().parse().ok()).unwrap_or(100.0)
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_process_uses_memory() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let usage = process(pid).unwrap();
        assert!(usage.rss_mib >= usage.pss_mib && usage.pss_mib > 0.1, "{usage:?}");
    }

    #[test]
    fn times_are_those_of_the_process_and_of_its_children() {
        let stat = "12 (a (b) c) S 1 12 12 0 -1 4194560 100 0 0 0 7 5 20 3 20 0 1 0 999 1000 100";
        assert_eq!(ticks(stat), Some(35.0));
    }

    #[test]
    fn only_the_time_between_counts() {
        let reading = |cpu_s| Usages::from([("daemon".to_owned(), Usage { rss_mib: 10.0, pss_mib: 9.0, cpu_s })]);
        assert!((total(&since(&reading(1.5), &reading(4.0))).cpu_s - 2.5).abs() < 1e-9);
    }
}
