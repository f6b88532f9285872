//! Pools.

use super::{
    Failure, Octavia, Outcome, Provisioning, Request, attributes,
    object::{Json, Kind, Object},
    protocol::{check_pair, is_datagram},
    provider,
    schema::{self, POST, PUT},
    settle::{Deed, Given},
};
use crate::{neutron::Neutron, uuid::Uuid};
use serde_json::Value;

fn text<'a>(body: &'a Json, name: &str) -> &'a str {
    body.get(name).and_then(Value::as_str).unwrap_or_default()
}

impl Octavia {
    pub(super) fn create_pool(&mut self, request: &Request<'_>) -> Outcome {
        let mut body = schema::read(request.call, Kind::Pool, POST)?;
        if ["members", "healthmonitor"].iter().any(|name| body.get(*name).is_some_and(|value| !value.is_null())) {
            return Err(Failure::only_within_whole());
        }
        let listener = body.remove("listener_id").and_then(|id| id.as_str().map(ToOwned::to_owned));
        let named = body.remove("loadbalancer_id").and_then(|id| id.as_str().map(ToOwned::to_owned));
        let listener = match &listener {
            Some(id) => Some(self.find(Kind::Listener, id)?),
            None => None,
        };
        let owner = match (named, listener) {
            (Some(id), _) => self.find(Kind::LoadBalancer, &id)?,
            (None, Some(listener)) => {
                check_pair(listener.text("protocol"), text(&body, "protocol"))?;
                self.owner(listener.id)?
            }
            (None, None) => {
                return Err(Failure::validation("Must provide at least one of: loadbalancer_id, listener_id"));
            }
        };
        let (load_balancer, project) = (owner.id, owner.project.clone());
        let listener = listener.map(|listener| (listener.id, listener.uuid("default_pool_id").is_some()));
        request.may_touch(&project)?;
        check_persistence(&body, text(&body, "protocol"), "UDP and SCTP")?;
        self.check_quota(Kind::Pool, &project, 1)?;
        if listener.is_some_and(|(_, has_pool)| has_pool) {
            return Err(Failure::new(409, "This listener already has a default pool"));
        }
        self.check_free(load_balancer)?;
        self.provider_of(load_balancer).check_pool(&body)?;
        let listener = listener.map(|(id, _)| id);
        self.take(load_balancer, listener.as_slice())?;
        let id = self.insert_pool(load_balancer, body)?;
        if let Some(listener) = listener.and_then(|id| self.store.get_mut(id)) {
            listener.attributes.insert("default_pool_id".to_owned(), id.to_string().into());
        }
        self.leave(load_balancer, [Deed::Created(id)]);
        Ok(self.answer_one(201, self.stored(Kind::Pool, id)?, &[]))
    }

    /// Adds a pool that has been asked for alone or with its load balancer.
    pub(super) fn insert_pool(&mut self, load_balancer: Uuid, mut body: Json) -> Result<Uuid, Failure> {
        let project = self.owner(load_balancer)?.project.clone();
        for name in ["project_id", "tenant_id", "members", "healthmonitor"] {
            body.remove(name);
        }
        schema::fill(attributes::POOL, &mut body);
        fill_persistence(&mut body);
        Ok(self.store.insert(Object::new(Kind::Pool, &project, Some(load_balancer), body)))
    }

    pub(super) fn update_pool(&mut self, request: &Request<'_>, id: Uuid) -> Outcome {
        let mut change = schema::read(request.call, Kind::Pool, PUT)?;
        let pool = self.stored(Kind::Pool, id)?;
        let (load_balancer, protocol) = (pool.parent.unwrap_or(id), pool.text("protocol").to_owned());
        complete_persistence(pool, &mut change);
        check_persistence(&change, &protocol, "UDP")?;
        self.check_free(load_balancer)?;
        self.provider_of(load_balancer).check_pool(&change)?;
        let listeners = self.store.listeners_of(id, Some(load_balancer));
        self.take(load_balancer, &[&listeners[..], &[id]].concat())?;
        let given = Given {
            up: change.contains_key("admin_state_up"),
            persistence: change.contains_key("session_persistence"),
            default_pool: false,
        };
        if let Some(pool) = self.store.get_mut(id) {
            pool.merge(change);
            fill_persistence(&mut pool.attributes);
        }
        self.leave(load_balancer, [Deed::Changed(id, given)]);
        Ok(self.answer_one(200, self.stored(Kind::Pool, id)?, &[]))
    }

