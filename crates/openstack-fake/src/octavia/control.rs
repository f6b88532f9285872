//! What tests do behind the API's back.

use super::{Octavia, Operating, Provisioning, Settle, object::Kind, quota};
use crate::{neutron::Neutron, uuid::Uuid};
use serde_json::Value;

impl Octavia {
    /// The object with this identifier, of whatever kind.
    fn known(&self, id: &str) -> Option<Uuid> {
        id.parse().ok().filter(|id| self.store.get(*id).is_some())
    }

    fn known_load_balancer(&self, id: &str) -> Option<Uuid> {
        let known = self.known(id)?;
        self.store.get(known).filter(|object| object.kind == Kind::LoadBalancer).map(|_| known)
    }

    /// Listeners and pools whose load balancer is gone.
    pub fn left_parts(&self) -> Vec<String> {
        let parts = self.store.of_kind(Kind::Listener).chain(self.store.of_kind(Kind::Pool));
        let is_left =
            |part: &&super::object::Object| part.parent.is_some_and(|parent| self.store.get(parent).is_none());
        parts.filter(is_left).map(|part| part.id.to_string()).collect()
    }

    /// An object, and for a load balancer its steps as well, end in ERROR.
    pub fn break_object(&mut self, id: &str) -> bool {
        let Some(id) = self.known(id) else { return false };
        self.work.forget(id);
        if let Some(object) = self.store.get_mut(id) {
            object.set(Provisioning::Error, Some(Operating::Error));
        }
        true
    }

    /// A load balancer is pending from now on, and stays so.
    pub fn stick(&mut self, id: &str) -> bool {
        let Some(id) = self.known_load_balancer(id) else { return false };
        self.work.stick(id);
        if let Some(object) = self.store.get_mut(id)
            && matches!(object.provisioning, Provisioning::Active | Provisioning::Error)
        {
            object.set(Provisioning::PendingUpdate, None);
        }
        true
    }

    /// A load balancer that was stuck goes on.
    pub fn unstick(&mut self, id: &str) -> bool {
        let Some(id) = self.known_load_balancer(id) else { return false };
        let was_stuck = self.work.unstick(id);
        if was_stuck
            && !self.work.has_steps(id)
            && let Some(object) = self.store.get_mut(id)
        {
            object.set(Provisioning::Active, None);
        }
        was_stuck
    }

    pub fn fail_next(&mut self, changes: usize) {
        self.work.fail_next(changes);
    }

    pub fn set_settle(&mut self, settle: Settle) {
        self.work.set_settle(settle);
    }

    /// An object and what belongs to it are gone as if somebody had deleted them by hand.
    pub fn delete_behind(&mut self, neutron: &mut Neutron, id: &str) -> bool {
        let Some(id) = self.known(id) else { return false };
        if self.store.load_balancer_of(id) == Some(id) {
            self.drop_load_balancer(neutron, id);
            self.work.forget(id);
        } else {
            self.store.remove(id);
        }
        true
    }

    /// An attribute of an object is another as if somebody had changed it by hand.
    pub fn alter_behind(&mut self, id: &str, name: &str, value: Value) -> bool {
        let object = self.known(id).and_then(|id| self.store.get_mut(id));
        object.is_some_and(|object| {
            object.attributes.insert(name.to_owned(), value);
            object.touch();
            true
        })
    }

    /// A health monitor has found out how a member is.
    pub fn set_member_status(&mut self, id: &str, status: Operating) -> bool {
        let Some(id) = self.known(id) else { return false };
        self.member_found(id, status);
        true
    }

    /// Sets a quota that Octavia has. False: it has none of this name.
    pub fn set_quota_of(&mut self, project: &str, name: &str, limit: i64) -> bool {
        let known = quota::known(name);
        known.map(|name| self.set_quota(project, name, limit)).is_some()
    }
}
