//! Health monitors of pools.

use super::{
    Failure, Octavia, Outcome, Provisioning, Request, attributes,
    object::{Json, Kind, Object},
    protocol::is_datagram,
    schema::{self, POST, PUT},
    settle::{Deed, Given},
};
use crate::uuid::Uuid;
use serde_json::Value;

/// What monitors for HTTP do when nobody says it, and only they can.
const OF_HTTP: [(&str, &str); 3] = [("http_method", "GET"), ("url_path", "/"), ("expected_codes", "200")];

/// Least seconds between two checks with datagrams.
const LEAST_DELAY: i64 = 3;

fn text<'a>(body: &'a Json, name: &str) -> &'a str {
    body.get(name).and_then(Value::as_str).unwrap_or_default()
}

impl Octavia {
    pub(super) fn create_monitor(&mut self, request: &Request<'_>) -> Outcome {
        let mut body = schema::read(request.call, Kind::HealthMonitor, POST)?;
        let pool = self.find(Kind::Pool, text(&body, "pool_id"))?;
        let (pool, project) = (pool.id, pool.project.clone());
        body.remove("pool_id");
        request.may_touch(&project)?;
        self.check_fits_pool(pool, &body)?;
        self.check_quota(Kind::HealthMonitor, &project, 1)?;
        self.check_pool_free(pool)?;
        self.check_new_monitor(pool, &body)?;
        let load_balancer = self.owner(pool)?.id;
        self.provider_of(load_balancer).check_monitor(&body)?;
        self.take_pool(pool)?;
        let id = self.insert_monitor(pool, body)?;
        self.leave(load_balancer, [Deed::Created(id)]);
        Ok(self.answer_one(201, self.stored(Kind::HealthMonitor, id)?, &[]))
    }

    /// Adds a monitor that has been asked for alone or with its load balancer.
    pub(super) fn insert_monitor(&mut self, pool: Uuid, mut body: Json) -> Result<Uuid, Failure> {
        self.check_new_monitor(pool, &body)?;
        self.check_fits_pool(pool, &body)?;
        if matches!(text(&body, "type"), "HTTP" | "HTTPS") {
            for (name, default) in OF_HTTP {
                if text(&body, name).is_empty() {
                    body.insert(name.to_owned(), default.into());
                }
            }
        }
        for name in ["project_id", "tenant_id"] {
            body.remove(name);
        }
        schema::fill(attributes::HEALTH_MONITOR, &mut body);
        let project = self.stored(Kind::Pool, pool)?.project.clone();
        Ok(self.store.insert(Object::new(Kind::HealthMonitor, &project, Some(pool), body)))
    }

    fn check_fits_pool(&self, pool: Uuid, body: &Json) -> Result<(), Failure> {
        let protocol = self.stored(Kind::Pool, pool)?.text("protocol");
        let kind = text(body, "type");
        if !is_datagram(protocol) {
            if matches!(kind, "UDP-CONNECT" | "SCTP") {
                let message = format!("The {kind} type is only supported for pools of type UDP/SCTP.");
                return Err(Failure::validation(&message));
            }
            return Ok(());
        }
        if !matches!(kind, "UDP-CONNECT" | "SCTP" | "TCP" | "HTTP") {
            let message = format!(
                "The associated pool protocol is {protocol}, so only a UDP-CONNECT/SCTP/TCP/HTTP health monitor is \
                 supported."
            );
            return Err(Failure::validation(&message));
        }
        check_delay(kind, body)
    }

    fn check_new_monitor(&self, pool: Uuid, body: &Json) -> Result<(), Failure> {
        let kind = text(body, "type");
        if !matches!(kind, "HTTP" | "HTTPS") {
            for (name, _) in OF_HTTP {
                if !text(body, name).is_empty() {
                    return Err(Failure::option(name, &format!("health monitors of type {kind}")));
                }
            }
        }
        if !text(body, "domain_name").is_empty() && body.get("http_version").is_none_or(Value::is_null) {
            return Err(Failure::validation("'http_version' must be specified when 'domain_name' is provided."));
        }
        if self.store.monitor_of(pool).is_some() {
            return Err(Failure::new(409, "This pool already has a health monitor"));
        }
        Ok(())
    }

    pub(super) fn update_monitor(&mut self, request: &Request<'_>, id: Uuid) -> Outcome {
        let mut change = schema::read(request.call, Kind::HealthMonitor, PUT)?;
        let monitor = self.stored(Kind::HealthMonitor, id)?;
        let pool = monitor.parent.unwrap_or(id);
        check_changed_monitor(monitor.text("type"), &change)?;
        if is_datagram(self.stored(Kind::Pool, pool)?.text("protocol")) {
            check_delay(monitor.text("type"), &change)?;
        }
        for (name, default) in OF_HTTP {
            if change.get(name).is_some_and(Value::is_null) {
                change.insert(name.to_owned(), default.into());
            }
        }
        schema::set_back(attributes::HEALTH_MONITOR, &["max_retries_down"], &mut change);
        self.check_pool_free(pool)?;
        self.take_pool(pool)?;
        let given = Given { up: change.contains_key("admin_state_up"), ..Given::default() };
        if let Some(monitor) = self.store.get_mut(id) {
            monitor.merge(change);
            monitor.set(Provisioning::PendingUpdate, None);
        }
        let load_balancer = self.owner(pool)?.id;
        self.leave(load_balancer, [Deed::Changed(id, given)]);
        Ok(self.answer_one(200, self.stored(Kind::HealthMonitor, id)?, &[]))
    }

    pub(super) fn delete_monitor(&mut self, id: Uuid) -> Result<(), Failure> {
        let pool = self.stored(Kind::HealthMonitor, id)?.parent.unwrap_or(id);
        self.take_pool(pool)?;
        self.store.mark(&[id], Provisioning::PendingDelete);
        let load_balancer = self.owner(pool)?.id;
        self.leave(load_balancer, [Deed::Deleted(id)]);
        Ok(())
    }
}

fn check_delay(kind: &str, body: &Json) -> Result<(), Failure> {
    match body.get("delay").and_then(Value::as_i64) {
        Some(delay) if kind == "UDP-CONNECT" && delay < LEAST_DELAY => Err(Failure::validation(&format!(
            "The request delay value {delay} should be larger than {LEAST_DELAY} for UDP-CONNECT health monitor type."
        ))),
        _ => Ok(()),
    }
}

fn check_changed_monitor(kind: &str, change: &Json) -> Result<(), Failure> {
    if !matches!(kind, "HTTP" | "HTTPS")
        && let Some((name, _)) = OF_HTTP.iter().find(|(name, _)| change.contains_key(*name))
    {
        return Err(Failure::option(name, &format!("health monitors of type {kind}")));
    }
    let cleared = |name: &&&str| change.get(**name).is_some_and(Value::is_null);
    match ["delay", "max_retries", "timeout"].iter().find(cleared) {
        Some(name) => Err(Failure::option("None", name)),
        None => Ok(()),
    }
}
