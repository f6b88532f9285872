//! Questions that tell whether a component is ready.

use std::{
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::engine::netns;

/// How long one question may take. Long enough for a busy machine, short enough to be asked again.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Succeeds when an HTTP GET inside a namespace is answered with anything below 500: the service is there and routes.
///
/// # Errors
/// With what came instead.
pub fn http(netns: &str, url: &str) -> Result<()> {
    netns::enter(netns, || {
        let agent = agent(TIMEOUT);
        let answer = agent.get(url).call().with_context(|| format!("GET {url}"))?;
        if answer.status().is_server_error() {
            bail!("GET {url} was answered with {}", answer.status())
        }
        Ok(())
    })?
}

/// Succeeds when an HTTP GET inside a namespace is answered with 200.
///
/// # Errors
/// With what came instead.
pub fn http_ok(netns: &str, url: &str) -> Result<()> {
    netns::enter(netns, || {
        let answer = agent(TIMEOUT).get(url).call().with_context(|| format!("GET {url}"))?;
        if answer.status() != 200 {
            bail!("GET {url} was answered with {}", answer.status())
        }
        Ok(())
    })?
}

/// Succeeds when a TCP connection inside a namespace is accepted.
///
/// # Errors
/// When it is not.
pub fn tcp(netns: &str, address: SocketAddr) -> Result<()> {
    netns::enter(netns, || {
        TcpStream::connect_timeout(&address, TIMEOUT).with_context(|| format!("connecting to {address}"))
    })?
    .map(drop)
}

/// Succeeds when a unix socket accepts a connection.
///
/// # Errors
/// When it does not.
pub fn unix(path: &Path) -> Result<()> {
    UnixStream::connect(path).with_context(|| format!("connecting to {}", path.display())).map(drop)
}

/// An HTTP client without proxies, which returns every answer, whatever its status.
pub(crate) fn agent(timeout: Duration) -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(timeout)).proxy(None).http_status_as_error(false).build().into()
}
