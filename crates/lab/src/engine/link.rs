//! Faults of a node's links: cut, delayed, restored.
//!
//! A cut takes the links off their bridges in the control namespace: frames vanish without a trace, and the node's
//! devices keep their carrier, as when a switch far away fails. (ARP is off meanwhile: as a port of its own, the link's
//! end would answer for the control namespace's addresses.) A delay is made by relays in this process, because many
//! kernels are built without netem: each link is taken off its bridge, a pair of devices is put in between, and threads
//! pass every frame on after its time.

use std::{
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    ifaddrs::getifaddrs,
    sys::{
        socket::{
            AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike, bind, recv, send,
            setsockopt, socket, sockopt::ReceiveTimeout,
        },
        time::{TimeVal, TimeValLike},
    },
};

use crate::{
    engine::{CONTROL, Lab, netns},
    node::{WIRES, Wire, ip, link_exists},
};

/// How long a relay takes at most to notice that it is to end.
const NOTICE: i64 = 100;

/// The links of one node: to the control plane, to the other nodes, to the external network.
#[derive(Debug, Clone, Copy)]
pub struct Link<'a> {
    lab: &'a Lab,
    node: u32,
}

impl Lab {
    /// The links of a node.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn link(&self, node: u32) -> Result<Link<'_>> {
        if !self.nodes().any(|there| there == node) {
            bail!("the lab has no node {node}; it has {}", self.options().nodes);
        }
        Ok(Link { lab: self, node })
    }
}

impl Link<'_> {
    /// Cuts the links: no frame passes in either direction until [`restore`](Self::restore).
    ///
    /// # Errors
    /// When the lab is not up.
    pub fn cut(&self) -> Result<()> {
        WIRES
            .iter()
            .try_for_each(|wire| {
                ip(self.lab, CONTROL, &format!("link set {} nomaster arp off", wire.control_end(self.node)))
            })
            .with_context(|| format!("cutting the link of node {}", self.node))
    }

    /// Makes the links as they were, whatever was done to them.
    ///
    /// # Errors
    /// When the lab is not up.
    pub fn restore(&self) -> Result<()> {
        for wire in &WIRES {
            let between = Between::new(wire, self.node);
            if link_exists(self.lab, CONTROL, &between.relay) {
                ip(self.lab, CONTROL, &format!("link del {}", between.relay))?;
            }
            ip(self.lab, CONTROL, &format!("link set {} master {} arp on", wire.control_end(self.node), wire.bridge))
                .with_context(|| format!("restoring the link of node {}", self.node))?;
        }
        Ok(())
    }

    /// Delays every frame, in both directions, for as long as the returned value lives.
    ///
    /// # Errors
    /// When the lab is not up.
    pub fn delay(&self, each: Duration) -> Result<Delay> {
        let mut delay = Delay { lab: self.lab.clone(), node: self.node, stop: Arc::default(), threads: Vec::new() };
        for wire in &WIRES {
            let between = Between::new(wire, self.node);
            between.make(self.lab, wire, self.node)?;
            let (near, far) = netns::enter(CONTROL, || -> Result<_> {
                Ok((Arc::new(packet_socket(&wire.control_end(self.node))?), Arc::new(packet_socket(&between.relay)?)))
            })??;
            delay.threads.extend(relay(&near, &far, each, &delay.stop));
            delay.threads.extend(relay(&far, &near, each, &delay.stop));
        }
        Ok(delay)
    }
}

/// A delay of a node's links; dropping it restores them.
#[derive(Debug)]
pub struct Delay {
    lab: Lab,
    node: u32,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Delay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
        // The lab may have been taken down meanwhile; `lab up` would make the links whole again.
        drop(Link { lab: &self.lab, node: self.node }.restore());
    }
}

/// The pair of devices between a link's end and its bridge.
struct Between {
    relay: String,
    bridged: String,
}

impl Between {
    fn new(wire: &Wire, node: u32) -> Self {
        let end = wire.control_end(node);
        Self { relay: format!("{end}.r"), bridged: format!("{end}.b") }
    }

    fn make(&self, lab: &Lab, wire: &Wire, node: u32) -> Result<()> {
        let run = |words: String| ip(lab, CONTROL, &words);
        run(format!("link add {} mtu {} type veth peer name {} mtu {}", self.relay, wire.mtu, self.bridged, wire.mtu))?;
        run(format!("link set {} nomaster arp off", wire.control_end(node)))?;
        run(format!("link set {} arp off up", self.relay))?;
        run(format!("link set {} master {} up", self.bridged, wire.bridge))
    }
}

/// A socket that receives and sends whole frames of one device of the calling thread's namespace. It does not receive
/// what it has sent itself.
fn packet_socket(device: &str) -> Result<OwnedFd> {
    let doing = || format!("opening a packet socket on {device}");
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)
        .with_context(doing)?;
    let address: Option<LinkAddr> = getifaddrs()
        .with_context(doing)?
        .filter(|entry| entry.interface_name == device)
        .find_map(|entry| entry.address?.as_link_addr().copied());
    let Some(address) = address else { bail!("there is no device {device}") };
    debug_assert_eq!(address.family(), Some(AddressFamily::Packet));
    bind(socket.as_raw_fd(), &address).with_context(doing)?;
    setsockopt(&socket, ReceiveTimeout, &TimeVal::milliseconds(NOTICE)).with_context(doing)?;
    Ok(socket)
}

/// Passes frames on from one socket to another, each after a delay: a thread that takes them in, a thread that sends.
fn relay(from: &Arc<OwnedFd>, to: &Arc<OwnedFd>, each: Duration, stop: &Arc<AtomicBool>) -> [JoinHandle<()>; 2] {
    let (frames, due) = mpsc::channel::<(Instant, Vec<u8>)>();
    let (from, to, stop) = (from.clone(), to.clone(), stop.clone());
    let receiver = thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while !stop.load(Ordering::Relaxed) {
            // Errors are the time-out, which is for looking at `stop`, or a device that is down for the moment.
            let Ok(length) = recv(from.as_raw_fd(), &mut buffer, MsgFlags::empty()) else { continue };
            if frames.send((Instant::now() + each, buffer[..length].to_vec())).is_err() {
                return;
            }
        }
    });
    let sender = thread::spawn(move || {
        for (at, frame) in due {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            // A frame that can't be sent is lost, as on any wire.
            let _ = send(to.as_raw_fd(), &frame, MsgFlags::empty());
        }
    });
    [receiver, sender]
}
