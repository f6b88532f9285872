//! Refusals, in Octavia's words.

use super::object::Kind;
use crate::{call::Answer, uuid::Uuid};
use serde_json::{Value, json};

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
    /// While path and query are still being read.
    Page,
    /// A value can't be made one of its type: Octavia blames the whole body.
    Conversion,
}

impl Failure {
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), how: How::Fault }
    }

    pub fn into_answer(self) -> Answer {
        match self.how {
            How::Fault | How::Conversion => fault(self.status, &self.message),
            How::Page => page(self.status, &self.message),
        }
    }

    /// The request can't be understood.
    pub fn input(name: &str, value: &str, reason: &str) -> Self {
        Self::new(400, format!("Invalid input for field/attribute {name}. Value: '{value}'. {reason}"))
    }

    /// A value that can't be made one of its type; [`Self::in_body`] says the rest.
    pub fn conversion(reason: &str) -> Self {
        Self { status: 400, message: reason.to_owned(), how: How::Conversion }
    }

    /// Says in which body a value couldn't be made one of its type.
    pub fn in_body(self, argument: &str, body: &Value) -> Self {
        match self.how {
            How::Conversion => Self::input(argument, &super::value::repr(body), &self.message),
            How::Fault | How::Page => self,
        }
    }

    /// Something is wrong with how a list is asked for.
    pub fn query(message: String) -> Self {
        Self { status: 400, message, how: How::Page }
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
        Self { status: 404, message: String::new(), how: How::Page }
    }

    pub fn immutable(kind: Kind, id: Uuid) -> Self {
        Self::new(409, format!("{} {id} is immutable and cannot be updated.", kind.title()))
    }

    /// Octavia stumbles over what it takes only where a whole load balancer is created. Its own words are Python's.
    pub fn only_within_whole() -> Self {
        Self::new(500, "Internal error: what belongs to it can only be given with a whole load balancer.")
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
    let title = if message.is_empty() { "Not Found" } else { "Bad Request" };
    Answer::json(status, &json!({ "code": status, "description": message, "title": title }))
}
