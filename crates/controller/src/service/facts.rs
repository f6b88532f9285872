//! What a Service and its EndpointSlices say, in plain types, with the API's defaults where they say nothing.
//!
//! An API server fills most defaults in itself; they are here for objects that it reads from an old store, and for tests. What can't be read
//! is left out: it may be from a newer Kubernetes, and the rest of the object can be served all the same.

use k8s_openapi::{
    api::{
        core::v1::{self, ObjectReference, ServiceSpec},
        discovery::v1::{self as discovery, EndpointSlice},
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};
use kuryr_core::service::{
    facts::{AddressType, Endpoint, Service, ServicePort, ServiceType, Slice, SlicePort, TargetPort},
    spec::Protocol,
};

/// Label of an EndpointSlice that names its Service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Labels of Services, and of the EndpointSlices that Kubernetes copies them to, that aren't for the cluster's default service proxy. Whatever
/// their values are: kube-proxy leaves such objects out in the same way.
const OTHERS: [&str; 2] = ["service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"];

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
        left_to_others: is_left_to_others(meta),
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

/// Whether an object's labels leave it to another service proxy.
fn is_left_to_others(meta: &ObjectMeta) -> bool {
    meta.labels.as_ref().is_some_and(|labels| OTHERS.iter().any(|label| labels.contains_key(*label)))
}

/// Whether decisions read a label of a Service or of an EndpointSlice.
pub fn is_read(label: &str) -> bool {
    label == SERVICE_NAME || OTHERS.contains(&label)
}

/// What an EndpointSlice says. None: its addresses are of a type that isn't known, or it isn't for us.
#[must_use]
pub fn slice(object: &EndpointSlice) -> Option<Slice> {
    if is_left_to_others(&object.metadata) {
        return None;
    }
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
mod tests;
