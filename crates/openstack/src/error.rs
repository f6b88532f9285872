//! What can go wrong with a request, so that callers decide by kind and never by text.

use crate::octavia::Fault;
use kuryr_core::error::Class;
use reqwest::Method;
use std::{fmt, sync::Arc, time::Duration};

/// The kind of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// 404: the object, or one that the request names, doesn't exist (or isn't visible to the project).
    NotFound,
    /// 409 or 412: the object is in use, or changed at the same time. [`Error::neutron_type`] says which conflict.
    Conflict,
    /// 409 of Octavia: the load balancer isn't `ACTIVE`, so nothing of it can be changed now.
    Immutable,
    /// The project's quota is used up (Neutron's `OverQuota`, Octavia's `QuotaException`).
    OverQuota,
    /// The subnets, or the subnet pool, have no free address left (`IpAddressGenerationFailure` and its kin).
    AddressesExhausted,
    /// 401 although the login is fresh, or Keystone refuses the credentials.
    Unauthorized,
    /// 403 and still 403 after a few repetitions: the policy forbids it. Repeated because a Neutron worker that has just
    /// started can answer so before it has read its policy rules.
    Forbidden,
    /// Any other 4xx: the request itself is wrong.
    BadRequest,
    /// 501 of Octavia: the provider can't do what was asked for.
    Unsupported,
    /// 429: too many requests. Not carried out.
    TooManyRequests,
    /// 503: the service can't answer now.
    Unavailable,
    /// Any other 5xx (500, 502, 504).
    Server,
    /// No answer in time. The request may have been carried out.
    Timeout,
    /// The connection couldn't be made (DNS, TCP, TLS): the request was not sent.
    NotConnected,
    /// The connection broke after the request, or a part of it, was sent.
    ConnectionLost,
    /// Our own limit of requests in flight left no room in time: the request was not sent.
    Busy,
    /// Our own [fence](crate::Fence) forbids changes now: the request was not sent.
    Fenced,
    /// The answer isn't what the API reference says: often a proxy's error page, or a wrong endpoint.
    Malformed,
    /// The catalogue has no such service in the region and interface that are configured.
    NoEndpoint,
    /// The HTTP client can't be set up: no crypto provider, or a certificate that can't be read.
    Setup,
}

impl Kind {
    /// The kind as it appears in metrics, logs and conditions.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "NotFound",
            Self::Conflict => "Conflict",
            Self::Immutable => "Immutable",
            Self::OverQuota => "OverQuota",
            Self::AddressesExhausted => "AddressesExhausted",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::BadRequest => "BadRequest",
            Self::Unsupported => "Unsupported",
            Self::TooManyRequests => "TooManyRequests",
            Self::Unavailable => "Unavailable",
            Self::Server => "Server",
            Self::Timeout => "Timeout",
            Self::NotConnected => "NotConnected",
            Self::ConnectionLost => "ConnectionLost",
            Self::Busy => "Busy",
            Self::Fenced => "Fenced",
            Self::Malformed => "Malformed",
            Self::NoEndpoint => "NoEndpoint",
            Self::Setup => "Setup",
        }
    }
}

/// A request that failed: what was asked, why it failed, and what the service said about it.
///
/// Cheap to clone, because one failed login is the answer to every caller that waited for it.
#[derive(Debug, Clone)]
pub struct Error(Arc<Details>);

/// What is known about a failed request.
#[derive(Debug, Clone)]
pub(crate) struct Details {
    pub kind: Kind,
    pub method: Method,
    /// Path below the service's endpoint, or what was done when it wasn't a request.
    pub path: String,
    pub status: Option<u16>,
    pub neutron_type: Option<String>,
    pub octavia_fault: Option<Fault>,
    pub message: String,
    pub request_id: Option<String>,
    pub retry_after: Option<Duration>,
    /// At least one attempt may have reached the service and changed something.
    pub outcome_unknown: bool,
    pub source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Details {
    /// A failure without an answer from the service.
    pub(crate) fn new(kind: Kind, method: Method, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind,
            method,
            path: path.into(),
            status: None,
            neutron_type: None,
            octavia_fault: None,
            message: message.into(),
            request_id: None,
            retry_after: None,
            outcome_unknown: false,
            source: None,
        }
    }

    /// Keeps the cause.
    pub(crate) fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }
}

