//! The annotations of a Service: those of cloud-provider-openstack, and the original Kuryr's timeouts.
//!
//! Their names and values are those of cloud-provider-openstack's "Exposing applications using services of LoadBalancer type". A wrong value
//! counts as if the annotation weren't there, except where the Service would be open to more people than somebody may have meant.

mod names;

pub use names::*;

use super::{
    problem::{Fault, Problem},
    spec::{Algorithm, FloatingSubnet, FloatingSubnetBy, MAX_TIMEOUT, ProxyProtocol},
};
use std::collections::BTreeMap;

/// What cloud-provider-openstack's annotations begin with.
const PREFIX: &str = "loadbalancer.openstack.org/";

/// Annotations that cloud-provider-openstack writes itself, for itself.
const WRITTEN: [&str; 2] =
    ["loadbalancer.openstack.org/load-balancer-id", "loadbalancer.openstack.org/load-balancer-address"];

/// Annotations of cloud-provider-openstack that have no meaning here, and why.
const WITHOUT_MEANING: [(&str, &str); 6] = [
    ("loadbalancer.openstack.org/subnet-id", VIP_IS_CLUSTER_IP),
    ("loadbalancer.openstack.org/network-id", VIP_IS_CLUSTER_IP),
    ("loadbalancer.openstack.org/port-id", VIP_IS_CLUSTER_IP),
    ("loadbalancer.openstack.org/member-subnet-id", "members are pods, and their subnets are known"),
    ("loadbalancer.openstack.org/node-selector", "members are pods, not nodes"),
    ("loadbalancer.openstack.org/class", "classes are sections of cloud-provider-openstack's configuration"),
];

const VIP_IS_CLUSTER_IP: &str = "the load balancer's address is the Service's cluster IP";

/// What a Service's annotations ask for. None: they don't say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Annotations {
    /// [`INTERNAL`]. A wrong value counts as `true`: nobody opens a Service to the world by a slip of the pen.
    pub internal: Option<bool>,
    /// [`SOURCE_RANGES`], not read yet.
    pub source_ranges: Option<String>,
    /// [`FLOATING_NETWORK_ID`].
    pub floating_network: Option<FloatingNetwork>,
    /// [`FLOATING_SUBNET_ID`], else [`FLOATING_SUBNET`], else [`FLOATING_SUBNET_TAGS`].
    pub floating_subnet: Option<FloatingSubnet>,
    /// [`KEEP_FLOATING_IP`]. A wrong value counts as `true`: what is gone can't be had again.
    pub keep_floating_ip: Option<bool>,
    /// [`PROXY_PROTOCOL`].
    pub proxy_protocol: Option<ProxyProtocol>,
    /// [`X_FORWARDED_FOR`].
    pub x_forwarded_for: Option<bool>,
    /// [`TLS_CONTAINER_REF`].
    pub tls_container_ref: Option<String>,
    /// [`TIMEOUT_CLIENT_DATA`], in milliseconds.
    pub timeout_client_data: Option<u32>,
    /// [`TIMEOUT_MEMBER_CONNECT`], in milliseconds.
    pub timeout_member_connect: Option<u32>,
    /// [`TIMEOUT_MEMBER_DATA`], in milliseconds.
    pub timeout_member_data: Option<u32>,
    /// [`TIMEOUT_TCP_INSPECT`], in milliseconds.
    pub timeout_tcp_inspect: Option<u32>,
    /// [`CONNECTION_LIMIT`]; a negative one isn't one.
    pub connection_limit: Option<u32>,
    /// [`LB_METHOD`].
    pub algorithm: Option<Algorithm>,
    /// [`ENABLE_HEALTH_MONITOR`].
    pub monitor: Option<bool>,
    /// [`HEALTH_MONITOR_DELAY`], in seconds.
    pub monitor_delay: Option<u32>,
    /// [`HEALTH_MONITOR_TIMEOUT`], in seconds.
    pub monitor_timeout: Option<u32>,
    /// [`HEALTH_MONITOR_MAX_RETRIES`].
    pub monitor_max_retries: Option<u32>,
    /// [`HEALTH_MONITOR_MAX_RETRIES_DOWN`].
    pub monitor_max_retries_down: Option<u32>,
    /// [`FLAVOR_ID`].
    pub flavor_id: Option<String>,
    /// [`AVAILABILITY_ZONE`].
    pub availability_zone: Option<String>,
    /// [`HOSTNAME`].
    pub hostname: Option<String>,
}

/// [`FLOATING_NETWORK_ID`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FloatingNetwork {
    /// No floating IP is wanted, or the value can't be read: then there is none either.
    None,
    /// Id of the network.
    Id(String),
}

