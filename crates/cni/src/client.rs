//! The executable's side of the protocol, on nothing but the standard library.

use crate::{
    call::Call,
    wire::{PATH, Reply},
};
use std::{
    fmt,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
};

/// The longest answer that is read, in bytes. A result has some kilobytes.
const MAX_ANSWER: u64 = 4 << 20;

/// Why there is no answer of the daemon.
#[derive(Debug)]
pub enum ClientError {
    /// Nobody listens on the socket.
    Unreachable(io::Error),
    /// The connection broke before the whole answer was there.
    Broken(io::Error),
    /// The answer isn't one of the daemon's.
    Garbled(String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => write!(f, "can't connect: {error}"),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
            Self::Garbled(why) => write!(f, "the answer isn't understood: {why}"),
        }
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreachable(error) | Self::Broken(error) => Some(error),
            Self::Garbled(_) => None,
        }
    }
}

/// Sends a call to the daemon that listens on `socket` and waits for its answer, without any limit of time.
///
/// The sending side stays open while waiting: the daemon takes its closing as the caller's death and cancels the call.
///
/// # Errors
/// When the daemon isn't reachable, or answers something else than a [`Reply`].
pub fn send(socket: &str, call: &Call) -> Result<Reply, ClientError> {
    let body = serde_json::to_vec(call).map_err(|error| ClientError::Garbled(error.to_string()))?;
    let mut stream = UnixStream::connect(socket).map_err(ClientError::Unreachable)?;
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: kuryr\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).map_err(ClientError::Broken)?;
    stream.write_all(&body).map_err(ClientError::Broken)?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).map_err(ClientError::Broken)?;
    parse(&answer)
}

/// Reads an HTTP/1.1 answer that ends with its connection.
fn parse(answer: &[u8]) -> Result<Reply, ClientError> {
    let garbled = |why: &str| ClientError::Garbled(why.to_owned());
    if answer.is_empty() {
        return Err(ClientError::Broken(io::Error::from(io::ErrorKind::UnexpectedEof)));
    }
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(|| garbled("no HTTP header"))?;
    let (head, body) = answer.split_at(end);
    let body = body.get(4..).unwrap_or_default();
    let head = std::str::from_utf8(head).map_err(|_| garbled("the HTTP header isn't text"))?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")).ok_or_else(|| garbled("no HTTP status"))?;
    let mut length = None;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok();
        }
    }
    let body = match length {
        Some(length) if body.len() < length => {
            return Err(ClientError::Broken(io::Error::from(io::ErrorKind::UnexpectedEof)));
        }
        Some(length) => body.get(..length).unwrap_or(body),
        None => body,
    };
    if status.split(' ').nth(1) != Some("200") {
        let text: String = String::from_utf8_lossy(body).chars().take(200).collect();
        return Err(ClientError::Garbled(format!("HTTP/1.{status} {text}")));
    }
    serde_json::from_slice(body).map_err(|error| ClientError::Garbled(error.to_string()))
}
