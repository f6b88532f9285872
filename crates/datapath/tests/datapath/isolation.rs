//! The node's own network stack neither sees nor answers what pods send.

use crate::fixture::{BRIDGE, Netns, Node, Pod, eventually};
use crate::node_port::{NAME, spec};
use crate::packets::ping;
use kuryr_datapath::{Driver, Error, netns::Namespace, ovs::isolation};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use std::{
    env,
    future::Future,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{fd::OwnedFd, unix::fs::symlink},
    process::Command,
    time::Duration,
};

/// Addresses of the node that aren't its port's.
const HOST_ADDRESSES: [&str; 2] = ["192.0.2.1", "fd00:99::1"];

/// The tables of the node's netfilter.
fn tables(node: &Node) -> Vec<String> {
    node.netns.run("nft", &["list", "tables"]).lines().map(str::to_owned).collect()
}

/// A socket that keeps a copy of every frame of the namespace.
async fn capture(netns: &Netns) -> OwnedFd {
    let open = || socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_NONBLOCK, SockProtocol::EthAll).unwrap();
    netns.open().run(open).await.unwrap()
}

/// The Ethernet sources of the ARP replies and neighbour advertisements for `address` that were captured.
fn answers(capture: &OwnedFd, address: IpAddr) -> Vec<String> {
    let mut sources = Vec::new();
    let mut frame = [0; 2048];
    while let Ok(length) = nix::unistd::read(capture, &mut frame) {
        let frame = &frame[..length];
        let is_answer = match (address, &frame[12..14]) {
            (IpAddr::V4(v4), [0x08, 0x06]) => frame[20..22] == [0, 2] && frame[28..32] == v4.octets(),
            (IpAddr::V6(v6), [0x86, 0xdd]) => frame[20] == 58 && frame[54] == 136 && frame[62..78] == v6.octets(),
            _ => false,
        };
        if is_answer {
            let source: Vec<String> = frame[6..12].iter().map(|byte| format!("{byte:02x}")).collect();
            sources.push(source.join(":"));
        }
    }
    sources
}

#[tokio::test]
async fn only_the_node_port_answers_for_its_addresses() {
    let node = Node::new();
    let pod = Pod::new(11);
    node.ovs.plug(&pod.attachment).await.unwrap();
    node.ovs.node_port(NAME).ensure(&spec()).await.unwrap();
    // Of the two the kernel gives away only the first by itself: it answers neighbour discovery only on the device that has
    // the address.
    for address in ["10.244.0.200", "fd00:244::c8"] {
        let capture = capture(&pod.netns).await;
        ping(&pod.netns, address);
        let sources = answers(&capture, address.parse().unwrap());
        assert!(!sources.is_empty() && sources.iter().all(|source| *source == spec().mac.to_string()), "{sources:?}");
        let neighbours = pod.netns.ip(&["neigh", "show", address]);
        assert_eq!(neighbours[0]["lladdr"], spec().mac.to_string());
    }
}

/// Which of TCP and UDP get from a pod to a service of the host on `address`.
async fn reached(pod: Namespace, host: Namespace, address: IpAddr) -> (bool, bool) {
    let any = SocketAddr::new(address, 0);
    let listen = move || (TcpListener::bind(any).unwrap(), UdpSocket::bind(any).unwrap());
    let (tcp, udp) = host.run(listen).await.unwrap();
    let (tcp_target, udp_target) = (tcp.local_addr().unwrap(), udp.local_addr().unwrap());
    let connect = move || {
        let unbound: IpAddr = if address.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        UdpSocket::bind(SocketAddr::new(unbound, 0)).unwrap().send_to(b"let me in", udp_target).unwrap();
        // A veth's frames are delivered in the sender's system call or right after it: the datagram is there by the end
        // of this, whichever way it ends.
        TcpStream::connect_timeout(&tcp_target, Duration::from_secs(2)).is_ok()
    };
    let connected = pod.run(connect).await.unwrap();
    udp.set_nonblocking(true).unwrap();
    (connected, udp.recv(&mut [0; 64]).is_ok())
}

#[tokio::test]
async fn a_pod_cant_reach_the_host_by_the_host_end_of_its_veth() {
    let node = Node::new();
    let pod = Pod::new(11);
    node.ovs.plug(&pod.attachment).await.unwrap();
    node.ovs.node_port(NAME).ensure(&spec()).await.unwrap();
    for address in HOST_ADDRESSES {
        node.netns.run("ip", &["addr", "add", address, "dev", "lo"]);
    }
    node.netns.run("ip", &["link", "set", "lo", "up"]);
    // The answers take another way than the questions.
    for device in ["all", &pod.host()] {
        node.netns.run("sh", &["-c", &format!("echo 0 > /proc/sys/net/ipv4/conf/{device}/rp_filter")]);
    }
    let veth = node.netns.ip(&["link", "show", &pod.host()])[0]["address"].as_str().unwrap().to_owned();
    for gateway in ["10.244.0.1", "fd00:244::1"] {
        pod.netns.run("ip", &["neigh", "replace", gateway, "lladdr", &veth, "nud", "permanent", "dev", "eth0"]);
    }
    let reaches = async |address: &str| reached(pod.netns.open(), node.netns.open(), address.parse().unwrap()).await;
    for address in HOST_ADDRESSES {
        assert_eq!(reaches(address).await, (false, false), "{address}");
    }
    // Without the rules it would be reached: so these are what keeps the pod out.
    let rules = node.netns.run("nft", &["list", "ruleset"]);
    // The driver, which would bring them back, has its tasks on this thread: it does so when this thread waits for something.
    node.netns.run("nft", &["flush", "ruleset"]);
    for address in HOST_ADDRESSES {
        let (pod, host) = (pod.netns.open(), node.netns.open());
        let apart = std::thread::spawn(move || alone(reached(pod, host, address.parse().unwrap())));
        assert_eq!(apart.join().unwrap(), (true, true), "{address}");
    }
    let back = || (node.netns.run("nft", &["list", "ruleset"]) == rules).then_some(());
    eventually("the rules are back", back).await;
    for address in HOST_ADDRESSES {
        assert_eq!(reaches(address).await, (false, false), "{address}");
    }
}

