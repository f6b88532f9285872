//! What all kinds of objects have in common.

use crate::uuid::Uuid;
use serde_json::{Map, Value};
use std::{fmt, sync::Arc};

/// A JSON object.
pub(super) type Json = Map<String, Value>;

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    LoadBalancer,
    Listener,
    Pool,
    Member,
    HealthMonitor,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::LoadBalancer, Self::Listener, Self::Pool, Self::Member, Self::HealthMonitor];

    /// Around one object; also its name in quotas.
    pub const fn one(self) -> &'static str {
        match self {
            Self::LoadBalancer => "loadbalancer",
            Self::Listener => "listener",
            Self::Pool => "pool",
            Self::Member => "member",
            Self::HealthMonitor => "healthmonitor",
        }
    }

    /// Around a list; also the collection's path.
    pub const fn many(self) -> &'static str {
        match self {
            Self::LoadBalancer => "loadbalancers",
            Self::Listener => "listeners",
            Self::Pool => "pools",
            Self::Member => "members",
            Self::HealthMonitor => "healthmonitors",
        }
    }

    /// In messages.
    pub const fn title(self) -> &'static str {
        match self {
            Self::LoadBalancer => "Load Balancer",
            Self::Listener => "Listener",
            Self::Pool => "Pool",
            Self::Member => "Member",
            Self::HealthMonitor => "Health Monitor",
        }
    }

    /// What Octavia's code calls the body of a request: some messages say so.
    pub const fn argument(self) -> &'static str {
        match self {
            Self::LoadBalancer => "load_balancer",
            Self::Listener => "listener_",
            Self::Pool => "pool_",
            Self::Member => "member_",
            Self::HealthMonitor => "health_monitor_",
        }
    }

    /// The kind with this path, as `listeners`.
    pub fn of_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.many() == path)
    }
}

/// How far an object's last change has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provisioning {
    /// It is done.
    Active,
    /// It is being created.
    PendingCreate,
    /// It, or something that belongs to it, is being changed.
    PendingUpdate,
    /// It is being deleted.
    PendingDelete,
    /// It failed.
    Error,
}

impl Provisioning {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::PendingCreate => "PENDING_CREATE",
            Self::PendingUpdate => "PENDING_UPDATE",
            Self::PendingDelete => "PENDING_DELETE",
            Self::Error => "ERROR",
        }
    }
}

impl fmt::Display for Provisioning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Whether an object does its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operating {
    /// It does.
    Online,
    /// It doesn't, because it is disabled or not yet in use.
    Offline,
    /// Nobody looks whether this member does.
    NoMonitor,
    /// Some of its members don't.
    Degraded,
    /// It doesn't, or none of its members does.
    Error,
}

impl Operating {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Online => "ONLINE",
            Self::Offline => "OFFLINE",
            Self::NoMonitor => "NO_MONITOR",
            Self::Degraded => "DEGRADED",
            Self::Error => "ERROR",
        }
    }
}

impl fmt::Display for Operating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// An object of any kind.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub id: Uuid,
    pub kind: Kind,
    pub project: Arc<str>,
    /// The load balancer of listeners and pools, the pool of members and health monitors.
    pub parent: Option<Uuid>,
    pub provisioning: Provisioning,
    pub operating: Operating,
    pub created: i64,
    pub updated: Option<i64>,
    /// Everything else that it answers.
    pub attributes: Json,
}

impl Object {
    /// A new object, which is not yet provisioned.
    pub fn new(kind: Kind, project: &Arc<str>, parent: Option<Uuid>, attributes: Json) -> Self {
        Self {
            id: Uuid::random(),
            kind,
            project: Arc::clone(project),
            parent,
            provisioning: Provisioning::PendingCreate,
            operating: Operating::Offline,
            created: now(),
            updated: None,
            attributes,
        }
    }

    pub fn text(&self, name: &str) -> &str {
        self.attributes.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    pub fn number(&self, name: &str) -> Option<i64> {
        self.attributes.get(name).and_then(Value::as_i64)
    }

    pub fn flag(&self, name: &str) -> bool {
        self.attributes.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    pub fn uuid(&self, name: &str) -> Option<Uuid> {
        self.text(name).parse().ok()
    }

    /// Whether it is enabled.
    pub fn is_up(&self) -> bool {
        self.flag("admin_state_up")
    }

    /// Sets statuses. The time of the last change is that of the row, statuses included.
    pub fn set(&mut self, provisioning: Provisioning, operating: Option<Operating>) {
        self.provisioning = provisioning;
        self.operating = operating.unwrap_or(self.operating);
        self.touch();
    }

    pub fn touch(&mut self) {
        self.updated = Some(now());
    }

    /// Takes over changed attributes.
    pub fn merge(&mut self, changes: Json) {
        self.attributes.extend(changes);
        self.touch();
    }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// A time as Octavia writes it.
pub(super) fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%S").to_string()
}
