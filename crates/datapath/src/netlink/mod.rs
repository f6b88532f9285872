//! Typed requests to the kernel's rtnetlink, over the crate `rtnetlink`.
//!
//! A [`Netlink`] is a socket in one namespace, usable from anywhere. Requests are data ([`Request`]); several are sent at
//! once and their answers gathered ([`Netlink::execute`]), so that configuring an interface costs about one round trip.

mod address;
mod link;
mod route;

pub use address::{add_address, delete_address};
pub use link::{
    Link, Veth, create_macvlan, create_veth, delete_device, delete_group, delete_link, no_own_ipv6_address, set_down,
    set_group, set_mtu, set_up,
};
pub use route::{LinkRoute, add_route, delete_route};

use crate::netns::{self, Namespace};
use futures::StreamExt;
use rtnetlink::{
    Handle,
    packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    packet_route::RouteNetlinkMessage,
};
use std::{io, sync::OnceLock, thread};
use tokio::runtime::{Builder, Handle as Runtime};

/// What drives the sockets, if it isn't the runtime of whoever opens one.
static DRIVER: OnceLock<Runtime> = OnceLock::new();

/// From now on a thread of its own drives the sockets of this process.
///
/// The kernel carries a request out within the system call that sends it, and under a lock that requests of the whole machine
/// wait for, tens of milliseconds each: a few at once would take all threads of a small runtime.
///
/// # Errors
/// When the thread can't be started.
pub fn drive_by_own_thread() -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    // Of two callers the first one counts; the other's runtime ends here.
    if DRIVER.set(runtime.handle().clone()).is_ok() {
        let run = move || runtime.block_on(std::future::pending::<()>());
        thread::Builder::new().name("netlink".to_owned()).spawn(run)?;
    }
    Ok(())
}

/// How often a dump is repeated that the kernel could not make consistent, because something changed meanwhile.
const DUMP_ATTEMPTS: usize = 16;

/// A request that the kernel refused, or that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("{what} in network namespace {namespace}: {source}")]
pub struct Error {
    /// What was tried on which device, as `adding address 10.0.0.2/24 to eth0`.
    pub what: String,
    /// Where it was tried.
    pub namespace: String,
    /// Why it failed.
    #[source]
    pub source: io::Error,
}

impl Error {
    /// Whether the thing to be made is there already (`EEXIST`).
    #[must_use]
    pub fn exists(&self) -> bool {
        self.source.raw_os_error() == Some(nix::libc::EEXIST)
    }

    /// Whether the kernel doesn't know the kind of device that is to be made (`EOPNOTSUPP`).
    #[must_use]
    pub fn unsupported(&self) -> bool {
        self.source.raw_os_error() == Some(nix::libc::EOPNOTSUPP)
    }

    /// Whether the thing to be changed or removed isn't there (`ENODEV`, `ESRCH`, `EADDRNOTAVAIL`, `ENXIO`).
    #[must_use]
    pub fn missing(&self) -> bool {
        use nix::libc::{EADDRNOTAVAIL, ENODEV, ENXIO, ESRCH};
        matches!(self.source.raw_os_error(), Some(ENODEV | ESRCH | EADDRNOTAVAIL | ENXIO))
    }
}

/// One change that the kernel is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    what: String,
    payload: RouteNetlinkMessage,
    flags: u16,
}

/// An rtnetlink socket that was opened inside a namespace and is used from anywhere.
#[derive(Debug, Clone)]
pub struct Netlink {
    handle: Handle,
    namespace: String,
}

impl Netlink {
    /// Opens a socket in `namespace`.
    ///
    /// # Errors
    /// When the namespace can't be entered, or without the right to open the socket.
    pub async fn open(namespace: &Namespace) -> crate::Result<Self> {
        let (netlink, ()) = Self::open_with(namespace, || Ok(())).await?;
        Ok(netlink)
    }

