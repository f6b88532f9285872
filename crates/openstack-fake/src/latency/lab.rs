//! The lab's Keystone and Neutron in figures.
//!
//! **How they were measured** (2026-11-23, Neutron 29 with ML2/OVN and two uwsgi processes of four threads, two cores): a
//! client of `requests` in the lab's control namespace, 1, 2, 4 or 8 threads that each send the next request when they
//! have the answer, 12 to 48 requests of each kind, ports bound to a node with one group. Other work ran on the machine at
//! the time, and the rates of several clients are therefore what Neutron reached at least (`MEASURED` in the tests below).
//! The seconds below are those of the same requests on the idle machine with one client; there it creates 3.0 to 3.4 ports
//! a second, one by one and in bulk requests of up to 100. The processor time per request, summed over all processes of
//! the lab's OpenStack and OVN, stands in the same proportions: 35 ms for a GET, 256 for a PUT, 195 for a DELETE, 826 for a
//! creation, on a machine whose other work made everything take 1.75 times as long.
//!
//! **What fits**: two processors that all requests share. A creation keeps one and a half of them busy (Neutron, the
//! database, OVN's northd and the nodes' controllers work on it at a time), any other request little more than one. So
//! more clients get hardly more ports created, only each of them waits longer. A queue of two workers that serve one
//! request each does not fit: two creations at a time would take no longer than one.
//!
//! **Groups** (2026-11-27, the same lab and one client, other work on the machine): rules in bulk requests of 1, 3, 10 and 30 took 0.08, 0.14,
//! 0.49 and 1.48 s; an address more or less in an address group of 0, 100, 500, 1,000 and 2,000 took 0.07, 0.09, 0.16, 0.24 and 0.53 s;
//! ten at a time 0.06 s, 500 at a time 1.9 to 3.2 s. Whatever else is about groups takes as long as other changes.

use super::Operation;

/// Threads that answer requests: two processes with four each. Further requests wait for their turn.
pub(super) const THREADS: usize = 8;

/// Processors.
pub(super) const CAPACITY: f64 = 2.0;

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Need {
    /// Seconds that it takes when it is alone.
    pub seconds: f64,
    /// Processors that it keeps busy in that time.
    pub processors: f64,
}

impl Need {
    const fn new(seconds: f64, processors: f64) -> Self {
        Self { seconds, processors }
    }
}

/// What the usual request of this kind needs.
pub(super) fn usual(operation: Operation) -> Need {
    #[allow(clippy::cast_precision_loss, reason = "requests have few objects")]
    let many = |items: usize| items as f64;
    match operation {
        Operation::Login => Need::new(0.050, 1.0),
        Operation::CreatePorts { items, bound: true } => Need::new(0.310 * many(items), 1.5),
        Operation::CreatePorts { items, bound: false } => Need::new(0.150 * many(items), 1.5),
        Operation::UpdatePort => Need::new(0.145, 1.2),
        Operation::DeletePort => Need::new(0.115, 1.2),
        Operation::CreateRules { items } => Need::new(0.035 + 0.045 * many(items), 1.2),
        Operation::ChangeAddresses { items, members } => {
            Need::new(0.055 + 0.005 * many(items) + 0.0002 * many(members), 1.2)
        }
        Operation::CreateLoadBalancer => Need::new(0.280, 1.2),
        Operation::Write { items } => Need::new(0.070 * many(items), 1.2),
        Operation::Read => Need::new(0.020, 1.0),
    }
}

/// By how much a request takes longer than usual: quantiles over the median, of one client's requests of all kinds.
const SPREAD: [(f64, f64); 5] = [(0.0, 0.77), (0.1, 0.82), (0.5, 1.0), (0.9, 1.28), (1.0, 1.5)];

