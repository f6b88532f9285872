//! What was left behind is found and removed, and nothing else.

use crate::fixture::{Daemon, Node, Pod, eventually};
use kuryr_datapath::{Driver, Stale, StaleReason};

async fn stale(node: &Node) -> Vec<(String, StaleReason)> {
    let mut found: Vec<_> =
        node.ovs.stale().await.unwrap().into_iter().map(|stale| (stale.host_interface, stale.reason)).collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

#[tokio::test]
async fn each_kind_of_leftover_is_found_and_removed() {
    let node = Node::new();
    let pods: Vec<Pod> = (11..15).map(Pod::new).collect();
    for pod in &pods {
        node.ovs.plug(&pod.attachment).await.unwrap();
    }
    node.netns.run("ip", &["link", "add", "kpodfoo", "type", "veth", "peer", "name", "foreign"]);
    assert_eq!(stale(&node).await, []);
    let [sound, no_port, no_device, no_namespace] = [0, 1, 2, 3].map(|index: usize| pods[index].host());
    node.vsctl(&["del-port", &no_port]);
    node.netns.run("ip", &["link", "del", &no_device]);
    pods[3].netns.remove();
    // The kernel takes a namespace apart in its own time.
    eventually("its device goes", || (!node.veths().contains(&no_namespace)).then_some(())).await;
    let mut expected = vec![
        (no_port, StaleReason::NoPort),
        (no_device, StaleReason::NoDevice),
        (no_namespace, StaleReason::NoNamespace),
    ];
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(stale(&node).await, expected);
    for stale in node.ovs.stale().await.unwrap() {
        node.ovs.remove_stale(&stale).await.unwrap();
    }
    assert_eq!(stale(&node).await, []);
    assert_eq!(node.ports(), [sound]);
    assert_eq!(node.ovs.check(&pods[0].attachment).await.unwrap(), []);
    assert!(node.netns.devices().contains(&"kpodfoo".to_owned()), "a device that isn't ours was removed");
}

/// A daemon without a view of the node's namespaces doesn't see them at their paths, and must not touch living pods.
#[tokio::test]
async fn an_interface_that_lives_is_no_leftover_though_its_namespace_is_not_seen() {
    let node = Node::new();
    let (made, adopted) = (Pod::new(11), Pod::new(12));
    for (pod, held) in [(&made, false), (&adopted, true)] {
        if held {
            node.ovs.hold(&pod.held()).await.unwrap();
        }
        let plugged = node.ovs.plug(&pod.attachment).await.unwrap();
        assert_eq!(plugged.was_held, held);
        let living = Daemon(pod.netns.command("sleep").arg("600").spawn().unwrap());
        let inside = || std::fs::read_link(format!("/proc/{}/ns/net", living.0.id())).ok();
        let there = || pod.netns.run("readlink", &["/proc/self/ns/net"]).trim().into();
        eventually("the pod runs", || (inside() == Some(there())).then_some(())).await;
        pod.netns.remove();
        assert_eq!(stale(&node).await, []);
        let forged =
            Stale { host_interface: plugged.host_interface.clone(), attached: None, reason: StaleReason::NoNamespace };
        node.ovs.remove_stale(&forged).await.unwrap();
        assert!(node.ports().contains(&plugged.host_interface));
        drop(living);
        let gone = (plugged.host_interface, StaleReason::NoNamespace);
        let limit = std::time::Instant::now() + crate::fixture::PATIENCE;
        while stale(&node).await != std::slice::from_ref(&gone) {
            assert!(std::time::Instant::now() < limit, "its end isn't noticed");
        }
        for stale in node.ovs.stale().await.unwrap() {
            node.ovs.remove_stale(&stale).await.unwrap();
        }
        node.assert_empty();
    }
}

#[tokio::test]
async fn what_was_plugged_again_is_not_removed() {
    let node = Node::new();
    let pod = Pod::new(11);
    node.ovs.plug(&pod.attachment).await.unwrap();
    node.netns.run("ip", &["link", "del", &pod.host()]);
    let [stale] = node.ovs.stale().await.unwrap().try_into().unwrap();
    node.ovs.plug(&pod.attachment).await.unwrap();
    node.ovs.remove_stale(&stale).await.unwrap();
    assert_eq!(node.ovs.check(&pod.attachment).await.unwrap(), []);
}

#[tokio::test]
async fn what_is_being_plugged_is_not_stale() {
    let node = Node::new();
    let pods: Vec<Pod> = (11..19).map(Pod::new).collect();
    let plugs = futures::future::join_all(pods.iter().map(|pod| node.ovs.plug(&pod.attachment)));
    let looks = async {
        for _ in 0..20 {
            for stale in node.ovs.stale().await.unwrap() {
                node.ovs.remove_stale(&stale).await.unwrap();
            }
        }
    };
    let (plugged, ()) = tokio::join!(plugs, looks);
    for (pod, plugged) in pods.iter().zip(plugged) {
        plugged.unwrap();
        assert_eq!(node.ovs.check(&pod.attachment).await.unwrap(), []);
    }
}
