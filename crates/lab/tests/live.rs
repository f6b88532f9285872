//! The running lab, tried with packets: `cargo xtask lab up` first. Each test leaves the lab as it was.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this file is tests and their helpers only")]

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use kuryr_lab::{
    Lab,
    engine::{CONTROL, State, netns, node_netns, shell, wait_until},
    kubernetes::{API_SERVICE, DNS_SERVICE},
    node::{control_address, ovs},
    openstack::{Cloud, KURYR, Session, neutron_url},
};
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);

/// The tests share one lab: one at a time.
fn lab() -> (MutexGuard<'static, ()>, Lab) {
    static ONE: Mutex<()> = Mutex::new(());
    (ONE.lock().unwrap_or_else(PoisonError::into_inner), Lab::open().expect("the lab must be up"))
}

fn ip(words: &str) {
    shell::run(Command::new("ip").args(words.split(' '))).unwrap();
}

/// A Neutron port plugged by hand, as a daemon would: a network namespace that is a pod.
struct Pod {
    lab: Lab,
    node: u32,
    netns: String,
    device: String,
    port: String,
    addresses: Vec<IpAddr>,
}

impl Pod {
    fn plug(lab: &Lab, node: u32) -> Self {
        let cloud = Cloud::read(lab).unwrap();
        let netns = format!("lab-live{}-{node}", std::process::id());
        let wanted = json!({"port": {"network_id": cloud.pod_network, "name": netns, "device_owner": "compute:kuryr",
            "binding:host_id": format!("node{node}"), "security_groups": [cloud.pod_security_group]}});
        let port =
            netns::enter(CONTROL, || Session::open(KURYR)?.post(&format!("{}/v2.0/ports", neutron_url()), &wanted));
        let port = port.unwrap().unwrap()["port"].take();
        let text = |pointer: &str| port.pointer(pointer).unwrap().as_str().unwrap().to_owned();
        let addresses = ["/fixed_ips/0/ip_address", "/fixed_ips/1/ip_address"].map(|p| text(p).parse().unwrap());
        let pod = Self {
            lab: lab.clone(),
            node,
            device: format!("live{node}-{}", std::process::id() % 100_000),
            port: text("/id"),
            addresses: addresses.to_vec(),
            netns,
        };
        pod.connect(&text("/mac_address"));
        pod
    }

    fn connect(&self, mac: &str) {
        let (device, netns, node) = (&self.device, &self.netns, node_netns(self.node));
        netns::add(netns).unwrap();
        ip(&format!("-n {node} link add {device} mtu 9000 type veth peer name eth0 netns {netns}"));
        ip(&format!("-n {node} link set {device} up"));
        ip(&format!("-n {netns} link set eth0 address {mac} mtu 1442 up"));
        shell::run(netns::command(Some(netns), "ethtool").args(["-K", "eth0", "tx", "off"])).unwrap();
        for address in &self.addresses {
            let (prefix, gateway) = if address.is_ipv4() { ("16", "10.244.0.1") } else { ("64 nodad", "fd00:244::1") };
            ip(&format!("-n {netns} address add {address}/{prefix} dev eth0"));
            ip(&format!("-n {netns} route add default via {gateway}"));
        }
        let ids = format!("external_ids:iface-id={}", self.port);
        let mac = format!("external_ids:attached-mac=\"{mac}\"");
        ovs::vsctl(&self.lab, self.node, &["add-port", "br-int", device, "--", "set", "interface", device, &ids, &mac])
            .unwrap();
        wait_until(20 * SECOND, "OVN to install the port's flows", || {
            let get = ["get", "interface", device, "external_ids:ovn-installed"];
            ovs::vsctl(&self.lab, self.node, &get).is_ok_and(|said| said.contains("true"))
        })
        .unwrap();
    }

    fn address(&self, v6: bool) -> IpAddr {
        *self.addresses.iter().find(|address| address.is_ipv6() == v6).unwrap()
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        drop(ovs::vsctl(&self.lab, self.node, &["--if-exists", "del-port", "br-int", &self.device]));
        drop(shell::run(Command::new("ip").args(["-n", &node_netns(self.node), "link", "del", &self.device])));
        drop(netns::remove(&self.netns));
        drop(netns::enter(CONTROL, || {
            Session::open(KURYR)?.delete(&format!("{}/v2.0/ports/{}", neutron_url(), self.port))
        }));
    }
}

