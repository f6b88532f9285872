//! Refusals, in Octavia's words.

use super::object::Kind;
use crate::{call::Answer, uuid::Uuid};
use serde_json::json;

/// What an operation comes to.
pub(super) type Outcome = Result<Answer, Failure>;

/// Why Octavia refuses.
#[derive(Debug)]
pub(super) struct Failure {
    status: u16,
    message: String,
    how: How,
}

/// Octavia has two ways to say that something failed.
#[derive(Debug, Clone, Copy)]
enum How {
    /// As everything that happens while a request is carried out.
    Fault,
    /// While the path is still being read.
    Page,
}

impl Failure {
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), how: How::Fault }
    }

    pub fn into_answer(self) -> Answer {
        match self.how {
            How::Fault => fault(self.status, &self.message),
            How::Page => page(self.status, &self.message),
        }
    }

    /// The request can't be understood.
    pub fn input(name: &str, value: &str, reason: &str) -> Self {
        Self::new(400, format!("Invalid input for field/attribute {name}. Value: '{value}'. {reason}"))
    }

    /// What was understood makes no sense.
    pub fn validation(detail: &str) -> Self {
        Self::new(400, format!("Validation failure: {detail}"))
    }

    pub fn option(value: &str, option: &str) -> Self {
        Self::new(400, format!("{value} is not a valid option for {option}"))
    }

    /// Something that another service should have.
    pub fn no_such_part(what: &str, id: &str) -> Self {
        Self::new(400, format!("{what} {id} not found."))
    }

    pub fn not_found(kind: Kind, id: &str) -> Self {
        Self::new(404, format!("{} {id} not found.", kind.title()))
    }

    /// As [`Self::not_found`], for the pool in a member's path.
    pub fn not_on_the_way(kind: Kind, id: &str) -> Self {
        Self { how: How::Page, ..Self::not_found(kind, id) }
    }

    pub fn no_such_path() -> Self {
        Self { status: 404, message: "The resource could not be found.".to_owned(), how: How::Page }
    }

    pub fn immutable(kind: Kind, id: Uuid) -> Self {
        Self::new(409, format!("{} {id} is immutable and cannot be updated.", kind.title()))
    }

    pub fn forbidden() -> Self {
        Self::new(403, "Policy does not allow this request to be performed.")
    }

    pub fn quota(kind: Kind) -> Self {
        Self::new(403, format!("Quota has been met for resources: {}", kind.title()))
    }

    /// The provider can't do what is asked for.
    pub fn unsupported(provider: &str, message: &str) -> Self {
        Self::new(501, format!("Provider '{provider}' does not support a requested option: {message}"))
    }

    pub fn provider(provider: &str, message: &str) -> Self {
        Self::new(500, format!("Provider '{provider}' reports error: {message}"))
    }
}

/// A failure as Octavia's API says it.
pub(crate) fn fault(status: u16, message: &str) -> Answer {
    let code = if status < 500 { "Client" } else { "Server" };
    Answer::json(status, &json!({ "faultcode": code, "faultstring": message, "debuginfo": null }))
}

/// A failure as the web framework below says it.
fn page(status: u16, message: &str) -> Answer {
    let lead =
        "The server could not comply with the request since\r\nit is either malformed or otherwise incorrect.\r\n";
    let title = if message.starts_with("The resource") { "Not Found" } else { "Bad Request" };
    let message = if title == "Not Found" {
        format!("{message}<br /><br />\n\n\n")
    } else {
        format!("{lead}<br /><br />\n{message}\n\n")
    };
    Answer::json(status, &json!({ "message": message, "code": format!("{status} {title}"), "title": title }))
}