    /// Opens a socket in `namespace`, and does something else in it on the same visit.
    ///
    /// # Errors
    /// When the namespace can't be entered, or when opening the socket or `work` fails.
    pub async fn open_with<T: Send + 'static>(
        namespace: &Namespace,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> crate::Result<(Self, T)> {
        let runtime = DRIVER.get().cloned().unwrap_or_else(Runtime::current);
        let opened = namespace
            .run(move || {
                // The socket registers with the runtime that will drive it.
                let _entered = runtime.enter();
                let (mut connection, handle, _unsolicited) = rtnetlink::new_connection()?;
                // Without these an answer can't be told from the end of the socket.
                connection.set_forward_ack(true);
                connection.set_forward_done(true);
                runtime.spawn(connection);
                Ok((handle, work()?))
            })
            .await?;
        match opened {
            Ok((handle, value)) => Ok((Self { handle, namespace: namespace.to_string() }, value)),
            Err(source) => Err(netns::Error::Enter { namespace: namespace.to_string(), source }.into()),
        }
    }

    /// Sends all requests at once, in their order, and waits for all answers.
    ///
    /// # Errors
    /// The first refusal, by the requests' order. The kernel has tried the later requests all the same.
    pub async fn execute(&self, requests: impl IntoIterator<Item = Request>) -> Result<(), Error> {
        let mut handle = self.handle.clone();
        let mut sent = Vec::new();
        for Request { what, payload, flags } in requests {
            let mut message = NetlinkMessage::from(payload);
            message.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
            let answers =
                handle.request(message).map_err(|source| self.error(what.clone(), io::Error::other(source)))?;
            sent.push((what, answers));
        }
        let mut first = Ok(());
        for (what, answers) in sent {
            let answer = acknowledgement(answers).await.map_err(|source| self.error(what, source));
            first = first.and(answer);
        }
        first
    }

    /// Asks for everything of a kind. Repeated when something changed while the kernel answered.
    async fn dump(&self, what: &str, payload: RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>, Error> {
        for _ in 0..DUMP_ATTEMPTS {
            if let Some(found) = self.get(what, payload.clone(), NLM_F_DUMP).await? {
                return Ok(found);
            }
        }
        let busy = io::Error::other(format!("it changed during each of {DUMP_ATTEMPTS} attempts"));
        Err(self.error(what.to_owned(), busy))
    }

    /// Asks once. `None`: the answer was inconsistent.
    async fn get(
        &self,
        what: &str,
        payload: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Option<Vec<RouteNetlinkMessage>>, Error> {
        let mut message = NetlinkMessage::from(payload);
        message.header.flags = NLM_F_REQUEST | flags;
        let request = self.handle.clone().request(message);
        let mut answers = request.map_err(|source| self.error(what.to_owned(), io::Error::other(source)))?;
        let (mut found, mut consistent) = (Vec::new(), true);
        while let Some(answer) = answers.next().await {
            consistent &= answer.header.flags & NLM_F_DUMP_INTR == 0;
            match answer.payload {
                NetlinkPayload::InnerMessage(message) => {
                    found.push(message);
                    if flags & NLM_F_DUMP == 0 {
                        return Ok(Some(found));
                    }
                }
                NetlinkPayload::Done(done) if done.code == 0 => return Ok(consistent.then_some(found)),
                NetlinkPayload::Done(done) => {
                    return Err(self.error(what.to_owned(), io::Error::from_raw_os_error(done.code.abs())));
                }
                NetlinkPayload::Error(error) => return Err(self.error(what.to_owned(), error.to_io())),
                _ => {}
            }
        }
        Err(self.error(what.to_owned(), closed()))
    }

    fn error(&self, what: String, source: io::Error) -> Error {
        Error { what, namespace: self.namespace.clone(), source }
    }
}

/// Waits for the kernel's acknowledgement of one request.
async fn acknowledgement(
    mut answers: impl futures::Stream<Item = NetlinkMessage<RouteNetlinkMessage>> + Unpin,
) -> io::Result<()> {
    while let Some(answer) = answers.next().await {
        if let NetlinkPayload::Error(error) = answer.payload {
            return if error.code.is_some() { Err(error.to_io()) } else { Ok(()) };
        }
    }
    Err(closed())
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the netlink socket was closed before the kernel answered")
}
