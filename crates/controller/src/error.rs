//! What can go wrong in a reconcile, and how it is to be treated.

use kuryr_core::error::Class;
use std::time::Duration;

/// A failed step of a reconcile: what was tried, on which object, and why it failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request to the API server failed.
    #[error("could not {action} {object}: {}", kubernetes_reason(source))]
    Kubernetes {
        /// What was tried, as "create the KuryrPort".
        action: &'static str,
        /// The object, as `namespace/name`.
        object: String,
        /// The failure.
        #[source]
        source: Box<kube::Error>,
    },
    /// A request to OpenStack failed.
    #[error("could not {action} of {object}: {source}")]
    OpenStack {
        /// What was tried, as "create the Neutron port".
        action: &'static str,
        /// The object that it was tried for.
        object: String,
        /// The failure.
        #[source]
        source: kuryr_openstack::Error,
    },
    /// Something that a Service asks for isn't there.
    #[error("{object} can't be served: {problem}")]
    Service {
        /// The object that it was needed for.
        object: String,
        /// What isn't there, and what to do.
        problem: String,
    },
    /// OpenStack answered something that can't be used.
    #[error("the Neutron port {port} of {object} can't be used: {reason}")]
    Unusable {
        /// The object that the port is for.
        object: String,
        /// The port's id.
        port: String,
        /// What is wrong with it and what to do.
        reason: String,
    },
}

impl Error {
    /// Adds what was tried to a failed request to the API server.
    pub fn kubernetes(action: &'static str, object: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Kubernetes { action, object: object.into(), source: Box::new(source) }
    }

    /// Adds what was tried to a failed request to OpenStack.
    pub fn openstack(action: &'static str, object: impl Into<String>) -> impl FnOnce(kuryr_openstack::Error) -> Self {
        move |source| Self::OpenStack { action, object: object.into(), source }
    }

    /// How the failure is to be treated.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Kubernetes { source, .. } => kubernetes_class(source),
            Self::OpenStack { source, .. } => source.class(),
            Self::Unusable { .. } | Self::Service { .. } => Class::Rejected,
        }
    }

    /// How long the server asks to wait (`Retry-After`).
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::OpenStack { source, .. } => source.retry_after(),
            Self::Kubernetes { source, .. } => match &**source {
                kube::Error::Api(status) => {
                    let seconds = status.details.as_ref()?.retry_after_seconds;
                    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
                }
                _ => None,
            },
            Self::Unusable { .. } | Self::Service { .. } => None,
        }
    }

    /// What was decided on is no longer so: the object has changed or is gone.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        matches!(self, Self::Kubernetes { .. }) && self.class() == Class::Conflict
    }
}

/// The class of a failed request to the API server. A missing right (401, 403) is transient: the operator repairs it, and no
/// object has to change for it.
fn kubernetes_class(error: &kube::Error) -> Class {
    match error {
        kube::Error::Api(status) => match status.code {
            404 | 409 | 410 => Class::Conflict,
            400 | 405 | 413 | 415 | 422 => Class::Rejected,
            _ => Class::Transient,
        },
        _ => Class::Transient,
    }
}

/// What the API server, or the way to it, says about a failure, in one line.
pub fn kubernetes_reason(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return format!("{} (HTTP {})", status.message, status.code);
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    #[test]
    fn the_class_follows_the_answer() {
        for (code, class) in [
            (409, Class::Conflict),
            (404, Class::Conflict),
            (422, Class::Rejected),
            (403, Class::Transient),
            (429, Class::Transient),
            (500, Class::Transient),
        ] {
            let source = kube::Error::Api(Status::failure("no", "No").with_code(code).boxed());
            let error = Error::kubernetes("create the KuryrPort", "default/web")(source);
            assert_eq!(error.class(), class, "{code}");
            assert_eq!(error.to_string(), format!("could not create the KuryrPort default/web: no (HTTP {code})"));
        }
    }
}
