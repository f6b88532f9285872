//! What the end-to-end tests, the demo and the benchmarks share: the lab with Kuryr on it, seen as a user sees it.
//!
//! Programs of this crate run inside the lab's control network namespace, where every API can be reached; `cargo xtask`
//! takes care of that.

pub mod bench;
pub mod cluster;
pub mod identity;
pub mod inside;
pub mod inventory;
pub mod neutron_proxy;
pub mod policies;
pub mod private_controller;
pub mod scale;
pub mod services;
pub mod timeline;
pub mod traffic;
pub mod wait;
pub mod workload;

pub use cluster::Cluster;
pub use workload::PodTemplate;
