//! Members of pools, one by one.

use super::{
    Failure, Octavia, Outcome, Provisioning, Request, attributes,
    object::{Json, Kind, Object},
    provider,
    schema::{self, POST, PUT},
    settle::{Deed, Given},
    vip,
};
use crate::{call::Answer, neutron::Neutron, uuid::Uuid};
use serde_json::Value;

/// Addresses that no member may have.
const RESERVED: [&str; 1] = ["169.254.169.254"];

impl Octavia {
    /// What can be done with the members of a pool.
    pub(super) fn members(
        &mut self,
        neutron: &mut Neutron,
        request: &Request<'_>,
        pool: Uuid,
        rest: &[&str],
    ) -> Outcome {
        request.may_touch(&self.stored(Kind::Pool, pool)?.project)?;
        match (request.call.method.as_str(), rest) {
            ("GET", []) => self.list(request, Kind::Member, Some(pool)),
            ("POST", []) => self.create_member(neutron, request, pool),
            ("PUT", []) => self.update_members(neutron, request, pool),
            (method @ ("GET" | "PUT" | "DELETE"), [id]) => {
                let member = self.readable(request, Kind::Member, id)?;
                if member.parent != Some(pool) {
                    return Err(Failure::not_found(Kind::Member, id));
                }
                let member = member.id;
                match method {
                    "GET" => {
                        let fields = super::list::fields(&request.call.query);
                        Ok(self.answer_one(200, self.stored(Kind::Member, member)?, &fields))
                    }
                    "PUT" => self.update_member(request, pool, member),
                    _ => self.delete_member(neutron, pool, member),
                }
            }
            _ => Err(Failure::no_such_path()),
        }
    }

    fn create_member(&mut self, neutron: &mut Neutron, request: &Request<'_>, pool: Uuid) -> Outcome {
        let body = schema::read(request.call, Kind::Member, POST)?;
        let owner = self.owner(pool)?;
        let (load_balancer, project) = (owner.id, owner.project.clone());
        check_reserved(&body)?;
        vip::check_subnet(neutron, request.caller, &body)?;
        self.check_quota(Kind::Member, &project, 1)?;
        self.check_pool_free(pool)?;
        self.check_duplicate(pool, &body)?;
        let vips = self.vips(neutron, load_balancer);
        let provider = self.provider_of(load_balancer);
        provider.check_member(self.stored(Kind::Pool, pool)?, &vips, &body, provider::Deed::Creation)?;
        self.take_pool(pool)?;
        let id = self.insert_member(pool, body)?;
        let created = vec![id];
        self.leave(load_balancer, [Deed::Members { pool, created, changed: Vec::new(), deleted: Vec::new() }]);
        Ok(self.answer_one(201, self.stored(Kind::Member, id)?, &[]))
    }

    /// Adds a member that has been asked for alone, in a batch or with its load balancer.
    pub(super) fn insert_member(&mut self, pool: Uuid, mut body: Json) -> Result<Uuid, Failure> {
        check_reserved(&body)?;
        if body.remove("request_sriov") == Some(Value::Bool(true)) {
            return Err(Failure::new(400, "The load balancer flavor does not allow SR-IOV member ports."));
        }
        self.check_duplicate(pool, &body)?;
        let project = self.stored(Kind::Pool, pool)?.project.clone();
        for name in ["project_id", "tenant_id"] {
            body.remove(name);
        }
        schema::fill(attributes::MEMBER, &mut body);
        let mut member = Object::new(Kind::Member, &project, Some(pool), body);
        // Where everything is created at once, Octavia doesn't see the pool's monitor yet.
        let is_watched = self.store.monitor_of(pool).is_some_and(|hm| hm.provisioning != Provisioning::PendingCreate);
        if !is_watched {
            member.operating = super::Operating::NoMonitor;
        }
        Ok(self.store.insert(member))
    }

    fn check_duplicate(&self, pool: Uuid, body: &Json) -> Result<(), Failure> {
        let key = place(body);
        if self.store.children(pool, Kind::Member).any(|member| place(&member.attributes) == key) {
            let message =
                format!("Another member on this pool is already using ip {} on protocol_port {}", key.0, key.1);
            return Err(Failure::new(409, message));
        }
        Ok(())
    }

    /// Whether the pool and its load balancer take changes.
    pub(super) fn check_pool_free(&self, pool: Uuid) -> Result<(), Failure> {
        let found = self.stored(Kind::Pool, pool)?;
        if found.provisioning != Provisioning::Active {
            return Err(Failure::immutable(Kind::Pool, pool));
        }
        self.check_free(found.parent.unwrap_or(pool))
    }

    fn update_member(&mut self, request: &Request<'_>, pool: Uuid, id: Uuid) -> Outcome {
        let mut change = schema::read(request.call, Kind::Member, PUT)?;
        let load_balancer = self.owner(pool)?.id;
        schema::set_back(attributes::MEMBER, &["weight", "backup"], &mut change);
        self.check_pool_free(pool)?;
        let provider = self.provider_of(load_balancer);
        provider.check_monitoring(&change, provider::Deed::Creation)?;
        self.take_pool(pool)?;
        let given = Given { up: change.contains_key("admin_state_up"), ..Given::default() };
        if let Some(member) = self.store.get_mut(id) {
            member.merge(change);
            member.set(Provisioning::PendingUpdate, None);
        }
        self.leave(load_balancer, [Deed::Changed(id, given)]);
        Ok(self.answer_one(200, self.stored(Kind::Member, id)?, &[]))
    }

    fn delete_member(&mut self, neutron: &mut Neutron, pool: Uuid, id: Uuid) -> Outcome {
        let load_balancer = self.owner(pool)?.id;
        self.check_pool_free(pool)?;
        let vips = self.vips(neutron, load_balancer);
        let member = self.stored(Kind::Member, id)?;
        self.provider_of(load_balancer).check_subnet(&member.attributes, &vips, provider::Deed::Deletion)?;
        self.take_pool(pool)?;
        self.store.mark(&[id], Provisioning::PendingDelete);
        let deleted = vec![id];
        self.leave(load_balancer, [Deed::Members { pool, created: Vec::new(), changed: Vec::new(), deleted }]);
        Ok(Answer::empty(204))
    }
}

/// What tells members of a pool apart. Octavia compares addresses as they are written.
pub(super) fn place(member: &Json) -> (&str, i64) {
    let address = member.get("address").and_then(Value::as_str).unwrap_or_default();
    (address, member.get("protocol_port").and_then(Value::as_i64).unwrap_or_default())
}

pub(super) fn check_reserved(member: &Json) -> Result<(), Failure> {
    let (address, _) = place(member);
    if RESERVED.contains(&address) { Err(Failure::option(address, "member address")) } else { Ok(()) }
}
