//! The custom resources of `kuryr.openstack.org/v1alpha1`: Kuryr's only store.
//!
//! A [`KuryrPort`] is a pod's claim to network ports, a [`KuryrPoolPort`] is one Neutron port, as a
//! PersistentVolumeClaim is a claim and a PersistentVolume is a volume; a [`KuryrPool`] is the free ports of a node. A
//! [`KuryrLoadBalancer`] is what a Service asks of Octavia, a [`KuryrNetworkPolicy`] what a NetworkPolicy has become. [`ClusterNetworkPolicy`] is
//! read, and is another project's. `cargo xtask crds` writes the schema of all kinds
//! to `deploy/crds/`. [`pulse`] says whether a watch lives.

mod cluster_network_policy;
pub mod conditions;
mod load_balancer;
mod network_policy;
mod pool;
mod pool_port;
mod port;
pub mod pulse;
mod text;

pub use cluster_network_policy::{
    ClusterNetworkPolicy, ClusterNetworkPolicySpec, ClusterNetworkPolicyStatus, NamespacedPod, PolicyPeer, PolicyPort,
    PolicyPortRange, PolicyProtocol, PolicyRule, PolicySubject, PolicyTransport,
};
pub use load_balancer::{
    FloatingIpOrigin, FloatingIpStatus, KuryrLoadBalancer, KuryrLoadBalancerSpec, KuryrLoadBalancerStatus,
    ListenerStatus,
};
pub use network_policy::{
    KuryrNetworkPolicy, KuryrNetworkPolicySpec, KuryrNetworkPolicyStatus, MOST_GROUPS_SHOWN, SecurityGroupStatus,
};
pub use pool::{Configured, KuryrPool, KuryrPoolSpec, KuryrPoolStatus};
pub use pool_port::{ClaimKind, ClaimRef, KuryrPoolPort, KuryrPoolPortSpec, KuryrPoolPortStatus};
pub use port::{
    Address, Binding, BindingKind, InterfaceRequest, InterfaceStatus, KuryrPort, KuryrPortSpec, KuryrPortStatus,
    Readiness, Route,
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// Field manager of everything that the controller applies.
pub const CONTROLLER: &str = "kuryr-controller";

/// Field manager of everything that a node's daemon applies.
pub const DAEMON: &str = "kuryr-daemon";

/// The definitions of all kinds, in the order in which they are to be created.
#[must_use]
pub fn all_crds() -> Vec<CustomResourceDefinition> {
    vec![KuryrPort::crd(), KuryrPoolPort::crd(), KuryrPool::crd(), KuryrLoadBalancer::crd(), KuryrNetworkPolicy::crd()]
}