impl Annotations {
    /// Reads a Service's annotations, and says what is wrong with them.
    #[must_use]
    pub fn read(all: &BTreeMap<String, String>) -> (Self, Vec<Problem>) {
        let mut from = Reader { all, problems: Vec::new() };
        let kuryr_client_data = from.timeout(KURYR_TIMEOUT_CLIENT_DATA);
        let kuryr_member_data = from.timeout(KURYR_TIMEOUT_MEMBER_DATA);
        let read = Self {
            internal: from.switch(INTERNAL, "the Service counts as internal", Some(true)),
            source_ranges: from.text(SOURCE_RANGES).map(str::to_owned),
            floating_network: from.floating_network(),
            floating_subnet: from.floating_subnet(),
            keep_floating_ip: from.switch(KEEP_FLOATING_IP, "the floating IP will be kept", Some(true)),
            proxy_protocol: from.proxy_protocol(),
            x_forwarded_for: from.switch(X_FORWARDED_FOR, IGNORED, None),
            tls_container_ref: from.within(
                TLS_CONTAINER_REF,
                "a Barbican reference of at most 255 characters",
                |text| (1..=255).contains(&text.len()),
            ),
            timeout_client_data: kuryr_client_data.or_else(|| from.timeout(TIMEOUT_CLIENT_DATA)),
            timeout_member_connect: from.timeout(TIMEOUT_MEMBER_CONNECT),
            timeout_member_data: kuryr_member_data.or_else(|| from.timeout(TIMEOUT_MEMBER_DATA)),
            timeout_tcp_inspect: from.timeout(TIMEOUT_TCP_INSPECT),
            connection_limit: from.connection_limit(),
            algorithm: from.algorithm(),
            monitor: from.switch(ENABLE_HEALTH_MONITOR, IGNORED, None),
            monitor_delay: from.seconds(HEALTH_MONITOR_DELAY),
            monitor_timeout: from.seconds(HEALTH_MONITOR_TIMEOUT),
            monitor_max_retries: from.retries(HEALTH_MONITOR_MAX_RETRIES),
            monitor_max_retries_down: from.retries(HEALTH_MONITOR_MAX_RETRIES_DOWN),
            flavor_id: from.within(FLAVOR_ID, UUID, is_uuid),
            availability_zone: from
                .within(AVAILABILITY_ZONE, "a name of at most 255 characters", |text| (1..=255).contains(&text.len())),
            hostname: from.within(HOSTNAME, "a host name (RFC 1123)", is_host_name),
        };
        from.strangers();
        (read, from.problems)
    }
}

const IGNORED: &str = "it is ignored";
const UUID: &str = "an id (32 hexadecimal digits, with or without hyphens)";
const SWITCH: &str = "`true` or `false`";

