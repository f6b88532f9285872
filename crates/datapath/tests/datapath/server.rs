//! The OVSDB server and the switch come and go.

use crate::fixture::{Node, Pod, eventually};
use futures::FutureExt;
use kuryr_datapath::{Driver, Error, ovs, ovsdb};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_restarted_server_is_found_again_and_the_view_is_right() {
    let mut node = Node::new();
    let (one, two) = (Pod::new(11), Pod::new(12));
    node.ovs.plug(&one.attachment).await.unwrap();
    let mut watch = node.ovs.watch();
    node.kill_server();
    watch.wait_for(|view| !view.live).await.unwrap();
    assert!(watch.borrow().problem.is_some());
    // Something changes that the client doesn't see.
    node.start_server();
    node.vsctl(&["del-port", &one.host()]);
    watch.wait_for(|view| view.live && view.interface(&one.host()).is_none()).await.unwrap();
    assert_eq!(node.ovs.attachments().await.unwrap(), []);
    node.ovs.plug(&two.attachment).await.unwrap();
    assert_eq!(node.ports(), [two.host()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_in_the_middle_leaves_nothing_wrong() {
    let mut node = Node::new();
    for round in 0..8_u64 {
        let pod = Pod::new(11);
        let plug = tokio::spawn({
            let (ovs, attachment) = (node.ovs.clone(), pod.attachment.clone());
            async move { ovs.plug(&attachment).await }
        });
        tokio::time::sleep(Duration::from_millis(round)).await;
        node.kill_server();
        node.start_server();
        // It either worked, or failed and was undone: never half of it. The undo needs the server, and waits for it.
        match plug.await.unwrap() {
            Ok(_) => assert_eq!(node.ovs.check(&pod.attachment).await.unwrap(), []),
            Err(error) => assert!(matches!(error, Error::Ovsdb(_)), "{error}"),
        }
        node.ovs.unplug(&pod.attachment.container_id, "eth0").await.unwrap();
        eventually("the switch follows", || node.ports().is_empty().then_some(())).await;
        node.assert_empty();
    }
}

#[tokio::test]
async fn without_a_server_calls_fail_in_time_and_say_why() {
    let node = Node::new();
    let pod = Pod::new(11);
    let settings = ovs::Settings {
        remote: "unix:/nonexistent/db.sock".parse().unwrap(),
        bridge: "br-int".to_owned(),
        namespace: node.netns.open(),
        holding: node.file("holding").into(),
        timeout: Duration::from_millis(300),
    };
    let ovs = ovs::Ovs::new(settings);
    let start = Instant::now();
    let error = ovs.plug(&pod.attachment).await.unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(matches!(error, Error::Ovsdb(ovsdb::Error::Unreachable { .. })), "{error}");
    let text = error.to_string();
    assert!(text.contains("unix:/nonexistent/db.sock") && text.contains("No such file"), "{text}");
    node.assert_empty();
}

#[tokio::test]
async fn a_refused_transaction_says_which_operation_and_why() {
    let node = Node::new();
    let client =
        ovsdb::Client::connect(format!("unix:{}", node.file("db.sock")).parse().unwrap(), Duration::from_secs(9));
    let update =
        ovsdb::Op::Update { table: "Bridge", conditions: vec![], row: serde_json::json!({ "no-such-column": 1 }) };
    let error = client.transact("a test", vec![ovsdb::Op::Comment("x".to_owned()), update]).await.unwrap_err();
    let ovsdb::Error::Operation { operation, .. } = &error else { panic!("{error}") };
    assert_eq!(operation, "update Bridge");
    assert!(error.to_string().contains("no-such-column"), "{error}");
    let select = ovsdb::Op::Select {
        table: "Bridge",
        conditions: vec![serde_json::json!(["name", "==", "br-int"])],
        columns: vec!["datapath_type"],
    };
    let rows = client.transact("a test", vec![select]).await.unwrap();
    assert_eq!(rows[0]["rows"][0]["datapath_type"], "netdev");
}

#[tokio::test]
async fn wait_ready_follows_the_row() {
    let node = Node::new();
    let pod = Pod::new(11);
    let (id, host) = (pod.attachment.container_id.clone(), pod.host());
    node.ovs.plug(&pod.attachment).await.unwrap();
    let mut waiting = node.ovs.wait_ready(&id, "eth0");
    assert!((&mut waiting).now_or_never().is_none(), "ready before OVN said so");
    node.vsctl(&["set", "interface", &host, "external_ids:ovn-installed=true"]);
    waiting.await.unwrap();
    assert!(node.ovs.attachments().await.unwrap()[0].ready);

    node.vsctl(&["remove", "interface", &host, "external_ids", "ovn-installed"]);
    node.ovs
        .watch()
        .wait_for(|view| !view.interface(&host).unwrap().external_ids.contains_key("ovn-installed"))
        .await
        .unwrap();
    let mut waiting = node.ovs.wait_ready(&id, "eth0");
    assert!((&mut waiting).now_or_never().is_none());
    node.vsctl(&["del-port", &host]);
    assert!(matches!(waiting.await.unwrap_err(), Error::Gone { .. }));
}

#[tokio::test]
async fn wait_ready_tells_what_the_switch_says() {
    let mut node = Node::new();
    let pod = Pod::new(11);
    node.kill_switch();
    node.ovs.plug(&pod.attachment).await.unwrap();
    let host = pod.host();
    let waiting = tokio::spawn({
        let (ovs, id) = (node.ovs.clone(), pod.attachment.container_id.clone());
        async move { ovs.wait_ready(&id, "eth0").await }
    });
    node.netns.run("ip", &["link", "del", &host]);
    node.start_switch();
    let error = waiting.await.unwrap().unwrap_err();
    assert!(
        matches!(&error, Error::Rejected { interface, reason } if *interface == host && !reason.is_empty()),
        "{error}"
    );
}
