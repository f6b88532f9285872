//! Whether a Service has a load balancer, and what it asks of it.

use super::{
    address,
    annotations::{self, Annotations, FloatingNetwork},
    facts::{Service, ServiceType, Settings},
    problem::Problem,
    spec::{External, FloatingIp, LoadBalancerSpec, MOST_ENTRIES, Monitor, Port, Timeouts, Vip},
};
use crate::names;
use ipnet::IpNet;
use std::collections::BTreeSet;

/// What becomes of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// It has no load balancer.
    Nothing(Why),
    /// It can't have one until it, or the configuration, is another.
    Impossible(Problem),
    /// It has one.
    LoadBalancer(Box<Ask>),
}

/// Why a Service has no load balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is being deleted.
    Deleted,
    /// It is a name for another name.
    ExternalName,
    /// It is headless: its clients reach the endpoints themselves.
    Headless,
    /// It has no address yet.
    NoAddress,
    /// Its labels leave it to another service proxy, or to its clients.
    LeftToOthers,
    /// Services are switched off.
    SwitchedOff,
}

/// A load balancer that a Service asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Name of the KuryrLoadBalancer. It follows from the Service's name and uid: a Service that is made again under its name has another.
    pub name: String,
    /// Its spec.
    pub spec: LoadBalancerSpec,
    /// What is wrong with the Service's words. The spec is without it.
    pub problems: Vec<Problem>,
}

/// What becomes of a Service (API reference, Service). Every Service with an address has a load balancer, also one of type NodePort, whose
/// node ports are kube-proxy's business, and one whose load balancer is somebody else's (`loadBalancerClass`): its cluster IP is Kuryr's.
#[must_use]
pub fn wanted(service: &Service, settings: &Settings) -> Wanted {
    if service.deleted {
        return Wanted::Nothing(Why::Deleted);
    }
    if service.left_to_others {
        return Wanted::Nothing(Why::LeftToOthers);
    }
    if service.kind == ServiceType::ExternalName {
        return Wanted::Nothing(Why::ExternalName);
    }
    match service.cluster_ips.first().map(String::as_str) {
        None | Some("") => return Wanted::Nothing(Why::NoAddress),
        Some("None") => return Wanted::Nothing(Why::Headless),
        Some(_) => {}
    }
    let (vips, mut problems) = vips(service, settings);
    if vips.is_empty() {
        return problems.pop().map_or(Wanted::Nothing(Why::NoAddress), Wanted::Impossible);
    }
    if let Some(problem) = too_many("spec.ports", service.ports.len()) {
        return Wanted::Impossible(problem);
    }
    let (annotations, wrong) = Annotations::read(&service.annotations);
    problems.extend(wrong);
    let external = external(service, settings, &annotations, &vips, &mut problems);
    let source_ranges = match source_ranges(service, settings, &annotations, &vips) {
        Ok(ranges) => ranges,
        // Nobody is let in by a slip of the pen.
        Err(problem) => return Wanted::Impossible(problem),
    };
    if let Some(problem) = too_many("spec.loadBalancerSourceRanges", source_ranges.len()) {
        return Wanted::Impossible(problem);
    }
    let spec = LoadBalancerSpec {
        provider: settings.provider.clone(),
        flavor_id: annotations.flavor_id.clone(),
        availability_zone: annotations.availability_zone.clone(),
        ports: ports(service),
        client_ip_affinity_seconds: service.client_ip_affinity,
        publish_not_ready_addresses: service.publish_not_ready_addresses,
        internal_traffic_local: service.internal_traffic_local,
        source_ranges,
        algorithm: annotations.algorithm.or(settings.algorithm),
        connection_limit: annotations.connection_limit,
        timeouts: timeouts(&annotations, settings.timeouts),
        monitor: monitor(&annotations, settings, &mut problems),
        proxy_protocol: annotations.proxy_protocol,
        x_forwarded_for: annotations.x_forwarded_for.unwrap_or(false),
        tls_container_ref: annotations.tls_container_ref,
        external,
        vips,
    };
    let name = names::kuryr_load_balancer(&service.name, &service.uid);
    Wanted::LoadBalancer(Box::new(Ask { name, spec, problems }))
}

