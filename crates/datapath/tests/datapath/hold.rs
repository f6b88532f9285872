//! Ports that are held before a pod has them, adopted, and given back.

use crate::{
    fixture::{Node, Pod, eventually},
    packets::ping,
};
use futures::future::join_all;
use kuryr_datapath::{Driver, Error, Stale, StaleReason};

/// The host's end of the one port that is held.
pub async fn only_held(node: &Node) -> String {
    let [held] = node.ovs.held().await.unwrap().try_into().unwrap();
    held.host_interface
}

/// What an ADD that was killed in the middle has done: the pod's device stands on the end, without a record.
fn take(node: &Node, end: &str, pod: &Pod) {
    node.in_holding("ip", &["link", "set", "dev", end, "up"]);
    let target = pod.netns.path().display().to_string();
    let kind = ["type", "macvlan", "mode", "passthru"];
    node.in_holding("ip", &[&["link", "add", "link", end, "name", "eth0", "netns", &target], &kind[..]].concat());
}

/// Holds the pod's port and gives it to the pod. The host's end.
pub async fn hold_and_plug(node: &Node, pod: &Pod) -> String {
    node.ovs.hold(&pod.held()).await.unwrap();
    let plugged = node.ovs.plug(&pod.attachment).await.unwrap();
    assert!(plugged.was_held);
    plugged.host_interface
}

pub async fn give_back(node: &Node, pod: &Pod) {
    node.ovs.give_back(&pod.attachment.container_id, "eth0").await.unwrap();
}

async fn unplug(node: &Node, pod: &Pod) {
    node.ovs.unplug(&pod.attachment.container_id, "eth0").await.unwrap();
}

