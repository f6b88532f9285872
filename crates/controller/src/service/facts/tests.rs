//! Reading.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn read(spec: &Value) -> Service {
    let object = json!({ "metadata": { "name": "web", "namespace": "shop", "uid": "1" }, "spec": spec });
    service(&serde_json::from_value(object).unwrap())
}

fn read_slice(object: Value) -> Option<Slice> {
    slice(&serde_json::from_value(object).unwrap())
}

#[test]
fn what_a_service_doesnt_say_is_as_the_api_means_it() {
    let empty = Service {
        name: "web".into(),
        namespace: "shop".into(),
        uid: "1".into(),
        allocate_node_ports: true,
        ..Service::default()
    };
    assert_eq!(read(&json!({})), empty);
    let nothing = Service { name: String::new(), namespace: String::new(), uid: String::new(), ..empty };
    assert_eq!(service(&v1::Service::default()), nothing);
    let port = &read(&json!({ "ports": [{ "port": 80 }] })).ports[0];
    assert_eq!((port.name.as_str(), port.protocol, port.port), ("", Protocol::Tcp, 80));
    assert_eq!((&port.target, port.node_port), (&TargetPort::Number(80), None));
}

#[test]
fn what_a_service_says_is_read() {
    let object = json!({
        "metadata": {
            "name": "web", "namespace": "shop", "uid": "1", "annotations": { "a": "b" },
            "deletionTimestamp": "2026-11-27T00:00:00Z",
        },
        "spec": {
            "type": "LoadBalancer", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1", "fd96::1"],
            "selector": { "app": "web" }, "publishNotReadyAddresses": true, "loadBalancerClass": "c",
            "loadBalancerIP": "203.0.113.7", "loadBalancerSourceRanges": ["192.0.2.0/24"],
            "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local", "allocateLoadBalancerNodePorts": false,
            "ports": [{
                "name": "dns", "protocol": "UDP", "port": 53, "targetPort": "dns", "nodePort": 30053, "appProtocol": "dns",
            }],
        },
    });
    let read = service(&serde_json::from_value(object).unwrap());
    assert_eq!((read.deleted, read.kind), (true, ServiceType::LoadBalancer));
    assert_eq!(read.annotations.get("a").map(String::as_str), Some("b"));
    assert_eq!(read.cluster_ips, ["10.96.0.1", "fd96::1"]);
    assert!(read.selector && read.publish_not_ready_addresses && !read.allocate_node_ports);
    assert!(read.external_traffic_local && read.internal_traffic_local);
    assert_eq!(read.load_balancer_class.as_deref(), Some("c"));
    assert_eq!(read.load_balancer_ip.as_deref(), Some("203.0.113.7"));
    assert_eq!(read.load_balancer_source_ranges, ["192.0.2.0/24"]);
    let port = ServicePort {
        name: "dns".into(),
        protocol: Protocol::Udp,
        port: 53,
        target: TargetPort::Name("dns".into()),
        node_port: Some(30053),
        app_protocol: Some("dns".into()),
    };
    assert_eq!(read.ports, [port]);
}

#[test]
fn types_and_policies_are_known_by_their_words() {
    use ServiceType::{ClusterIp, ExternalName, LoadBalancer, NodePort};
    for (text, kind) in [
        ("ClusterIP", ClusterIp),
        ("NodePort", NodePort),
        ("LoadBalancer", LoadBalancer),
        ("ExternalName", ExternalName),
        ("Newer", ClusterIp),
    ] {
        assert_eq!(read(&json!({ "type": text })).kind, kind, "{text}");
    }
    let cluster = read(&json!({ "externalTrafficPolicy": "Cluster", "internalTrafficPolicy": "Cluster" }));
    assert!(!cluster.external_traffic_local && !cluster.internal_traffic_local);
}

#[test]
fn an_old_object_has_one_address_and_an_empty_selector_is_none() {
    assert_eq!(read(&json!({ "clusterIP": "None" })).cluster_ips, ["None"]);
    assert_eq!(read(&json!({ "clusterIP": "", "clusterIPs": [] })).cluster_ips, [""; 0]);
    assert!(!read(&json!({ "selector": {} })).selector);
}

#[test]
fn affinity_lasts_three_hours_unless_something_else_is_said() {
    let affinity = |kind: &str, seconds: Value| {
        let config = json!({ "clientIP": { "timeoutSeconds": seconds } });
        read(&json!({ "sessionAffinity": kind, "sessionAffinityConfig": config })).client_ip_affinity
    };
    assert_eq!(affinity("ClientIP", json!(60)), Some(60));
    assert_eq!(affinity("None", json!(60)), None);
    for odd in [json!(null), json!(0), json!(-1), json!(86_401)] {
        assert_eq!(affinity("ClientIP", odd.clone()), Some(10_800), "{odd}");
    }
    assert_eq!(read(&json!({ "sessionAffinity": "ClientIP" })).client_ip_affinity, Some(10_800));
}

