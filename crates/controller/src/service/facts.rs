//! What a Service and its EndpointSlices say, in plain types, with the API's defaults where they say nothing.
//!
//! An API server fills most defaults in itself; they are here for objects that it reads from an old store, and for tests. What can't be read
//! is left out: it may be from a newer Kubernetes, and the rest of the object can be served all the same.

use k8s_openapi::{
    api::{
        core::v1::{self, ObjectReference, ServiceSpec},
        discovery::v1::{self as discovery, EndpointSlice},
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use kuryr_core::service::{
    facts::{AddressType, Endpoint, Service, ServicePort, ServiceType, Slice, SlicePort, TargetPort},
    spec::Protocol,
};

/// Label of an EndpointSlice that names its Service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// `spec.sessionAffinityConfig.clientIP.timeoutSeconds` of a Service that doesn't say: three hours.
const AFFINITY_SECONDS: u32 = 10_800;

/// Longest affinity that the API server takes, in seconds.
const LONGEST_AFFINITY_SECONDS: u32 = 86_400;

/// What a Service says.
#[must_use]
pub fn service(object: &v1::Service) -> Service {
    let nothing = ServiceSpec::default();
    let (meta, spec) = (&object.metadata, object.spec.as_ref().unwrap_or(&nothing));
    let is_local = |policy: &Option<String>| policy.as_deref() == Some("Local");
    Service {
        name: meta.name.clone().unwrap_or_default(),
        namespace: meta.namespace.clone().unwrap_or_default(),
        uid: meta.uid.clone().unwrap_or_default(),
        annotations: meta.annotations.clone().unwrap_or_default(),
        deleted: meta.deletion_timestamp.is_some(),
        kind: kind(spec.type_.as_deref()),
        cluster_ips: cluster_ips(spec),
        ports: spec.ports.iter().flatten().filter_map(service_port).collect(),
        selector: spec.selector.as_ref().is_some_and(|selector| !selector.is_empty()),
        client_ip_affinity: client_ip_affinity(spec),
        publish_not_ready_addresses: spec.publish_not_ready_addresses.unwrap_or(false),
        load_balancer_class: spec.load_balancer_class.clone(),
        load_balancer_ip: spec.load_balancer_ip.clone(),
        load_balancer_source_ranges: spec.load_balancer_source_ranges.clone().unwrap_or_default(),
        external_traffic_local: is_local(&spec.external_traffic_policy),
        internal_traffic_local: is_local(&spec.internal_traffic_policy),
        allocate_node_ports: spec.allocate_load_balancer_node_ports.unwrap_or(true),
    }
}

/// What an EndpointSlice says. None: its addresses are of a type that isn't known.
#[must_use]
pub fn slice(object: &EndpointSlice) -> Option<Slice> {
    let address_type = match object.address_type.as_str() {
        "IPv4" => AddressType::Ipv4,
        "IPv6" => AddressType::Ipv6,
        "FQDN" => AddressType::Fqdn,
        _ => return None,
    };
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    Some(Slice {
        address_type,
        ports: object.ports.iter().flatten().filter_map(slice_port).collect(),
        endpoints: object.endpoints.iter().flatten().map(|one| endpoint(one, namespace)).collect(),
    })
}

/// Name of the Service that an EndpointSlice is of, in the slice's namespace.
#[must_use]
pub fn service_of(slice: &EndpointSlice) -> Option<String> {
    slice.metadata.labels.as_ref()?.get(SERVICE_NAME).filter(|name| !name.is_empty()).cloned()
}

/// A type that isn't known is reached from within the cluster only.
fn kind(type_: Option<&str>) -> ServiceType {
    match type_ {
        Some("NodePort") => ServiceType::NodePort,
        Some("LoadBalancer") => ServiceType::LoadBalancer,
        Some("ExternalName") => ServiceType::ExternalName,
        _ => ServiceType::ClusterIp,
    }
}

/// `clusterIPs`, or the one `clusterIP` of an object from before there were several.
fn cluster_ips(spec: &ServiceSpec) -> Vec<String> {
    let several = spec.cluster_ips.clone().unwrap_or_default();
    if several.is_empty() {
        return spec.cluster_ip.iter().filter(|address| !address.is_empty()).cloned().collect();
    }
    several
}

fn client_ip_affinity(spec: &ServiceSpec) -> Option<u32> {
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        return None;
    }
    let asked = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref()?.timeout_seconds);
    let seconds = asked.and_then(|seconds| u32::try_from(seconds).ok());
    Some(seconds.filter(|seconds| (1..=LONGEST_AFFINITY_SECONDS).contains(seconds)).unwrap_or(AFFINITY_SECONDS))
}

fn service_port(object: &v1::ServicePort) -> Option<ServicePort> {
    let port = number(object.port)?;
    Some(ServicePort {
        name: object.name.clone().unwrap_or_default(),
        protocol: protocol(object.protocol.as_deref())?,
        port,
        target: target(object.target_port.as_ref(), port),
        node_port: object.node_port.and_then(number),
        app_protocol: object.app_protocol.clone(),
    })
}

/// What a port leads to: itself, if nothing else is said. EndpointSlices have the number anyway, so one that isn't a port is no reason to
/// leave the port out.
fn target(asked: Option<&IntOrString>, port: u16) -> TargetPort {
    match asked {
        Some(IntOrString::String(name)) if !name.is_empty() => TargetPort::Name(name.clone()),
        Some(IntOrString::Int(asked)) => TargetPort::Number(number(*asked).unwrap_or(port)),
        _ => TargetPort::Number(port),
    }
}

/// None: the number can't be read. A port without a number is another thing: it means all of them.
fn slice_port(object: &discovery::EndpointPort) -> Option<SlicePort> {
    let port = match object.port {
        Some(port) => Some(number(port)?),
        None => None,
    };
    let name = object.name.clone().unwrap_or_default();
    Some(SlicePort { name, protocol: protocol(object.protocol.as_deref())?, port })
}

fn endpoint(object: &discovery::Endpoint, namespace: &str) -> Endpoint {
    let conditions = object.conditions.as_ref();
    Endpoint {
        addresses: object.addresses.clone(),
        ready: conditions.and_then(|conditions| conditions.ready),
        serving: conditions.and_then(|conditions| conditions.serving),
        terminating: conditions.and_then(|conditions| conditions.terminating),
        node: object.node_name.clone(),
        pod: object.target_ref.as_ref().and_then(|target| pod(target, namespace)),
    }
}

/// `namespace/name` of the pod that an endpoint is. One of the slice's own namespace needn't name it.
fn pod(target: &ObjectReference, namespace: &str) -> Option<String> {
    let name = target.name.as_deref().filter(|_| target.kind.as_deref() == Some("Pod"))?;
    let namespace = target.namespace.as_deref().filter(|namespace| !namespace.is_empty()).unwrap_or(namespace);
    Some(format!("{namespace}/{name}"))
}

fn protocol(text: Option<&str>) -> Option<Protocol> {
    match text {
        None | Some("" | "TCP") => Some(Protocol::Tcp),
        Some("UDP") => Some(Protocol::Udp),
        Some("SCTP") => Some(Protocol::Sctp),
        Some(_) => None,
    }
}

/// A port's number, 1 to 65535.
fn number(number: i32) -> Option<u16> {
    u16::try_from(number).ok().filter(|number| *number != 0)
}

#[cfg(test)]
mod tests {
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
        let of =
            |address_type: &str| read_slice(json!({ "metadata": {}, "addressType": address_type, "endpoints": [] }));
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
}
