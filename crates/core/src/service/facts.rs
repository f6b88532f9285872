//! What Kubernetes and the configuration say, in plain types: the controller fills them, the pure functions read them.

use super::spec::{Algorithm, Monitor, Protocol, Timeouts};
use ipnet::IpNet;
use std::{collections::BTreeMap, net::IpAddr};

/// One Service, as its object says. Texts that have a form are still texts: the pure functions read them, and say what is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// It is being deleted (`metadata.deletionTimestamp`).
    pub deleted: bool,
    /// A label says that it isn't for the cluster's default service proxy (`service.kubernetes.io/service-proxy-name`), or that it is to be
    /// taken for headless (`service.kubernetes.io/headless`). Their values don't matter (KEP-2447, well-known labels).
    pub left_to_others: bool,
    /// `spec.type`.
    pub kind: ServiceType,
    /// `spec.clusterIPs`, the first of which is `spec.clusterIP`. `None` as the first one means headless. Empty: none was allocated yet.
    pub cluster_ips: Vec<String>,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
    /// It has a selector: Kubernetes makes its EndpointSlices. Without one, somebody makes them by hand.
    pub selector: bool,
    /// `spec.sessionAffinityConfig.clientIP.timeoutSeconds` where `spec.sessionAffinity` is `ClientIP`, 10800 if it isn't set.
    pub client_ip_affinity: Option<u32>,
    /// `spec.publishNotReadyAddresses`.
    pub publish_not_ready_addresses: bool,
    /// `spec.loadBalancerClass`.
    pub load_balancer_class: Option<String>,
    /// `spec.loadBalancerIP`.
    pub load_balancer_ip: Option<String>,
    /// `spec.loadBalancerSourceRanges`.
    pub load_balancer_source_ranges: Vec<String>,
    /// `spec.externalTrafficPolicy` is `Local`.
    pub external_traffic_local: bool,
    /// `spec.internalTrafficPolicy` is `Local`.
    pub internal_traffic_local: bool,
    /// `spec.allocateLoadBalancerNodePorts`, `true` if it isn't set. Node ports are no business of Octavia: its members are the pods.
    pub allocate_node_ports: bool,
}

/// `spec.type` of a Service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ServiceType {
    /// Reached from within the cluster.
    #[default]
    ClusterIp,
    /// Reached by a port of each node as well, which is kube-proxy's business.
    NodePort,
    /// Reached from outside the cluster as well.
    LoadBalancer,
    /// A name for another name: DNS only.
    ExternalName,
}

/// One of a Service's ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name. Empty where it has none, which is allowed if it is the only one.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number.
    pub port: u16,
    /// What it leads to. EndpointSlices carry the number already, so this is for people.
    pub target: TargetPort,
    /// The port of each node that leads to it.
    pub node_port: Option<u16>,
    /// `appProtocol`: what is spoken.
    pub app_protocol: Option<String>,
}

/// What a Service's port leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetPort {
    /// A number.
    Number(u16),
    /// A name of a container's port, whose number may differ from pod to pod.
    Name(String),
}

/// One EndpointSlice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Its `addressType`.
    pub address_type: AddressType,
    /// Its ports. Each is a port of every endpoint of the slice.
    pub ports: Vec<SlicePort>,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// `addressType` of an EndpointSlice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressType {
    /// IPv4 addresses.
    Ipv4,
    /// IPv6 addresses.
    Ipv6,
    /// Names, which no load balancer can use.
    Fqdn,
}

/// One port of an EndpointSlice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlicePort {
    /// Name of the Service's port that leads to it; empty where that has none.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number. None: all ports, which no load balancer can use.
    pub port: Option<u16>,
}

/// One endpoint of an EndpointSlice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Its addresses. They are fungible; as every consumer, Kuryr uses the first one only.
    pub addresses: Vec<String>,
    /// `conditions.ready`. None means ready.
    pub ready: Option<bool>,
    /// `conditions.serving`. None means as `ready` says.
    pub serving: Option<bool>,
    /// `conditions.terminating`. None means no.
    pub terminating: Option<bool>,
    /// The node that it runs on.
    pub node: Option<String>,
    /// The pod that it is, `namespace/name`.
    pub pod: Option<String>,
}

/// A subnet and what addresses it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    /// Its Neutron id.
    pub id: String,
    /// Its addresses.
    pub cidr: IpNet,
}

/// What the configuration and the cloud say, for all Services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Name of the cluster, as in every owner mark.
    pub cluster: String,
    /// Octavia's provider for all load balancers, resolved already. None: the cloud's default.
    pub provider: Option<String>,
    /// The subnets that cluster IPs are of. All of them are of one network where a Service has addresses of two.
    pub service_subnets: Vec<Subnet>,
    /// The subnets that pods and other known members are of, the nodes' subnets among them.
    pub member_subnets: Vec<Subnet>,
    /// From where Services can always be reached, whatever their source ranges: pods and nodes.
    pub inside: Vec<IpNet>,
    /// The external network that floating IPs are of. None: a Service has one only if it names a network.
    pub floating_network: Option<String>,
    /// Services of type LoadBalancer without `spec.loadBalancerClass` are Kuryr's.
    pub default_class: bool,
    /// Values of `spec.loadBalancerClass` that are Kuryr's.
    pub classes: Vec<String>,
    /// Timeouts of listeners that ask for nothing else. They should be those of Octavia's own configuration.
    pub timeouts: Timeouts,
    /// How members are chosen where a Service doesn't say. None: as the provider does it best.
    pub algorithm: Option<Algorithm>,
    /// Whether pools have a health monitor where a Service doesn't say. Kubernetes' own readiness says what is needed.
    pub monitor: bool,
    /// What health monitors are like where a Service doesn't say.
    pub monitor_defaults: Monitor,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cluster: String::new(),
            provider: None,
            service_subnets: Vec::new(),
            member_subnets: Vec::new(),
            inside: Vec::new(),
            floating_network: None,
            default_class: true,
            classes: vec![super::spec::CLASS.to_owned()],
            timeouts: Timeouts::default(),
            algorithm: None,
            monitor: false,
            monitor_defaults: Monitor::default(),
        }
    }
}

impl Settings {
    /// The service subnet that has the address.
    #[must_use]
    pub fn service_subnet(&self, address: IpAddr) -> Option<&Subnet> {
        containing(&self.service_subnets, address)
    }

    /// The subnet that a member of this address is of.
    #[must_use]
    pub fn member_subnet(&self, address: IpAddr) -> Option<&Subnet> {
        containing(&self.member_subnets, address)
    }
}

/// The smallest subnet that has the address; of equal ones the first.
fn containing(subnets: &[Subnet], address: IpAddr) -> Option<&Subnet> {
    subnets.iter().filter(|subnet| subnet.cidr.contains(&address)).min_by_key(|subnet| {
        // A longer prefix is a smaller subnet.
        u8::MAX - subnet.cidr.prefix_len()
    })
}
