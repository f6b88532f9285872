//! Members of a pool, all in one request.

use super::{
    Failure, Octavia, Outcome, Provider, Provisioning, Request,
    member::{check_reserved, place},
    object::{Json, Kind},
    provider, schema,
    settle::Deed,
    value::text_as_flag,
    vip,
};
use crate::{call::Answer, neutron::Neutron, uuid::Uuid};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// What a batch comes to.
#[derive(Debug, Default)]
struct Batch {
    new: Vec<Json>,
    /// Every member that is in the request and there already is given to the provider, whether it differs or not.
    changed: Vec<(Uuid, Json)>,
    /// Members that the request doesn't name.
    others: Vec<Uuid>,
}

impl Octavia {
    /// Makes the members of a pool those of the request; or, with `additive_only`, adds and changes those of the request
    /// and leaves the others.
    pub(super) fn update_members(&mut self, neutron: &mut Neutron, request: &Request<'_>, pool: Uuid) -> Outcome {
        let members = schema::read_members(request.call)?;
        let mut query = form_urlencoded::parse(request.call.query.as_bytes());
        let additive = query.find(|(name, _)| name == "additive_only").and_then(|(_, value)| text_as_flag(&value));
        let additive = additive.unwrap_or(false);
        self.check_pool_free(pool)?;
        let batch = self.sort_members(pool, members)?;
        if batch.new.is_empty() && batch.changed.is_empty() && batch.others.is_empty() {
            return Ok(Answer::empty(202));
        }
        self.check_batch(neutron, request, pool, &batch, additive)?;
        self.take_pool(pool)?;
        let load_balancer = self.owner(pool)?.id;
        let mut created = Vec::with_capacity(batch.new.len());
        for member in batch.new {
            created.push(self.insert_member(pool, member)?);
        }
        let mut changed = Vec::with_capacity(batch.changed.len());
        for (id, change) in batch.changed {
            if let Some(member) = self.store.get_mut(id) {
                member.merge(change);
                member.set(Provisioning::PendingUpdate, None);
            }
            changed.push(id);
        }
        let deleted = if additive { Vec::new() } else { batch.others };
        self.store.mark(&deleted, Provisioning::PendingDelete);
        let provider = self.provider_of(load_balancer);
        self.leave(load_balancer, deeds(provider, pool, created, changed, deleted));
        Ok(Answer::empty(202))
    }

    /// Which members are new, which are there, and which aren't named: told apart by address and port.
    fn sort_members(&self, pool: Uuid, members: Vec<Json>) -> Result<Batch, Failure> {
        let known: HashMap<(&str, i64), Uuid> =
            self.store.children(pool, Kind::Member).map(|member| (place(&member.attributes), member.id)).collect();
        let mut batch = Batch::default();
        let mut named = HashSet::new();
        for mut member in members {
            let Some(id) = known.get(&place(&member)).copied() else {
                check_reserved(&member)?;
                batch.new.push(member);
                continue;
            };
            if !named.insert(id) {
                return Err(Failure::validation("Member must be updated only once in the same request."));
            }
            for name in ["project_id", "tenant_id", "request_sriov"] {
                member.remove(name);
            }
            batch.changed.push((id, member));
        }
        batch.others = known.values().copied().filter(|id| !named.contains(id)).collect();
        Ok(batch)
    }

    /// Everything that can be wrong with a batch, before anything is done.
    fn check_batch(
        &self,
        neutron: &mut Neutron,
        request: &Request<'_>,
        pool: Uuid,
        batch: &Batch,
        additive: bool,
    ) -> Result<(), Failure> {
        let owner = self.owner(pool)?;
        let gone = if additive { 0 } else { batch.others.len() };
        self.check_quota(Kind::Member, &owner.project, batch.new.len().saturating_sub(gone))?;
        let mut subnets = HashSet::new();
        let mut places = HashSet::new();
        for member in &batch.new {
            let subnet = member.get("subnet_id").and_then(Value::as_str);
            if subnet.is_some_and(|subnet| subnets.insert(subnet)) {
                vip::check_subnet(neutron, request.caller, member)?;
            }
            if !places.insert(place(member)) {
                let (address, port) = place(member);
                let message =
                    format!("Another member on this pool is already using ip {address} on protocol_port {port}");
                return Err(Failure::new(409, message));
            }
        }
        let vips = self.vips(neutron, owner.id);
        let provider = self.provider_of(owner.id);
        let found = self.stored(Kind::Pool, pool)?;
        let changed = batch.changed.iter().map(|(_, member)| member);
        for member in batch.new.iter().chain(changed) {
            provider.check_member(found, &vips, member, provider::Deed::Batch)?;
        }
        // What stays is given to the provider as well.
        for member in batch.others.iter().filter(|_| additive).filter_map(|id| self.store.get(*id)) {
            provider.check_member(found, &vips, &member.attributes, provider::Deed::Batch)?;
        }
        Ok(())
    }
}

/// The OVN driver creates, changes and deletes one after the other, a worker all at once.
fn deeds(provider: Provider, pool: Uuid, created: Vec<Uuid>, changed: Vec<Uuid>, deleted: Vec<Uuid>) -> Vec<Deed> {
    if provider == Provider::Amphora {
        return vec![Deed::Members { pool, created, changed, deleted }];
    }
    let none = Vec::new;
    let steps = [(created, none(), none()), (none(), changed, none()), (none(), none(), deleted)];
    let has_work =
        |step: &&(Vec<Uuid>, Vec<Uuid>, Vec<Uuid>)| !(step.0.is_empty() && step.1.is_empty() && step.2.is_empty());
    let deed = |step: &(Vec<Uuid>, Vec<Uuid>, Vec<Uuid>)| {
        let (created, changed, deleted) = step.clone();
        Deed::Members { pool, created, changed, deleted }
    };
    steps.iter().filter(has_work).map(deed).collect()
}
