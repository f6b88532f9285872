//! A client of the OVSDB management protocol (RFC 7047), for the database `Open_vSwitch` of the node.
//!
//! One [`Client`] is one connection that is kept up for the whole life of the daemon. It gives transactions, and a live
//! copy of the rows that the datapath needs ([`View`]), kept by a monitor.

mod client;
mod codec;
mod op;
mod session;
mod value;
mod view;

pub use client::Client;
pub use op::Op;
pub use value::{map, named_uuid, set, uuid};
pub use view::{Bridge, Interface, Port, Uuid, View};

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

/// Where an OVSDB server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    /// A unix socket, as `unix:/run/openvswitch/db.sock`.
    Unix(PathBuf),
    /// A TCP port, as `tcp:127.0.0.1:6640` or `tcp:[::1]:6640`.
    Tcp(SocketAddr),
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

/// A text that is not the address of an OVSDB server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an OVSDB address: `unix:/path/to/db.sock` or `tcp:ADDRESS:PORT` is expected")]
pub struct InvalidRemote(String);

impl FromStr for Remote {
    type Err = InvalidRemote;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidRemote(text.to_owned());
        match text.split_once(':').ok_or_else(invalid)? {
            ("unix", path) if !path.is_empty() => Ok(Self::Unix(path.into())),
            ("tcp", address) => address.parse().map(Self::Tcp).map_err(|_| invalid()),
            _ => Err(invalid()),
        }
    }
}

/// A failure to read from, or to change, the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection in time.
    #[error("can't reach the OVSDB server at {remote} for {what}: {reason}; is Open vSwitch running on this node?")]
    Unreachable {
        /// The server.
        remote: Remote,
        /// What was to be done.
        what: String,
        /// Why the last attempt failed.
        reason: String,
    },
    /// The connection broke before the answer came: the change may or may not have been made.
    #[error("lost the connection to the OVSDB server at {remote} during {what}: {reason}")]
    Disconnected {
        /// The server.
        remote: Remote,
        /// What was being done.
        what: String,
        /// Why it broke.
        reason: String,
    },
    /// The server answered nothing in time.
    #[error("the OVSDB server at {remote} did not answer {what} within {seconds} s")]
    Timeout {
        /// The server.
        remote: Remote,
        /// What was being done.
        what: String,
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// The server refused one operation, and with it the whole transaction.
    #[error("the OVSDB server refused {what} at `{operation}`: {error}{}", .details.as_ref().map(|d| format!(" ({d})")).unwrap_or_default())]
    Operation {
        /// What was being done.
        what: String,
        /// The operation, or `commit`.
        operation: String,
        /// The error, one of RFC 7047's (`constraint violation`, `timed out` for a failed `wait`, ...).
        error: String,
        /// What the server says beside it.
        details: Option<String>,
    },
    /// The server answered something that RFC 7047 doesn't allow, or refused the request as such.
    #[error("unexpected answer of the OVSDB server at {remote} to {what}: {answer}")]
    Protocol {
        /// The server.
        remote: Remote,
        /// What was being done.
        what: String,
        /// What it answered.
        answer: String,
    },
}

impl Error {
    /// Whether this is the failure of a `wait` operation: what the transaction relied on was not so.
    #[must_use]
    pub fn wait_failed(&self) -> bool {
        matches!(self, Self::Operation { error, .. } if error == "timed out")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_are_written_as_they_are_read() {
        for text in ["unix:/run/openvswitch/db.sock", "tcp:127.0.0.1:6640", "tcp:[::1]:6640"] {
            assert_eq!(text.parse::<Remote>().unwrap().to_string(), text);
        }
        for text in ["", "unix:", "tcp:nowhere", "ssl:1.2.3.4:6640", "/run/db.sock"] {
            let error = text.parse::<Remote>().unwrap_err();
            assert!(error.to_string().contains(text));
        }
    }
}
