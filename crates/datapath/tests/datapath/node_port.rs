//! The node's own port.

use crate::fixture::{BRIDGE, MTU, Node, Pod, eventually, route, run};
use crate::packets::{ping, tcp};
use kuryr_datapath::{Driver, Error, ovs::NodePortSpec};

pub const NAME: &str = "kuryr0";

pub fn spec() -> NodePortSpec {
    NodePortSpec {
        port_id: "22222222-2222-2222-2222-222222222222".to_owned(),
        mac: "fa:16:3e:00:01:00".parse().unwrap(),
        mtu: MTU,
        addresses: vec!["10.244.0.200/16".parse().unwrap(), "fd00:244::c8/64".parse().unwrap()],
        routes: vec![route("10.96.0.0/16", "10.244.0.1"), route("fd00:96::/112", "fd00:244::1")],
    }
}

fn addresses(node: &Node) -> Vec<String> {
    let [link] = node.netns.ip(&["addr", "show", NAME]).try_into().unwrap();
    let info = link["addr_info"].as_array().unwrap().clone();
    let global = info.iter().filter(|info| info["scope"] == "global");
    global.map(|info| info["local"].as_str().unwrap().to_owned()).collect()
}

fn routed(node: &Node, family: &str, destination: &str) -> bool {
    !node.netns.ip(&[family, "route", "show", destination, "dev", NAME]).is_empty()
}

pub fn assert_right(node: &Node) {
    let [link] = node.netns.ip(&["link", "show", NAME]).try_into().unwrap();
    assert_eq!((&link["address"], &link["mtu"]), (&"fa:16:3e:00:01:00".into(), &MTU.into()));
    assert_eq!(addresses(node), ["10.244.0.200", "fd00:244::c8"]);
    assert!(routed(node, "-4", "10.96.0.0/16") && routed(node, "-6", "fd00:96::/112"));
    assert_eq!(node.external_id(NAME, "iface-id"), spec().port_id);
}

#[tokio::test]
async fn the_node_reaches_a_pod_and_a_pod_the_node() {
    let node = Node::new();
    let pod = Pod::new(11);
    node.ovs.plug(&pod.attachment).await.unwrap();
    node.ovs.node_port(NAME).ensure(&spec()).await.unwrap();
    assert_right(&node);
    ping(&node.netns, "10.244.0.11");
    ping(&node.netns, "fd00:244::b");
    ping(&pod.netns, "10.244.0.200");
    ping(&pod.netns, "fd00:244::c8");
    tcp(node.netns.open(), pod.netns.open(), "10.244.0.11".parse().unwrap()).await;
    tcp(pod.netns.open(), node.netns.open(), "10.244.0.200".parse().unwrap()).await;
    tcp(pod.netns.open(), node.netns.open(), "fd00:244::c8".parse().unwrap()).await;
}

#[tokio::test]
async fn ensuring_again_changes_nothing() {
    let node = Node::new();
    let port = node.ovs.node_port(NAME);
    let status = port.ensure(&spec()).await.unwrap();
    let log = || run("ovsdb-tool", &["-mm", "show-log", &node.file("conf.db")]);
    let ours = || log().lines().filter(|line| line.contains("kuryr:")).count();
    let before = (ours(), node.netns.ip(&["addr", "show", NAME]));
    assert_eq!(before.0, 1);
    assert_eq!(port.ensure(&spec()).await.unwrap(), status);
    assert_eq!((ours(), node.netns.ip(&["addr", "show", NAME])), before);
}

#[tokio::test]
async fn drift_is_repaired() {
    let node = Node::new();
    let port = node.ovs.node_port(NAME);
    port.ensure(&spec()).await.unwrap();
    let breakages: [&dyn Fn(); 6] = [
        &|| drop(node.netns.run("ip", &["addr", "flush", "dev", NAME])),
        &|| drop(node.netns.run("ip", &["addr", "add", "10.244.0.201/16", "dev", NAME])),
        &|| drop(node.netns.run("ip", &["link", "set", NAME, "down"])),
        &|| drop(node.netns.run("ip", &["route", "replace", "10.96.0.0/16", "via", "10.244.0.9"])),
        &|| drop(node.vsctl(&["set", "interface", NAME, "external_ids:iface-id=other"])),
        &|| drop(node.vsctl(&["del-port", NAME])),
    ];
    for (number, breakage) in breakages.iter().enumerate() {
        breakage();
        port.ensure(&spec()).await.unwrap_or_else(|error| panic!("breakage {number}: {error}"));
        assert_right(&node);
        let routes = node.netns.ip(&["-4", "route", "show", "10.96.0.0/16"]);
        assert_eq!(routes[0]["gateway"], "10.244.0.1", "breakage {number}");
    }
}

/// A second bridge, as one to which an operator connects a network interface.
fn other_bridge(node: &Node) -> &'static str {
    node.vsctl(&["add-br", "br-ext", "--", "set", "bridge", "br-ext", "datapath_type=netdev"]);
    "br-ext"
}