/// What the API server would refuse of a KuryrLoadBalancer's list, whose author is nobody who would see that.
fn too_many(source: &str, count: usize) -> Option<Problem> {
    const ALLOWED: &str = "512 entries at most";
    let problem =
        || Problem::invalid(source, &format!("{count} entries"), ALLOWED, "the Service stays as it was before");
    (count > MOST_ENTRIES).then(problem)
}

/// Whether the Service's load balancer, what is more than its cluster IP, is Kuryr's (`spec.loadBalancerClass`).
#[must_use]
pub fn is_ours(service: &Service, settings: &Settings) -> bool {
    service.kind == ServiceType::LoadBalancer
        && service.load_balancer_class.as_ref().map_or(settings.default_class, |class| settings.classes.contains(class))
}

/// The Service's addresses, one of each family, and those that no service subnet has.
fn vips(service: &Service, settings: &Settings) -> (Vec<Vip>, Vec<Problem>) {
    const INSTEAD: &str = "it isn't served";
    let mut vips: Vec<Vip> = Vec::new();
    let mut problems = Vec::new();
    for text in &service.cluster_ips {
        let Some(address) = address::ip(text) else {
            problems.push(Problem::invalid("spec.clusterIPs", text, "an address", INSTEAD));
            continue;
        };
        let Some(subnet) = settings.service_subnet(address) else {
            const ALLOWED: &str = "an address of a configured service subnet";
            problems.push(Problem::invalid("spec.clusterIPs", text, ALLOWED, INSTEAD));
            continue;
        };
        if vips.iter().all(|vip| vip.address.is_ipv4() != address.is_ipv4()) {
            vips.push(Vip { address, subnet_id: subnet.id.clone() });
        }
    }
    (vips, problems)
}

/// The Service's ports, each protocol and number once.
fn ports(service: &Service) -> Vec<Port> {
    let mut seen = BTreeSet::new();
    let ports = service.ports.iter().filter(|port| seen.insert((port.protocol, port.port)));
    ports.map(|port| Port { name: port.name.clone(), protocol: port.protocol, port: port.port }).collect()
}

fn timeouts(asked: &Annotations, otherwise: Timeouts) -> Timeouts {
    Timeouts {
        client_data: asked.timeout_client_data.unwrap_or(otherwise.client_data),
        member_connect: asked.timeout_member_connect.unwrap_or(otherwise.member_connect),
        member_data: asked.timeout_member_data.unwrap_or(otherwise.member_data),
        tcp_inspect: asked.timeout_tcp_inspect.unwrap_or(otherwise.tcp_inspect),
    }
}

fn monitor(asked: &Annotations, settings: &Settings, problems: &mut Vec<Problem>) -> Option<Monitor> {
    if !asked.monitor.unwrap_or(settings.monitor) {
        return None;
    }
    let otherwise = settings.monitor_defaults;
    let monitor = Monitor {
        delay: asked.monitor_delay.unwrap_or(otherwise.delay),
        timeout: asked.monitor_timeout.unwrap_or(otherwise.timeout),
        max_retries: asked.monitor_max_retries.unwrap_or(otherwise.max_retries),
        max_retries_down: asked.monitor_max_retries_down.unwrap_or(otherwise.max_retries_down),
    };
    if monitor.timeout <= monitor.delay {
        return Some(monitor);
    }
    // Octavia's API reference: the timeout must be less than the delay.
    const ALLOWED: &str = "at most the delay";
    let value = monitor.timeout.to_string();
    problems.push(Problem::invalid(annotations::HEALTH_MONITOR_TIMEOUT, &value, ALLOWED, "the delay is taken"));
    Some(Monitor { timeout: monitor.delay, ..monitor })
}

