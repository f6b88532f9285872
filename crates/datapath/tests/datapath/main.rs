//! The datapath on real network namespaces and a real Open vSwitch with the userspace datapath, read back with `ip`,
//! `ovs-vsctl` and packets. Needs root, iproute2, util-linux, iputils-ping, ethtool and Open vSwitch.

mod cancel;
mod check;
mod fixture;
mod lifecycle;
mod node_port;
mod packets;
mod repair;
mod server;
mod times;