/// What a request needs; `chance` is evenly distributed between 0 and 1.
pub(super) fn sample(operation: Operation, chance: f64) -> Need {
    let after = SPREAD.iter().position(|(quantile, _)| *quantile >= chance).unwrap_or(SPREAD.len() - 1).max(1);
    let ((from, low), (to, high)) = (SPREAD[after - 1], SPREAD[after]);
    let spread = low + (high - low) * ((chance - from) / (to - from)).clamp(0.0, 1.0);
    let usual = usual(operation);
    Need { seconds: usual.seconds * spread, ..usual }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Requests of one kind by so many clients: requests a second, and milliseconds that 10, 50 and 90 % of them took at
    /// most. On a busy machine, see above.
    pub(crate) const MEASURED: [(Operation, u32, f64, [u32; 3]); 20] = [
        (Operation::CreatePorts { items: 1, bound: true }, 1, 1.11, [810, 870, 969]),
        (Operation::CreatePorts { items: 1, bound: true }, 2, 1.40, [982, 1363, 1926]),
        (Operation::CreatePorts { items: 1, bound: true }, 4, 2.42, [917, 1822, 2156]),
        (Operation::CreatePorts { items: 1, bound: true }, 8, 3.35, [1211, 1908, 3845]),
        (Operation::CreatePorts { items: 5, bound: true }, 1, 0.46, [1967, 2059, 2471]),
        (Operation::CreatePorts { items: 5, bound: true }, 4, 0.81, [3163, 4392, 6260]),
        (Operation::CreatePorts { items: 10, bound: true }, 1, 0.19, [5042, 5429, 5579]),
        (Operation::CreatePorts { items: 20, bound: true }, 1, 0.07, [13_174, 13_640, 17_087]),
        (Operation::UpdatePort, 1, 2.19, [352, 432, 599]),
        (Operation::UpdatePort, 2, 3.36, [385, 532, 896]),
        (Operation::UpdatePort, 4, 9.22, [277, 375, 520]),
        (Operation::UpdatePort, 8, 11.06, [456, 615, 927]),
        (Operation::DeletePort, 1, 2.75, [282, 369, 434]),
        (Operation::DeletePort, 2, 4.61, [200, 263, 1093]),
        (Operation::DeletePort, 4, 12.93, [169, 275, 435]),
        (Operation::DeletePort, 8, 9.28, [451, 771, 1442]),
        (Operation::Read, 1, 13.9, [54, 63, 99]),
        (Operation::Read, 2, 29.99, [38, 61, 96]),
        (Operation::Read, 4, 41.1, [46, 108, 128]),
        (Operation::Read, 8, 71.17, [57, 95, 184]),
    ];

    /// Requests a second that so many clients get answered in the model.
    fn rate(operation: Operation, clients: u32) -> f64 {
        let Need { seconds, processors } = usual(operation);
        (f64::from(clients) / seconds).min(CAPACITY / (processors * seconds))
    }

    #[test]
    fn the_model_is_as_quick_as_the_busy_lab_and_not_much_quicker() {
        for (operation, clients, measured, _) in MEASURED {
            let ratio = rate(operation, clients) / measured;
            assert!((0.95..6.0).contains(&ratio), "{operation:?} by {clients}: {ratio:.2} times the measured rate");
        }
    }

    #[test]
    fn more_clients_and_larger_bulks_create_hardly_more_ports() {
        for clients in [1, 2, 4, 8] {
            for items in [1, 10, 100] {
                #[allow(clippy::cast_precision_loss, reason = "small numbers")]
                let ports = rate(Operation::CreatePorts { items, bound: true }, clients) * items as f64;
                assert!((3.0..4.4).contains(&ports), "{ports} ports a second by {clients} clients, {items} at a time");
            }
        }
    }

    #[test]
    fn the_spread_has_the_measured_quantiles() {
        for (chance, factor) in SPREAD {
            let seconds = sample(Operation::Read, chance).seconds;
            assert!((seconds - 0.020 * factor).abs() < 1e-9, "{chance}: {seconds}");
        }
    }
}
