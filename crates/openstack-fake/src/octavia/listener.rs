//! Listeners.

use super::{
    Failure, Octavia, Outcome, Provisioning, Request, attributes,
    object::{Json, Kind, Object},
    protocol::{check_pair, is_datagram, transport},
    schema::{self, POST, PUT},
    settle::{Deed, Given},
};
use crate::uuid::Uuid;
use ipnet::IpNet;
use serde_json::{Value, json};
use std::net::IpAddr;

const HEADERS: [&str; 6] =
    ["X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Forwarded-IP", "X-Client-IP", "X-Real-IP"];

/// What becomes of attributes that a change sets to `null`.
const SET_BACK: [&str; 8] = [
    "connection_limit",
    "timeout_client_data",
    "timeout_member_connect",
    "timeout_member_data",
    "timeout_tcp_inspect",
    "client_authentication",
    "hsts_include_subdomains",
    "hsts_preload",
];

fn text<'a>(body: &'a Json, name: &str) -> &'a str {
    body.get(name).and_then(Value::as_str).unwrap_or_default()
}

impl Octavia {
    pub(super) fn create_listener(&mut self, request: &Request<'_>) -> Outcome {
        let mut body = schema::read(request.call, Kind::Listener, POST)?;
        if body.get("default_pool").is_some_and(|pool| !pool.is_null()) {
            return Err(Failure::only_within_whole());
        }
        let owner = self.find(Kind::LoadBalancer, text(&body, "loadbalancer_id"))?;
        let (load_balancer, project) = (owner.id, owner.project.clone());
        request.may_touch(&project)?;
        self.check_quota(Kind::Listener, &project, 1)?;
        for name in ["loadbalancer_id", "project_id", "tenant_id"] {
            body.remove(name);
        }
        self.check_default_pool(load_balancer, &body, text(&body, "protocol"))?;
        self.check_free(load_balancer)?;
        self.check_new_listener(load_balancer, &body)?;
        self.provider_of(load_balancer).check_listener(&body)?;
        self.take(load_balancer, &[])?;
        let id = self.insert_listener(load_balancer, body)?;
        self.leave(load_balancer, [Deed::Created(id)]);
        Ok(self.answer_one(201, self.stored(Kind::Listener, id)?, &[]))
    }

    /// Adds a listener that has been asked for alone or with its load balancer.
    pub(super) fn insert_listener(&mut self, load_balancer: Uuid, mut body: Json) -> Result<Uuid, Failure> {
        self.check_default_pool(load_balancer, &body, text(&body, "protocol"))?;
        self.check_new_listener(load_balancer, &body)?;
        let project = self.owner(load_balancer)?.project.clone();
        body.remove("l7policies");
        body.remove("default_pool");
        schema::fill(attributes::LISTENER, &mut body);
        Ok(self.store.insert(Object::new(Kind::Listener, &project, Some(load_balancer), body)))
    }

    /// Whether the load balancer takes changes to what belongs to it.
    pub(super) fn check_free(&self, load_balancer: Uuid) -> Result<(), Failure> {
        match self.store.get(load_balancer) {
            Some(object) if object.provisioning == Provisioning::Active => Ok(()),
            _ => Err(Failure::immutable(Kind::LoadBalancer, load_balancer)),
        }
    }

    /// The pool must be of the same load balancer and speak the listener's protocol.
    fn check_default_pool(&self, load_balancer: Uuid, body: &Json, protocol: &str) -> Result<(), Failure> {
        let id = text(body, "default_pool_id");
        if id.is_empty() {
            return Ok(());
        }
        if protocol == "PROMETHEUS" {
            return Err(Failure::new(400, "Protocol PROMETHEUS listeners cannot have child objects."));
        }
        let pool = self.find(Kind::Pool, id)?;
        if pool.parent != Some(load_balancer) {
            return Err(Failure::not_found(Kind::Pool, id));
        }
        check_pair(protocol, pool.text("protocol"))
    }

    fn check_new_listener(&self, load_balancer: Uuid, body: &Json) -> Result<(), Failure> {
        let protocol = text(body, "protocol");
        let headers = body.get("insert_headers").and_then(Value::as_object).filter(|headers| !headers.is_empty());
        if let Some(headers) = headers {
            check_headers(headers, protocol)?;
        }
        let uses_tls = has_certificates(body);
        if is_datagram(protocol) && (uses_tls || headers.is_some()) {
            return Err(Failure::validation(&format!("{protocol} protocol listener does not support TLS.")));
        }
        check_certificates(body, protocol, uses_tls)?;
        let port = body.get("protocol_port").and_then(Value::as_i64);
        let on_port = |listener: &&Object| {
            listener.number("protocol_port") == port && transport(listener.text("protocol")) == transport(protocol)
        };
        if let Some(other) = self.store.children(load_balancer, Kind::Listener).find(on_port) {
            let (protocol, port) = (other.text("protocol"), port.unwrap_or_default());
            let message = format!(
                "Another Listener on this Load Balancer is already using protocol {protocol} and protocol_port {port}"
            );
            return Err(Failure::new(409, message));
        }
        self.check_cidrs(load_balancer, body)
    }

