//! What a pod can do to the interface of a held port, and what is left of it: nothing.

use crate::{
    fixture::{Node, Pod, eventually},
    hold::{give_back, hold_and_plug, only_held},
    packets::ping,
};
use kuryr_datapath::Driver;

/// A device on a waiting end, in another namespace: up, as far as it can be, while the end is down.
fn take_away(node: &Node, end: &str, target: &str) {
    let kind = ["type", "macvlan", "mode", "passthru", "nopromisc"];
    node.in_holding("ip", &[&["link", "add", "link", end, "name", "eth0", "netns", target], &kind[..]].concat());
    crate::fixture::run("ip", &["-n", target, "link", "set", "eth0", "up"]);
}

/// How a pod sees its interface, without what differs from one to the next.
fn look(pod: &Pod) -> serde_json::Value {
    let [_, mut link] = pod.netns.ip(&["-s", "link", "show"]).try_into().unwrap();
    for own in ["address", "ifindex", "link_index", "link_netnsid", "stats64", "ifalias"] {
        link.as_object_mut().unwrap().remove(own);
    }
    link
}

/// The same of the end on which it stands.
fn look_at_end(node: &Node, name: &str) -> serde_json::Value {
    let text = node.in_holding("ip", &["-j", "-d", "link", "show", name]);
    let [mut link]: [serde_json::Value; 1] = serde_json::from_str::<Vec<_>>(&text).unwrap().try_into().unwrap();
    // The kernel forgets to count `allmulti` back (macvlan_stop). It says nothing on a device that receives all it is sent. And
    // one that was never up has another name for having no queue.
    for own in ["address", "ifname", "ifindex", "link_index", "link_netnsid", "allmulti", "qdisc"] {
        link.as_object_mut().unwrap().remove(own);
    }
    link
}

#[tokio::test]
async fn what_a_pod_did_to_its_interface_ends_with_it() {
    let node = Node::new();
    let (one, two) = (Pod::new(11), Pod::new(11));
    for adopted in [false, true, true] {
        assert_eq!(node.ovs.plug(&one.attachment).await.unwrap().was_held, adopted);
        let ip = |args: &[&str]| one.netns.run("ip", args);
        if !adopted {
            ip(&["link", "add", "link", "eth0", "name", "child", "type", "macvlan"]);
        }
        ip(&[
            "link",
            "set",
            "eth0",
            "promisc",
            "on",
            "allmulticast",
            "on",
            "mtu",
            "1300",
            "txqueuelen",
            "7",
            "alias",
            "m",
        ]);
        ip(&["link", "set", "eth0", "address", "02:00:00:00:00:07"]);
        ip(&["link", "property", "add", "dev", "eth0", "altname", "other"]);
        ip(&["addr", "add", "10.9.9.9/24", "dev", "eth0"]);
        ip(&["neigh", "add", "10.244.0.99", "lladdr", "02:00:00:00:00:01", "dev", "eth0"]);
        ip(&["maddr", "add", "33:33:00:00:12:34", "dev", "eth0"]);
        one.netns.run("tc", &["qdisc", "add", "dev", "eth0", "clsact"]);
        give_back(&node, &one).await;
        assert_eq!(one.netns.devices(), Vec::<String>::new());
        assert_eq!(node.ovs.attachments().await.unwrap(), []);
        let held = only_held(&node).await;
        assert_eq!((node.ports(), node.veths(), node.waiting()), (vec![held.clone()], vec![held.clone()], vec![held]));
        assert_eq!(node.ovs.stale().await.unwrap(), []);
    }
    let fresh = Pod::new(12);
    node.ovs.hold(&fresh.held()).await.unwrap();
    let of = |port: &str| format!("external_ids:iface-id={port}");
    let name = |port: &str| node.vsctl(&["--bare", "--columns=name", "find", "interface", &of(port)]);
    let (used, new) = (name(&two.attachment.port_id), name(&fresh.attachment.port_id));
    assert_eq!(look_at_end(&node, &used), look_at_end(&node, &new), "an end that pods had is as a new one");
    for pod in [&two, &fresh] {
        assert!(node.ovs.plug(&pod.attachment).await.unwrap().was_held);
        assert_eq!(node.ovs.check(&pod.attachment).await.unwrap(), []);
    }
    assert_eq!(look(&two), look(&fresh), "an interface on it is as one on a new end");
    ping(&two.netns, "10.244.0.12");
}

