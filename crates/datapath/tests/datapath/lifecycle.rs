//! Plugging and unplugging.

use crate::fixture::{Netns, Node, Pod, eventually, run};
use futures::future::join_all;
use kuryr_datapath::{Driver, Error, netns};

#[tokio::test]
async fn unplug_leaves_nothing_and_may_be_repeated() {
    let node = Node::new();
    let pod = Pod::new(11);
    let attachment = &pod.attachment;
    node.ovs.plug(attachment).await.unwrap();
    assert_eq!(node.ports(), [pod.host()]);
    for _ in 0..2 {
        node.ovs.unplug(&attachment.container_id, &attachment.ifname).await.unwrap();
        node.assert_empty();
        assert_eq!(pod.netns.devices(), Vec::<String>::new());
    }
    node.ovs.plug(attachment).await.unwrap();
    assert_eq!(node.ports(), [pod.host()]);
}

#[tokio::test]
async fn the_record_is_kept_beside_the_port() {
    let node = Node::new();
    let pod = Pod::new(11);
    assert_eq!(node.ovs.attachments().await.unwrap(), []);
    node.ovs.plug(&pod.attachment).await.unwrap();
    let [found] = node.ovs.attachments().await.unwrap().try_into().unwrap();
    let wanted = &pod.attachment;
    assert_eq!(
        (&found.pod, &found.container_id, &found.netns, &found.ifname, &found.port_id),
        (&wanted.pod, &wanted.container_id, &wanted.netns, &wanted.ifname, &wanted.port_id)
    );
    assert_eq!((found.host_interface, found.ready, found.error), (pod.host(), false, None));
}

#[tokio::test]
async fn an_interface_of_an_earlier_sandbox_is_replaced_in_the_same_transaction() {
    let node = Node::new();
    let earlier = Pod::new(11);
    node.ovs.plug(&earlier.attachment).await.unwrap();
    let mut later = Pod::new(11);
    later.attachment.pod.name = "later".to_owned();
    node.ovs.plug(&later.attachment).await.unwrap();
    assert_eq!(node.ports(), [later.host()]);
    assert_eq!(node.veths(), [later.host()]);
    let log = run("ovsdb-tool", &["-mm", "show-log", &node.file("conf.db")]);
    let records: Vec<&str> = log.split("\nrecord ").filter(|record| record.contains("pod default/later")).collect();
    assert_eq!(records.len(), 1, "one transaction:\n{log}");
    let (new, old) = (later.host(), earlier.host());
    for table in ["Port", "Interface"] {
        assert!(records[0].contains(&format!("table {table} insert row \"{new}\"")), "{}", records[0]);
        let (_, change) = records[0].split_once(&format!("table {table} row \"{old}\"")).unwrap();
        assert!(change.lines().nth(1).unwrap().contains("delete row"), "{}", records[0]);
    }
    // The DEL of the earlier sandbox, that was late, doesn't touch the later one.
    node.ovs.unplug(&earlier.attachment.container_id, "eth0").await.unwrap();
    assert_eq!(node.ports(), [later.host()]);
}

#[tokio::test]
async fn a_second_add_of_the_same_interface_replaces_the_first() {
    let node = Node::new();
    let mut pod = Pod::new(11);
    node.ovs.plug(&pod.attachment).await.unwrap();
    pod.attachment.mtu = 1300;
    node.ovs.plug(&pod.attachment).await.unwrap();
    assert_eq!(node.ovs.check(&pod.attachment).await.unwrap(), []);
    assert_eq!(node.ports(), [pod.host()]);
}

#[tokio::test]
async fn a_wrong_namespace_is_said_and_leaves_nothing() {
    let node = Node::new();
    let mut pod = Pod::new(11);
    pod.netns.remove();
    let error = node.ovs.plug(&pod.attachment).await.unwrap_err();
    assert!(matches!(error, Error::Namespace(netns::Error::Open { .. })), "{error}");
    assert!(error.to_string().contains(&pod.netns.path().display().to_string()), "{error}");
    let file = tempfile::NamedTempFile::new().unwrap();
    pod.attachment.netns = file.path().to_owned();
    let error = node.ovs.plug(&pod.attachment).await.unwrap_err();
    assert!(matches!(error, Error::Namespace(netns::Error::NotANamespace { .. })), "{error}");
    node.assert_empty();
}

#[tokio::test]
async fn a_step_that_fails_late_leaves_nothing() {
    let node = Node::new();
    let mut pod = Pod::new(11);
    // The last request, refused by the kernel: a gateway of the other family. The port is in the OVSDB then.
    pod.attachment.routes.push(crate::fixture::route("10.7.0.0/16", "fd00:244::1"));
    let error = node.ovs.plug(&pod.attachment).await.unwrap_err();
    assert!(matches!(error, Error::Netlink(_)), "{error}");
    assert!(error.to_string().contains("eth0"), "{error}");
    node.assert_empty();
    assert_eq!(pod.netns.devices(), Vec::<String>::new());
}

#[tokio::test]
async fn an_existing_interface_of_somebody_else_is_not_touched() {
    let node = Node::new();
    let pod = Pod::new(11);
    pod.netns.run("ip", &["link", "add", "eth0", "type", "veth", "peer", "name", "other"]);
    let error = node.ovs.plug(&pod.attachment).await.unwrap_err();
    assert!(matches!(&error, Error::Netlink(error) if error.exists()), "{error}");
    node.assert_empty();
    assert_eq!(pod.netns.devices().len(), 2);
}

