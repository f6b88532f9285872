//! What a test sees of Neutron, and does behind its back.

use super::{FakeCloud, NoSuchPort};
use crate::{PortView, pipeline::lock};

impl FakeCloud {
    /// All ports of all projects.
    #[must_use]
    pub fn ports(&self) -> Vec<PortView> {
        self.cloud.advance();
        lock(&self.cloud.neutron).port_views()
    }

    /// How many ports there are in all projects.
    #[must_use]
    pub fn port_count(&self) -> usize {
        self.cloud.advance();
        lock(&self.cloud.neutron).port_count()
    }

    /// The dataplane says that a port is plugged: its status becomes `ACTIVE`.
    ///
    /// # Errors
    /// When there is no such port.
    pub fn plugged(&self, port: &str) -> Result<(), NoSuchPort> {
        self.set_active(port, true)
    }

    /// The dataplane says that a port is not plugged any more: its status becomes `DOWN`.
    ///
    /// # Errors
    /// When there is no such port.
    pub fn unplugged(&self, port: &str) -> Result<(), NoSuchPort> {
        self.set_active(port, false)
    }

    fn set_active(&self, port: &str, active: bool) -> Result<(), NoSuchPort> {
        let known = lock(&self.cloud.neutron).set_active(port, active);
        if known { Ok(()) } else { Err(NoSuchPort(port.to_owned())) }
    }

    /// A port is gone as if somebody had deleted it by hand. False: there was none.
    pub fn delete_behind(&self, port: &str) -> bool {
        lock(&self.cloud.neutron).delete_behind(port)
    }

    /// From now on only the named hosts can be bound to, and this is one of them.
    pub fn add_host(&self, host: &str) {
        lock(&self.cloud.neutron).add_host(host);
    }

    /// A host loses its chassis: what is bound to it from now on is `binding_failed`. Means something only when
    /// the hosts are named ([`Config::hosts`](crate::Config::hosts) or [`Self::add_host`]).
    pub fn remove_host(&self, host: &str) {
        lock(&self.cloud.neutron).remove_host(host);
    }

    /// A project's limit for a kind of object, as `port` or `loadbalancer`; -1: none. `project` is the name of an account, or any project's
    /// identifier.
    pub fn set_quota(&self, project: &str, kind: &str, limit: i64) {
        let id = lock(&self.cloud.keystone).project_of(project).unwrap_or_else(|| project.into());
        if !lock(&self.cloud.octavia).set_quota_of(&id, kind, limit) {
            lock(&self.cloud.neutron).set_quota(&id, kind, limit);
        }
    }
}