/// How many pings the namespace has sent, whether they left it or not.
fn sent_echoes(netns: &crate::fixture::Netns) -> u64 {
    let snmp = netns.run("cat", &["/proc/net/snmp"]);
    let [names, values] =
        snmp.lines().filter(|line| line.starts_with("IcmpMsg:")).collect::<Vec<_>>().try_into().unwrap();
    let mut counts = names.split_whitespace().zip(values.split_whitespace());
    counts.find(|(name, _)| *name == "OutType8").map_or(0, |(_, count)| count.parse().unwrap())
}

/// A device that was renamed is found; one that the pod took elsewhere is cut off, and its port is held no more.
#[tokio::test]
async fn a_pod_cant_keep_its_port() {
    let node = Node::new();
    let (one, two, other) = (Pod::new(11), Pod::new(11), Pod::new(12));
    node.ovs.plug(&other.attachment).await.unwrap();
    hold_and_plug(&node, &one).await;
    one.netns.run("ip", &["link", "set", "eth0", "name", "mine"]);
    give_back(&node, &one).await;
    assert_eq!(one.netns.devices(), Vec::<String>::new());
    assert!(node.ovs.plug(&one.attachment).await.unwrap().was_held);
    let hidden = crate::fixture::Netns::new("hidden");
    let name = hidden.path().file_name().unwrap().to_str().unwrap().to_owned();
    one.netns.run("ip", &["link", "set", "eth0", "type", "macvlan", "mode", "passthru", "nopromisc"]);
    one.netns.run("ip", &["link", "set", "eth0", "netns", &name]);
    hidden.run("ip", &["addr", "add", "10.244.0.11/16", "dev", "eth0"]);
    hidden.run("ip", &["link", "set", "eth0", "up"]);
    let mac = other.attachment.mac.to_string();
    hidden.run("ip", &["neigh", "replace", "10.244.0.12", "lladdr", &mac, "nud", "permanent", "dev", "eth0"]);
    ping(&hidden, "10.244.0.12");
    give_back(&node, &one).await;
    assert_eq!(
        (node.ovs.held().await.unwrap(), hidden.devices()),
        (vec![], vec![]),
        "a port that a pod hides isn't held"
    );
    // Nor where the end looks as if it waited: the pod took the device away after the last look at it.
    node.ovs.hold(&one.held()).await.unwrap();
    take_away(&node, &only_held(&node).await, &name);
    hidden.run("ip", &["addr", "add", "10.244.0.11/16", "dev", "eth0"]);
    hidden.run("ip", &["neigh", "replace", "10.244.0.12", "lladdr", &mac, "nud", "permanent", "dev", "eth0"]);
    let lost = hidden.command("ping").args(["-c1", "-W1", "10.244.0.12"]).output().unwrap();
    assert!(!lost.status.success(), "the port of a pod that has ended still passes packets");
    // Not for a moment, while the next pod's ADD finds out that the end isn't free.
    let mut flood = hidden.command("ping");
    flood.args(["-q", "-i0.001", "-w4", "10.244.0.12"]).stdout(std::process::Stdio::piped());
    let sent = || sent_echoes(&hidden);
    let before = sent();
    let flood = flood.spawn().unwrap();
    eventually("the flood runs, into nothing", || (sent() > before + 10).then_some(())).await;
    let plugged = node.ovs.plug(&two.attachment).await.unwrap();
    assert!(!plugged.was_held);
    let said = String::from_utf8(flood.wait_with_output().unwrap().stdout).unwrap();
    assert!(said.contains(" 0 received"), "{said}");
    assert_eq!(hidden.devices(), Vec::<String>::new());
    assert_eq!(node.ovs.check(&two.attachment).await.unwrap(), []);
    ping(&two.netns, "10.244.0.12");
    assert_eq!(node.ovs.stale().await.unwrap(), []);
    assert_eq!(node.ports().len(), 2);
}

