//! What a Service asks of its load balancer: the spec of a KuryrLoadBalancer. Endpoints aren't part of it: a thousand of them would be
//! written anew with each change.

use crate::schema::{Cidr, Ip};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, net::IpAddr};

/// `spec.loadBalancerClass` of Services that are Kuryr's whatever others there are.
pub const CLASS: &str = "kuryr.openstack.org/octavia";

/// Most ports, and most source ranges, of one load balancer: as its schema says.
pub const MOST_ENTRIES: usize = 512;

/// What a Service asks of its load balancer.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancerSpec {
    /// The Service's cluster IPs, the first one first. A load balancer has one of each family at most.
    #[schemars(length(min = 1, max = 2))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub vips: Vec<Vip>,
    /// Octavia's provider. None: the cloud's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub provider: Option<String>,
    /// Id of the flavor. It can't be changed without a new load balancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub flavor_id: Option<String>,
    /// Name of Octavia's availability zone. It can't be changed without a new load balancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub availability_zone: Option<String>,
    /// The Service's ports.
    #[serde(default)]
    #[schemars(length(max = MOST_ENTRIES))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["protocol", "port"]))]
    pub ports: Vec<Port>,
    /// For how many seconds a client that comes again has the same endpoint (`sessionAffinity: ClientIP`). None: no affinity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400), extend("format" = "int32"))]
    pub client_ip_affinity_seconds: Option<u32>,
    /// Endpoints are used whether they are ready or not.
    #[serde(default, skip_serializing_if = "is_false")]
    pub publish_not_ready_addresses: bool,
    /// Internal traffic is only for endpoints on the client's own node (`internalTrafficPolicy: Local`).
    #[serde(default, skip_serializing_if = "is_false")]
    pub internal_traffic_local: bool,
    /// Who may reach the Service from outside. None: everybody.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(length(max = MOST_ENTRIES), with = "Vec<Cidr>")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub source_ranges: BTreeSet<IpNet>,
    /// How members are chosen. None: as the provider does it best.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<Algorithm>,
    /// Most connections of each port at a time. None: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647), extend("format" = "int32"))]
    pub connection_limit: Option<u32>,
    /// The listeners' timeouts.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// What Octavia does to find out whether a member works. None: nothing, Kubernetes says which are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitor: Option<Monitor>,
    /// Members are told the client's address by the PROXY protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// TCP ports speak HTTP, and members are told the client's address by the header X-Forwarded-For.
    #[serde(default, skip_serializing_if = "is_false")]
    pub x_forwarded_for: bool,
    /// TCP ports end TLS with the certificate of this Barbican container, and speak HTTP to members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub tls_container_ref: Option<String>,
    /// How the Service is reached from outside. None: it isn't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// A virtual IP address of a load balancer.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Vip {
    /// The address.
    #[schemars(with = "Ip")]
    pub address: IpAddr,
    /// Id of its Neutron subnet.
    #[schemars(length(min = 1, max = 64))]
    pub subnet_id: String,
}

/// One port of a load balancer.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// Name of the Service's port. Empty where it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub name: String,
    /// The protocol.
    pub protocol: Protocol,
    /// The number.
    #[schemars(range(min = 1, max = 65535), extend("format" = "int32"))]
    pub port: u16,
}

/// A Service's protocol.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
pub enum Protocol {
    /// TCP.
    #[serde(rename = "TCP")]
    Tcp,
    /// UDP.
    #[serde(rename = "UDP")]
    Udp,
    /// SCTP.
    #[serde(rename = "SCTP")]
    Sctp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        })
    }
}

/// How a pool chooses a member (`lb_algorithm`).
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Algorithm {
    /// One after the other.
    RoundRobin,
    /// The one with the fewest connections.
    LeastConnections,
    /// By the client's address.
    SourceIp,
    /// By the client's address and port.
    SourceIpPort,
}

/// A version of the PROXY protocol.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
pub enum ProxyProtocol {
    /// Version 1: a line of text.
    V1,
    /// Version 2: binary.
    V2,
}

/// Timeouts of a listener, in milliseconds. 0 means none for `tcpInspect`, and what the proxy makes of it for the others.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// A client that sends nothing (`timeout_client_data`).
    #[schemars(range(min = 0, max = 2_073_600_000), extend("format" = "int32"))]
    pub client_data: u32,
    /// The connection to a member (`timeout_member_connect`).
    #[schemars(range(min = 0, max = 2_073_600_000), extend("format" = "int32"))]
    pub member_connect: u32,
    /// A member that sends nothing (`timeout_member_data`).
    #[schemars(range(min = 0, max = 2_073_600_000), extend("format" = "int32"))]
    pub member_data: u32,
    /// What to wait for more of a client's first packet (`timeout_tcp_inspect`).
    #[schemars(range(min = 0, max = 2_073_600_000), extend("format" = "int32"))]
    pub tcp_inspect: u32,
}

/// Longest timeout that Octavia takes, in milliseconds: 24 days (`MAX_TIMEOUT`).
pub const MAX_TIMEOUT: u32 = 2_073_600_000;

impl Default for Timeouts {
    /// What Octavia has if nothing else is configured.
    fn default() -> Self {
        Self { client_data: 50_000, member_connect: 5_000, member_data: 50_000, tcp_inspect: 0 }
    }
}

/// How often Octavia looks whether a member works. What it does follows from the port's protocol.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Monitor {
    /// Time between two looks, in seconds.
    #[schemars(range(min = 1, max = 86400), extend("format" = "int32"))]
    pub delay: u32,
    /// Longest time for an answer, in seconds; less than `delay`.
    #[schemars(range(min = 1, max = 86400), extend("format" = "int32"))]
    pub timeout: u32,
    /// Good answers until a member counts as working.
    #[schemars(range(min = 1, max = 10), extend("format" = "int32"))]
    pub max_retries: u32,
    /// Bad answers until a member counts as not working.
    #[schemars(range(min = 1, max = 10), extend("format" = "int32"))]
    pub max_retries_down: u32,
}

impl Default for Monitor {
    /// As cloud-provider-openstack has it.
    fn default() -> Self {
        Self { delay: 5, timeout: 3, max_retries: 1, max_retries_down: 3 }
    }
}

/// How a Service is reached from outside the cluster.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct External {
    /// The floating IP of the first IPv4 address. None: the Service is reached at its own addresses (internal load balancer, IPv6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floating_ip: Option<FloatingIp>,
    /// The name that is published in place of the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub hostname: Option<String>,
    /// The client's address has to be seen by the endpoints (`externalTrafficPolicy: Local`).
    #[serde(default, skip_serializing_if = "is_false")]
    pub traffic_local: bool,
}

/// Which floating IP a Service asks for.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FloatingIp {
    /// Id of the external network that a new one is of. None: only an existing one, by its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub network_id: Option<String>,
    /// The subnet that a new one is of. None: any of the network's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<FloatingSubnet>,
    /// The address. None: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Ip>")]
    pub address: Option<IpAddr>,
    /// It stays when the Service goes.
    #[serde(default, skip_serializing_if = "is_false")]
    pub keep: bool,
}

/// Which subnets of an external network a new floating IP may be of.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FloatingSubnet {
    /// By what the subnet is found.
    pub by: FloatingSubnetBy,
    /// The id, the name (with `~` before it a regular expression, with `!` what must not match), or tags, separated by commas.
    #[schemars(length(min = 1, max = 255))]
    pub value: String,
}

/// By what a subnet is found.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum FloatingSubnetBy {
    /// Its id.
    Id,
    /// Its name.
    Name,
    /// Its tags.
    Tags,
}
