//! `cargo xtask demo`: everything from nothing to pods that talk, with one command.

use crate::programs;
use anyhow::Result;
use std::time::Instant;

/// Sets everything up, shows it, and says how to look around.
pub fn run() -> Result<()> {
    let start = Instant::now();
    println!("\x1b[1mKuryr: a cloud, a cluster and pods with real Neutron ports, all on this machine\x1b[0m\n");
    crate::lab::up(2, true)?;
    programs::run_in_control("kuryr-demo", &[])?;
    println!(
        "\nEverything is still running ({:.0} s since the start). Look around:\n\
         \x20 cargo xtask lab kubectl get nodes,kuryrports,kuryrpoolports -A -o wide\n\
         \x20 cargo xtask lab kubectl run web --image={} --image-pull-policy=IfNotPresent -- netexec\n\
         \x20 cargo xtask lab openstack port list\n\
         \x20 cargo xtask lab exec node1 -- ovs-vsctl show\n\
         \x20 cargo xtask lab status\n\
         End it:\n\
         \x20 cargo xtask lab down",
        start.elapsed().as_secs_f64(),
        kuryr_lab::install::AGNHOST_IMAGE,
    );
    Ok(())
}
