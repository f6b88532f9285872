//! Creation of load balancers, with everything in them or with nothing.

use super::{
    Failure, Octavia, Outcome, Provider, Request, attributes,
    object::{Json, Kind, Object},
    schema::{self, POST},
    settle::Deed,
    vip, vip_port,
};
use crate::{neutron::Neutron, uuid::Uuid};
use serde_json::Value;
use std::sync::Arc;

/// Takes a list of objects out of a request.
pub(super) fn take_list(body: &mut Json, name: &str) -> Vec<Json> {
    match body.remove(name) {
        Some(Value::Array(list)) => list.into_iter().filter_map(into_object).collect(),
        _ => Vec::new(),
    }
}

pub(super) fn into_object(value: Value) -> Option<Json> {
    match value {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

impl Octavia {
    pub(super) fn create_load_balancer(&mut self, neutron: &mut Neutron, request: &Request<'_>) -> Outcome {
        let mut body = schema::read(request.call, Kind::LoadBalancer, POST)?;
        let project = project(request, &mut body);
        request.may_touch(&project)?;
        vip::complete(neutron, request, &mut body)?;
        let provider = self.choose_provider(&body)?;
        self.check_quota(Kind::LoadBalancer, &project, 1)?;
        let (listeners, pools) = (take_list(&mut body, "listeners"), take_list(&mut body, "pools"));
        body.insert("provider".to_owned(), provider.name().into());
        schema::fill(attributes::LOAD_BALANCER, &mut body);
        let mut object = Object::new(Kind::LoadBalancer, &project, None, body);
        let id = object.id;
        vip_port::allocate(neutron, &project, provider, id, &mut object.attributes)?;
        self.store.insert(object);
        let created = self.fill_load_balancer(id, provider, listeners, pools);
        // As at the real one: what is refused from here on leaves the ports behind.
        let children = created.inspect_err(|_| drop(self.store.remove(id)))?;
        self.leave(id, std::iter::once(Deed::Created(id)).chain(children));
        Ok(self.answer_full(201, self.stored(Kind::LoadBalancer, id)?))
    }

    /// Adds listeners and pools, and says what the provider has to do for them.
    fn fill_load_balancer(
        &mut self,
        id: Uuid,
        provider: Provider,
        listeners: Vec<Json>,
        pools: Vec<Json>,
    ) -> Result<Vec<Deed>, Failure> {
        if listeners.is_empty() && pools.is_empty() {
            return Ok(Vec::new());
        }
        self.graph_create(id, listeners, pools)?;
        match provider {
            Provider::Ovn => self.give_to_ovn(id),
            // A worker does it all at once, and the API doesn't look whether it can.
            Provider::Amphora => Ok(Vec::new()),
        }
    }

    /// What the OVN driver does with a whole load balancer, one after the other.
    fn give_to_ovn(&self, id: Uuid) -> Result<Vec<Deed>, Failure> {
        let mut deeds = Vec::new();
        for listener in self.store.children(id, Kind::Listener) {
            Provider::Ovn.check_listener(&listener.attributes)?;
            deeds.push(Deed::Created(listener.id));
        }
        for pool in self.store.children(id, Kind::Pool) {
            Provider::Ovn.check_pool(&pool.attributes)?;
            deeds.push(Deed::Created(pool.id));
            if let Some(monitor) = self.store.monitor_of(pool.id) {
                Provider::Ovn.check_monitor(&monitor.attributes)?;
                deeds.push(Deed::Created(monitor.id));
            }
            let members: Vec<&Object> = self.store.children(pool.id, Kind::Member).collect();
            // Nothing else: to the driver there is no pool yet whose addresses it could compare.
            members.iter().try_for_each(|member| {
                Provider::Ovn.check_monitoring(&member.attributes, super::provider::Deed::Creation)
            })?;
            if !members.is_empty() {
                let created = members.iter().map(|member| member.id).collect();
                deeds.push(Deed::Members { pool: pool.id, created, changed: Vec::new(), deleted: Vec::new() });
            }
        }
        Ok(deeds)
    }

    fn choose_provider(&self, body: &Json) -> Result<Provider, Failure> {
        let given = |name: &str| body.get(name).is_some_and(|value| !value.is_null());
        if given("flavor_id") {
            return Err(Failure::validation("Invalid flavor_id."));
        }
        if given("availability_zone") {
            return Err(Failure::validation("Invalid availability zone."));
        }
        let Some(name) = body.get("provider").and_then(Value::as_str) else {
            return Ok(self.options.default_provider);
        };
        let known = self.options.providers.iter().copied().find(|provider| provider.name() == name);
        known.ok_or_else(|| Failure::new(400, format!("Provider '{name}' is not enabled.")))
    }
}

/// The project of a new load balancer: the caller's, or the one that is named.
fn project(request: &Request<'_>, body: &mut Json) -> Arc<str> {
    let named = [body.remove("project_id"), body.remove("tenant_id")];
    let named = named.into_iter().flatten().find_map(|value| value.as_str().map(Arc::from));
    named.unwrap_or_else(|| Arc::clone(&request.caller.project))
}
