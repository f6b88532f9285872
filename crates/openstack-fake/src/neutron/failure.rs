//! Refusals, in Neutron's words.

use super::object::Names;
use crate::call::Answer;

/// What an operation comes to.
pub(super) type Outcome = Result<Answer, Failure>;

/// Why Neutron refuses.
#[derive(Debug)]
pub(super) struct Failure {
    status: u16,
    kind: &'static str,
    message: String,
}

impl Failure {
    pub fn new(status: u16, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into() }
    }

    pub fn into_answer(self) -> Answer {
        Answer::neutron_error(self.status, self.kind, &self.message)
    }

    /// The request can't be understood: what Neutron's web framework says.
    pub fn http(message: impl Into<String>) -> Self {
        Self::new(400, "HTTPBadRequest", message)
    }

    /// A value that doesn't fit, found after the attributes were read.
    pub fn invalid(message: &str) -> Self {
        Self::new(400, "InvalidInput", format!("Invalid input for operation: {message}."))
    }

    /// An attribute whose value isn't of its type.
    pub fn attribute(name: &str, reason: &str) -> Self {
        Self::http(format!("Invalid input for {name}. Reason: {reason}"))
    }

    pub fn conflict(kind: &'static str, message: impl Into<String>) -> Self {
        Self::new(409, kind, message)
    }

    pub fn not_found(names: Names, id: &str) -> Self {
        Self::new(404, names.not_found, format!("{} {id} {}", names.title, names.missing))
    }

    /// Something that Neutron wasn't prepared for.
    pub fn server() -> Self {
        let message = "Request Failed: internal server error while processing your request.";
        Self::new(500, "HTTPInternalServerError", message)
    }

    pub fn no_such_path() -> Self {
        Self::new(404, "HTTPNotFound", "The resource could not be found.")
    }

    pub fn forbidden(action: &str) -> Self {
        Self::new(403, "PolicyNotAuthorized", format!("rule:{action} is disallowed by policy"))
    }

    pub fn revision(wanted: i64, current: i64) -> Self {
        let message = format!("Constrained to {wanted}, but current revision is {current}");
        Self::new(412, "RevisionNumberConstraintFailed", message)
    }
}