    /// Each prefix that may connect must be of a family of the load balancer's addresses.
    fn check_cidrs(&self, load_balancer: Uuid, body: &Json) -> Result<(), Failure> {
        let cidrs = body.get("allowed_cidrs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let owner = self.stored(Kind::LoadBalancer, load_balancer)?;
        let has_groups =
            owner.attributes.get("vip_sg_ids").and_then(Value::as_array).is_some_and(|ids| !ids.is_empty());
        if !cidrs.is_empty() && has_groups {
            let message = "Allowed CIDRs are not allowed when using custom VIP Security Groups.";
            return Err(Failure::validation(message));
        }
        let more = owner.attributes.get("additional_vips").and_then(Value::as_array);
        let more = more.into_iter().flatten().filter_map(|vip| vip["ip_address"].as_str());
        let vips: Vec<&str> = std::iter::once(owner.text("vip_address")).chain(more).collect();
        let is_v4 = |text: &str| text.parse::<IpAddr>().is_ok_and(|address| address.is_ipv4());
        for cidr in cidrs.iter().filter_map(Value::as_str) {
            let v4 = cidr.parse::<IpNet>().is_ok_and(|prefix| prefix.addr().is_ipv4());
            if !vips.iter().any(|vip| is_v4(vip) == v4) {
                let vips: Vec<String> = vips.iter().map(|vip| format!("'{vip}'")).collect();
                let vips = vips.join(", ");
                let message = format!("CIDR {cidr} IP version incompatible with all VIPs [{vips}] IP version.");
                return Err(Failure::validation(&message));
            }
        }
        Ok(())
    }

    pub(super) fn update_listener(&mut self, request: &Request<'_>, id: Uuid) -> Outcome {
        let mut change = schema::read(request.call, Kind::Listener, PUT)?;
        let listener = self.stored(Kind::Listener, id)?;
        let load_balancer = listener.parent.unwrap_or(id);
        let protocol = listener.text("protocol").to_owned();
        check_changed_listener(&change, &protocol)?;
        self.check_cidrs(load_balancer, &change)?;
        schema::set_back(attributes::LISTENER, &SET_BACK, &mut change);
        self.check_default_pool(load_balancer, &change, &protocol)?;
        self.check_free(load_balancer)?;
        self.provider_of(load_balancer).check_listener(&change)?;
        self.take(load_balancer, &[id])?;
        let given = Given {
            up: change.contains_key("admin_state_up"),
            default_pool: change.contains_key("default_pool_id"),
            persistence: false,
        };
        if change.get("insert_headers").is_some_and(Value::is_null) {
            change.insert("insert_headers".to_owned(), json!({}));
        }
        if let Some(listener) = self.store.get_mut(id) {
            listener.merge(change);
        }
        self.leave(load_balancer, [Deed::Changed(id, given)]);
        Ok(self.answer_one(200, self.stored(Kind::Listener, id)?, &[]))
    }

    pub(super) fn delete_listener(&mut self, id: Uuid) -> Result<(), Failure> {
        let load_balancer = self.owner(id)?.id;
        self.take(load_balancer, &[])?;
        self.store.mark(&[id], Provisioning::PendingDelete);
        self.leave(load_balancer, [Deed::Deleted(id)]);
        Ok(())
    }
}

fn has_certificates(body: &Json) -> bool {
    let some = |name: &str| !text(body, name).is_empty();
    let sni = body.get("sni_container_refs").and_then(Value::as_array).is_some_and(|refs| !refs.is_empty());
    some("default_tls_container_ref") || some("client_ca_tls_container_ref") || sni
}

/// Certificates are for listeners that end TLS, which must have one.
fn check_certificates(body: &Json, protocol: &str, uses_tls: bool) -> Result<(), Failure> {
    let ends_tls = protocol == "TERMINATED_HTTPS" || (protocol == "PROMETHEUS" && uses_tls);
    if !ends_tls && uses_tls {
        let message = format!("Certificate container references are not allowed on {protocol} protocol listeners.");
        return Err(Failure::validation(&message));
    }
    let sni = body.get("sni_container_refs").and_then(Value::as_array).is_some_and(|refs| !refs.is_empty());
    if ends_tls && text(body, "default_tls_container_ref").is_empty() && !sni {
        let message = format!(
            "An SNI or default certificate container reference must be provided for {protocol} protocol listeners."
        );
        return Err(Failure::validation(&message));
    }
    let client = text(body, "client_authentication");
    if !client.is_empty() && client != "NONE" && text(body, "client_ca_tls_container_ref").is_empty() {
        let message = format!("Client authentication setting {client} requires a client CA container reference.");
        return Err(Failure::validation(&message));
    }
    Ok(())
}

fn check_headers(headers: &Json, protocol: &str) -> Result<(), Failure> {
    if !matches!(protocol, "HTTP" | "TERMINATED_HTTPS") {
        return Err(Failure::option("insert-headers", &format!("a {protocol} protocol listener.")));
    }
    if headers.keys().any(|name| !HEADERS.contains(&name.as_str()) && !name.starts_with("X-SSL-")) {
        let names: Vec<&str> = headers.keys().map(String::as_str).collect();
        return Err(Failure::option(&format!("{names:?}"), "insert_headers"));
    }
    Ok(())
}

fn check_changed_listener(change: &Json, protocol: &str) -> Result<(), Failure> {
    let headers = change.get("insert_headers").and_then(Value::as_object).filter(|headers| !headers.is_empty());
    let uses_tls = has_certificates(change);
    if is_datagram(protocol) && (uses_tls || headers.is_some()) {
        let message = format!("{protocol} protocol listener does not support TLS or header insertion.");
        return Err(Failure::validation(&message));
    }
    if protocol != "TERMINATED_HTTPS" && uses_tls {
        let message = format!("Certificate container references are not allowed on {protocol} protocol listeners.");
        return Err(Failure::validation(&message));
    }
    headers.map_or(Ok(()), |headers| check_headers(headers, protocol))
}
