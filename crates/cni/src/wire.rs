//! How the executable and the daemon talk: one HTTP/1.1 request over a unix socket, JSON both ways.
//!
//! ```text
//! POST /v1/cni      Call  ->  Reply        (200; another status means that the request wasn't understood)
//! ```
//! HTTP, so that a call can be repeated by hand with `curl --unix-socket`.

use crate::error::CniError;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The path that calls are posted to. A later, incompatible protocol gets another one.
pub const PATH: &str = "/v1/cni";

/// What the daemon answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    /// Done. The value is what goes to standard output, in the version asked for; `null` where the command has no output.
    Result(Value),
    /// Not done.
    Error(CniError),
}