#[test]
fn ports_that_cant_be_read_are_left_out() {
    let ports = json!([
        { "port": 0 }, { "port": -1 }, { "port": 65_536 }, { "port": 1, "protocol": "QUIC" },
        { "port": 132, "protocol": "SCTP", "targetPort": 0, "nodePort": 0 }, { "port": 80, "targetPort": 70_000 },
        { "port": 81, "targetPort": "" }, { "port": 82, "targetPort": 8080 },
    ]);
    let read = read(&json!({ "ports": ports })).ports;
    let known: Vec<_> = read.into_iter().map(|port| (port.port, port.target, port.node_port)).collect();
    let expected = [(132, 132), (80, 80), (81, 81), (82, 8080)];
    assert_eq!(known, expected.map(|(port, target)| (port, TargetPort::Number(target), None)));
}

#[test]
fn what_a_slice_doesnt_say_is_as_the_api_means_it() {
    let read = read_slice(json!({
        "metadata": { "namespace": "shop" }, "addressType": "IPv4",
        "ports": [{}, { "name": "http", "protocol": "TCP", "port": 8080 }, { "port": 0 }, { "protocol": "QUIC" }],
        "endpoints": [{ "addresses": ["10.0.0.1"] }],
    }));
    let all = SlicePort { name: String::new(), protocol: Protocol::Tcp, port: None };
    let http = SlicePort { name: "http".into(), protocol: Protocol::Tcp, port: Some(8080) };
    let endpoint = Endpoint { addresses: vec!["10.0.0.1".into()], ..Endpoint::default() };
    let expected = Slice { address_type: AddressType::Ipv4, ports: vec![all, http], endpoints: vec![endpoint] };
    assert_eq!(read, Some(expected));
}

#[test]
fn what_a_slice_says_is_read() {
    let endpoints = json!([
        {
            "addresses": ["fd00::1"], "conditions": { "ready": false, "serving": true, "terminating": true },
            "nodeName": "node1", "targetRef": { "kind": "Pod", "name": "web-0" },
        },
        { "addresses": ["fd00::2"], "targetRef": { "kind": "Pod", "name": "web-1", "namespace": "other" } },
        { "addresses": ["fd00::3"], "targetRef": { "kind": "Node", "name": "node1" } },
    ]);
    let slice = json!({ "metadata": { "namespace": "shop" }, "addressType": "IPv6", "endpoints": endpoints });
    let read = read_slice(slice).unwrap();
    assert_eq!(read.address_type, AddressType::Ipv6);
    let first = &read.endpoints[0];
    assert_eq!((first.ready, first.serving, first.terminating), (Some(false), Some(true), Some(true)));
    assert_eq!(first.node.as_deref(), Some("node1"));
    let pods: Vec<_> = read.endpoints.iter().map(|endpoint| endpoint.pod.as_deref()).collect();
    assert_eq!(pods, [Some("shop/web-0"), Some("other/web-1"), None]);
}

#[test]
fn a_slice_of_another_address_type_is_left_out() {
    let of = |address_type: &str| read_slice(json!({ "metadata": {}, "addressType": address_type, "endpoints": [] }));
    assert_eq!(of("FQDN").map(|slice| slice.address_type), Some(AddressType::Fqdn));
    assert_eq!((of(""), of("IPv8")), (None, None));
}

#[test]
fn a_slices_service_is_its_labels() {
    let of = |labels: Value| {
        let slice = json!({ "metadata": { "labels": labels }, "addressType": "IPv4", "endpoints": [] });
        service_of(&serde_json::from_value(slice).unwrap())
    };
    assert_eq!(of(json!({ SERVICE_NAME: "web" })).as_deref(), Some("web"));
    assert_eq!((of(json!({ SERVICE_NAME: "" })), of(json!({})), of(json!(null))), (None, None, None));
}

#[test]
fn labels_leave_a_service_and_its_slices_to_others() {
    for label in OTHERS {
        let meta = json!({ "name": "web", "labels": { label: "" } });
        let object = serde_json::from_value(json!({ "metadata": meta, "spec": {} })).unwrap();
        assert!(service(&object).left_to_others, "{label}");
        assert_eq!(read_slice(json!({ "metadata": meta, "addressType": "IPv4", "endpoints": [] })), None, "{label}");
        assert!(is_read(label) && is_read(SERVICE_NAME) && !is_read("app"));
    }
    let object = serde_json::from_value(json!({ "metadata": { "labels": { "app": "web" } }, "spec": {} })).unwrap();
    assert!(!service(&object).left_to_others);
}

proptest! {
    #[test]
    fn nothing_panics(texts in prop::collection::vec("\\PC{0,9}", 4), numbers in prop::array::uniform4(any::<i32>())) {
        let _ = read(&json!({
            "type": texts[0], "clusterIP": texts[1], "sessionAffinity": "ClientIP",
            "sessionAffinityConfig": { "clientIP": { "timeoutSeconds": numbers[0] } },
            "ports": [{ "port": numbers[1], "targetPort": numbers[2], "nodePort": numbers[3], "protocol": texts[2] }],
        }));
        let ports = json!([{ "name": texts[0], "port": numbers[0], "protocol": texts[1] }]);
        let _ = read_slice(json!({ "metadata": {}, "addressType": texts[3], "ports": ports, "endpoints": [] }));
    }
}