    pub(super) fn delete_pool(&mut self, neutron: &mut Neutron, id: Uuid) -> Result<(), Failure> {
        let load_balancer = self.owner(id)?.id;
        self.check_free(load_balancer)?;
        let vips = self.vips(neutron, load_balancer);
        let provider = self.provider_of(load_balancer);
        let members: Vec<Uuid> = self.store.child_ids(id, Kind::Member);
        for member in self.store.children(id, Kind::Member) {
            provider.check_subnet(&member.attributes, &vips, provider::Deed::Deletion)?;
        }
        let listeners = self.store.listeners_of(id, Some(load_balancer));
        self.take(load_balancer, &listeners)?;
        self.store.mark(&[id], Provisioning::PendingDelete);
        let mut deeds = Vec::new();
        if provider == super::Provider::Ovn {
            deeds.extend(self.store.monitor_of(id).map(|monitor| Deed::Deleted(monitor.id)));
            if !members.is_empty() {
                deeds.push(Deed::Members { pool: id, created: Vec::new(), changed: Vec::new(), deleted: members });
            }
        }
        deeds.push(Deed::Deleted(id));
        self.leave(load_balancer, deeds);
        Ok(())
    }

    /// The pool in a member's path.
    pub(super) fn pool_on_the_way(&self, id: &str) -> Result<Uuid, Failure> {
        self.find(Kind::Pool, id).map(|pool| pool.id).map_err(|_| Failure::not_on_the_way(Kind::Pool, id))
    }
}

/// Gives a session persistence all of its members.
fn fill_persistence(pool: &mut Json) {
    if let Some(persistence) = pool.get_mut("session_persistence").and_then(Value::as_object_mut) {
        schema::fill(attributes::PERSISTENCE, persistence);
    }
    // An empty one is none.
    if pool.get("session_persistence").and_then(Value::as_object).is_some_and(|all| all.values().all(Value::is_null)) {
        pool.insert("session_persistence".to_owned(), Value::Null);
    }
}

/// A change that doesn't say the type leaves it.
fn complete_persistence(pool: &Object, change: &mut Json) {
    let before = pool.attributes.get("session_persistence").and_then(|before| before.get("type"));
    if let Some(new) = change.get_mut("session_persistence").and_then(Value::as_object_mut)
        && !new.is_empty()
        && new.get("type").is_none_or(Value::is_null)
        && let Some(kind) = before
    {
        new.insert("type".to_owned(), kind.clone());
    }
}

/// `datagrams` is what Octavia calls them in its message.
fn check_persistence(body: &Json, protocol: &str, datagrams: &str) -> Result<(), Failure> {
    let Some(persistence) = body.get("session_persistence").and_then(Value::as_object).filter(|all| !all.is_empty())
    else {
        return Ok(());
    };
    let kind = text(persistence, "type");
    if kind.is_empty() {
        return Err(Failure::input("type", "None", "Mandatory field missing."));
    }
    let cookie = text(persistence, "cookie_name");
    if is_datagram(protocol) {
        check_datagram_persistence(kind, cookie)?;
    } else if ["persistence_timeout", "persistence_granularity"]
        .iter()
        .any(|name| persistence.get(*name).is_some_and(|value| !value.is_null() && *value != 0))
    {
        let message =
            format!("persistence_timeout and persistence_granularity is only for {datagrams} protocol pools.");
        return Err(Failure::validation(&message));
    }
    match (kind, cookie) {
        ("APP_COOKIE", "") => Err(Failure::validation(
            "Field \"cookie_name\" must be specified when using the \"APP_COOKIE\" session persistence type.",
        )),
        ("APP_COOKIE", _) | (_, "") => Ok(()),
        _ => Err(Failure::validation(
            "Field \"cookie_name\" can only be specified with session persistence of type \"APP_COOKIE\".",
        )),
    }
}

fn check_datagram_persistence(kind: &str, cookie: &str) -> Result<(), Failure> {
    if !cookie.is_empty() {
        return Err(Failure::validation(match kind {
            "SOURCE_IP" => {
                "session_persistence SOURCE_IP type for UDP and SCTP protocols only accepts: type, persistence_timeout, \
                 persistence_granularity."
            }
            _ => "Cookie names are not supported for UDP/SCTP pools.",
        }));
    }
    if matches!(kind, "HTTP_COOKIE" | "APP_COOKIE") {
        let message = format!("Session persistence of type {kind} is not supported for UDP/SCTP protocol pools.");
        return Err(Failure::validation(&message));
    }
    Ok(())
}
