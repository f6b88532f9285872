//! What Kuryr's processes used: requests to Neutron from the controller's metrics, memory from the kernel.

use crate::Cluster;
use anyhow::{Context, Result};
use std::{collections::BTreeMap, fs};

/// Port of the daemons' admin servers (`daemon.adminListen` in their configuration).
const DAEMON_PORT: u16 = 9806;

/// The controller's count of requests to Neutron since it started, by method and resource.
///
/// # Errors
/// When the metrics can't be read.
pub async fn neutron_requests(cluster: &Cluster) -> Result<BTreeMap<String, f64>> {
    let url = kuryr_lab::kuryr::controller_url(&cluster.lab, "/metrics");
    let text = reqwest::get(&url).await.with_context(|| format!("asking {url}"))?.text().await?;
    let mut counts = BTreeMap::new();
    for line in text.lines().filter(|l| l.starts_with("openstack_requests_total{")) {
        let Some((labels, count)) = line.trim_start_matches("openstack_requests_total{").rsplit_once("} ") else {
            continue;
        };
        let label =
            |name: &str| labels.split(',').find_map(|l| l.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"'));
        if let (Some("network"), Some(method), Some(resource)) = (label("service"), label("method"), label("resource"))
        {
            *counts.entry(format!("{method} /{resource}")).or_default() += count.parse::<f64>().unwrap_or_default();
        }
    }
    Ok(counts)
}

/// Sum of seconds and count of each phase of the ADDs that the daemons of all nodes have served since they started.
///
/// # Errors
/// When the metrics can't be read.
pub async fn add_phases(cluster: &Cluster) -> Result<BTreeMap<String, (f64, f64)>> {
    let mut phases: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for node in cluster.lab.nodes() {
        let url = format!("http://{}:{DAEMON_PORT}/metrics", kuryr_lab::node::node_address(node));
        let text = reqwest::get(&url).await.with_context(|| format!("asking {url}"))?.text().await?;
        for line in text.lines() {
            let Some((sample, value)) =
                line.strip_prefix("kuryr_cni_add_phase_seconds_").and_then(|l| l.rsplit_once(' '))
            else {
                continue;
            };
            let Some((kind, phase)) = sample.split_once("{phase=\"") else { continue };
            let phase = phases.entry(phase.trim_end_matches("\"}").to_owned()).or_default();
            match kind {
                "sum" => phase.0 += value.parse::<f64>().unwrap_or_default(),
                "count" => phase.1 += value.parse::<f64>().unwrap_or_default(),
                _ => {}
            }
        }
    }
    phases.retain(|_, (_, count)| *count > 0.0);
    Ok(phases)
}

/// Mean seconds of each phase of the ADDs between two readings.
#[must_use]
pub fn mean_between(
    before: &BTreeMap<String, (f64, f64)>,
    after: &BTreeMap<String, (f64, f64)>,
) -> BTreeMap<String, f64> {
    let mean = |(name, (sum, count)): (&String, &(f64, f64))| {
        let (old_sum, old_count) = before.get(name).copied().unwrap_or_default();
        let served = count - old_count;
        (served > 0.0).then(|| (name.clone(), ((sum - old_sum) / served * 1e4).round() / 1e4))
    };
    after.iter().filter_map(mean).collect()
}

/// How often each request was sent between two counts.
#[must_use]
pub fn between(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    let sent = after.iter().map(|(name, n)| (name.clone(), n - before.get(name).copied().unwrap_or_default()));
    sent.filter(|(_, n)| *n > 0.0).collect()
}

/// Resident memory of the controller and of the first node's daemon, in MiB.
#[must_use]
pub fn resident(cluster: &Cluster) -> BTreeMap<&'static str, f64> {
    let parts = [("controller", "kuryr-controller"), ("daemon", "kuryr-daemon@node1")];
    parts.into_iter().filter_map(|(name, part)| Some((name, rss(cluster.lab.pid(part)?)?))).collect()
}

fn rss(pid: i32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?;
    Some((kib.parse::<f64>().ok()? / 1024.0 * 10.0).round() / 10.0)
}
