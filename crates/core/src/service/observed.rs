//! What Octavia has of a Service. The controller fills it from Octavia's answers.

use super::graph::{ListenerProtocol, ListenerSettings, Member, MemberKey, MonitorType, PoolProtocol, PoolSettings};
use super::spec::{Monitor, Vip};
use std::collections::{BTreeMap, BTreeSet};

/// What Octavia has of one Service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// Id of the load balancer that the KuryrLoadBalancer's status names.
    pub recorded: Option<String>,
    /// The recorded load balancer, where Octavia still has it, and all others that carry the owner mark. Without `DELETED` ones.
    pub load_balancers: Vec<ObservedLoadBalancer>,
    /// How many requests were made while something was in `ERROR`, since it was last as desired: each one that didn't help makes the next
    /// one reach further. Whoever makes the requests counts by [`Self::has_error`].
    pub repairs: u32,
    /// What is waited for takes longer than it may: a listener, pool, member or monitor that changes still counts as failed.
    pub stuck: bool,
}

impl Observed {
    /// Whether anything of what carries this owner mark is in `ERROR`, or counts as if it were.
    #[must_use]
    pub fn has_error(&self, mark: &str) -> bool {
        self.load_balancers.iter().filter(|load_balancer| load_balancer.description == mark).any(|load_balancer| {
            load_balancer.provisioning == Provisioning::Error
                || load_balancer.parts().any(|part| part == Provisioning::Error || (self.stuck && part.is_pending()))
        })
    }
}

/// `provisioning_status`: whether what Octavia was told is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provisioning {
    /// `ACTIVE`: done.
    #[default]
    Active,
    /// `PENDING_CREATE`: not done.
    PendingCreate,
    /// `PENDING_UPDATE`: not done.
    PendingUpdate,
    /// `PENDING_DELETE`: it is about to go.
    PendingDelete,
    /// `ERROR`: it failed.
    Error,
}

impl Provisioning {
    /// It changes still, and refuses other changes meanwhile.
    #[must_use]
    pub const fn is_pending(self) -> bool {
        matches!(self, Self::PendingCreate | Self::PendingUpdate | Self::PendingDelete)
    }

    /// The status in Octavia's words. What isn't known (the states of an amphora, `DELETED`) is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::PendingCreate, Self::PendingUpdate, Self::PendingDelete, Self::Error]
            .into_iter()
            .find(|status| status.as_str() == text)
    }

    /// As Octavia says it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::PendingCreate => "PENDING_CREATE",
            Self::PendingUpdate => "PENDING_UPDATE",
            Self::PendingDelete => "PENDING_DELETE",
            Self::Error => "ERROR",
        }
    }
}

/// `operating_status`: whether it works. It decides nothing: members come and go as Kubernetes says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operating {
    /// `ONLINE`.
    #[default]
    Online,
    /// `OFFLINE`: also a pool without members.
    Offline,
    /// `DEGRADED`: some of it doesn't work.
    Degraded,
    /// `ERROR`: none of it works.
    Error,
    /// `DRAINING`.
    Draining,
    /// `NO_MONITOR`: nobody looks.
    NoMonitor,
}

/// A load balancer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedLoadBalancer {
    /// Its id.
    pub id: String,
    /// Its `provisioning_status`.
    pub provisioning: Provisioning,
    /// Its `operating_status`.
    pub operating: Operating,
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: String,
    /// It is used.
    pub admin_state_up: bool,
    /// Its provider.
    pub provider: String,
    /// Id of its flavor.
    pub flavor_id: Option<String>,
    /// Its availability zone.
    pub availability_zone: Option<String>,
    /// Its address.
    pub vip: Vip,
    /// Id of the Neutron port of its address.
    pub vip_port_id: String,
    /// Its further addresses.
    pub additional_vips: BTreeSet<Vip>,
    /// Its listeners.
    pub listeners: Vec<ObservedListener>,
    /// Its pools.
    pub pools: Vec<ObservedPool>,
}

impl ObservedLoadBalancer {
    /// The `provisioning_status` of all its parts. OVN's provider says that a load balancer is `ACTIVE` while some of them aren't yet.
    pub fn parts(&self) -> impl Iterator<Item = Provisioning> + '_ {
        let listeners = self.listeners.iter().map(|listener| listener.provisioning);
        listeners.chain(self.pools.iter().flat_map(ObservedPool::parts))
    }

    /// The `provisioning_status` of the parts that come or go still, or that something is put into or taken from. Not of a listener that is
    /// only changed: OVN's provider says of none when it is done after a change of its pool's monitor.
    pub fn parts_in_work(&self) -> impl Iterator<Item = Provisioning> + '_ {
        let listeners = self.listeners.iter().filter(|listener| listener.is_in_work());
        let pools = self.pools.iter().flat_map(ObservedPool::parts).filter(|part| part.is_pending());
        listeners.map(|listener| listener.provisioning).chain(pools)
    }
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedListener {
    /// Its id.
    pub id: String,
    /// Its `provisioning_status`.
    pub provisioning: Provisioning,
    /// Its protocol.
    pub protocol: ListenerProtocol,
    /// Its port.
    pub port: u16,
    /// What can be changed.
    pub settings: ListenerSettings,
    /// Its `default_pool_id`.
    pub pool_id: Option<String>,
}

impl ObservedListener {
    /// It comes or goes still.
    #[must_use]
    pub const fn is_in_work(&self) -> bool {
        matches!(self.provisioning, Provisioning::PendingCreate | Provisioning::PendingDelete)
    }
}

/// A pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedPool {
    /// Its id.
    pub id: String,
    /// Its `provisioning_status`.
    pub provisioning: Provisioning,
    /// Its protocol.
    pub protocol: PoolProtocol,
    /// What can be changed.
    pub settings: PoolSettings,
    /// Its members.
    pub members: BTreeMap<MemberKey, ObservedMember>,
    /// Its health monitor.
    pub monitor: Option<ObservedMonitor>,
}

impl ObservedPool {
    /// The `provisioning_status` of the pool, its members and its monitor.
    pub fn parts(&self) -> impl Iterator<Item = Provisioning> + '_ {
        let members = self.members.values().map(|member| member.provisioning);
        members.chain(self.monitor.iter().map(|monitor| monitor.provisioning)).chain([self.provisioning])
    }

    /// Something of it changes still.
    #[must_use]
    pub fn is_in_work(&self) -> bool {
        self.parts().any(Provisioning::is_pending)
    }
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedMember {
    /// Its `provisioning_status`.
    pub provisioning: Provisioning,
    /// The rest.
    pub member: Member,
}

/// A health monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedMonitor {
    /// Its id.
    pub id: String,
    /// Its `provisioning_status`.
    pub provisioning: Provisioning,
    /// What it does.
    pub kind: MonitorType,
    /// What can be changed.
    pub settings: Monitor,
    /// It is used.
    pub admin_state_up: bool,
}
