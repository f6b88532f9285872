//! Packets from pods and nodes. What crosses decides.

use crate::{
    cluster::Cluster,
    workload::{HTTP_PORT, UDP_PORT},
};
use anyhow::{Context, Result, ensure};
use std::net::{IpAddr, SocketAddr};

/// Size of a body that fills many full-sized packets, in bytes.
const BIG_BODY: usize = 60_000;

/// Where packets start.
#[derive(Debug, Clone)]
pub enum From {
    /// In a running pod: namespace and name.
    Pod(String, String),
    /// On a node itself.
    Node(String),
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
    cluster.shell(from, &command).await.with_context(|| format!("{packet} byte packets to {to}"))?;
    Ok(())
}

/// Asks a server pod's HTTP server for its name, over TCP.
///
/// # Errors
/// When no connection or no answer comes within some seconds.
pub async fn http(cluster: &Cluster, from: &From, to: IpAddr) -> Result<String> {
    let url = format!("http://{}/hostname", SocketAddr::new(to, HTTP_PORT));
    cluster.shell(from, &format!("wget -T 3 -q -O - '{url}'")).await
}

/// Lets a server pod's HTTP server send back a body of many full-sized packets.
///
/// # Errors
/// When it doesn't arrive whole.
pub async fn bulk(cluster: &Cluster, from: &From, to: IpAddr) -> Result<()> {
    let url = format!("http://{}/echo?msg=", SocketAddr::new(to, HTTP_PORT));
    let script = format!("body=$(head -c {BIG_BODY} /dev/zero | tr '\\0' x); wget -T 5 -q -O - \"{url}$body\" | wc -c");
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
    let dial =
        format!("http://127.0.0.1:{HTTP_PORT}/dial?host={to}&port={UDP_PORT}&protocol=udp&request=hostname&tries=3");
    let answer = cluster.shell(from, &format!("wget -T 10 -q -O - '{dial}'")).await?;
    ensure!(answer.contains(&format!("\"{name}\"")), "{to} answered {answer} over UDP, not the name {name}");
    Ok(())
}

/// Connects to a TCP port without sending anything.
///
/// # Errors
/// When the connection isn't made within some seconds.
pub async fn connect(cluster: &Cluster, from: &From, to: SocketAddr) -> Result<()> {
    cluster.shell(from, &format!("nc -w 3 -z {} {}", to.ip(), to.port())).await?;
    Ok(())
}
