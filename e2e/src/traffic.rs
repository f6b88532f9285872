//! Packets from pods and nodes. What crosses decides.

use crate::{
    cluster::Cluster,
    workload::{HTTP_PORT, UDP_PORT},
};
use anyhow::{Context, Result, ensure};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Size of a body that fills many full-sized packets, in bytes.
const BIG_BODY: usize = 60_000;

/// Where packets start.
#[derive(Debug, Clone)]
pub enum From {
    /// In a running pod: namespace and name.
    Pod(String, String),
    /// On a node itself.
    Node(String),
    /// Outside of the cluster: in the external network, where the cloud's gateway is.
    Outside,
}

impl From {
    /// A pod, by namespace and name.
    #[must_use]
    pub fn pod(namespace: &str, name: &str) -> Self {
        Self::Pod(namespace.to_owned(), name.to_owned())
    }

    /// A node, by name.
    #[must_use]
    pub fn node(name: &str) -> Self {
        Self::Node(name.to_owned())
    }
}

/// Sends echo requests of a given packet size (IP header included) that must not be fragmented on the way.
///
/// # Errors
/// When no answer comes back.
pub async fn ping(cluster: &Cluster, from: &From, to: IpAddr, packet: u32) -> Result<()> {
    let headers = if to.is_ipv6() { 48 } else { 28 };
    let family = if to.is_ipv6() { "-6" } else { "-4" };
    let size = packet.saturating_sub(headers).max(16);
    let command = format!("ping {family} -c 2 -W 3 -q -s {size} {to}");
    let Err(error) = cluster.shell(from, &command).await else { return Ok(()) };
    let known = cluster.shell(from, "ip neigh").await.unwrap_or_else(|error| format!("unknown: {error:#}"));
    Err(error.context(format!("{packet} byte packets to {to} from {from:?}, whose neighbours are\n{known}")))
}

/// A script that prints the body of a GET. By `nc`: the image's only HTTP client is busybox's, which needs name services.
/// `$path` may be set by what runs before.
fn get(to: SocketAddr, path: &str) -> String {
    format!(r#"printf "GET {path} HTTP/1.0\r\n\r\n" | nc -w 3 {} {} | sed '1,/^.$/d'"#, to.ip(), to.port())
}

/// Asks a server pod's HTTP server for its name, over TCP.
///
/// # Errors
/// When no connection or no answer comes within some seconds.
pub async fn http(cluster: &Cluster, from: &From, to: IpAddr) -> Result<String> {
    let server = SocketAddr::new(to, HTTP_PORT);
    let name = cluster.shell(from, &get(server, "/hostname")).await?;
    ensure!(!name.is_empty(), "{server} didn't answer {from:?}");
    Ok(name)
}

/// Asks whoever serves HTTP at an address and port for its name, as often as `times` says, each time over a connection of its own.
/// Returns the names in their order.
///
/// # Errors
/// When one of the requests isn't answered within some seconds.
pub async fn names_at(cluster: &Cluster, from: &From, at: SocketAddr, times: usize) -> Result<Vec<String>> {
    let get = get(at, "/hostname");
    let script = format!("i=0; while [ $i -lt {times} ]; do {get}; echo; i=$((i+1)); done");
    let text = cluster.shell(from, &script).await?;
    let names: Vec<String> = text.lines().map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    ensure!(names.len() == times, "{} of {times} requests to {at} from {from:?} were answered: {names:?}", names.len());
    Ok(names)
}

/// Lets the server pod `from` ask whoever serves UDP at an address and port for its name.
///
/// # Errors
/// When no answer comes.
pub async fn udp_name_at(cluster: &Cluster, from: &From, at: SocketAddr) -> Result<String> {
    let own = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), HTTP_PORT);
    let dial = format!("/dial?host={}&port={}&protocol=udp&request=hostname&tries=1", at.ip(), at.port());
    let answer = cluster.shell(from, &get(own, &dial)).await?;
    let said: serde_json::Value = serde_json::from_str(&answer).with_context(|| format!("{at}: `{answer}`"))?;
    let name = said["responses"][0].as_str().with_context(|| format!("{at} isn't answered over UDP: {answer}"))?;
    Ok(name.to_owned())
}

/// Asks many server pods, given by address and name, from one: with an echo request and for their names over TCP. Returns what
/// wasn't answered, as address and protocol.
///
/// # Errors
/// When nothing can be run in the pod.
pub async fn unanswered(cluster: &Cluster, from: &From, pods: &[(IpAddr, String)]) -> Result<Vec<(IpAddr, String)>> {
    let script: String = pods.iter().map(|(ip, name)| ask(*ip, name)).collect();
    let answer = cluster.shell(from, &script).await?;
    let line = |line: &str| {
        let (ip, protocol) = line.split_once(' ')?;
        Some((ip.parse().ok()?, protocol.to_owned()))
    };
    answer.lines().map(|text| line(text).with_context(|| format!("`{text}` isn't an address and a protocol"))).collect()
}

/// Two lines of a script that print what a pod doesn't answer.
fn ask(ip: IpAddr, name: &str) -> String {
    let family = if ip.is_ipv6() { "-6" } else { "-4" };
    let get = get(SocketAddr::new(ip, HTTP_PORT), "/hostname");
    format!(
        "ping {family} -c 1 -W 3 -q {ip} >/dev/null 2>&1 || echo '{ip} ICMP'\n\
         [ \"$({get})\" = '{name}' ] || echo '{ip} TCP'\n"
    )
}

/// Lets a server pod's HTTP server send back a body of many full-sized packets.
///
/// # Errors
/// When it doesn't arrive whole.
pub async fn bulk(cluster: &Cluster, from: &From, to: IpAddr) -> Result<()> {
    let echo = get(SocketAddr::new(to, HTTP_PORT), "/echo?msg=$body");
    let script = format!("body=$(head -c {BIG_BODY} /dev/zero | tr '\\000' x); {echo} | wc -c");
    let counted = cluster.shell(from, &script).await?;
    let got: usize = counted.trim().parse().with_context(|| format!("`{counted}` isn't a count of bytes"))?;
    ensure!(got == BIG_BODY, "{got} of {BIG_BODY} bytes came back from {to}");
    Ok(())
}

/// Lets the server pod `from` ask the server pod at `to` for its name, over UDP.
///
/// # Errors
/// When no answer comes.
pub async fn udp(cluster: &Cluster, from: &From, to: IpAddr, name: &str) -> Result<()> {
    let own = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), HTTP_PORT);
    let dial = format!("/dial?host={to}&port={UDP_PORT}&protocol=udp&request=hostname&tries=3");
    let answer = cluster.shell(from, &get(own, &dial)).await?;
    ensure!(answer.contains(&format!("\"{name}\"")), "{to} answered {answer} over UDP, not the name {name}");
    Ok(())
}

/// Connects to a TCP port without sending anything.
///
/// # Errors
/// When the connection isn't made within some seconds.
pub async fn connect(cluster: &Cluster, from: &From, to: SocketAddr) -> Result<()> {
    cluster.shell(from, &format!("nc -w 3 {} {} </dev/null", to.ip(), to.port())).await?;
    Ok(())
}
