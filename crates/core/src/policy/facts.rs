//! What Kubernetes and the configuration say, in plain types: the controller fills them, the pure functions read them.
//!
//! Fields have the names and the meaning of the Kubernetes API reference (networking.k8s.io/v1 NetworkPolicy, v1 Pod, Namespace, Service).
//! What has a form is still text here: [`read`](super::read()) says what is wrong with it.

use crate::service::spec::Protocol;
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

/// `metadata.uid` of an object: what it is known by here, because a name may be used again.
pub type Uid = Arc<str>;

/// Name of a namespace or of a node.
pub type Name = Arc<str>;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// One NetworkPolicy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.namespace`.
    pub namespace: Name,
    /// `spec.podSelector`.
    pub pod_selector: LabelSelector,
    /// `spec.policyTypes`. Empty: ingress, and egress where there is an egress section.
    pub policy_types: Vec<String>,
    /// `spec.ingress`. None is the same as none in it: nothing is let in.
    pub ingress: Option<Vec<PolicyRule>>,
    /// `spec.egress`. None differs from none in it where `policy_types` is empty.
    pub egress: Option<Vec<PolicyRule>>,
}

/// One entry of `spec.ingress` or `spec.egress`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyRule {
    /// `from` or `to`. None in it: everybody.
    pub peers: Vec<Peer>,
    /// `ports`. None in it: all of them, of every protocol.
    pub ports: Vec<PolicyPort>,
}

/// One entry of `from` or `to` (NetworkPolicyPeer).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// `podSelector`. Without a namespace selector: pods of the policy's namespace.
    pub pod_selector: Option<LabelSelector>,
    /// `namespaceSelector`. Without a pod selector: all pods of these namespaces.
    pub namespace_selector: Option<LabelSelector>,
    /// `ipBlock`, which stands alone.
    pub ip_block: Option<IpBlock>,
}

/// `ipBlock` of a peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IpBlock {
    /// `cidr`.
    pub cidr: String,
    /// `except`: what of it isn't meant. All of them count.
    pub except: Vec<String>,
}

/// One entry of `ports` (NetworkPolicyPort).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyPort {
    /// `protocol`. None: TCP.
    pub protocol: Option<String>,
    /// `port`. None: all ports of the protocol.
    pub port: Option<PortRef>,
    /// `endPort`: the last one of a range that begins with `port`.
    pub end_port: Option<i32>,
}

/// `port` of a NetworkPolicyPort.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortRef {
    /// A number.
    Number(i32),
    /// A name of ports of the containers of the pod that is the destination: selected in ingress, the peer in egress.
    Name(String),
}

/// A LabelSelector (meta/v1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSelector {
    /// `matchLabels`.
    pub match_labels: Labels,
    /// `matchExpressions`. All of them must hold, and `matchLabels` as well.
    pub match_expressions: Vec<Requirement>,
}

/// One entry of `matchExpressions`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// At least one for the first two, none for the others.
    pub values: Vec<String>,
}

/// One Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.namespace`.
    pub namespace: Name,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `spec.nodeName`.
    pub node: Option<Name>,
    /// `spec.hostNetwork`. Such a pod has the node's addresses: no policy selects it, and no selector means it as a peer.
    pub host_network: bool,
    /// Its phase is Succeeded or Failed: its addresses aren't its own any more.
    pub terminated: bool,
    /// Its addresses, of one or both families. It may have none yet.
    pub addresses: BTreeSet<IpAddr>,
    /// The ports of its containers (and of its init containers that keep running) that have a name.
    pub ports: BTreeSet<ContainerPort>,
}

impl Pod {
    /// Whether policies and selectors mean it at all.
    #[must_use]
    pub const fn counts(&self) -> bool {
        !self.host_network && !self.terminated
    }
}

/// A port of a container that has a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerPort {
    /// Its name.
    pub name: String,
    /// Its protocol. Ports of two protocols may have the same name.
    pub protocol: Protocol,
    /// Its number.
    pub number: u16,
}

/// One Namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// `metadata.name`.
    pub name: Name,
    /// `metadata.labels`.
    pub labels: Labels,
}

/// One Node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// `metadata.name`.
    pub name: Name,
    /// From where kubelet and the node's own processes reach pods: the node port's addresses, and the node's.
    pub addresses: BTreeSet<IpAddr>,
}

/// One Service that has a load balancer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// `metadata.uid`.
    pub uid: Uid,
    /// Its cluster IPs.
    pub vips: BTreeSet<IpAddr>,
    /// What its load balancer listens to, and where that leads.
    pub ports: BTreeMap<(Protocol, u16), BTreeSet<Backend>>,
}

/// Where a load balancer's port leads: a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Backend {
    /// The address of a pod, or of something else.
    pub address: IpAddr,
    /// The port there.
    pub port: u16,
}

/// What the configuration and the cloud say, for all policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where cluster IPs are from, and nothing else: the API server's `--service-cluster-ip-range`. Neutron must give no address of it to
    /// anything but load balancers. Empty: there are no Services ([`World::outside_ranges`](super::World::outside_ranges) tells what is missing).
    pub service_ranges: BTreeSet<IpNet>,
    /// The networks in which pods have their addresses: all subnets of which Kuryr makes pods' ports. Only ClusterNetworkPolicies ask for them: inside of
    /// them whoever is no pod is closed where a decision isn't the same for all, outside of them prefixes count. A pod that is elsewhere is cut out of
    /// these, so that what is missing here costs rules, and makes nothing wrong ([`World::outside_networks`](super::World::outside_networks) tells of it).
    pub pod_networks: BTreeSet<IpNet>,
    /// The families that pods have addresses of.
    pub families: BTreeSet<Family>,
    /// Pods may always send to their own node, too: "traffic to and from the node where a Pod is running is always allowed" (Kubernetes
    /// documentation, Network Policies).
    pub to_node: bool,
    /// What the cloud can do.
    pub abilities: Abilities,
}

/// What the cloud can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// Rules may name address groups (extension `security-groups-remote-address-group`). Without: prefixes, merged.
    pub address_groups: bool,
    /// A pod that is reached over a Service sees the client's address, and its own Service's where the client is itself (OVN's provider).
    /// Without (amphora): it sees the load balancer's, so that what an ingress rule lets in by selector isn't let in over a Service.
    pub source_kept: bool,
}

/// An address family (`ethertype` of a rule).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both of them.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of a network.
    #[must_use]
    pub const fn of(net: &IpNet) -> Self {
        match net {
            IpNet::V4(_) => Self::V4,
            IpNet::V6(_) => Self::V6,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            service_ranges: BTreeSet::new(),
            pod_networks: BTreeSet::new(),
            families: Family::BOTH.into(),
            to_node: true,
            abilities: Abilities { address_groups: true, source_kept: true },
        }
    }
}