#[tokio::test]
async fn a_held_port_is_connected_and_belongs_to_nobody() {
    let node = Node::new();
    let pod = Pod::new(11);
    for _ in 0..2 {
        node.ovs.hold(&pod.held()).await.unwrap();
        let [held] = node.ovs.held().await.unwrap().try_into().unwrap();
        assert_eq!((&held.spec, held.ready, &held.error), (&pod.held(), false, &None));
        assert_eq!(node.ports(), std::slice::from_ref(&held.host_interface));
        assert_eq!(
            (node.veths(), node.waiting()),
            (vec![held.host_interface.clone()], vec![held.host_interface.clone()])
        );
        assert_eq!(node.external_id(&held.host_interface, "iface-id"), pod.attachment.port_id);
        assert_eq!(node.ovs.attachments().await.unwrap(), []);
        assert_eq!(node.ovs.stale().await.unwrap(), []);
    }
    for _ in 0..2 {
        node.ovs.let_go(&pod.attachment.port_id).await.unwrap();
        node.assert_empty();
        assert_eq!(node.waiting(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn nothing_passes_the_holding_namespace() {
    let node = Node::new();
    node.ovs.hold(&Pod::new(11).held()).await.unwrap();
    let links = node.in_holding("ip", &["-j", "addr", "show"]);
    let links: Vec<serde_json::Value> = serde_json::from_str(&links).unwrap();
    assert_eq!(links.len(), 2);
    for link in links {
        assert_eq!((&link["operstate"], &link["addr_info"]), (&"DOWN".into(), &serde_json::json!([])), "{link}");
    }
    for family in ["ipv4", "ipv6"] {
        let key = format!("net.{family}.conf.all.forwarding");
        assert_eq!(node.in_holding("sysctl", &["-n", &key]).trim(), "0");
    }
    // An end that a pod has is up, and may have lost the pod's device.
    let end = &only_held(&node).await;
    node.in_holding("ip", &["link", "set", "dev", end, "up"]);
    let links: Vec<serde_json::Value> = serde_json::from_str(&node.in_holding("ip", &["-j", "addr", "show"])).unwrap();
    assert!(links.iter().all(|link| link["addr_info"] == serde_json::json!([])), "{links:?}");
    let [stale] = node.ovs.stale().await.unwrap().try_into().unwrap();
    assert_eq!((&stale.host_interface, stale.reason), (end, StaleReason::NotWaiting));
}

#[tokio::test]
async fn a_holding_namespace_that_was_half_made_is_made() {
    let node = Node::new();
    // A life that was killed between the file and the mount.
    std::fs::write(node.file("holding"), "").unwrap();
    let pod = Pod::new(11);
    node.ovs.hold(&pod.held()).await.unwrap();
    assert_eq!(node.waiting(), [only_held(&node).await]);
    assert!(node.ovs.plug(&pod.attachment).await.unwrap().was_held);
}

#[tokio::test]
async fn a_pod_adopts_the_held_port_as_it_is() {
    let node = Node::new();
    let (one, two) = (Pod::new(11), Pod::new(12));
    node.ovs.hold(&one.held()).await.unwrap();
    let held = only_held(&node).await;
    node.install(&held);
    let row = node.vsctl(&["get", "interface", &held, "_uuid"]);
    let plugged = node.ovs.plug(&one.attachment).await.unwrap();
    assert_eq!((plugged.host_interface.as_str(), plugged.was_held), (held.as_str(), true));
    assert_eq!(node.vsctl(&["get", "interface", &held, "_uuid"]), row);
    node.ovs.wait_ready(&one.attachment.container_id, "eth0").await.unwrap();
    assert_eq!(node.ovs.check(&one.attachment).await.unwrap(), []);
    assert_eq!((node.ovs.held().await.unwrap(), node.waiting()), (vec![], vec![]));
    let [attached] = node.ovs.attachments().await.unwrap().try_into().unwrap();
    assert_eq!(
        (attached.pod, attached.host_interface, attached.ready),
        (one.attachment.pod.clone(), held.clone(), true)
    );
    assert_eq!(node.ovs.stale().await.unwrap(), []);
    assert!(!node.ovs.plug(&two.attachment).await.unwrap().was_held);
    ping(&one.netns, "10.244.0.12");
    ping(&two.netns, "fd00:244::b");
    crate::packets::tcp(one.netns.open(), two.netns.open(), "10.244.0.12".parse().unwrap()).await;
    let error = node.ovs.hold(&one.held()).await.unwrap_err();
    assert!(matches!(&error, Error::InUse { interface, .. } if *interface == held), "{error}");
    node.ovs.let_go(&one.attachment.port_id).await.unwrap();
    assert_eq!(node.ovs.check(&one.attachment).await.unwrap(), [], "a pod that has the port keeps it");
    for _ in 0..2 {
        unplug(&node, &one).await;
        unplug(&node, &two).await;
    }
    node.assert_empty();
    assert_eq!(one.netns.devices(), Vec::<String>::new());
}

#[tokio::test]
async fn a_port_that_changed_since_is_not_adopted() {
    let node = Node::new();
    let mut pod = Pod::new(11);
    node.ovs.hold(&pod.held()).await.unwrap();
    let first = only_held(&node).await;
    pod.attachment.mtu = 1300;
    node.ovs.hold(&pod.held()).await.unwrap();
    assert_ne!(only_held(&node).await, first);
    pod.attachment.mac = "fa:16:3e:00:00:99".parse().unwrap();
    assert!(!node.ovs.plug(&pod.attachment).await.unwrap().was_held);
    assert_eq!(node.ovs.check(&pod.attachment).await.unwrap(), []);
    assert_eq!((node.ports(), node.veths()), (vec![pod.host()], vec![pod.host()]));
}

#[tokio::test]
async fn a_second_add_of_an_adopted_interface_replaces_it() {
    let node = Node::new();
    let pod = Pod::new(11);
    node.ovs.hold(&pod.held()).await.unwrap();
    assert!(node.ovs.plug(&pod.attachment).await.unwrap().was_held);
    assert!(!node.ovs.plug(&pod.attachment).await.unwrap().was_held);
    assert_eq!(node.ovs.check(&pod.attachment).await.unwrap(), []);
    assert_eq!((node.ports(), node.veths()), (vec![pod.host()], vec![pod.host()]));
}

#[tokio::test]
async fn an_adoption_that_fails_leaves_nothing() {
    let node = Node::new();
    let mut pod = Pod::new(11);
    pod.netns.run("ip", &["link", "add", "eth0", "type", "veth", "peer", "name", "other"]);
    node.ovs.hold(&pod.held()).await.unwrap();
    let error = node.ovs.plug(&pod.attachment).await.unwrap_err();
    assert!(matches!(&error, Error::Netlink(error) if error.exists()), "{error}");
    node.assert_empty();
    pod.netns.run("ip", &["link", "del", "eth0"]);
    node.ovs.hold(&pod.held()).await.unwrap();
    // The last request, refused by the kernel: a gateway of the other family.
    pod.attachment.routes.push(crate::fixture::route("10.7.0.0/16", "fd00:244::1"));
    node.ovs.plug(&pod.attachment).await.unwrap_err();
    node.assert_empty();
    assert_eq!((pod.netns.devices(), node.waiting()), (vec![], vec![]));
}

#[tokio::test]
async fn a_port_is_given_back_in_one_transaction_and_at_once() {
    let node = Node::new();
    let pod = Pod::new(11);
    node.ovs.plug(&pod.attachment).await.unwrap();
    node.ovs.give_back(&pod.attachment.container_id, "eth0").await.unwrap();
    let held = only_held(&node).await;
    let log = crate::fixture::run("ovsdb-tool", &["-mm", "show-log", &node.file("conf.db")]);
    let records: Vec<&str> = log.split("\nrecord ").filter(|record| record.contains("holding port")).collect();
    assert_eq!(records.len(), 1, "{log}");
    assert!(records[0].contains(&format!("table Port insert row \"{held}\"")), "{}", records[0]);
    assert!(records[0].contains(&format!("table Port row \"{}\"", pod.host())), "{}", records[0]);
    // Again, for an interface that is gone.
    node.ovs.give_back(&pod.attachment.container_id, "eth0").await.unwrap();
    assert_eq!(only_held(&node).await, held);
}

#[tokio::test]
async fn held_ports_outlive_the_daemon() {
    let node = Node::new();
    let pod = Pod::new(11);
    node.ovs.hold(&pod.held()).await.unwrap();
    let held = only_held(&node).await;
    let ovs = node.another_life();
    assert_eq!(ovs.stale().await.unwrap(), []);
    let plugged = ovs.plug(&pod.attachment).await.unwrap();
    assert_eq!((plugged.host_interface, plugged.was_held), (held, true));
    assert_eq!(ovs.check(&pod.attachment).await.unwrap(), []);
}

#[tokio::test]
async fn broken_holds_are_found_and_removed() {
    let node = Node::new();
    let pods: Vec<Pod> = (11..15).map(Pod::new).collect();
    let mut names = Vec::new();
    for pod in &pods {
        node.ovs.hold(&pod.held()).await.unwrap();
        let held = node.ovs.held().await.unwrap();
        let held = held.into_iter().find(|held| held.spec == pod.held()).unwrap();
        names.push(held.host_interface);
    }
    let [sound, no_port, no_device, taken] = names.try_into().unwrap();
    node.vsctl(&["del-port", &no_port]);
    node.netns.run("ip", &["link", "del", &no_device]);
    take(&node, &taken, &pods[3]);
    let mut expected =
        vec![(no_port, StaleReason::NoPort), (no_device, StaleReason::NoDevice), (taken, StaleReason::NotWaiting)];
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    // A broken hold doesn't keep its pod from its interface.
    let mut stale = node.ovs.stale().await.unwrap();
    stale.sort_by(|a, b| a.host_interface.cmp(&b.host_interface));
    let shown: Vec<_> =
        stale.iter().map(|Stale { host_interface, reason, .. }| (host_interface.clone(), *reason)).collect();
    assert_eq!(shown, expected);
    for stale in stale {
        node.ovs.remove_stale(&stale).await.unwrap();
    }
    assert_eq!(
        (node.ovs.stale().await.unwrap(), node.ports(), node.veths()),
        (vec![], vec![sound.clone()], vec![sound])
    );
    assert_eq!(pods[3].netns.devices(), Vec::<String>::new());
}

#[tokio::test]
async fn a_broken_hold_does_not_keep_its_pod_from_an_interface() {
    let node = Node::new();
    let pods: Vec<Pod> = (11..13).map(Pod::new).collect();
    for pod in &pods {
        node.ovs.hold(&pod.held()).await.unwrap();
    }
    for held in node.ovs.held().await.unwrap() {
        match held.spec == pods[0].held() {
            true => node.netns.run("ip", &["link", "del", &held.host_interface]),
            false => node.in_holding("ip", &["link", "set", &held.host_interface, "name", "x"]),
        };
    }
    for pod in &pods {
        assert!(!node.ovs.plug(&pod.attachment).await.unwrap().was_held);
        assert_eq!(node.ovs.check(&pod.attachment).await.unwrap(), []);
    }
    assert_eq!(node.ovs.stale().await.unwrap(), []);
    let mut expected = pods.iter().map(Pod::host).collect::<Vec<_>>();
    expected.sort();
    assert_eq!((node.veths().len(), node.ports()), (2, expected));
}

/// The switch sets a device down when it lets go of an older one of the same name.
#[tokio::test]
async fn the_name_of_a_replaced_interface_is_used_again_only_when_the_switch_has_let_go_of_it() {
    let node = Node::new();
    let pod = Pod::new(11);
    node.ovs.plug(&pod.attachment).await.unwrap();
    eventually("the switch takes it", || {
        (node.vsctl(&["get", "interface", &pod.host(), "ofport"]) != "[]").then_some(())
    })
    .await;
    node.signal_switch("-STOP");
    node.ovs.give_back(&pod.attachment.container_id, "eth0").await.unwrap();
    node.ovs.let_go(&pod.attachment.port_id).await.unwrap();
    let mut again = std::pin::pin!(node.ovs.plug(&pod.attachment));
    let early = tokio::time::timeout(std::time::Duration::from_millis(500), &mut again).await;
    assert!(early.is_err(), "{early:?}");
    node.signal_switch("-CONT");
    again.await.unwrap();
    node.vsctl(&["get", "interface", &pod.host(), "ofport"]);
    assert_eq!(node.ovs.check(&pod.attachment).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_adds_and_dels_at_once() {
    let node = Node::new();
    let pods: Vec<Pod> = (10..26).map(Pod::new).collect();
    for round in 0..3 {
        // Each pod's port is held, or let go, while its ADD comes.
        let work = pods.iter().enumerate().map(|(index, pod)| {
            let node = &node;
            async move {
                let spec = pod.held();
                let other = async {
                    if (index + round) % 2 == 0 {
                        node.ovs.hold(&spec).await.ok();
                    } else {
                        node.ovs.let_go(&spec.port_id).await.unwrap();
                    }
                };
                let (plugged, ()) = tokio::join!(node.ovs.plug(&pod.attachment), other);
                plugged.unwrap();
                assert_eq!(node.ovs.check(&pod.attachment).await.unwrap(), []);
                node.ovs.give_back(&pod.attachment.container_id, "eth0").await.unwrap();
            }
        });
        join_all(work).await;
        assert_eq!((node.ovs.held().await.unwrap().len(), node.waiting().len()), (16, 16));
        assert_eq!((node.ports().len(), node.veths().len()), (16, 16));
    }
    assert_eq!(node.ovs.stale().await.unwrap(), []);
    join_all(pods.iter().map(|pod| node.ovs.let_go(&pod.attachment.port_id))).await;
    eventually("the switch follows", || node.ports().is_empty().then_some(())).await;
    node.assert_empty();
}