/// Runs to its end what nothing else is to happen beside.
fn alone<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[tokio::test]
async fn rules_come_back_however_they_were_removed() {
    let node = Node::new();
    node.ovs.plug(&Pod::new(11).attachment).await.unwrap();
    let rules = node.netns.run("nft", &["list", "ruleset"]);
    for removal in [
        &["flush", "ruleset"][..],
        &["delete", "table", "inet", "kuryr"],
        &["delete", "table", "arp", "kuryr"],
        &["flush", "table", "inet", "kuryr"],
        &["flush", "chain", "arp", "kuryr", "from-pods"],
    ] {
        node.netns.run("nft", removal);
        let back = || (node.netns.run("nft", &["list", "ruleset"]) == rules).then_some(());
        eventually(&format!("the rules are back after {removal:?}"), back).await;
    }
}

#[tokio::test]
async fn rules_of_others_are_left_alone_and_ours_are_not_doubled() {
    let node = Node::new();
    let (one, two) = (Pod::new(11), Pod::new(12));
    node.netns.run("nft", &["add", "table", "inet", "foreign"]);
    node.ovs.plug(&one.attachment).await.unwrap();
    assert_eq!(tables(&node), ["table inet foreign", "table inet kuryr", "table arp kuryr"]);
    let before = node.netns.run("nft", &["list", "ruleset"]);
    node.ovs.plug(&two.attachment).await.unwrap();
    node.ovs.stale().await.unwrap();
    let after = node.netns.run("nft", &["list", "ruleset"]);
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&after), sorted(&before));
}

/// Makes the driver take the bridge for one with the kernel's datapath, which this kernel doesn't have.
async fn with_the_kernels_datapath(node: &Node) {
    node.vsctl(&["--no-wait", "set", "bridge", BRIDGE, "datapath_type=system"]);
    let switched = |view: &kuryr_datapath::ovsdb::View| {
        view.bridge(BRIDGE).is_some_and(|(_, bridge)| bridge.datapath_type == "system")
    };
    node.ovs.watch().wait_for(switched).await.unwrap();
}

#[tokio::test]
async fn with_the_kernels_datapath_the_rules_are_there_too() {
    let node = Node::new();
    with_the_kernels_datapath(&node).await;
    node.ovs.plug(&Pod::new(11).attachment).await.unwrap();
    assert_eq!(tables(&node), ["table inet kuryr", "table arp kuryr"]);
}

/// Set in the process in which [`without_nft_nothing_is_plugged`] does its work: the PATH belongs to a whole process.
const INSIDE: &str = "KURYR_TEST_WITHOUT_NFT";

#[tokio::test]
async fn without_nft_nothing_is_plugged() {
    if env::var_os(INSIDE).is_none() {
        let programs = tempfile::tempdir().unwrap();
        let path = env::var_os("PATH").unwrap();
        let folders = env::split_paths(&path).filter_map(|folder| folder.read_dir().ok());
        for program in folders.flatten().flatten().filter(|program| program.file_name() != "nft") {
            // Of programs with the same name the first one counts.
            symlink(program.path(), programs.path().join(program.file_name())).ok();
        }
        let mut inside = Command::new(env::current_exe().unwrap());
        inside.args(["--exact", "isolation::without_nft_nothing_is_plugged", "--nocapture"]);
        let output = inside.env("PATH", programs.path()).env(INSIDE, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let node = Node::new();
    let pod = Pod::new(11);
    let error = node.ovs.plug(&pod.attachment).await.unwrap_err();
    assert!(matches!(error, Error::Isolation(isolation::Error::Missing)), "{error}");
    assert!(error.to_string().contains("install the package nftables"), "{error}");
    node.assert_empty();
    assert_eq!(pod.netns.devices(), Vec::<String>::new());
    // What an earlier daemon left is found all the same.
    node.netns.run("ip", &["link", "add", "kpod0123456789a", "type", "veth", "peer", "name", "foreign"]);
    assert_eq!(node.ovs.stale().await.unwrap().len(), 1);
    // With the kernel's datapath it can be done without.
    with_the_kernels_datapath(&node).await;
    for _ in 0..2 {
        node.ovs.plug(&pod.attachment).await.unwrap();
    }
}
