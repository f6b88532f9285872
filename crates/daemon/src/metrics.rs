//! The daemon's metrics. Every label has a small, fixed set of values.

use kuryr_api::pulse::Pulse;
use kuryr_cni::Command;
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
    },
    registry::Registry,
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError, atomic::AtomicU64},
};
use tokio::time::Duration;

/// From a millisecond to two minutes.
const BUCKETS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    command: &'static str,
    /// The CNI error code, 0 for success.
    code: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CommandLabel {
    command: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabel {
    phase: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DutyLabels {
    duty: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WayLabel {
    way: &'static str,
}

#[derive(Clone)]
struct Seconds;

impl MetricConstructor<Histogram> for Seconds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(BUCKETS)
    }
}

/// A phase of an ADD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// From the call to the KuryrPort with its addresses.
    Claim,
    /// The node's own work: the interface, its addresses, the port on the bridge.
    Plug,
    /// From there until packets pass.
    Ready,
    /// All of it.
    Total,
}

impl Phase {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Plug => "plug",
            Self::Ready => "ready",
            Self::Total => "total",
        }
    }
}

/// All metrics.
pub struct Metrics {
    registry: Registry,
    calls: Family<CallLabels, Counter>,
    call_seconds: Family<CommandLabel, Histogram, Seconds>,
    add_seconds: Family<PhaseLabel, Histogram, Seconds>,
    watch_errors: Family<KindLabel, Counter>,
    watch_silence: Family<KindLabel, Gauge<f64, AtomicU64>>,
    watches: Mutex<BTreeMap<&'static str, Pulse>>,
    duties: Family<DutyLabels, Counter>,
    repaired: Family<ReasonLabel, Counter>,
    plugged: Family<WayLabel, Counter>,
    /// ADDs in flight.
    pub adds: Gauge,
    /// Interfaces on record.
    pub attached: Gauge,
    /// Free ports that are held ready.
    pub held: Gauge,
    /// KuryrPorts that say `Plugged` without an interface.
    pub missing: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut all = Self {
            registry: Registry::with_prefix("kuryr"),
            calls: Family::default(),
            call_seconds: Family::new_with_constructor(Seconds),
            add_seconds: Family::new_with_constructor(Seconds),
            watch_errors: Family::default(),
            watch_silence: Family::default(),
            watches: Mutex::default(),
            duties: Family::default(),
            repaired: Family::default(),
            adds: Gauge::default(),
            attached: Gauge::default(),
            held: Gauge::default(),
            plugged: Family::default(),
            missing: Gauge::default(),
        };
        all.register();
        all
    }
}

impl Metrics {
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("cni_calls", "CNI calls by command and error code (0 is success)", self.calls.clone());
        r.register("cni_call_seconds", "Time to answer a CNI call", self.call_seconds.clone());
        r.register("cni_add_phase_seconds", "Time of a successful ADD by phase", self.add_seconds.clone());
        r.register("cni_adds_in_flight", "ADDs that are being served", self.adds.clone());
        r.register("watch_errors", "Failures of a watch", self.watch_errors.clone());
        let help = "Time since the watch last said anything: a change, a bookmark, the beginning of a request";
        r.register("watch_silence_seconds", help, self.watch_silence.clone());
        r.register("daemon_duty", "Actions of the daemon's duties by outcome", self.duties.clone());
        r.register("daemon_repaired", "Leftovers removed from the node by reason", self.repaired.clone());
        r.register("daemon_attached_interfaces", "Interfaces of pods on this node", self.attached.clone());
        r.register("daemon_held_ports", "Free ports that are connected, ready for a pod", self.held.clone());
        r.register("daemon_plugged", "Interfaces plugged, by whether the port was held ready", self.plugged.clone());
        r.register("daemon_missing_interfaces", "KuryrPorts whose interface is missing", self.missing.clone());
    }

    /// A CNI call was answered. `code` is 0 for success.
    pub fn call(&self, command: Command, code: u32, took: Duration) {
        let command = command.as_str();
        self.calls.get_or_create(&CallLabels { command, code }).inc();
        self.call_seconds.get_or_create(&CommandLabel { command }).observe(took.as_secs_f64());
    }

    /// A phase of an ADD has ended well.
    pub fn phase(&self, phase: Phase, took: Duration) {
        self.add_seconds.get_or_create(&PhaseLabel { phase: phase.as_str() }).observe(took.as_secs_f64());
    }

    /// The watch of `kind` is what `pulse` listens to.
    pub fn watch(&self, kind: &'static str, pulse: Pulse) {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner).insert(kind, pulse);
    }

    /// A watch failed.
    pub fn watch_error(&self, kind: &'static str) {
        self.watch_errors.get_or_create(&KindLabel { kind }).inc();
    }

    /// A duty acted: `outcome` is `done` or an error class.
    pub fn duty(&self, duty: &'static str, outcome: &'static str) {
        self.duties.get_or_create(&DutyLabels { duty, outcome }).inc();
    }

    /// Something left behind was removed.
    pub fn repaired(&self, reason: &'static str) {
        self.repaired.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// An interface was plugged.
    pub fn plugged(&self, was_held: bool) {
        self.plugged.get_or_create(&WayLabel { way: if was_held { "held" } else { "made" } }).inc();
    }

    /// All metrics in the text format.
    ///
    /// # Errors
    /// When a metric can't be written as text.
    pub fn render(&self) -> Result<String, fmt::Error> {
        for (kind, pulse) in self.watches.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if let Some(silence) = pulse.silence() {
                self.watch_silence.get_or_create(&KindLabel { kind }).set(silence.as_secs_f64());
            }
        }
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_happened_is_in_the_text() {
        let metrics = Metrics::default();
        metrics.call(Command::Add, 11, Duration::from_millis(3));
        metrics.phase(Phase::Plug, Duration::from_millis(20));
        metrics.watch("Pod", Pulse::default());
        metrics.watch_error("Pod");
        metrics.duty("confirm", "done");
        metrics.repaired("no_namespace");
        metrics.plugged(true);
        let text = metrics.render().unwrap();
        for line in [
            r#"kuryr_cni_calls_total{command="ADD",code="11"} 1"#,
            r#"kuryr_cni_call_seconds_bucket{le="0.005",command="ADD"} 1"#,
            r#"kuryr_cni_add_phase_seconds_count{phase="plug"} 1"#,
            r#"kuryr_watch_errors_total{kind="Pod"} 1"#,
            r#"kuryr_daemon_duty_total{duty="confirm",outcome="done"} 1"#,
            r#"kuryr_daemon_plugged_total{way="held"} 1"#,
            r#"kuryr_daemon_repaired_total{reason="no_namespace"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("kuryr_watch_silence_seconds{"), "nothing was heard yet");
    }
}
