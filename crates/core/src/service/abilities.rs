//! What Octavia's providers can do: one table. Read in the drivers' code (octavia 19.0.0 `api/drivers/amphora_driver`, `api/v2`,
//! ovn-octavia-provider 11.0.0 `driver.py`, `helper.py`), for older ones in their release notes.

use super::spec::{Algorithm, Protocol};
use std::fmt;

/// A version of Octavia's API, as `GET /` says: v2.MINOR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    /// 2.
    pub major: u16,
    /// What counts.
    pub minor: u16,
}

impl ApiVersion {
    /// v2.`minor`.
    #[must_use]
    pub const fn v2(minor: u16) -> Self {
        Self { major: 2, minor }
    }

    /// Reads `v2.27`. None if it isn't a version.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}", self.major, self.minor)
    }
}

/// Who makes Octavia's load balancers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// `ovn`: flows on every node.
    Ovn,
    /// `amphora`, which is also called `octavia`: a virtual machine with HAProxy and LVS.
    Amphora,
    /// Another one. Octavia refuses what it can't do.
    Other(String),
}

impl Provider {
    /// The provider that Octavia calls so.
    #[must_use]
    pub fn of(name: &str) -> Self {
        match name {
            "ovn" => Self::Ovn,
            "amphora" | "amphorav2" | "octavia" => Self::Amphora,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ovn => "ovn",
            Self::Amphora => "amphora",
            Self::Other(name) => name,
        })
    }
}

/// Something that a provider may be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// Listeners and pools of a protocol.
    Protocol(Protocol),
    /// Two listeners of the same port with different protocols.
    SamePort,
    /// Choosing members so.
    Algorithm(Algorithm),
    /// A client that comes again has the same member (`SOURCE_IP`).
    Persistence,
    /// For how long, as the Service says.
    PersistenceTimeout(Protocol),
    /// Algorithm and persistence of a pool can be changed. Where not, the pool is replaced.
    PoolInPlace,
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
    /// Members are added without naming the others (`additive_only`).
    AdditiveMembers,
    /// A load balancer in ERROR can be mended (`failover`).
    Failover,
}

/// What a provider of an Octavia can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abilities {
    /// The provider.
    pub provider: Provider,
    /// The newest version of Octavia's API.
    pub api: ApiVersion,
}
