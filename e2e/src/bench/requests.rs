//! Requests to Neutron, and the phases of ADDs, from Kuryr's metrics; the original's requests from the proxy that it is led
//! through.

use crate::{Cluster, neutron_proxy::NeutronProxy};
use anyhow::{Context, Result};
use std::collections::BTreeMap;

/// Port of the daemons' admin servers (`daemon.adminListen` in their configuration).
const DAEMON_PORT: u16 = 9806;

/// How the metrics call Neutron.
pub const NEUTRON: &str = "network";

/// How the metrics call Octavia.
pub const OCTAVIA: &str = "load-balancer";

/// Counts of requests, by method and resource: `POST /ports`.
pub type Requests = BTreeMap<String, f64>;

/// Where requests are counted.
#[derive(Clone)]
pub enum Counter {
    /// Nobody sends any.
    None,
    /// Kuryr's controller counts its own.
    Kuryr,
    /// All pass through a proxy.
    Proxy(NeutronProxy),
}

impl Counter {
    /// The count so far.
    ///
    /// # Errors
    /// When the metrics can't be read.
    pub async fn read(&self, cluster: &Cluster) -> Result<Requests> {
        Ok(match self {
            Self::None => Requests::new(),
            Self::Kuryr => {
                let url = kuryr_lab::kuryr::controller_url(&cluster.lab, "/metrics");
                of_service(&metrics(&url).await?, NEUTRON)
            }
            #[allow(clippy::cast_precision_loss, reason = "a few thousand requests")]
            Self::Proxy(proxy) => proxy.seen().into_iter().map(|(name, n)| (name, n as f64)).collect(),
        })
    }
}

/// The text of a metrics page.
///
/// # Errors
/// When it can't be read.
pub async fn metrics(url: &str) -> Result<String> {
    let answer = reqwest::get(url).await.with_context(|| format!("asking {url}"))?;
    answer.text().await.with_context(|| format!("reading {url}"))
}

/// The value of a label in `name="value",other="value"`.
#[must_use]
pub fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    labels.split(',').find_map(|label| label.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"'))
}

/// The samples of a metric: labels and value.
pub fn samples<'a>(text: &'a str, metric: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
    text.lines().filter_map(move |line| {
        let (labels, value) = line.strip_prefix(metric)?.strip_prefix('{')?.rsplit_once("} ")?;
        Some((labels, value.parse().ok()?))
    })
}

/// The requests to one service that the metrics of an OpenStack client tell.
#[must_use]
pub fn of_service(text: &str, service: &str) -> Requests {
    let mut counts = Requests::new();
    for (labels, count) in samples(text, "openstack_requests_total") {
        if label(labels, "service") == Some(service)
            && let (Some(method), Some(resource)) = (label(labels, "method"), label(labels, "resource"))
        {
            *counts.entry(format!("{method} /{resource}")).or_default() += count;
        }
    }
    counts
}

/// How often each request was sent between two counts.
#[must_use]
pub fn between(before: &Requests, after: &Requests) -> Requests {
    let sent = after.iter().map(|(name, n)| (name.clone(), n - before.get(name).copied().unwrap_or_default()));
    sent.filter(|(_, n)| *n > 0.0).collect()
}

/// Sum of seconds and count of each phase of ADDs.
pub type Phases = BTreeMap<String, (f64, f64)>;

/// The ADDs that the daemons of all nodes have served since they started.
///
/// # Errors
/// When the metrics can't be read.
pub async fn add_phases(cluster: &Cluster) -> Result<Phases> {
    let mut phases = Phases::new();
    for node in cluster.lab.nodes() {
        let address = kuryr_lab::node::node_address(node);
        let text = metrics(&format!("http://{address}:{DAEMON_PORT}/metrics")).await?;
        for (labels, seconds) in samples(&text, "kuryr_cni_add_phase_seconds_sum") {
            phases.entry(label(labels, "phase").unwrap_or_default().to_owned()).or_default().0 += seconds;
        }
        for (labels, count) in samples(&text, "kuryr_cni_add_phase_seconds_count") {
            phases.entry(label(labels, "phase").unwrap_or_default().to_owned()).or_default().1 += count;
        }
    }
    phases.retain(|_, (_, count)| *count > 0.0);
    Ok(phases)
}

/// Mean seconds of each phase of the ADDs between two readings.
#[must_use]
pub fn mean_between(before: &Phases, after: &Phases) -> BTreeMap<String, f64> {
    let mean = |(name, (sum, count)): (&String, &(f64, f64))| {
        let (old_sum, old_count) = before.get(name).copied().unwrap_or_default();
        let served = count - old_count;
        (served > 0.0).then(|| (name.clone(), ((sum - old_sum) / served * 1e4).round() / 1e4))
    };
    after.iter().filter_map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_to_one_service_count_whatever_their_outcome() {
        let text = "# HELP openstack_requests ...\n\
            openstack_requests_total{service=\"network\",method=\"POST\",resource=\"ports\",outcome=\"2xx\"} 3\n\
            openstack_requests_total{service=\"network\",method=\"POST\",resource=\"ports\",outcome=\"503\"} 1\n\
            openstack_requests_total{service=\"identity\",method=\"POST\",resource=\"auth\",outcome=\"2xx\"} 1\n";
        assert_eq!(of_service(text, NEUTRON), Requests::from([("POST /ports".to_owned(), 4.0)]));
    }

    #[test]
    fn what_was_sent_before_does_not_count() {
        let before = Requests::from([("GET /ports".to_owned(), 5.0), ("POST /ports".to_owned(), 1.0)]);
        let after = Requests::from([("GET /ports".to_owned(), 5.0), ("POST /ports".to_owned(), 3.0)]);
        assert_eq!(between(&before, &after), Requests::from([("POST /ports".to_owned(), 2.0)]));
    }
}
