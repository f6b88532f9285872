//! What was left behind is found and removed, and nothing else.

use crate::fixture::{Node, Pod};
use kuryr_datapath::{Driver, StaleReason};

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
