//! The controller on a real API server and a real Neutron, with faults in between.
//!
//! `cargo xtask test` runs them in the lab. By hand: `cargo xtask lab up`, then
//! `CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="nsenter --net=/run/netns/kuryr-control" cargo test -p kuryr-controller
//! --features lab --test integration -- --test-threads=1`
//!
//! Each test starts the controller in its own process, with a Node, a namespace and a cluster name of its own. The tests play
//! the node's daemon. No other Kuryr may run in the cluster: it would work on the same objects.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod integration {
    mod faults;
    mod fixture;
    mod lifecycle;
    mod proxy;
    mod start;
}