#[tokio::test]
async fn a_namespace_that_goes_under_our_feet() {
    let node = Node::new();
    let pods: Vec<Pod> = (10..16).map(Pod::new).collect();
    join_all(pods.iter().map(|pod| async {
        let plug = node.ovs.plug(&pod.attachment);
        let remove = tokio::task::spawn_blocking({
            let name = pod.netns.path().file_name().unwrap().to_str().unwrap().to_owned();
            move || run("ip", &["netns", "del", &name])
        });
        let (plugged, removed) = tokio::join!(plug, remove);
        removed.unwrap();
        // Whether it came in time or not: DEL works, and says nothing.
        drop(plugged);
        node.ovs.unplug(&pod.attachment.container_id, "eth0").await.unwrap();
    }))
    .await;
    node.assert_empty();
}

/// A crash between the two steps must leave a record of a device that is gone, never a device without a record: what has no
/// record is taken for gone, and its address is given on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_device_goes_before_its_record() {
    let node = Node::new();
    let pod = Pod::new(11);
    node.ovs.plug(&pod.attachment).await.unwrap();
    node.signal_server("-STOP");
    let (ovs, id) = (node.ovs.clone(), pod.attachment.container_id.clone());
    let unplug = tokio::spawn(async move { ovs.unplug(&id, "eth0").await });
    eventually("the device goes, though the server doesn't answer", || node.veths().is_empty().then_some(())).await;
    node.signal_server("-CONT");
    // The server's answer was all that was still missing. Had it been asked first, it would have been given up by now.
    unplug.await.unwrap().unwrap();
    node.assert_empty();
}

#[tokio::test]
async fn the_hosts_end_has_no_address() {
    let node = Node::new();
    let pod = Pod::new(11);
    node.ovs.plug(&pod.attachment).await.unwrap();
    let [link] = node.netns.ip(&["link", "show", "dev", &pod.host()]).try_into().unwrap();
    assert_eq!(link["inet6_addr_gen_mode"], "none", "{link}");
    let [shown] = node.netns.ip(&["address", "show", "dev", &pod.host()]).try_into().unwrap();
    assert_eq!(shown["addr_info"], serde_json::json!([]), "{shown}");
}

#[tokio::test]
async fn unplug_after_the_namespace_is_gone() {
    let node = Node::new();
    let pod = Pod::new(11);
    node.ovs.plug(&pod.attachment).await.unwrap();
    pod.netns.remove();
    node.ovs.unplug(&pod.attachment.container_id, "eth0").await.unwrap();
    node.assert_empty();
}

#[tokio::test]
async fn a_missing_bridge_is_said_and_leaves_nothing() {
    let node = Node::new();
    let pod = Pod::new(11);
    node.vsctl(&["del-br", crate::fixture::BRIDGE]);
    let error = node.ovs.plug(&pod.attachment).await.unwrap_err();
    assert!(matches!(error, Error::NoBridge { .. }), "{error}");
    assert_eq!(node.netns.devices(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_pods_at_once() {
    let node = Node::new();
    let pods: Vec<Pod> = (10..30).map(Pod::new).collect();
    for result in join_all(pods.iter().map(|pod| node.ovs.plug(&pod.attachment))).await {
        result.unwrap();
    }
    assert_eq!(node.ports().len(), 20);
    for pod in &pods {
        assert_eq!(node.ovs.check(&pod.attachment).await.unwrap(), []);
    }
    crate::packets::ping(&pods[0].netns, "10.244.0.29");
    let unplug = |pod: &'_ Pod| {
        let (ovs, id) = (node.ovs.clone(), pod.attachment.container_id.clone());
        async move { ovs.unplug(&id, "eth0").await }
    };
    for result in join_all(pods.iter().map(unplug)).await {
        result.unwrap();
    }
    node.assert_empty();
}

#[tokio::test]
async fn removed_together_with_one_that_is_missing_and_without_one_that_stays() {
    let node = Node::new();
    let pods: Vec<Pod> = (11..15).map(Pod::new).collect();
    for pod in &pods {
        node.ovs.plug(&pod.attachment).await.unwrap();
    }
    node.netns.run("ip", &["link", "del", &pods[1].host()]);
    let unplugs = pods[..3].iter().map(|pod| node.ovs.unplug(&pod.attachment.container_id, "eth0"));
    for result in join_all(unplugs).await {
        result.unwrap();
    }
    assert_eq!((node.veths(), node.ports()), (vec![pods[3].host()], vec![pods[3].host()]));
    assert_eq!(node.ovs.check(&pods[3].attachment).await.unwrap(), []);
}

#[tokio::test]
async fn several_interfaces_in_one_sandbox() {
    let node = Node::new();
    let (one, mut two) = (Pod::new(11), Pod::new(12));
    two.attachment.container_id.clone_from(&one.attachment.container_id);
    two.attachment.netns.clone_from(&one.attachment.netns);
    two.attachment.ifname = "net1".to_owned();
    two.attachment.addresses = vec!["10.245.0.12/16".parse().unwrap()];
    two.attachment.routes.clear();
    node.ovs.plug(&one.attachment).await.unwrap();
    node.ovs.plug(&two.attachment).await.unwrap();
    assert_eq!(Netns::devices(&one.netns), ["eth0", "net1"]);
    node.ovs.unplug(&two.attachment.container_id, "net1").await.unwrap();
    assert_eq!(node.ovs.check(&one.attachment).await.unwrap(), []);
}
