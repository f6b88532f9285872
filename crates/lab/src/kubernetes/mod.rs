//! The cluster: etcd, the Kubernetes control plane and CoreDNS in `kuryr-control`; containerd and a kubelet on every node.

mod apiserver;
mod cgroups;
mod cni;
mod containerd;
mod controller_manager;
mod coredns;
mod etcd;
mod kubeconfig;
mod kubectl;
mod kubelet;
pub mod node_ports;
mod pki;
mod scheduler;
mod services;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use crate::{
    engine::{Lab, node_name},
    registry::Components,
};

pub use cni::NodeNetwork;
pub(crate) use cni::use_network;
pub use containerd::import_test_images;
pub use etcd::store_is_of_another_etcd;
pub use kubeconfig::{kubeconfig, kubeconfig_of};
pub(crate) use kubectl::apply_text;
pub use kubectl::{apply, kubectl};
pub use kubelet::static_pods;
pub(crate) use pki::dir as pki_dir;

/// The port of the API server on all addresses of `kuryr-control`.
pub const API_PORT: u16 = 6443;

/// The address of the Service `default/kubernetes`: the first of the range.
pub const API_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);

/// The same of the other family; Kubernetes gives the API server's Service none, but its certificate is good for it.
const API_SERVICE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, 1));

/// The address of the Service `kube-system/kube-dns`, which the kubelets write into the pods' `resolv.conf`.
pub const DNS_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);

/// The DNS domain of the cluster.
pub const DOMAIN: &str = "cluster.local";

/// The component that says that the API server answers and holds what every cluster has.
pub fn api_ready() -> String {
    services::NAME.to_owned()
}

/// The parts of the control plane.
pub fn control_components(_lab: &Lab) -> Components {
    vec![
        Box::new(pki::Pki),
        Box::new(etcd::Etcd),
        Box::new(apiserver::ApiServer),
        Box::new(controller_manager::ControllerManager),
        Box::new(scheduler::Scheduler),
        Box::new(services::ClusterServices),
        Box::new(coredns::CoreDns),
    ]
}

/// The parts of one node.
pub fn components(_lab: &Lab, node: u32) -> Components {
    vec![Box::new(containerd::Containerd(node)), Box::new(kubelet::Kubelet(node))]
}

/// The configuration directory of a control plane's component.
fn etc(lab: &Lab) -> PathBuf {
    lab.etc().join("kubernetes")
}

/// What a node keeps: its kubelet's and containerd's files.
fn node_state(lab: &Lab, node: u32) -> PathBuf {
    lab.state().join(node_name(node))
}

/// The sockets of a node.
fn node_run(lab: &Lab, node: u32) -> PathBuf {
    lab.run().join(node_name(node))
}
