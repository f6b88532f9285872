//! Packets decide.

use crate::{
    fixture::{MTU, Netns, Node, PATIENCE, Pod, eventually},
    node_port,
};
use kuryr_datapath::{Driver, netns::Namespace};
use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
};

/// One ping with a packet of `MTU` bytes that must not be fragmented.
pub fn ping(from: &Netns, to: &str) {
    let headers = if to.contains(':') { 48 } else { 28 };
    let size = (MTU - headers).to_string();
    // More than one: the first may be lost while the switch opens its end. One answer is enough for `ping` to succeed.
    from.run("ping", &["-q", "-M", "do", "-s", &size, "-i", "0.2", "-c", "5", "-W", "2", to]);
}

/// Sends some megabytes over TCP from one namespace to another, and compares them.
pub async fn tcp(from: Namespace, to: Namespace, address: IpAddr) {
    let listener = to.run(move || TcpListener::bind(SocketAddr::new(address, 0))).await.unwrap().unwrap();
    let target = listener.local_addr().unwrap();
    let data: Vec<u8> = (0..4_u32 << 20).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let expected = data.clone();
    let server = tokio::task::spawn_blocking(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        received
    });
    let mut stream = from.run(move || TcpStream::connect_timeout(&target, PATIENCE)).await.unwrap().unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    tokio::task::spawn_blocking(move || stream.write_all(&data).unwrap()).await.unwrap();
    assert!(server.await.unwrap() == expected, "what arrived differs from what was sent");
}

#[tokio::test]
async fn two_pods_reach_each_other_at_full_mtu() {
    let node = Node::new();
    let (one, two) = (Pod::new(11), Pod::new(12));
    node.ovs.plug(&one.attachment).await.unwrap();
    node.ovs.plug(&two.attachment).await.unwrap();
    ping(&one.netns, "10.244.0.12");
    ping(&two.netns, "fd00:244::b");
    tcp(one.netns.open(), two.netns.open(), "10.244.0.12".parse().unwrap()).await;
    tcp(two.netns.open(), one.netns.open(), "fd00:244::b".parse().unwrap()).await;
}

/// Lets `netns` take other MAC addresses for those of `addresses`, as of an older port that it has talked to.
pub fn mislead(netns: &Netns, device: &str, addresses: &[&str]) {
    for address in addresses {
        netns.run("ip", &["neigh", "replace", address, "lladdr", "fa:16:3e:ff:ff:ff", "nud", "stale", "dev", device]);
    }
}

/// Waits until `netns` knows all of `addresses` by this MAC address, without asking for it.
pub async fn knows(netns: &Netns, device: &str, mac: &str, addresses: &[&str]) {
    eventually(&format!("{mac} of {addresses:?} in {}", netns.path().display()), || {
        let neighbours = netns.ip(&["neigh", "show", "dev", device]);
        let known = |address: &&&str| neighbours.iter().any(|n| n["dst"] == **address && n["lladdr"] == mac);
        (addresses.iter().filter(known).count() == addresses.len()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_announced_replaces_what_others_know_of_an_older_port() {
    let node = Node::new();
    let (one, two) = (Pod::new(11), Pod::new(12));
    let port = node.ovs.node_port(node_port::NAME);
    port.ensure(&node_port::spec()).await.unwrap();
    for pod in [&one, &two] {
        node.ovs.plug(&pod.attachment).await.unwrap();
    }
    ping(&one.netns, "10.244.0.12");
    ping(&node.netns, "10.244.0.12");
    let (of_two, of_node) = (["10.244.0.12", "fd00:244::c"], ["10.244.0.200", "fd00:244::c8"]);
    mislead(&one.netns, "eth0", &of_two);
    mislead(&node.netns, node_port::NAME, &of_two);
    node.ovs.announce(&two.attachment).await.unwrap();
    knows(&one.netns, "eth0", "fa:16:3e:00:00:0c", &of_two).await;
    knows(&node.netns, node_port::NAME, "fa:16:3e:00:00:0c", &of_two).await;
    mislead(&one.netns, "eth0", &of_node);
    port.announce(&node_port::spec()).await.unwrap();
    knows(&one.netns, "eth0", "fa:16:3e:00:01:00", &of_node).await;
}

#[tokio::test]
async fn nothing_is_announced_by_an_interface_that_is_gone() {
    let node = Node::new();
    let pod = Pod::new(11);
    assert!(node.ovs.announce(&pod.attachment).await.unwrap_err().to_string().contains("`eth0`"));
    pod.netns.remove();
    let gone = node.ovs.announce(&pod.attachment).await.unwrap_err().to_string();
    assert!(gone.contains(&pod.netns.path().display().to_string()), "{gone}");
    assert!(node.ovs.node_port(node_port::NAME).announce(&node_port::spec()).await.is_err());
}

#[tokio::test]
async fn the_interface_is_as_it_should_be() {
    let node = Node::new();
    let pod = Pod::new(11);
    node.ovs.plug(&pod.attachment).await.unwrap();
    let [_, link] = pod.netns.ip(&["addr", "show"]).try_into().unwrap();
    assert_eq!(
        (&link["ifname"], &link["address"], &link["mtu"]),
        (&"eth0".into(), &"fa:16:3e:00:00:0b".into(), &MTU.into())
    );
    let addresses: Vec<String> = link["addr_info"]
        .as_array()
        .unwrap()
        .iter()
        .map(|info| {
            assert_ne!(info["tentative"], true, "{info} can't be used yet");
            format!("{}/{}", info["local"].as_str().unwrap(), info["prefixlen"])
        })
        .collect();
    assert!(
        addresses.contains(&"10.244.0.11/16".to_owned()) && addresses.contains(&"fd00:244::b/64".to_owned()),
        "{addresses:?}"
    );
    for (family, gateway) in [("-4", "10.244.0.1"), ("-6", "fd00:244::1")] {
        let routes = pod.netns.ip(&[family, "route", "show", "default"]);
        assert_eq!(routes.len(), 1);
        assert_eq!(routes[0]["gateway"], gateway);
    }
    let features = pod.netns.run("ethtool", &["-k", "eth0"]);
    assert!(features.contains("tx-checksumming: off"), "{features}");
    assert_eq!(pod.netns.run("cat", &["/proc/sys/net/ipv6/conf/eth0/accept_ra"]).trim(), "0");
    assert_eq!(node.veths(), [pod.host()]);
    assert_eq!(node.external_id(&pod.host(), "iface-id"), pod.attachment.port_id);
    assert_eq!(node.external_id(&pod.host(), "attached-mac"), "fa:16:3e:00:00:0b");
    assert_eq!(node.external_id(&pod.host(), "iface-status"), "active");
}

#[tokio::test]
async fn a_gateway_outside_of_the_prefix_is_reached_on_the_link() {
    let node = Node::new();
    let mut one = Pod::new(11);
    let mut two = Pod::new(12);
    for (pod, gateway) in [(&mut one, "10.244.0.12"), (&mut two, "10.244.0.11")] {
        let attachment = &mut pod.attachment;
        attachment.addresses = attachment.addresses.iter().map(|address| address.addr().into()).collect();
        attachment.routes = vec![crate::fixture::route("0.0.0.0/0", gateway)];
        node.ovs.plug(attachment).await.unwrap();
        assert_eq!(node.ovs.check(attachment).await.unwrap(), []);
    }
    ping(&one.netns, "10.244.0.12");
}
