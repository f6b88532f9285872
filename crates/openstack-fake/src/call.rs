//! Requests and answers, after HTTP has been read and before it is written.

use crate::Service;
use hyper::Method;
use serde_json::{Value, json};
use std::sync::Arc;

/// What paths end with that is about the same object.
const ASPECTS: [&str; 8] =
    ["details.json", "default", "status", "statuses", "stats", "failover", "add_addresses", "remove_addresses"];

/// A request as faults, hooks and the journal see it.
#[derive(Debug, Clone)]
pub struct Call {
    /// Counts the requests of the whole cloud, from 1.
    pub number: u64,
    /// Who is asked.
    pub service: Service,
    /// Method.
    pub method: Method,
    /// Path below the version's root, as `ports/ID` or `auth/tokens`.
    pub path: String,
    /// Query as it was sent, without the question mark.
    pub query: String,
    /// Body; `None` when there was none, or none in JSON.
    pub body: Option<Arc<Value>>,
}

impl Call {
    /// The parts of the path.
    pub(crate) fn segments(&self) -> Vec<&str> {
        self.path.split('/').filter(|part| !part.is_empty()).collect()
    }

    /// The collection that the request is about, as `ports`, `security-group-rules`, `tags` or `tokens`.
    #[must_use]
    pub fn resource(&self) -> &str {
        let segments = self.segments();
        let roots = [["auth"], ["lbaas"]];
        let segments = roots.iter().find_map(|root| segments.strip_prefix(root)).unwrap_or(&segments);
        let mut collections = segments.iter().step_by(2).filter(|part| !ASPECTS.contains(part));
        collections.next_back().copied().unwrap_or_default()
    }

    /// How many objects the request creates or changes: more than one for bulk requests.
    #[must_use]
    pub fn items(&self) -> usize {
        let Some(Value::Object(body)) = self.body.as_deref() else { return 1 };
        let lists = body.values().filter_map(Value::as_array);
        let is_batch = self.method == Method::PUT && self.resource() == "members";
        if self.method == Method::POST || is_batch { lists.map(Vec::len).max().unwrap_or(1) } else { 1 }
    }

    /// Whether the request changes something when it is carried out. Logins don't count.
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.method != Method::GET && self.resource() != "tokens"
    }
}

/// The headers of a request that services look at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Headers {
    /// `X-Auth-Token`.
    pub token: Option<String>,
    /// `X-Subject-Token`: the token that a request to Keystone is about.
    pub subject: Option<String>,
    /// The revision in `If-Match: revision_number=N`. Neutron ignores anything else in that header.
    pub revision: Option<i64>,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(status: u16, body: &Value) -> Self {
        Self::text(status, body.to_string().into_bytes())
    }

    /// JSON that is written already.
    pub fn text(status: u16, body: Vec<u8>) -> Self {
        Self { status, headers: Vec::new(), body }
    }

    pub fn empty(status: u16) -> Self {
        Self::text(status, Vec::new())
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Keystone's way to say that something failed, and that of the middleware that checks tokens.
    pub fn keystone_error(status: u16, title: &str, message: &str) -> Self {
        Self::json(status, &json!({ "error": { "code": status, "title": title, "message": message } }))
    }

    /// Neutron's way to say that something failed.
    pub fn neutron_error(status: u16, kind: &str, message: &str) -> Self {
        Self::json(status, &json!({ "NeutronError": { "type": kind, "message": message, "detail": "" } }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: Method, path: &str, body: Option<Value>) -> Call {
        let (service, query) = (Service::Network, String::new());
        Call { number: 1, service, method, path: path.to_owned(), query, body: body.map(Arc::new) }
    }

    #[test]
    fn a_request_knows_what_it_is_about() {
        for (path, resource) in [
            ("auth/tokens", "tokens"),
            ("users/u/application_credentials/a", "application_credentials"),
            ("ports", "ports"),
            ("ports/p", "ports"),
            ("ports/p/tags", "tags"),
            ("quotas/q/details.json", "quotas"),
            ("address-groups/a/add_addresses", "address-groups"),
            ("lbaas/loadbalancers/l", "loadbalancers"),
            ("lbaas/loadbalancers/l/status", "loadbalancers"),
            ("lbaas/pools/p/members/m", "members"),
            ("lbaas/quotas/q/default", "quotas"),
            ("", ""),
        ] {
            assert_eq!(call(Method::GET, path, None).resource(), resource, "{path}");
        }
    }

    #[test]
    fn only_the_objects_of_a_bulk_request_are_counted() {
        let many = json!({ "ports": [{}, {}, {}] });
        assert_eq!(call(Method::POST, "ports", Some(many)).items(), 3);
        assert_eq!(call(Method::POST, "ports", Some(json!({ "port": { "fixed_ips": [1, 2] } }))).items(), 1);
        assert_eq!(call(Method::PUT, "ports/p/tags", Some(json!({ "tags": ["a", "b"] }))).items(), 1);
    }
}
