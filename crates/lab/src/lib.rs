//! A real cloud and a real cluster on one machine, in network namespaces, for tests and demos.
//!
//! * [`engine`]: what a component is, in which order components start, how they are watched, broken and stopped;
//! * [`openstack`], [`node`]: the cloud (OVN, Keystone, Neutron, Octavia) and the nodes with Open vSwitch;
//! * [`install`], [`kubernetes`], [`kuryr`]: what is downloaded and built, the cluster, and Kuryr's own processes;
//! * [`original`]: the original Kuryr in Python, for benchmarks;
//! * [`registry`]: all components by name;
//! * [`bare`]: an API server alone, for tests that need no lab.
//!
//! Each component stands in one file: how it is configured, started, known to be ready, stopped.

pub mod bare;
pub mod engine;
pub mod install;
pub mod kubernetes;
pub mod kuryr;
pub mod node;
pub mod openstack;
pub mod original;
pub mod registry;

pub use engine::{CONTROL, Component, Lab, Options, Program, Stop, node_name, node_netns};