/// The kernel counts who wants all frames without a look at whether the device is up.
#[tokio::test]
async fn an_end_that_a_pod_left_miscounted_is_not_used_again() {
    let node = Node::new();
    let pod = Pod::new(11);
    let first = hold_and_plug(&node, &pod).await;
    pod.netns.run("ip", &["link", "set", "eth0", "down"]);
    pod.netns.run("ip", &["link", "set", "eth0", "type", "macvlan", "mode", "passthru", "nopromisc"]);
    give_back(&node, &pod).await;
    assert!(node.ovs.held().await.unwrap().iter().all(|held| held.host_interface != first));
    assert_eq!(pod.netns.devices(), Vec::<String>::new());
    assert_eq!(node.ovs.stale().await.unwrap(), []);
}

#[tokio::test]
async fn the_holding_namespace_is_bound_again_where_somebody_unmounted_it() {
    let node = Node::new();
    let (pod, other) = (Pod::new(11), Pod::new(12));
    let end = hold_and_plug(&node, &pod).await;
    crate::fixture::run("umount", &["--lazy", &node.file("holding")]);
    assert_eq!(node.ovs.stale().await.unwrap(), []);
    assert!(node.in_holding("ip", &["link", "show"]).contains(&end));
    // Another life finds it as it was.
    let ovs = node.another_life();
    assert_eq!(ovs.stale().await.unwrap(), []);
    assert_eq!(ovs.check(&pod.attachment).await.unwrap(), []);
    ovs.plug(&other.attachment).await.unwrap();
    ping(&pod.netns, "10.244.0.12");
}

/// A pod whose end an earlier release has moved into its namespace.
#[tokio::test]
async fn an_end_that_was_moved_into_its_pod_is_replaced_when_it_is_given_back() {
    let node = Node::new();
    let pod = Pod::new(11);
    let held = hold_and_plug(&node, &pod).await;
    let target = pod.netns.path().display().to_string();
    pod.netns.run("ip", &["link", "del", "eth0"]);
    node.in_holding("ip", &["link", "set", "dev", &held, "netns", &target, "name", "eth0"]);
    give_back(&node, &pod).await;
    assert_ne!(only_held(&node).await, held);
    assert_eq!((pod.netns.devices(), node.ovs.stale().await.unwrap()), (vec![], vec![]));
    assert!(node.ovs.plug(&pod.attachment).await.unwrap().was_held);
    assert_eq!(node.ovs.check(&pod.attachment).await.unwrap(), []);
}

#[tokio::test]
async fn a_port_comes_and_goes_without_the_dataplane_noticing() {
    let node = Node::new();
    let pod = Pod::new(11);
    node.ovs.hold(&pod.held()).await.unwrap();
    let held = only_held(&node).await;
    node.install(&held);
    let row = node.vsctl(&["get", "interface", &held, "_uuid", "ofport"]);
    for _ in 0..3 {
        assert!(node.ovs.plug(&pod.attachment).await.unwrap().was_held);
        node.ovs.wait_ready(&pod.attachment.container_id, "eth0").await.unwrap();
        give_back(&node, &pod).await;
        let [back] = node.ovs.held().await.unwrap().try_into().unwrap();
        assert_eq!((back.spec, &back.host_interface, back.ready), (pod.held(), &held, true));
    }
    assert_eq!(node.vsctl(&["get", "interface", &held, "_uuid", "ofport"]), row);
    let ids = node.vsctl(&["get", "interface", &held, "external_ids"]);
    assert!(!ids.contains("kuryr-pod") && !ids.contains("container") && !ids.contains("netns"), "{ids}");
    // Again, for an interface that is gone; and after the sandbox has gone first, and its devices with it.
    give_back(&node, &pod).await;
    assert!(node.ovs.plug(&pod.attachment).await.unwrap().was_held);
    pod.netns.remove();
    let promiscuity = || node.in_holding("ip", &["-d", "link", "show", &held]).contains("promiscuity 0");
    eventually("the device goes", || promiscuity().then_some(())).await;
    give_back(&node, &pod).await;
    assert_eq!((only_held(&node).await, node.waiting()), (held.clone(), vec![held]));
}
