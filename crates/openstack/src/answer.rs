//! Reading answers: the value inside its envelope, or the service's own description of a failure.

use crate::{
    endpoint::{Call, Service},
    error::{Details, Error, Kind},
    octavia,
};
use reqwest::{StatusCode, header::HeaderMap};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor},
};
use std::{fmt, marker::PhantomData, time::Duration};

/// What is read of a body that isn't the service's JSON: enough to recognise a proxy's error page.
const EXCERPT: usize = 200;

/// An answer that said success.
#[derive(Debug)]
pub(crate) struct Answer {
    pub headers: HeaderMap,
    pub status: StatusCode,
    pub body: Vec<u8>,
}

/// The value of an answer, and where its next page is.
#[derive(Debug)]
pub(crate) struct Envelope<A> {
    pub value: A,
    pub next: Option<String>,
}

impl Answer {
    /// Takes the value out of the member `call.key`.
    pub fn read<A: DeserializeOwned>(&self, call: &Call) -> Result<Envelope<A>, Error> {
        let read = match call.key {
            None => serde_json::from_str("null").map(|value| Envelope { value, next: None }),
            Some(key) => {
                let mut json = serde_json::Deserializer::from_slice(&self.body);
                EnvelopeSeed { key, value: PhantomData }.deserialize(&mut json)
            }
        };
        read.map_err(|error| {
            let message = format!("the answer isn't what the API reference says: {error}: {}", excerpt(&self.body));
            let mut details = Details::new(Kind::Malformed, call.method.clone(), call.display_path(), message);
            details.status = Some(self.status.as_u16());
            details.request_id = request_id(&self.headers);
            details.outcome_unknown = call.has_effect();
            details.caused_by(error).into()
        })
    }

    /// The ids of a list's objects, in their order.
    pub fn ids(&self, call: &Call) -> Result<Vec<String>, Error> {
        let objects = self.read::<Vec<Identified>>(call)?.value;
        Ok(objects.into_iter().map(|object| object.id).collect())
    }
}

/// The id of an object of a list.
#[derive(Deserialize)]
struct Identified {
    id: String,
}

/// Reads `{key: value, key_links: [{"rel": "next", "href": ...}], ...}`.
struct EnvelopeSeed<A> {
    key: &'static str,
    value: PhantomData<fn() -> A>,
}

#[derive(Deserialize)]
struct Link {
    rel: String,
    href: String,
}

impl<'de, A: DeserializeOwned> DeserializeSeed<'de> for EnvelopeSeed<A> {
    type Value = Envelope<A>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, A: DeserializeOwned> Visitor<'de> for EnvelopeSeed<A> {
    type Value = Envelope<A>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with the member `{}`", self.key)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let (mut value, mut next) = (None, None);
        while let Some(name) = map.next_key::<String>()? {
            if name == self.key {
                value = Some(map.next_value::<A>()?);
            } else if name.strip_suffix("_links") == Some(self.key) {
                let links = map.next_value::<Vec<Link>>()?;
                next = links.into_iter().find(|link| link.rel == "next").map(|link| link.href);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        let value = value.ok_or_else(|| M::Error::custom(format!("the member `{}` is missing", self.key)))?;
        Ok(Envelope { value, next })
    }
}

/// The ways in which OpenStack services describe a failure.
#[derive(Deserialize)]
#[serde(untagged)]
enum Fault {
    /// Neutron.
    Neutron {
        #[serde(rename = "NeutronError")]
        error: NeutronError,
    },
    /// Keystone, and the middleware that checks tokens.
    Keystone { error: KeystoneError },
    /// Services built on WSME, as Octavia.
    Wsme { faultstring: String },
    /// Octavia's web framework: unknown paths, and what fails before the resource is asked.
    Pecan { title: String, description: String },
}

/// Neutron's own errors have a type; those of its web framework are sometimes only text.
#[derive(Deserialize)]
#[serde(untagged)]
enum NeutronError {
    Typed {
        #[serde(rename = "type")]
        neutron_type: String,
        message: String,
    },
    Text(String),
}

#[derive(Deserialize)]
struct KeystoneError {
    message: String,
}

/// Makes an error of an answer that said failure.
pub(crate) fn failure(call: &Call, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let fault = serde_json::from_slice::<Fault>(body).ok();
    let known = fault.is_some();
    let (neutron_type, message) = match fault {
        Some(Fault::Neutron { error: NeutronError::Typed { neutron_type, message } }) => (Some(neutron_type), message),
        Some(Fault::Neutron { error: NeutronError::Text(message) }) => (None, message),
        Some(Fault::Keystone { error }) => (None, error.message),
        Some(Fault::Wsme { faultstring }) => (None, faultstring),
        Some(Fault::Pecan { title, description }) if description.is_empty() => (None, title),
        Some(Fault::Pecan { description, .. }) => (None, description),
        None => (None, excerpt(body)),
    };
    let of_octavia = call.service == Service::LOAD_BALANCER;
    let octavia_fault = octavia::Fault::of(status, &message).filter(|_| known && of_octavia);
    // Octavia answers 404 for paths that it doesn't know as well; what isn't there is named.
    let known = known && (!of_octavia || octavia_fault.is_some());
    let kind = octavia_fault.map_or_else(|| kind(status, neutron_type.as_deref(), known), octavia::Fault::kind);
    let mut details = Details::new(kind, call.method.clone(), call.display_path(), message);
    details.status = Some(status.as_u16());
    details.neutron_type = neutron_type;
    details.octavia_fault = octavia_fault;
    details.request_id = request_id(headers);
    details.retry_after = retry_after(headers, jiff::Timestamp::now());
    details.outcome_unknown = call.has_effect()
        && status.is_server_error()
        && status != StatusCode::NOT_IMPLEMENTED
        && !octavia_fault.is_some_and(octavia::Fault::nothing_was_done);
    details.into()
}

/// The kind of a failure. `known` says that the service itself has described it.
fn kind(status: StatusCode, neutron_type: Option<&str>, known: bool) -> Kind {
    match neutron_type {
        Some("OverQuota" | "SubnetPoolQuotaExceeded") => return Kind::OverQuota,
        Some("IpAddressGenerationFailure" | "IpAddressGenerationFailureAllSubnets" | "ExternalIpAddressExhausted") => {
            return Kind::AddressesExhausted;
        }
        // 400 and 404: the address group isn't what the change was made for. The group itself is there.
        Some("AddressesAlreadyExist" | "AddressesNotFound") => return Kind::Conflict,
        // Not an object but the whole path is unknown: a missing extension, or a wrong endpoint.
        Some("HTTPNotFound") => return Kind::Malformed,
        _ => {}
    }
    match status {
        StatusCode::UNAUTHORIZED => Kind::Unauthorized,
        StatusCode::FORBIDDEN => Kind::Forbidden,
        // A proxy's 404 must never be taken for "the port is gone".
        StatusCode::NOT_FOUND if known => Kind::NotFound,
        StatusCode::NOT_FOUND => Kind::Malformed,
        StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => Kind::Conflict,
        StatusCode::TOO_MANY_REQUESTS => Kind::TooManyRequests,
        StatusCode::SERVICE_UNAVAILABLE => Kind::Unavailable,
        StatusCode::NOT_IMPLEMENTED => Kind::BadRequest,
        _ if status.is_server_error() => Kind::Server,
        _ if status.is_client_error() => Kind::BadRequest,
        _ => Kind::Malformed,
    }
}

/// The operator's handle on the request.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<String> {
    headers.get("x-openstack-request-id").and_then(|id| id.to_str().ok()).map(ToOwned::to_owned)
}