/// Reads annotations, and collects what is wrong.
struct Reader<'a> {
    all: &'a BTreeMap<String, String>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn text(&self, name: &str) -> Option<&'a str> {
        self.all.get(name).map(|value| value.trim())
    }

    /// The value that `parse` makes of an annotation; `otherwise` where it can't.
    fn parsed<T>(
        &mut self,
        name: &str,
        (allowed, instead): (&'static str, &'static str),
        otherwise: Option<T>,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(name)?;
        parse(text).or_else(|| {
            self.problems.push(Problem::invalid(name, text, allowed, instead));
            otherwise
        })
    }

    fn switch(&mut self, name: &str, instead: &'static str, otherwise: Option<bool>) -> Option<bool> {
        self.parsed(name, (SWITCH, instead), otherwise, |text| text.parse().ok())
    }

    fn within(&mut self, name: &str, allowed: &'static str, is: impl Fn(&str) -> bool) -> Option<String> {
        self.parsed(name, (allowed, IGNORED), None, |text| is(text).then(|| text.to_owned()))
    }

    fn number(&mut self, name: &str, allowed: &'static str, is: impl Fn(u32) -> bool) -> Option<u32> {
        self.parsed(name, (allowed, IGNORED), None, |text| digits(text).filter(|number| is(*number)))
    }

    fn timeout(&mut self, name: &str) -> Option<u32> {
        self.number(name, "a time in milliseconds from 0 to 2073600000", |number| number <= MAX_TIMEOUT)
    }

    fn seconds(&mut self, name: &str) -> Option<u32> {
        self.number(name, "a time in seconds from 1 to 86400", |number| (1..=86_400).contains(&number))
    }

    fn retries(&mut self, name: &str) -> Option<u32> {
        self.number(name, "a number from 1 to 10", |number| (1..=10).contains(&number))
    }

    fn connection_limit(&mut self) -> Option<u32> {
        const ALLOWED: &str = "a number from 0 to 2147483647, or -1 for no limit";
        if self.text(CONNECTION_LIMIT) == Some("-1") {
            return None;
        }
        self.number(CONNECTION_LIMIT, ALLOWED, |number| i32::try_from(number).is_ok())
    }

    fn proxy_protocol(&mut self) -> Option<ProxyProtocol> {
        self.parsed(PROXY_PROTOCOL, ("`true`, `v1`, `v2` or `false`", IGNORED), None, |text| match text {
            "true" | "v1" => Some(Some(ProxyProtocol::V1)),
            "v2" => Some(Some(ProxyProtocol::V2)),
            "false" => Some(None),
            _ => None,
        })
        .flatten()
    }

    fn algorithm(&mut self) -> Option<Algorithm> {
        const ALLOWED: &str = "`ROUND_ROBIN`, `LEAST_CONNECTIONS`, `SOURCE_IP` or `SOURCE_IP_PORT`";
        self.parsed(LB_METHOD, (ALLOWED, IGNORED), None, |text| match text {
            "ROUND_ROBIN" => Some(Algorithm::RoundRobin),
            "LEAST_CONNECTIONS" => Some(Algorithm::LeastConnections),
            "SOURCE_IP" => Some(Algorithm::SourceIp),
            "SOURCE_IP_PORT" => Some(Algorithm::SourceIpPort),
            _ => None,
        })
    }

    fn floating_network(&mut self) -> Option<FloatingNetwork> {
        const INSTEAD: &str = "the Service gets no floating IP";
        self.parsed(FLOATING_NETWORK_ID, (UUID, INSTEAD), Some(FloatingNetwork::None), |text| {
            if text.is_empty() {
                return Some(FloatingNetwork::None);
            }
            is_uuid(text).then(|| FloatingNetwork::Id(text.to_owned()))
        })
    }

    fn floating_subnet(&mut self) -> Option<FloatingSubnet> {
        let found = |by| move |value| FloatingSubnet { by, value };
        let fits = |text: &str| (1..=255).contains(&text.len());
        const ALLOWED: &str = "a text of 1 to 255 characters";
        let id = self.within(FLOATING_SUBNET_ID, UUID, is_uuid).map(found(FloatingSubnetBy::Id));
        let name = self.within(FLOATING_SUBNET, ALLOWED, fits).map(found(FloatingSubnetBy::Name));
        let tags = self.within(FLOATING_SUBNET_TAGS, ALLOWED, fits).map(found(FloatingSubnetBy::Tags));
        id.or(name).or(tags)
    }

    /// What has cloud-provider-openstack's prefix and isn't read above.
    fn strangers(&mut self) {
        for (name, value) in self.all.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
            if KNOWN.contains(&name.as_str()) || WRITTEN.contains(&name.as_str()) {
                continue;
            }
            let meaningless = WITHOUT_MEANING.iter().find(|(known, _)| known == name);
            let fault = meaningless.map_or(Fault::Unknown, |(_, why)| Fault::WithoutMeaning(why));
            self.problems.push(Problem { source: name.clone(), value: value.clone(), fault });
        }
    }
}

/// The annotations with cloud-provider-openstack's prefix that are read.
const KNOWN: [&str; 22] = [
    FLOATING_NETWORK_ID,
    FLOATING_SUBNET,
    FLOATING_SUBNET_ID,
    FLOATING_SUBNET_TAGS,
    KEEP_FLOATING_IP,
    PROXY_PROTOCOL,
    X_FORWARDED_FOR,
    TLS_CONTAINER_REF,
    TIMEOUT_CLIENT_DATA,
    TIMEOUT_MEMBER_CONNECT,
    TIMEOUT_MEMBER_DATA,
    TIMEOUT_TCP_INSPECT,
    CONNECTION_LIMIT,
    LB_METHOD,
    ENABLE_HEALTH_MONITOR,
    HEALTH_MONITOR_DELAY,
    HEALTH_MONITOR_TIMEOUT,
    HEALTH_MONITOR_MAX_RETRIES,
    HEALTH_MONITOR_MAX_RETRIES_DOWN,
    FLAVOR_ID,
    AVAILABILITY_ZONE,
    HOSTNAME,
];

/// A number without a sign: `parse` alone would take `+1`.
fn digits(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn is_uuid(text: &str) -> bool {
    let hexadecimal = text.bytes().filter(|byte| *byte != b'-');
    hexadecimal.clone().count() == 32 && hexadecimal.clone().all(|byte| byte.is_ascii_hexdigit()) && text.len() <= 36
}

fn is_host_name(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

#[cfg(test)]
mod tests;
