//! Kuryr with thousands of pods: a real API server and etcd, a cloud in memory, the real controller, and on hundreds of nodes the
//! real daemon, which hollow kubelets call. Of the nodes only the switches are in memory. All share the machine: that is part of every
//! figure.

pub mod controller;
pub mod daemons;
pub mod kubelets;
pub mod load;
pub mod site;
