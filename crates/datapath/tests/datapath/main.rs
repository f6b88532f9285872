//! The datapath on real network namespaces and a real Open vSwitch with the userspace datapath, read back with `ip`,
//! `ovs-vsctl` and packets. Needs root, iproute2, util-linux, iputils-ping, ethtool, nftables, Open vSwitch and OVN.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by a panic; clippy knows only `#[test]` functions")]

mod adopted;
mod cancel;
mod check;
mod crash;
mod fixture;
mod hold;
mod isolation;
mod lifecycle;
mod netlink;
mod node_port;
mod ovn;
mod packets;
mod repair;
mod server;
mod times;
