//! What providers may be able to do, and since when each can: the table.

use super::ApiVersion;
use crate::service::spec::{Algorithm, Protocol};

/// Something that a provider may be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// Listeners and pools of a protocol.
    Protocol(Protocol),
    /// Two listeners of the same port with different protocols.
    SamePort,
    /// Choosing members so.
    Algorithm(Algorithm),
    /// A client that comes again has the same member (`session_persistence` of type `SOURCE_IP`).
    Persistence(Protocol),
    /// For how long, as the Service says.
    PersistenceTimeout(Protocol),
    /// The algorithm of a pool can be changed. Where not, the pool is replaced.
    PoolInPlace,
    /// The session persistence of a pool can be taken away. Where not, the pool is replaced.
    UnsetPersistence,
    /// A health monitor for pools of a protocol.
    Monitor(Protocol),
    /// `allowed_cidrs` of a listener.
    AllowedCidrs,
    /// `PROXY` pools.
    ProxyV1,
    /// `PROXYV2` pools.
    ProxyV2,
    /// HTTP listeners that insert X-Forwarded-For.
    XForwardedFor,
    /// TERMINATED_HTTPS listeners.
    Tls,
    /// Timeouts of a listener.
    Timeouts,
    /// Connection limit of a listener.
    ConnectionLimit,
    /// Weights of members.
    Weights,
    /// Backup members.
    Backup,
    /// Members of no known subnet.
    MemberWithoutSubnet,
    /// Addresses of both families.
    AdditionalVips,
    /// Flavors.
    Flavor,
    /// Availability zones.
    AvailabilityZone,
    /// The client's address reaches the members.
    ClientAddress,
    /// Endpoints of the client's own node only.
    NodeLocal,
    /// Everything is created by one request.
    PopulatedCreate,
    /// Tags.
    Tags,
    /// Members are added without naming the others (`additive_only`).
    AdditiveMembers,
    /// A load balancer in ERROR can be mended (`failover`).
    Failover,
}

/// Since which version of Octavia's API: what a provider's release can do is known by the API's version of the same release.
type Since = Option<ApiVersion>;

/// In every version.
const ALWAYS: Since = Some(ApiVersion::v2(0));

/// In no version.
const NEVER: Since = None;

/// In v2.`minor` and later.
const fn since(minor: u16) -> Since {
    Some(ApiVersion::v2(minor))
}

impl Feature {
    /// Every feature, in the order in which people read them.
    pub const ALL: [Self; 38] = [
        Self::Protocol(Protocol::Tcp),
        Self::Protocol(Protocol::Udp),
        Self::Protocol(Protocol::Sctp),
        Self::SamePort,
        Self::AdditionalVips,
        Self::Algorithm(Algorithm::RoundRobin),
        Self::Algorithm(Algorithm::LeastConnections),
        Self::Algorithm(Algorithm::SourceIp),
        Self::Algorithm(Algorithm::SourceIpPort),
        Self::Persistence(Protocol::Tcp),
        Self::Persistence(Protocol::Udp),
        Self::Persistence(Protocol::Sctp),
        Self::PersistenceTimeout(Protocol::Tcp),
        Self::PersistenceTimeout(Protocol::Udp),
        Self::PersistenceTimeout(Protocol::Sctp),
        Self::Monitor(Protocol::Tcp),
        Self::Monitor(Protocol::Udp),
        Self::Monitor(Protocol::Sctp),
        Self::AllowedCidrs,
        Self::ClientAddress,
        Self::NodeLocal,
        Self::ProxyV1,
        Self::ProxyV2,
        Self::XForwardedFor,
        Self::Tls,
        Self::Timeouts,
        Self::ConnectionLimit,
        Self::Weights,
        Self::Backup,
        Self::MemberWithoutSubnet,
        Self::Flavor,
        Self::AvailabilityZone,
        Self::PopulatedCreate,
        Self::AdditiveMembers,
        Self::Tags,
        Self::PoolInPlace,
        Self::UnsetPersistence,
        Self::Failover,
    ];