/// Who may reach the Service from outside. Empty: everybody. Ranges that a load balancer of another class has are that one's business.
fn source_ranges(
    service: &Service,
    settings: &Settings,
    annotations: &Annotations,
    vips: &[Vip],
) -> Result<BTreeSet<IpNet>, Problem> {
    if !is_ours(service, settings) {
        return Ok(BTreeSet::new());
    }
    let (source, texts): (&str, Vec<&str>) = if service.load_balancer_source_ranges.is_empty() {
        let text = annotations.source_ranges.as_deref().filter(|text| !text.is_empty());
        (annotations::SOURCE_RANGES, text.into_iter().flat_map(|text| text.split(',')).collect())
    } else {
        let field = service.load_balancer_source_ranges.iter().map(String::as_str);
        ("spec.loadBalancerSourceRanges", field.collect())
    };
    let read = |text: &str| {
        let text = text.trim();
        address::cidr(text).ok_or_else(|| Problem::invalid(source, text, "a CIDR, as 192.0.2.0/24", "nobody is let in"))
    };
    let ranges: BTreeSet<IpNet> = texts.into_iter().map(read).collect::<Result<_, _>>()?;
    let open_to = |v4: bool| ranges.iter().any(|net| net.prefix_len() == 0 && net.addr().is_ipv4() == v4);
    let open = vips.iter().all(|vip| open_to(vip.address.is_ipv4()));
    Ok(if open { BTreeSet::new() } else { ranges })
}

/// How the Service is reached from outside.
fn external(
    service: &Service,
    settings: &Settings,
    annotations: &Annotations,
    vips: &[Vip],
    problems: &mut Vec<Problem>,
) -> Option<External> {
    if !is_ours(service, settings) {
        return None;
    }
    let internal = annotations.internal.unwrap_or(false);
    let floating_ip = match floating_ip(service, settings, annotations, vips, internal) {
        Ok(floating_ip) => floating_ip,
        Err(problem) => {
            problems.push(problem);
            return None;
        }
    };
    Some(External {
        floating_ip,
        hostname: annotations.hostname.clone(),
        traffic_local: service.external_traffic_local,
    })
}

/// The floating IP that the Service asks for. It is for IPv4 only: an IPv6 address is reached as it is.
fn floating_ip(
    service: &Service,
    settings: &Settings,
    annotations: &Annotations,
    vips: &[Vip],
    internal: bool,
) -> Result<Option<FloatingIp>, Problem> {
    const FIELD: &str = "spec.loadBalancerIP";
    const INSTEAD: &str = "the Service isn't reached from outside";
    let asked = service.load_balancer_ip.as_deref().filter(|text| !text.is_empty());
    let address = asked
        .map(|text| address::ip(text).ok_or_else(|| Problem::invalid(FIELD, text, "an address", INSTEAD)))
        .transpose()?;
    let is_vip = |address| vips.iter().any(|vip| vip.address == address);
    if address.is_some_and(is_vip) {
        return Ok(None);
    }
    if let Some(address) = address.filter(|address| internal || address.is_ipv6()) {
        const ALLOWED: &str = "a floating IP, or one of the Service's cluster IPs";
        return Err(Problem::invalid(FIELD, &address.to_string(), ALLOWED, INSTEAD));
    }
    let network_id = match &annotations.floating_network {
        Some(FloatingNetwork::None) => None,
        Some(FloatingNetwork::Id(id)) => Some(id.clone()),
        None => settings.floating_network.clone(),
    };
    let has_v4 = vips.iter().any(|vip| vip.address.is_ipv4());
    if internal || !has_v4 || (network_id.is_none() && address.is_none()) {
        return Ok(None);
    }
    let subnet = annotations.floating_subnet.clone();
    Ok(Some(FloatingIp { network_id, subnet, address, keep: annotations.keep_floating_ip.unwrap_or(false) }))
}

#[cfg(test)]
mod tests;