/// `Retry-After` (RFC 9110, 10.2.3): seconds, or a date.
fn retry_after(headers: &HeaderMap, now: jiff::Timestamp) -> Option<Duration> {
    let text = headers.get(reqwest::header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
}

/// The beginning of a body, in one line.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line: Vec<&str> = text.split_whitespace().collect();
    match line.join(" ") {
        line if line.is_empty() => "(no text)".to_owned(),
        line => line.chars().take(EXCERPT).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Endpoint;
    use reqwest::Method;

    fn call(method: Method) -> Call {
        Endpoint::<()>::new(Service::NETWORK, method, &["ports"]).call
    }

    fn of(status: u16, body: &str) -> Error {
        failure(&call(Method::POST), StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn neutrons_type_decides_before_the_status() {
        for (status, neutron_type, kind) in [
            (409, "OverQuota", Kind::OverQuota),
            (409, "IpAddressGenerationFailure", Kind::AddressesExhausted),
            (409, "IpAddressGenerationFailureAllSubnets", Kind::AddressesExhausted),
            (409, "IpAddressGenerationFailureNoMatchingSubnet", Kind::Conflict),
            (400, "ExternalIpAddressExhausted", Kind::AddressesExhausted),
            (409, "IpAddressInUse", Kind::Conflict),
            (404, "PortNotFound", Kind::NotFound),
            (400, "AddressesAlreadyExist", Kind::Conflict),
            (404, "AddressesNotFound", Kind::Conflict),
            (404, "AddressGroupNotFound", Kind::NotFound),
            (404, "HTTPNotFound", Kind::Malformed),
            (412, "RevisionNumberConstraintFailed", Kind::Conflict),
            (400, "HTTPBadRequest", Kind::BadRequest),
            (413, "HTTPRequestEntityTooLarge", Kind::BadRequest),
            (501, "NotImplemented", Kind::BadRequest),
        ] {
            let body = format!(r#"{{"NeutronError": {{"type": "{neutron_type}", "message": "m", "detail": ""}}}}"#);
            let error = of(status, &body);
            assert_eq!((error.kind(), error.neutron_type()), (kind, Some(neutron_type)), "{status}");
            assert_eq!((error.message(), error.outcome_unknown()), ("m", false));
        }
    }

    #[test]
    fn every_services_way_to_fail_is_understood() {
        for body in [
            r#"{"NeutronError": "why"}"#,
            r#"{"error": {"code": 404, "title": "Not Found", "message": "why"}}"#,
            r#"{"faultcode": "Client", "faultstring": "why", "debuginfo": null}"#,
            r#"{"code": 404, "title": "Bad Request", "description": "why"}"#,
        ] {
            let error = of(404, body);
            assert_eq!((error.kind(), error.message()), (Kind::NotFound, "why"), "{body}");
        }
        let redirect = of(302, "");
        assert_eq!((redirect.kind(), redirect.message()), (Kind::Malformed, "(no text)"));
    }

    #[test]
    fn only_what_changes_something_has_an_unknown_outcome() {
        for (method, unknown) in
            [(Method::GET, false), (Method::POST, true), (Method::PUT, true), (Method::DELETE, true)]
        {
            let error = failure(&call(method.clone()), StatusCode::BAD_GATEWAY, &HeaderMap::new(), b"");
            assert_eq!(error.outcome_unknown(), unknown, "{method}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: jiff::Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Mon, 23 Nov 2026 12:01:30 GMT", Some(90)),
            ("Mon, 23 Nov 2026 11:00:00 GMT", Some(0)),
            ("soon", None),
            ("-5", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("Retry-After", text.parse().unwrap());
            assert_eq!(retry_after(&headers, now), expected.map(Duration::from_secs), "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
