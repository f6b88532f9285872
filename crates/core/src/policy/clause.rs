//! A policy as it is evaluated: checked, and in a form that is the same for all policies that say the same.

use super::{
    facts::{Name, Uid},
    prefix::PrefixSet,
    selector::{Pods, Selector},
};
use crate::service::spec::Protocol;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

/// A policy, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// Its uid.
    pub uid: Uid,
    /// Its namespace.
    pub namespace: Name,
    /// Which pods of the namespace it isolates.
    pub selector: Selector,
    /// What may come in. None: it says nothing of it.
    pub ingress: Option<Vec<Clause>>,
    /// What may go out. None: it says nothing of it.
    pub egress: Option<Vec<Clause>>,
}

/// One rule of a policy: each of these peers, at each of these ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// The peers. None in it: nobody, because nobody can match.
    pub peers: BTreeSet<Peer>,
    /// The ports. There is at least one.
    pub ports: BTreeSet<Port>,
}

/// Who a rule means.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// Everybody: the rule has no peers.
    Anyone,
    /// Pods by their labels.
    Pods(Arc<Pods>),
    /// Addresses, whoever has them: an `ipBlock` without its exceptions.
    Block(Arc<PrefixSet>),
}

/// What ports a rule means.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Port {
    /// Ports by number.
    Fixed(Ports),
    /// Ports by name.
    Named(PortName),
}

impl Port {
    /// The name, where it is one.
    #[must_use]
    pub const fn name(&self) -> Option<&PortName> {
        match self {
            Self::Named(name) => Some(name),
            Self::Fixed(_) => None,
        }
    }
}

/// A name of a port, with its protocol.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortName {
    /// The protocol.
    pub protocol: Protocol,
    /// The name.
    pub name: String,
}

impl fmt::Display for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{}", self.name, self.protocol)
    }
}

/// Ports by number, as a security group rule has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ports {
    /// All ports of all protocols, and what has no ports (ICMP).
    All,
    /// All ports of a protocol.
    Protocol(Protocol),
    /// The ports of a protocol from the first to the last.
    Range {
        /// The protocol.
        protocol: Protocol,
        /// The first port.
        first: u16,
        /// The last port.
        last: u16,
    },
    /// What has no ports: ICMP, of the rule's family (`icmp`, `ipv6-icmp`). Neutron can't say "all protocols but these".
    Icmp,
}

impl Ports {
    /// One port.
    #[must_use]
    pub const fn one(protocol: Protocol, port: u16) -> Self {
        Self::Range { protocol, first: port, last: port }
    }

    /// Whether a connection to this port is meant.
    #[must_use]
    pub fn contains(&self, wanted: Protocol, port: u16) -> bool {
        match *self {
            Self::All => true,
            Self::Protocol(protocol) => protocol == wanted,
            Self::Range { protocol, first, last } => protocol == wanted && (first..=last).contains(&port),
            Self::Icmp => false,
        }
    }

    /// Whether all of `other` are among these.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (*self, *other) {
            (Self::All, _) | (Self::Icmp, Self::Icmp) => true,
            (Self::Protocol(a), Self::Protocol(b) | Self::Range { protocol: b, .. }) => a == b,
            (
                Self::Range { protocol: a, first, last },
                Self::Range { protocol: b, first: other_first, last: other_last },
            ) => a == b && first <= other_first && other_last <= last,
            _ => false,
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all ports"),
            Self::Protocol(protocol) => write!(f, "{protocol}"),
            Self::Range { protocol, first, last } if first == last => write!(f, "{protocol} {first}"),
            Self::Range { protocol, first, last } => write!(f, "{protocol} {first}-{last}"),
            Self::Icmp => f.write_str("ICMP"),
        }
    }
}

/// To which numbers a pod's own named ports lead: what makes two pods that one policy selects need two groups. Only names that the policy's
/// ingress rules have are in it, and only those that the pod has.
pub type Resolution = BTreeMap<PortName, BTreeSet<u16>>;

impl Compiled {
    /// The names of ports of the selected pods that its ingress rules have.
    #[must_use]
    pub fn ingress_names(&self) -> BTreeSet<&PortName> {
        named(self.ingress.as_deref())
    }

    /// Which pods by their labels its rules name.
    #[must_use]
    pub fn pods(&self) -> BTreeSet<Arc<Pods>> {
        let clauses = self.ingress.iter().chain(&self.egress).flatten();
        let mut all: BTreeSet<Arc<Pods>> =
            clauses.flat_map(|clause| clause.peers.iter().filter_map(Peer::pods)).collect();
        // Where everybody is meant by the name of a port, the pods that have such a port are.
        let by_name = |clause: &&Clause| clause.ports.iter().any(|port| matches!(port, Port::Named(_)));
        let wide = |clause: &Clause| clause.peers.iter().any(|peer| peer.pods().is_none());
        if self.egress.iter().flatten().filter(by_name).any(wide) {
            all.insert(Arc::new(Pods::everywhere()));
        }
        all
    }

    /// Whether it lets everything out.
    #[must_use]
    pub fn opens_egress(&self) -> bool {
        let open =
            |clause: &Clause| clause.peers.contains(&Peer::Anyone) && clause.ports.contains(&Port::Fixed(Ports::All));
        self.egress.iter().flatten().any(open)
    }

    /// Whether its egress rules mean others than pods by their labels.
    #[must_use]
    pub fn is_broad(&self) -> bool {
        self.egress.iter().flatten().flat_map(|clause| &clause.peers).any(|peer| peer.pods().is_none())
    }

    /// Whether it lets anything out.
    #[must_use]
    pub fn has_egress_rules(&self) -> bool {
        self.egress.iter().flatten().any(|clause| !clause.peers.is_empty())
    }
}

/// The names of ports that rules have.
fn named(clauses: Option<&[Clause]>) -> BTreeSet<&PortName> {
    let ports =
        clauses.into_iter().flatten().filter(|clause| !clause.peers.is_empty()).flat_map(|clause| &clause.ports);
    ports.filter_map(Port::name).collect()
}

impl Peer {
    /// The pods, where it means some by their labels.
    #[must_use]
    pub fn pods(&self) -> Option<Arc<Pods>> {
        match self {
            Self::Pods(pods) => Some(Arc::clone(pods)),
            Self::Anyone | Self::Block(_) => None,
        }
    }
}
