//! CHECK says what differs.

use crate::fixture::{Node, Pod};
use kuryr_datapath::Driver;

async fn differences(node: &Node, pod: &Pod) -> Vec<String> {
    node.ovs.check(&pod.attachment).await.unwrap().iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn what_was_changed_is_what_is_told() {
    let node = Node::new();
    let pod = Pod::new(11);
    node.ovs.plug(&pod.attachment).await.unwrap();
    assert_eq!(differences(&node, &pod).await, Vec::<String>::new());
    let host = pod.host();

    pod.netns.run("ip", &["link", "set", "eth0", "mtu", "1400"]);
    assert_eq!(differences(&node, &pod).await, ["MTU of eth0: expected 1442, found 1400"]);
    pod.netns.run("ip", &["link", "set", "eth0", "mtu", "1442"]);

    pod.netns.run("ip", &["route", "del", "default"]);
    assert_eq!(differences(&node, &pod).await, ["route of eth0: expected 0.0.0.0/0 via 10.244.0.1, found nothing"]);
    pod.netns.run("ip", &["route", "add", "default", "via", "10.244.0.1"]);

    pod.netns.run("ip", &["addr", "add", "10.9.9.9/32", "dev", "eth0"]);
    assert_eq!(differences(&node, &pod).await, ["address of eth0: expected nothing, found 10.9.9.9/32"]);
    pod.netns.run("ip", &["addr", "del", "10.9.9.9/32", "dev", "eth0"]);

    pod.netns.run("ip", &["link", "set", "eth0", "address", "fa:16:3e:00:00:99"]);
    assert_eq!(
        differences(&node, &pod).await,
        ["MAC address of eth0: expected fa:16:3e:00:00:0b, found fa:16:3e:00:00:99"]
    );
    pod.netns.run("ip", &["link", "set", "eth0", "address", "fa:16:3e:00:00:0b"]);

    // Routes that the pod adds itself are its own business.
    pod.netns.run("ip", &["route", "add", "10.99.0.0/16", "via", "10.244.0.77"]);
    assert_eq!(differences(&node, &pod).await, Vec::<String>::new());

    node.vsctl(&["set", "interface", &host, "external_ids:iface-id=other"]);
    assert_eq!(
        differences(&node, &pod).await,
        [format!("external_ids:iface-id of port {host}: expected {}, found other", pod.attachment.port_id)]
    );
    node.vsctl(&["del-port", &host]);
    assert_eq!(
        differences(&node, &pod).await,
        [format!("port {host} in Open vSwitch: expected a port, found nothing")]
    );
}

#[tokio::test]
async fn an_interface_that_was_never_plugged() {
    let node = Node::new();
    let pod = Pod::new(11);
    let found = differences(&node, &pod).await;
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.iter().all(|difference| difference.ends_with("found nothing")), "{found:?}");
}
