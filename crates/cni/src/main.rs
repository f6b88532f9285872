//! The CNI executable that the container runtime calls, and the CNI types it shares with the daemon.
fn main() {}