    /// Since when OVN's provider can do it.
    ///
    /// What it doesn't know it refuses (`UnsupportedOptionError`), or it takes it and does nothing: weights, backup members, connection
    /// limits and timeouts never reach OVN. It keeps algorithm and persistence for all pools of a protocol together, sets them with a pool's
    /// creation, and forgets the persistence of all of them with the deletion of any. A persistence without a timeout, and Octavia refuses
    /// one for TCP, is none: the provider is given `persistence_timeout: None`, and takes it at its word.
    pub(super) const fn ovn(self) -> Since {
        match self {
            Self::Protocol(Protocol::Tcp | Protocol::Udp) | Self::ClientAddress => ALWAYS,
            Self::AdditiveMembers => since(11),
            Self::SamePort | Self::Algorithm(Algorithm::SourceIpPort) => since(13),
            Self::Protocol(Protocol::Sctp) => since(23),
            Self::Monitor(Protocol::Tcp | Protocol::Udp) => since(25),
            // Zed (2.26) takes all of it but a monitor.
            Self::PopulatedCreate
            | Self::Persistence(Protocol::Udp | Protocol::Sctp)
            | Self::PersistenceTimeout(Protocol::Udp | Protocol::Sctp) => since(27),
            // Addresses of both families since 2023.1, members of both since 2024.1.
            Self::AdditionalVips => since(28),
            // Since 11.0.0 (2026.2); nothing that Octavia says tells it from 8.0.0 (2025.1). Older ones refuse it: see `without`.
            Self::Algorithm(Algorithm::SourceIp) => since(30),
            Self::Tags => since(5),
            Self::Algorithm(Algorithm::RoundRobin | Algorithm::LeastConnections)
            | Self::Persistence(Protocol::Tcp)
            | Self::PersistenceTimeout(Protocol::Tcp)
            | Self::PoolInPlace
            | Self::UnsetPersistence
            | Self::Monitor(Protocol::Sctp)
            | Self::AllowedCidrs
            | Self::ProxyV1
            | Self::ProxyV2
            | Self::XForwardedFor
            | Self::Tls
            | Self::Timeouts
            | Self::ConnectionLimit
            | Self::Weights
            | Self::Backup
            | Self::MemberWithoutSubnet
            | Self::Flavor
            | Self::AvailabilityZone
            | Self::NodeLocal
            | Self::Failover => NEVER,
        }
    }

    /// Since when the amphora provider can do it. A persistence's timeout is refused by Octavia itself for TCP pools; HAProxy remembers
    /// clients until its table is full.
    pub(super) const fn amphora(self) -> Since {
        match self {
            Self::Timeouts | Self::Backup => since(1),
            Self::Tags => since(5),
            Self::Flavor => since(6),
            Self::AdditiveMembers => since(11),
            Self::AllowedCidrs => since(12),
            Self::SamePort => since(13),
            Self::AvailabilityZone => since(14),
            Self::ProxyV2 => since(22),
            Self::Protocol(Protocol::Sctp)
            | Self::Monitor(Protocol::Sctp)
            | Self::Persistence(Protocol::Sctp)
            | Self::PersistenceTimeout(Protocol::Sctp) => since(23),
            Self::AdditionalVips => since(26),
            Self::Algorithm(Algorithm::SourceIpPort)
            | Self::PersistenceTimeout(Protocol::Tcp)
            | Self::ClientAddress
            | Self::NodeLocal => NEVER,
            Self::Protocol(Protocol::Tcp | Protocol::Udp)
            | Self::Algorithm(Algorithm::RoundRobin | Algorithm::LeastConnections | Algorithm::SourceIp)
            | Self::Persistence(Protocol::Tcp | Protocol::Udp)
            | Self::PersistenceTimeout(Protocol::Udp)
            | Self::PoolInPlace
            | Self::UnsetPersistence
            | Self::Monitor(Protocol::Tcp | Protocol::Udp)
            | Self::ProxyV1
            | Self::XForwardedFor
            | Self::Tls
            | Self::ConnectionLimit
            | Self::Weights
            | Self::MemberWithoutSubnet
            | Self::PopulatedCreate
            | Self::Failover => ALWAYS,
        }
    }

    /// Since when Octavia itself can do it: what another provider can't it refuses, and the Service's conditions say so.
    pub(super) const fn other(self) -> Since {
        match self {
            Self::Algorithm(Algorithm::SourceIpPort) => since(13),
            same => same.amphora(),
        }
    }
}