/// Connects to a TCP server, with new attempts for ten seconds (a fresh load balancer's flows come a moment later).
fn connect(netns: &str, to: SocketAddr) -> TcpStream {
    let mut stream = None;
    wait_until(10 * SECOND, &format!("a connection from {netns} to {to}"), || {
        stream = netns::enter(netns, || TcpStream::connect_timeout(&to, SECOND)).unwrap().ok();
        stream.is_some()
    })
    .unwrap();
    stream.unwrap()
}

#[test]
fn pods_reach_each_other_across_nodes_with_full_frames_of_both_families() {
    let (_one, lab) = lab();
    let (one, two) = (Pod::plug(&lab, 1), Pod::plug(&lab, 2));
    for v6 in [false, true] {
        let listener = netns::enter(&two.netns, || TcpListener::bind((two.address(v6), 7000))).unwrap().unwrap();
        let sent: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
        let expected = sent.clone();
        let mut stream = connect(&one.netns, (two.address(v6), 7000).into());
        let sender = thread::spawn(move || stream.write_all(&sent).unwrap());
        let mut received = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut received).unwrap();
        sender.join().unwrap();
        assert!(received == expected, "what arrived is not what was sent");
    }
}

#[test]
fn a_pod_reaches_the_api_server_and_the_dns_by_their_service_addresses() {
    let (_one, lab) = lab();
    let pod = Pod::plug(&lab, 2);
    connect(&pod.netns, format!("{API_SERVICE}:443").parse().unwrap());
    // A query for the root's name servers: any answer with the same id proves the way there and back.
    let query = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];
    let answer = netns::enter(&pod.netns, || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(SECOND)).unwrap();
        let mut buffer = [0; 512];
        for _ in 0..10 {
            socket.send_to(&query, (DNS_SERVICE, 53)).unwrap();
            if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                return Some((buffer[..length].to_vec(), from));
            }
        }
        None
    });
    let (bytes, from) = answer.unwrap().expect("the DNS does not answer");
    assert_eq!((&bytes[..2], from), (&query[..2], format!("{DNS_SERVICE}:53").parse().unwrap()));
}

#[test]
fn a_link_is_delayed_cut_and_restored() {
    let (_one, lab) = lab();
    let link = lab.link(2).unwrap();
    let keystone = SocketAddr::from((control_address(), 5000));
    let dial = || {
        let start = Instant::now();
        netns::enter(&node_netns(2), || TcpStream::connect_timeout(&keystone, SECOND)).unwrap().map(|_| start.elapsed())
    };
    assert!(dial().unwrap() < Duration::from_millis(200));
    let delay = link.delay(Duration::from_millis(150)).unwrap();
    // There and back again.
    assert!(dial().unwrap() >= Duration::from_millis(300));
    drop(delay);
    assert!(dial().unwrap() < Duration::from_millis(200));
    link.cut().unwrap();
    let refused = dial().unwrap_err();
    link.restore().unwrap();
    assert!(matches!(refused.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock), "{refused}");
    assert!(dial().is_ok());
}

/// Starts a component again at the end of a test, whatever the test did to it.
struct Healed<'a>(&'a Lab, &'static str);

impl Drop for Healed<'_> {
    fn drop(&mut self) {
        drop(self.0.start(self.1));
    }
}

#[test]
fn any_component_is_killed_paused_and_started_by_its_name() {
    let (_one, lab) = lab();
    let state = || {
        let states = lab.status().unwrap();
        states.into_iter().find(|(name, _)| name == "ovn-northd").unwrap().1
    };
    let _healed = Healed(&lab, "ovn-northd");
    let pid = lab.pid("ovn-northd");
    lab.pause("ovn-northd").unwrap();
    assert_eq!(state(), State::Paused);
    lab.resume("ovn-northd").unwrap();
    lab.wait_ready("ovn-northd").unwrap();
    assert_eq!(lab.pid("ovn-northd"), pid);
    lab.kill("ovn-northd").unwrap();
    assert_eq!(state(), State::Down);
    lab.start("ovn-northd").unwrap();
    assert_eq!(state(), State::Ready);
    assert_ne!(lab.pid("ovn-northd"), pid);
    assert!(lab.kill("nova-api").unwrap_err().to_string().contains("no component nova-api; it has network, "));
}
