//! One attempt to reach an address. An answer comes within milliseconds, and what is closed is silent.

use super::table::Protocol;
use futures::{StreamExt, stream::FuturesUnordered};
use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tokio::{
    net::{TcpStream, UdpSocket},
    time::{sleep, timeout},
};

/// How long an answer is waited for before what is asked counts as closed.
const PATIENCE: Duration = Duration::from_millis(600);

/// After how long it is asked once more, because a packet may be lost on a busy machine.
const AGAIN: Duration = Duration::from_millis(200);

/// How often it is asked.
const TRIES: u32 = 3;

/// The ports from which questions over UDP are sent.
const UDP_SOURCES: std::ops::Range<u32> = 20_000..60_000;

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// There was an answer: a connection, or a datagram.
    Open,
    /// There was none, as security groups do it.
    Silent,
    /// Somebody said that nobody listens there, so that packets got through.
    Refused,
    /// No packet could be sent at all, or something else is wrong.
    Failed(io::ErrorKind),
}

impl Outcome {
    /// Whether packets got to whoever has the address.
    #[must_use]
    pub const fn got_through(self) -> bool {
        matches!(self, Self::Open | Self::Refused)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open"),
            Self::Silent => f.write_str("silent"),
            Self::Refused => f.write_str("refused"),
            Self::Failed(kind) => write!(f, "failed ({kind})"),
        }
    }
}

impl From<io::Result<()>> for Outcome {
    fn from(result: io::Result<()>) -> Self {
        match result {
            Ok(()) => Self::Open,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Self::Refused,
            Err(error) => Self::Failed(error.kind()),
        }
    }
}

/// Asks some times within half a second or so. The first answer counts.
pub async fn reach(protocol: Protocol, to: SocketAddr) -> Outcome {
    let answer = async {
        match protocol {
            Protocol::Tcp => connect_repeatedly(to).await,
            Protocol::Udp => ask(to, AGAIN).await,
        }
    };
    timeout(PATIENCE, answer).await.map_or(Outcome::Silent, Outcome::from)
}

/// Sends one packet and waits for its answer.
pub async fn once(protocol: Protocol, to: SocketAddr, patience: Duration) -> Outcome {
    let answer = async {
        match protocol {
            Protocol::Tcp => connect(to).await,
            Protocol::Udp => ask(to, patience).await,
        }
    };
    timeout(patience, answer).await.map_or(Outcome::Silent, Outcome::from)
}

/// The kernel would send the first packet again after a second only: these are connections of their own.
async fn connect_repeatedly(to: SocketAddr) -> io::Result<()> {
    let later = async |number: u32| {
        sleep(AGAIN * number).await;
        connect(to).await
    };
    let mut tries: FuturesUnordered<_> = (0..TRIES).map(later).collect();
    tries.next().await.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
}

/// Connects and ends the connection by a reset: nothing of it is left at either side.
async fn connect(to: SocketAddr) -> io::Result<()> {
    TcpStream::connect(to).await?.set_zero_linger()
}

/// Asks agnhost for its name, again and again.
async fn ask(to: SocketAddr, again: Duration) -> io::Result<()> {
    let socket = udp_socket(to.ip()).await?;
    socket.connect(to).await?;
    let mut answer = [0; 256];
    loop {
        socket.send(b"hostname").await?;
        if let Ok(got) = timeout(again, socket.recv(&mut answer)).await {
            return got.map(drop);
        }
    }
}

/// A socket with a port that no socket had for a long time: for a connection tracker, what was allowed a moment ago would go on.
async fn udp_socket(to: IpAddr) -> io::Result<UdpSocket> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let from: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let mut outcome = Err(io::ErrorKind::AddrInUse.into());
    for _ in 0..16 {
        let nth = NEXT.fetch_add(1, Ordering::Relaxed) % (UDP_SOURCES.end - UDP_SOURCES.start);
        let port = u16::try_from(UDP_SOURCES.start + nth).map_err(io::Error::other)?;
        outcome = UdpSocket::bind((from, port)).await;
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn tcp_is_open_where_somebody_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        assert_eq!(reach(Protocol::Tcp, at).await, Outcome::Open);
        assert_eq!(once(Protocol::Tcp, at, AGAIN).await, Outcome::Open);
        drop(listener);
        assert_eq!(reach(Protocol::Tcp, at).await, Outcome::Refused);
    }

    #[tokio::test]
    async fn udp_is_open_where_somebody_answers_and_a_lost_question_is_asked_again() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = server.local_addr().unwrap();
        assert_eq!(reach(Protocol::Udp, at).await, Outcome::Silent);
        let answer = async {
            let mut question = [0; 16];
            // What the first attempt has left, and one question that is lost.
            for _ in 0..=TRIES {
                server.recv_from(&mut question).await.unwrap();
            }
            let (length, client) = server.recv_from(&mut question).await.unwrap();
            assert_eq!(&question[..length], b"hostname");
            server.send_to(b"me", client).await.unwrap();
        };
        let (outcome, ()) = tokio::join!(reach(Protocol::Udp, at), answer);
        assert_eq!(outcome, Outcome::Open);
        drop(server);
        assert_eq!(reach(Protocol::Udp, at).await, Outcome::Refused);
    }
}
