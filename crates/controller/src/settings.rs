//! The controller's part of the configuration.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Networks of the pods.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pods {
    /// Names or ids of the subnets that every pod gets an address of, all of one network: usually one of IPv4, or one of
    /// each family.
    pub subnets: Vec<String>,
    /// Names or ids of the security groups that every pod's port has. None: nothing passes.
    #[serde(default)]
    pub security_groups: Vec<String>,
}

/// Each node's own port on the pod network, by which the host, kubelet probes and hostNetwork pods reach pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NodePort {
    /// Whether nodes have such a port. Switching it off deletes the ports.
    pub enabled: bool,
    /// Names or ids of the port's security groups. None: nothing passes that the host doesn't begin.
    pub security_groups: Vec<String>,
}

impl Default for NodePort {
    fn default() -> Self {
        Self { enabled: true, security_groups: Vec::new() }
    }
}

/// How the controller runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Controller {
    /// Address of the admin server: `/live`, `/ready`, `/metrics`, `/debug/state`.
    pub listen: SocketAddr,
    /// How many objects of each kind are worked on at a time.
    pub concurrency: Concurrency,
    /// Seconds between two looks at the configured subnets and security groups.
    pub refresh_seconds: u64,
    /// Seconds between two comparisons of our ports with Neutron's list of them. 0: never.
    pub audit_seconds: u64,
    /// Seconds that running work may take to end after a stop signal.
    pub shutdown_seconds: u64,
}

impl Default for Controller {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 9805)),
            concurrency: Concurrency::default(),
            refresh_seconds: 300,
            audit_seconds: 300,
            shutdown_seconds: 25,
        }
    }
}

/// How many objects of each kind are worked on at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Concurrency {
    /// Pods: one short request each.
    pub pods: u16,
    /// KuryrPorts: a few short requests each.
    pub ports: u16,
    /// KuryrPoolPorts: requests to Neutron. More than Neutron answers at a time only wait in the client.
    pub pool_ports: u16,
    /// Nodes.
    pub nodes: u16,
}

impl Default for Concurrency {
    fn default() -> Self {
        Self { pods: 16, ports: 16, pool_ports: 32, nodes: 4 }
    }
}

/// Everything that the controller is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The cluster's name in owner marks: distinct for every Kubernetes cluster that uses the project.
    pub cluster: String,
    /// Networks of the pods.
    pub pods: Pods,
    /// Each node's own port.
    pub node_port: NodePort,
    /// How the controller runs.
    pub controller: Controller,
}