#[tokio::test]
async fn an_interface_of_somebody_else_is_left_where_it_is() {
    let node = Node::new();
    let port = node.ovs.node_port(NAME);
    for bridge in [BRIDGE, other_bridge(&node)] {
        node.vsctl(&[
            "add-port",
            bridge,
            NAME,
            "--",
            "set",
            "interface",
            NAME,
            "type=internal",
            "external_ids:whose=mine",
        ]);
        let look =
            || (node.vsctl(&["port-to-br", NAME]), node.vsctl(&["get", "interface", NAME, "_uuid", "external_ids"]));
        let before = look();
        let error = port.ensure(&spec()).await.unwrap_err();
        assert!(matches!(error, Error::Foreign { .. }) && error.to_string().contains("daemon.nodePort"), "{error}");
        assert_eq!(port.status().await.unwrap(), None, "nobody is to be asked to remove it");
        port.remove().await.unwrap();
        assert_eq!(look(), before);
        assert!(addresses(&node).is_empty());
        node.vsctl(&["del-port", NAME]);
    }
    port.ensure(&spec()).await.unwrap();
    assert_right(&node);
}

#[tokio::test]
async fn our_port_on_another_bridge_comes_back() {
    let node = Node::new();
    let port = node.ovs.node_port(NAME);
    port.ensure(&spec()).await.unwrap();
    let (other, id) = (other_bridge(&node), node.vsctl(&["get", "port", NAME, "_uuid"]));
    node.vsctl(&["remove", "bridge", BRIDGE, "ports", &id, "--", "add", "bridge", other, "ports", &id]);
    port.ensure(&spec()).await.unwrap();
    assert_eq!(node.vsctl(&["port-to-br", NAME]), BRIDGE);
    assert_right(&node);
}

#[tokio::test]
async fn a_changed_port_follows() {
    let node = Node::new();
    let port = node.ovs.node_port(NAME);
    port.ensure(&spec()).await.unwrap();
    let mut other = spec();
    other.mac = "fa:16:3e:00:01:01".parse().unwrap();
    other.mtu = 1300;
    other.port_id = "33333333-3333-3333-3333-333333333333".to_owned();
    port.ensure(&other).await.unwrap();
    assert_eq!(node.external_id(NAME, "iface-id"), other.port_id);
    eventually("the switch sets MAC and MTU", || {
        let [link] = node.netns.ip(&["link", "show", NAME]).try_into().unwrap();
        (link["address"] == "fa:16:3e:00:01:01" && link["mtu"] == 1300).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_restart_of_the_switch_is_noticed_and_repaired() {
    let mut node = Node::new();
    let port = node.ovs.node_port(NAME);
    let status = port.ensure(&spec()).await.unwrap();
    // An orderly end takes the device away, with its addresses; the next start makes a new one.
    node.exit_switch();
    assert!(!node.netns.devices().contains(&NAME.to_owned()));
    node.start_switch();
    port.changed(Some(&status)).await.unwrap();
    let status = port.ensure(&spec()).await.unwrap();
    assert_right(&node);
    // After a crash it is found again as it was.
    node.kill_switch();
    node.start_switch();
    node.vsctl(&["set", "bridge", BRIDGE, "external_ids:seen=true"]);
    assert_eq!(port.ensure(&spec()).await.unwrap(), status);
    assert_right(&node);
}

#[tokio::test]
async fn removed_it_is_gone_and_may_be_removed_again() {
    let node = Node::new();
    let port = node.ovs.node_port(NAME);
    assert_eq!(port.status().await.unwrap(), None);
    let status = port.ensure(&spec()).await.unwrap();
    assert_eq!(port.status().await.unwrap(), Some(status.clone()));
    let waiting = tokio::spawn({
        let port = port.clone();
        async move { port.wait_ready().await }
    });
    port.remove().await.unwrap();
    port.changed(Some(&status)).await.unwrap();
    assert!(matches!(waiting.await.unwrap().unwrap_err(), Error::Gone { .. }));
    port.remove().await.unwrap();
    assert_eq!(port.status().await.unwrap(), None);
    eventually("the device goes", || (!node.netns.devices().contains(&NAME.to_owned())).then_some(())).await;
}

#[tokio::test]
async fn without_the_switch_it_says_what_is_missing() {
    let mut node = Node::new();
    node.kill_switch();
    let settings = kuryr_datapath::ovs::Settings {
        remote: format!("unix:{}", node.file("db.sock")).parse().unwrap(),
        bridge: "br-int".to_owned(),
        namespace: node.netns.open(),
        holding: node.file("holding").into(),
        timeout: std::time::Duration::from_secs(1),
    };
    let error = kuryr_datapath::ovs::Ovs::new(settings).node_port(NAME).ensure(&spec()).await.unwrap_err();
    assert!(matches!(error, Error::NoDevice { .. }), "{error}");
    assert!(error.to_string().contains("ovs-vswitchd"), "{error}");
}
