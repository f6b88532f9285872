//! What Octavia objects to. It has no codes for it: an answer's status and its words tell it. The words are those of
//! `octavia/common/exceptions.py`, where they have been the same since API 2.0; they aren't translated unless a client asks for that.

use crate::Kind;
use reqwest::StatusCode;

/// An objection that callers may want to tell from others of its [`Kind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// 409: the load balancer isn't `ACTIVE` (or, where it shall be deleted, neither that nor in `ERROR`). Usually another change is being
    /// carried out; one in `ERROR` stays so.
    Immutable,
    /// 409: the load balancer has a listener with this protocol and port.
    DuplicateListener,
    /// 409: the pool has a member with this address and port.
    DuplicateMember,
    /// 409: the listener has a pool.
    DuplicatePool,
    /// 409: the pool has a health monitor.
    DuplicateHealthMonitor,
    /// 409: the address is in use.
    AddressInUse,
    /// 409: the subnet has no free address left. (The OVN provider's words begin with "The VIP IP address is already in use" here too.)
    NoAddress,
    /// 500 by way of the OVN provider: the address isn't one of the subnet.
    InvalidAddress,
    /// 501: the provider can't do this, or has no such option.
    Unsupported,
    /// 400 or 501: there is no such provider.
    NoProvider,
    /// 403: the project's quota of load balancers, listeners, pools, members or health monitors is used up; 409: Neutron's quota of ports
    /// is.
    Quota,
    /// 404: the object that the path names, or a pool or subnet that the request names, doesn't exist.
    NotFound,
    /// 400: a subnet, network, port, or group that the request names doesn't exist (or isn't visible to the project).
    NoSuchReference,
    /// 400: the load balancer has listeners or pools, and these weren't to be deleted with it.
    HasChildren,
    /// 400: the object that marks the next page of a list doesn't exist any more.
    MarkerGone,
    /// 503: other requests of the project hold its quota. Nothing was done.
    ProjectBusy,
}

impl Fault {
    /// What the service's words mean; `None` when it is nothing that needs to be told apart.
    pub(crate) fn of(status: StatusCode, words: &str) -> Option<Self> {
        let says = |part: &str| words.contains(part);
        match status.as_u16() {
            409 if says("is immutable and cannot be updated") || says("Invalid state ") => Some(Self::Immutable),
            409 if says("Another Listener on this Load Balancer") => Some(Self::DuplicateListener),
            409 if says("Another member on this pool") => Some(Self::DuplicateMember),
            409 if says("already has a default pool") => Some(Self::DuplicatePool),
            409 if says("already has a health monitor") => Some(Self::DuplicateHealthMonitor),
            409 if says("Quota exceeded") => Some(Self::Quota),
            409 if says("No more IP addresses") => Some(Self::NoAddress),
            409 if says("VIP IP address is already in use") => Some(Self::AddressInUse),
            500 if says("is not a valid IP for") => Some(Self::InvalidAddress),
            400 | 501 if says("does not support a requested") => Some(Self::Unsupported),
            400 if says("Provider '") && says("is not enabled") => Some(Self::NoProvider),
            501 if says("Provider '") && says("was not found") => Some(Self::NoProvider),
            403 if says("Quota has been met") => Some(Self::Quota),
            404 if words.ends_with(" not found.") => Some(Self::NotFound),
            400 if words.ends_with(" not found.") => Some(Self::NoSuchReference),
            400 if says("it has children") => Some(Self::HasChildren),
            400 if says("pagination marker") => Some(Self::MarkerGone),
            503 if says("Project busy") => Some(Self::ProjectBusy),
            _ => None,
        }
    }

