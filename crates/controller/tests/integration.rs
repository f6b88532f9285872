//! The controller on a real API server and a cloud in memory: crashes, lost answers, old views, two controllers, quota.
//!
//! `cargo xtask test integration` runs them. By hand, as root: `cargo test -p kuryr-controller --features lab --test integration`;
//! the programs come from the lab's cache (`cargo xtask lab up` fills it), a running lab is neither needed nor touched.
//!
//! The tests share one API server, which begins and ends with their process, in a network namespace of its own. Each has a
//! world of its own in it: a namespace, nodes, a cluster name, a cloud, and controllers that see nothing else. So they can run
//! at the same time. The tests play the nodes' daemons.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod integration {
    mod burst;
    mod closed;
    mod crash;
    mod faults;
    mod harness;
    mod leader;
    mod lifecycle;
    mod node_port;
    mod outage;
    mod policies;
    mod pools;
    mod random;
    mod services;
    mod start;
    mod sweep;
    mod views;
}