impl From<Details> for Error {
    fn from(details: Details) -> Self {
        Self(Arc::new(details))
    }
}

impl Error {
    /// A failure that no answer of the service tells: of work that was to be done by a request, or in a test.
    #[must_use]
    pub fn new(kind: Kind, method: Method, path: impl Into<String>, message: impl Into<String>) -> Self {
        Details::new(kind, method, path, message).into()
    }

    /// The kind of the failure.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Whether the object, or one that the request names, doesn't exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.kind() == Kind::NotFound
    }

    /// How the failure is to be treated.
    ///
    /// A missing object is a conflict: what the decision was made from has changed, so it is read again. Wrong
    /// credentials and missing rights are transient: they are the operator's to repair, and no pod has to change for it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self.kind() {
            Kind::BadRequest | Kind::Unsupported => Class::Rejected,
            Kind::OverQuota | Kind::AddressesExhausted => Class::Quota,
            Kind::NotFound | Kind::Conflict | Kind::Immutable => Class::Conflict,
            Kind::Unauthorized
            | Kind::Forbidden
            | Kind::TooManyRequests
            | Kind::Unavailable
            | Kind::Server
            | Kind::Timeout
            | Kind::NotConnected
            | Kind::ConnectionLost
            | Kind::Busy
            | Kind::Fenced
            | Kind::Malformed
            | Kind::NoEndpoint
            | Kind::Setup => Class::Transient,
        }
    }

    /// Whether the request may have been carried out although it failed: the answer was lost (timeout, broken
    /// connection), or came from something that can't know (500, 502, 503, 504, an answer that can't be read). Whoever
    /// wanted to create something must look for it before creating again. Always false for reads.
    #[must_use]
    pub fn outcome_unknown(&self) -> bool {
        self.0.outcome_unknown
    }

    /// Whether the service, or the part of it behind a proxy, went away while it was at work: what it was making may be half made. A
    /// mere lack of an answer in time doesn't mean that.
    #[must_use]
    pub fn broke_off(&self) -> bool {
        self.outcome_unknown() && (self.kind() == Kind::ConnectionLost || self.status() == Some(502))
    }

    /// HTTP status of the answer, if there was one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// `NeutronError.type`, as `IpAddressInUse` or `SubnetInUse`.
    #[must_use]
    pub fn neutron_type(&self) -> Option<&str> {
        self.0.neutron_type.as_deref()
    }

    /// What Octavia objects to, where it is something that can be told from its words.
    #[must_use]
    pub fn octavia_fault(&self) -> Option<Fault> {
        self.0.octavia_fault
    }

    /// What the service, or the HTTP client, says about it.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// `x-openstack-request-id` of the answer: what the cloud's operator searches the logs for.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// How long the service asks to wait (`Retry-After`).
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Method of the request.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.0.method
    }

    /// Path of the request below the service's endpoint, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The same failure with an explanation before the service's own words.
    pub(crate) fn explained(self, explanation: &str) -> Self {
        let mut details = Arc::unwrap_or_clone(self.0);
        details.message = format!("{explanation}: {}", details.message);
        details.into()
    }

    /// The same failure, but known to have perhaps been carried out (by this or an earlier attempt), or not.
    #[must_use]
    pub fn with_outcome_unknown(self, outcome_unknown: bool) -> Self {
        Self(Arc::new(Details { outcome_unknown, ..Arc::unwrap_or_clone(self.0) }))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details { kind, method, path, status, neutron_type, message, request_id, outcome_unknown, .. } = &*self.0;
        write!(f, "{method} {path}: {}", kind.as_str())?;
        if let Some(status) = status {
            write!(f, " (HTTP {status})")?;
        }
        if let Some(neutron_type) = neutron_type {
            write!(f, " {neutron_type}")?;
        }
        write!(f, ": {message}")?;
        if *outcome_unknown {
            f.write_str("; it may have been carried out all the same")?;
        }
        if let Some(request_id) = request_id {
            write!(f, " [{request_id}]")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// Turns "doesn't exist" into `None`.
pub trait Found<T> {
    /// `Ok(None)` for [`Kind::NotFound`]; any other failure stays one.
    ///
    /// # Errors
    /// The failure itself, unless it is [`Kind::NotFound`].
    fn found(self) -> Result<Option<T>, Error>;
}

impl<T> Found<T> for Result<T, Error> {
    fn found(self) -> Result<Option<T>, Error> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