    /// The kind of failure that it is.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Immutable => Kind::Immutable,
            Self::DuplicateListener
            | Self::DuplicateMember
            | Self::DuplicatePool
            | Self::DuplicateHealthMonitor
            | Self::AddressInUse => Kind::Conflict,
            Self::NoAddress => Kind::AddressesExhausted,
            Self::Unsupported => Kind::Unsupported,
            Self::Quota => Kind::OverQuota,
            Self::NotFound => Kind::NotFound,
            Self::InvalidAddress | Self::NoProvider | Self::NoSuchReference | Self::HasChildren | Self::MarkerGone => {
                Kind::BadRequest
            }
            Self::ProjectBusy => Kind::Unavailable,
        }
    }

    /// Whether it is certain that nothing was done, although the status leaves it open.
    pub(crate) fn nothing_was_done(self) -> bool {
        matches!(self, Self::ProjectBusy | Self::InvalidAddress)
    }

    /// The objection as it appears in logs and conditions.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Immutable => "Immutable",
            Self::DuplicateListener => "DuplicateListener",
            Self::DuplicateMember => "DuplicateMember",
            Self::DuplicatePool => "DuplicatePool",
            Self::DuplicateHealthMonitor => "DuplicateHealthMonitor",
            Self::AddressInUse => "AddressInUse",
            Self::NoAddress => "NoAddress",
            Self::InvalidAddress => "InvalidAddress",
            Self::Unsupported => "Unsupported",
            Self::NoProvider => "NoProvider",
            Self::Quota => "Quota",
            Self::NotFound => "NotFound",
            Self::NoSuchReference => "NoSuchReference",
            Self::HasChildren => "HasChildren",
            Self::MarkerGone => "MarkerGone",
            Self::ProjectBusy => "ProjectBusy",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Endpoint, answer::failure, endpoint::Service};
    use reqwest::{Method, header::HeaderMap};

    #[test]
    fn octavias_words_decide_before_the_status() {
        let of = |status: u16, words: &str| {
            let call = Endpoint::<()>::new(Service::LOAD_BALANCER, Method::POST, &["lbaas", "loadbalancers"]).call;
            let body =
                serde_json::json!({ "faultcode": "Client", "faultstring": words, "debuginfo": null }).to_string();
            let error = failure(&call, StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes());
            assert_eq!(error.message(), words);
            (error.kind(), error.octavia_fault(), error.outcome_unknown())
        };
        for (status, words, kind, fault) in [
            (409, "Load Balancer 7 is immutable and cannot be updated.", Kind::Immutable, Fault::Immutable),
            (409, "Invalid state PENDING_UPDATE of loadbalancer resource 7", Kind::Immutable, Fault::Immutable),
            (
                409,
                "Another Listener on this Load Balancer is already using protocol TCP and protocol_port 80",
                Kind::Conflict,
                Fault::DuplicateListener,
            ),
            (
                409,
                "The VIP IP address is already in use: IP address 10.0.0.1 already allocated in subnet 7",
                Kind::Conflict,
                Fault::AddressInUse,
            ),
            (
                409,
                "The VIP IP address is already in use: No more IP addresses available on network 7.",
                Kind::AddressesExhausted,
                Fault::NoAddress,
            ),
            (
                409,
                "The VIP IP address is already in use: Quota exceeded for resources: ['port'].",
                Kind::OverQuota,
                Fault::Quota,
            ),
            (403, "Quota has been met for resources: Load Balancer", Kind::OverQuota, Fault::Quota),
            (
                501,
                "Provider 'ovn' does not support a requested option: OVN provider does not support HTTP protocol",
                Kind::Unsupported,
                Fault::Unsupported,
            ),
            (501, "Provider 'x' was not found.", Kind::BadRequest, Fault::NoProvider),
            (400, "Provider 'x' is not enabled.", Kind::BadRequest, Fault::NoProvider),
            (404, "Load Balancer 7 not found.", Kind::NotFound, Fault::NotFound),
            (
                500,
                "Provider 'ovn' reports error: IP address 192.0.2.1 is not a valid IP for the specified subnet.",
                Kind::BadRequest,
                Fault::InvalidAddress,
            ),
            (400, "Subnet 7 not found.", Kind::BadRequest, Fault::NoSuchReference),
            (503, "Project busy.  Unable to lock the project.", Kind::Unavailable, Fault::ProjectBusy),
        ] {
            assert_eq!(of(status, words), (kind, Some(fault), false), "{status} {words}");
        }
        for (status, words, kind, unknown) in [
            (403, "Policy does not allow this request to be performed.", Kind::Forbidden, false),
            (404, "Not Found", Kind::Malformed, false),
            (400, "Validation failure: x", Kind::BadRequest, false),
            (409, "Already an entity with that specified id.", Kind::Conflict, false),
            (500, "Provider 'ovn' reports error: x", Kind::Server, true),
        ] {
            assert_eq!(of(status, words), (kind, None, unknown), "{status} {words}");
        }
    }
}
