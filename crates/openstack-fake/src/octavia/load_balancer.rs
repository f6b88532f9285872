//! Load balancers, once they are there.

use super::{
    Failure, Octavia, Outcome, Provider, Provisioning, Request,
    object::Kind,
    quota::only_admin,
    schema::{self, PUT},
    settle::{Deed, Given},
    value::text_as_flag,
    vip,
};
use crate::{call::Answer, neutron::Neutron, uuid::Uuid};
use serde_json::{Value, json};

impl Octavia {
    pub(super) fn update_load_balancer(&mut self, neutron: &mut Neutron, request: &Request<'_>, id: Uuid) -> Outcome {
        let mut change = schema::read(request.call, Kind::LoadBalancer, PUT)?;
        vip::check_groups(neutron, request.caller, &change)?;
        if change.get("vip_sg_ids").is_some_and(Value::is_null) {
            change.insert("vip_sg_ids".to_owned(), json!([]));
        }
        self.check_state(id, &[Provisioning::Active])?;
        let given = Given { up: change.contains_key("admin_state_up"), ..Given::default() };
        if let Some(object) = self.store.get_mut(id) {
            object.merge(change);
            object.set(Provisioning::PendingUpdate, None);
        }
        self.leave(id, [Deed::Changed(id, given)]);
        Ok(self.answer_one(200, self.stored(Kind::LoadBalancer, id)?, &[]))
    }

    pub(super) fn delete_load_balancer(&mut self, request: &Request<'_>, id: Uuid) -> Result<(), Failure> {
        let mut query = form_urlencoded::parse(request.call.query.as_bytes());
        let cascade = query.find(|(name, _)| name == "cascade").and_then(|(_, value)| text_as_flag(&value));
        let mut children = self.store.children(id, Kind::Listener).chain(self.store.children(id, Kind::Pool));
        if children.next().is_some() && cascade != Some(true) {
            let message = format!("Cannot delete Load Balancer {id} - it has children");
            return Err(Failure::validation(&message));
        }
        drop(children);
        self.check_state(id, &[Provisioning::Active, Provisioning::Error])?;
        if let Some(object) = self.store.get_mut(id) {
            object.set(Provisioning::PendingDelete, None);
        }
        self.lose_unmade_parts(id);
        let pools = self.store.child_ids(id, Kind::Pool);
        let has_members = pools.into_iter().any(|pool| self.store.children(pool, Kind::Member).next().is_some());
        let emptied = has_members && self.provider_of(id) == Provider::Ovn;
        self.leave(id, emptied.then_some(Deed::Emptied(id)).into_iter().chain([Deed::Deleted(id)]));
        Ok(())
    }

    /// Another worker than the one that makes the parts deletes the load balancer: what isn't made yet is `PENDING_CREATE` for ever, and
    /// nobody can delete it, as its load balancer is gone.
    fn lose_unmade_parts(&mut self, id: Uuid) {
        if self.provider_of(id) != Provider::Ovn {
            return;
        }
        let parts = self.store.child_ids(id, Kind::Pool).into_iter().chain(self.store.child_ids(id, Kind::Listener));
        let is_unmade =
            |part: &Uuid| self.store.get(*part).is_some_and(|part| part.provisioning == Provisioning::PendingCreate);
        let unmade: Vec<Uuid> = parts.filter(is_unmade).collect();
        self.work.drop_creations(id, &unmade);
        unmade.into_iter().for_each(|part| self.store.orphan(part));
    }

    fn check_state(&self, id: Uuid, mutable: &[Provisioning]) -> Result<(), Failure> {
        let state = self.stored(Kind::LoadBalancer, id)?.provisioning;
        if mutable.contains(&state) {
            return Ok(());
        }
        Err(Failure::new(409, format!("Invalid state {state} of loadbalancer resource {id}")))
    }

    /// Amphorae are made anew; OVN has nothing to fail over to.
    pub(super) fn failover(&mut self, request: &Request<'_>, id: &str) -> Outcome {
        let id = self.changeable(request, Kind::LoadBalancer, id)?;
        only_admin(request)?;
        self.check_state(id, &[Provisioning::Active, Provisioning::Error])?;
        let provider = self.provider_of(id);
        if provider == Provider::Ovn {
            let message = "OVN provider does not support loadbalancer failover";
            return Err(Failure::unsupported(provider.name(), message));
        }
        if let Some(object) = self.store.get_mut(id) {
            object.set(Provisioning::PendingUpdate, None);
        }
        self.leave(id, [Deed::Changed(id, Given::default())]);
        Ok(Answer::empty(202))
    }
}
