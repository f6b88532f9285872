//! The load balancer that a Service is to have, in Octavia's words.

use super::{
    abilities::Feature,
    spec::{Algorithm, External, Monitor, Protocol, Timeouts, Vip},
};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
};

/// What a Service is to have, and what it can't have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The load balancer, its listeners, pools, members and monitors.
    pub graph: Graph,
    /// How it is reached from outside. None: not at all, because nobody asked for it, or because it would be open to more than it may.
    pub external: Option<External>,
    /// What the Service asks for and the provider can't do, in the order of the spec.
    pub unsupported: Vec<Unsupported>,
}

/// A load balancer with all that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// Its name, for people.
    pub name: String,
    /// Its description: the owner mark, by which it is found again (`names::OwnerMark`).
    pub description: String,
    /// Its provider. None: the cloud's default.
    pub provider: Option<String>,
    /// Id of its flavor.
    pub flavor_id: Option<String>,
    /// Its availability zone.
    pub availability_zone: Option<String>,
    /// Its address.
    pub vip: Vip,
    /// Its further addresses (`additional_vips`).
    pub additional_vips: BTreeSet<Vip>,
    /// Its listeners, each with a pool of its own.
    pub listeners: BTreeMap<Key, Listener>,
}

impl Graph {
    /// How many members all pools have together.
    #[must_use]
    pub fn member_count(&self) -> usize {
        self.listeners.values().map(|listener| listener.pool.members.len()).sum()
    }
}

/// What tells the listeners of a load balancer apart: Octavia allows one listener for each transport protocol and port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The transport protocol.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.protocol, self.port)
    }
}

/// A listener and its pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its protocol, which can't be changed.
    pub protocol: ListenerProtocol,
    /// What can be changed.
    pub settings: ListenerSettings,
    /// Its default pool. No two listeners share one: members go to the number of a named target port, which is the port's own, and OVN's
    /// provider allows one protocol for both.
    pub pool: Pool,
}

/// Protocol of a listener (`protocol`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListenerProtocol {
    /// `TCP`.
    Tcp,
    /// `UDP`.
    Udp,
    /// `SCTP`.
    Sctp,
    /// `HTTP`, over TCP.
    Http,
    /// `TERMINATED_HTTPS`, over TCP.
    TerminatedHttps,
    /// One that Kuryr never makes, over TCP.
    Other,
}

impl ListenerProtocol {
    /// The transport protocol, which is what keeps two listeners from having the same port.
    #[must_use]
    pub const fn transport(self) -> Protocol {
        match self {
            Self::Udp => Protocol::Udp,
            Self::Sctp => Protocol::Sctp,
            Self::Tcp | Self::Http | Self::TerminatedHttps | Self::Other => Protocol::Tcp,
        }
    }
}

/// Protocol of a pool (`protocol`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PoolProtocol {
    /// `TCP`.
    Tcp,
    /// `UDP`.
    Udp,
    /// `SCTP`.
    Sctp,
    /// `HTTP`.
    Http,
    /// `PROXY`: TCP with the PROXY protocol's version 1.
    Proxy,
    /// `PROXYV2`: TCP with the PROXY protocol's version 2.
    ProxyV2,
    /// One that Kuryr never makes.
    Other,
}

/// What can be changed of a listener. None means that Octavia's provider has no such thing, and what it says is of no interest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Its name.
    pub name: String,
    /// It takes connections.
    pub admin_state_up: bool,
    /// Most connections at a time. -1: no limit.
    pub connection_limit: Option<i32>,
    /// Its timeouts.
    pub timeouts: Option<Timeouts>,
    /// Who may connect (`allowed_cidrs`). Empty: everybody.
    pub allowed_cidrs: BTreeSet<IpNet>,
    /// It tells members the client's address (`insert_headers`, `X-Forwarded-For`).
    pub x_forwarded_for: bool,
    /// The Barbican container of its certificate (`default_tls_container_ref`).
    pub tls_container_ref: Option<String>,
}

/// A pool, its members and its monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Its protocol, which can't be changed.
    pub protocol: PoolProtocol,
    /// What can be changed.
    pub settings: PoolSettings,
    /// Its members. Octavia allows one for each address and port.
    pub members: Members,
    /// Its health monitor.
    pub monitor: Option<HealthMonitor>,
}

/// What can be changed of a pool. With some providers two of these can't (see [`Feature::PoolInPlace`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSettings {
    /// Its name, distinct within the load balancer.
    pub name: String,
    /// It is used.
    pub admin_state_up: bool,
    /// How it chooses a member.
    pub algorithm: Algorithm,
    /// A client that comes again has the same member (`session_persistence` of type `SOURCE_IP`).
    pub persistence: Option<Persistence>,
}

/// `session_persistence` of type `SOURCE_IP`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Persistence {
    /// `persistence_timeout`, in seconds. None: as long as the provider remembers.
    pub timeout: Option<u32>,
}

/// The members of a pool.
pub type Members = BTreeMap<MemberKey, Member>;

/// What tells the members of a pool apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberKey {
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

/// A member of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Id of the Neutron subnet of its address, which can't be changed. None: it isn't known.
    pub subnet_id: Option<String>,
    /// Its share of the connections, 0 to 256. Kuryr gives all the same.
    pub weight: u16,
    /// It is used.
    pub admin_state_up: bool,
}

impl Member {
    /// A member as Kuryr makes it.
    #[must_use]
    pub const fn on(subnet_id: Option<String>) -> Self {
        Self { subnet_id, weight: 1, admin_state_up: true }
    }
}

/// A health monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthMonitor {
    /// What it does, which can't be changed.
    pub kind: MonitorType,
    /// What can be changed.
    pub settings: Monitor,
    /// It is used.
    pub admin_state_up: bool,
}

/// What a health monitor does (`type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MonitorType {
    /// `TCP`: connects.
    Tcp,
    /// `UDP-CONNECT`: sends, and takes a refusal as bad.
    UdpConnect,
    /// `SCTP`: connects.
    Sctp,
    /// One that Kuryr never makes.
    Other,
}

/// Something that a Service asks for and can't have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// What was asked for.
    pub what: Feature,
    /// Of which port; None: of the Service.
    pub port: Option<Key>,
    /// What follows from it.
    pub effect: Effect,
    /// A sentence for people: what asked for it, why it can't be had, and what to do.
    pub message: String,
}

/// What follows from something that can't be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// The Service works without it.
    Ignored,
    /// The port isn't served.
    PortNotServed,
    /// The addresses of one family aren't served.
    FamilyNotServed,
    /// The Service isn't reached from outside.
    NotExposed,
}
