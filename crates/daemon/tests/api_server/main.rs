//! The daemon against a real kube-apiserver and etcd, with a switch in memory.
//!
//! Needs root, and the programs that `cargo xtask lab up` installs. Run it with `cargo test -p kuryr-daemon --features lab --test api_server [FILTER]`. Everything
//! happens in a network namespace of its own, which ends with the process. There is no controller, no scheduler and no
//! kubelet: the scenarios play their parts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "the support is shared with the tests that have no API server")]

mod cluster;
mod holds;
mod scenarios;
mod silence;
#[path = "../support/mod.rs"]
mod support;
mod unreadable;

use cluster::{Cluster, cluster};
use futures::{FutureExt, future::BoxFuture};
use kuryr_lab::bare::BareApiServer;
use std::process::ExitCode;

/// A scenario and its name.
type Scenario = (&'static str, fn(Cluster) -> BoxFuture<'static, ()>);

macro_rules! scenarios {
    ($($module:ident: [$($name:ident),* $(,)?]),* $(,)?) => {
        &[$($((stringify!($name), |cluster| $module::$name(cluster).boxed())),*),*]
    };
}

const ALL: &[Scenario] = scenarios![
    scenarios: [
        a_pod_gets_its_interface_and_gives_its_port_back,
        an_add_ends_when_its_pod_goes,
        an_add_ends_when_its_claim_goes,
        an_add_for_an_unknown_pod_ends,
        an_add_says_why_there_are_no_addresses,
        a_killed_daemon_confirms_nothing_too_early,
        a_claim_without_an_interface_is_released_after_a_crash,
        other_pods_never_wait,
        a_newer_sandbox_replaces_an_older_one,
        a_newer_sandbox_waits_for_the_end_of_an_older_ones_add,
        a_recreated_pod_has_its_own_claim,
        a_static_pod_is_served_under_its_mirrors_uid,
        a_lost_interface_is_reported,
        leftovers_are_removed,
        the_node_port_follows_its_object,
        a_converged_node_writes_nothing,
    ],
    holds: [
        free_ports_are_held_as_the_pool_says,
        a_pod_takes_a_held_port_and_gives_it_back,
        many_dels_at_once_leave_no_more_ports_held_than_the_pool_needs,
        holding_and_repair_wait_for_adds_that_plug,
        a_pod_that_waits_for_its_port_keeps_nothing_back,
        repair_does_not_wait_for_a_dataplane,
        neutron_says_that_a_port_is_ready,
    ],
    unreadable: [what_can_t_be_read_takes_nothing_away],
    silence: [a_silent_connection_is_noticed_and_a_quiet_one_is_not_silent],
];

fn main() -> ExitCode {
    // As the default harness: a filter may be given, and options that mean nothing here are ignored.
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    // Threads that this one starts from now on are where the API server is.
    let server = BareApiServer::start().and_then(|server| server.enter());
    if let Err(problem) = server {
        eprintln!("the tests of the daemon on a real API server can't run: {problem:#}");
        println!("test result: FAILED. 0 passed; 1 failed; 0 ignored");
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (mut passed, mut failed) = (0, 0);
    runtime.block_on(async {
        for (index, (name, scenario)) in ALL.iter().enumerate().filter(|(_, (name, _))| name.contains(&filter)) {
            let cluster = cluster(format!("node{index}")).await;
            let outcome = tokio::spawn(scenario(cluster)).await;
            println!("test {name} ... {}", if outcome.is_ok() { "ok" } else { "FAILED" });
            if outcome.is_ok() { passed += 1 } else { failed += 1 }
        }
    });
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
