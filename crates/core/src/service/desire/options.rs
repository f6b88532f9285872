//! What a Service asks for beside its ports, as far as the provider can do it.

use super::super::{
    abilities::{Abilities, Feature},
    facts::Settings,
    graph::{Effect, Key, Persistence, Unsupported},
    spec::{Algorithm, LoadBalancerSpec, Monitor, Protocol, ProxyProtocol, Timeouts, Vip},
};
use ipnet::IpNet;
use std::collections::BTreeSet;

/// Collects what can't be had.
pub(super) struct Shortfalls<'a> {
    abilities: &'a Abilities,
    /// All that can't be had.
    pub(super) all: Vec<Unsupported>,
}

impl<'a> Shortfalls<'a> {
    pub(super) const fn new(abilities: &'a Abilities) -> Self {
        Self { abilities, all: Vec::new() }
    }

    /// Whether the provider has `feature`, which `what` asks for. If not, it is noted.
    pub(super) fn can(&mut self, what: Feature, port: Option<Key>, effect: Effect, asked: &str) -> bool {
        let can = self.abilities.has(what);
        if !can {
            let so = match effect {
                Effect::Ignored => "it is ignored",
                Effect::PortNotServed => "the port isn't served",
                Effect::FamilyNotServed => "the address isn't served",
                Effect::NotExposed => "the Service isn't reached from outside",
            };
            let message = format!("{asked}: {}; {so}", self.abilities.why_not(what));
            self.note(what, port, effect, message);
        }
        can
    }

    /// Notes something, once.
    fn note(&mut self, what: Feature, port: Option<Key>, effect: Effect, message: String) {
        let unsupported = Unsupported { what, port, effect, message };
        if !self.all.contains(&unsupported) {
            self.all.push(unsupported);
        }
    }

    /// The Service isn't to be reached from outside.
    pub(super) fn not_exposed(&self) -> bool {
        self.all.iter().any(|unsupported| unsupported.effect == Effect::NotExposed)
    }
}

/// What all ports of a Service have in common. None: the provider has no such thing, or nobody asked for it.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) flavor_id: Option<String>,
    pub(super) availability_zone: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) connection_limit: Option<i32>,
    pub(super) timeouts: Option<Timeouts>,
    pub(super) allowed_cidrs: BTreeSet<IpNet>,
    pub(super) proxy_protocol: Option<ProxyProtocol>,
    pub(super) x_forwarded_for: bool,
    pub(super) tls_container_ref: Option<String>,
    pub(super) monitor: Option<Monitor>,
    /// Seconds.
    affinity: Option<u32>,
}

impl Options {
    pub(super) fn of(
        spec: &LoadBalancerSpec,
        served: &[&Vip],
        settings: &Settings,
        shortfalls: &mut Shortfalls<'_>,
    ) -> Self {
        let mut can = |what, asked: &str| shortfalls.can(what, None, Effect::Ignored, asked);
        let flavor_id = spec.flavor_id.clone().filter(|id| can(Feature::Flavor, &format!("The flavor {id}")));
        let zone = spec.availability_zone.clone();
        let availability_zone =
            zone.filter(|zone| can(Feature::AvailabilityZone, &format!("The availability zone {zone}")));
        let algorithm = spec.algorithm.filter(|one| can(Feature::Algorithm(*one), &format!("The algorithm {one:?}")));
        let proxy_protocol = spec.proxy_protocol.filter(|version| match version {
            ProxyProtocol::V1 => can(Feature::ProxyV1, "The PROXY protocol"),
            ProxyProtocol::V2 => can(Feature::ProxyV2, "The PROXY protocol, version 2"),
        });
        let x_forwarded_for = spec.x_forwarded_for && can(Feature::XForwardedFor, "The header X-Forwarded-For");
        let tls_container_ref = spec.tls_container_ref.clone().filter(|_| can(Feature::Tls, "The end of TLS"));
        if spec.internal_traffic_local {
            can(Feature::NodeLocal, "The internal traffic policy Local");
        }
        let local = spec.external.as_ref().is_some_and(|external| external.traffic_local);
        if local && proxy_protocol.is_none() && !x_forwarded_for {
            // No second hop is to be feared, members are the pods themselves: what is left of Local is the client's address.
            can(Feature::ClientAddress, "The client's address, as the external traffic policy Local keeps it,");
        }
        Self {
            flavor_id,
            availability_zone,
            algorithm: algorithm.unwrap_or_else(|| otherwise(spec, shortfalls.abilities)),
            connection_limit: connection_limit(spec, shortfalls),
            timeouts: timeouts(spec, settings, shortfalls),
            allowed_cidrs: allowed_cidrs(spec, served, settings, shortfalls),
            proxy_protocol,
            x_forwarded_for,
            tls_container_ref,
            monitor: spec.monitor,
            affinity: spec.client_ip_affinity_seconds,
        }
    }

    /// Session persistence of a port's pool. Where the provider has none for the protocol, the choice by the client's address does nearly the same:
    /// who comes again has the same endpoint, even after a longer time, until the endpoints are others.
    pub(super) fn persistence(&self, key: Key, shortfalls: &mut Shortfalls<'_>) -> Option<Persistence> {
        let seconds = self.affinity?;
        let time = Feature::PersistenceTimeout(key.protocol);
        let asked = format!("The session affinity's time, {seconds} s, with {}", key.protocol);
        if !shortfalls.abilities.has(Feature::Persistence(key.protocol)) {
            if self.algorithm == Algorithm::SourceIp {
                let why = shortfalls.abilities.why_not(time);
                let message = format!("{asked}: {why}; a client keeps its endpoint until the endpoints change");
                shortfalls.note(time, None, Effect::Ignored, message);
            } else {
                let asked = format!("The session affinity ClientIP with {}", key.protocol);
                shortfalls.can(Feature::Persistence(key.protocol), None, Effect::Ignored, &asked);
            }
            return None;
        }
        if !shortfalls.can(time, None, Effect::Ignored, &asked) {
            return Some(Persistence { timeout: None });
        }
        let longest = shortfalls.abilities.longest_affinity();
        if seconds > longest {
            let message =
                format!("{asked}: Octavia's provider {} does {longest} s at most", shortfalls.abilities.provider);
            shortfalls.note(time, None, Effect::Ignored, message);
        }
        Some(Persistence { timeout: Some(seconds.min(longest)) })
    }
}

/// The algorithm of a Service that asks for none.
fn otherwise(spec: &LoadBalancerSpec, abilities: &Abilities) -> Algorithm {
    let by_client = Feature::Algorithm(Algorithm::SourceIp);
    let sticky = spec.client_ip_affinity_seconds.is_some() && !abilities.has(Feature::Persistence(Protocol::Tcp));
    if sticky && abilities.has(by_client) { Algorithm::SourceIp } else { abilities.default_algorithm() }
}

/// The limit where the provider has limits: -1 is none.
fn connection_limit(spec: &LoadBalancerSpec, shortfalls: &mut Shortfalls<'_>) -> Option<i32> {
    let asked = spec.connection_limit.map_or(-1, |limit| i32::try_from(limit).unwrap_or(i32::MAX));
    if asked < 0 && !shortfalls.abilities.has(Feature::ConnectionLimit) {
        return None;
    }
    let what = format!("The connection limit {asked}");
    shortfalls.can(Feature::ConnectionLimit, None, Effect::Ignored, &what).then_some(asked)
}

/// The timeouts where the provider has some. Those that all Services have are nothing that this one asks for.
fn timeouts(spec: &LoadBalancerSpec, settings: &Settings, shortfalls: &mut Shortfalls<'_>) -> Option<Timeouts> {
    if spec.timeouts == settings.timeouts && !shortfalls.abilities.has(Feature::Timeouts) {
        return None;
    }
    shortfalls.can(Feature::Timeouts, None, Effect::Ignored, "Timeouts of its own").then_some(spec.timeouts)
}

/// Who may connect: the Service's source ranges, and who is in the cluster, because a listener has one list for the cluster IP and for what is
/// reached from outside. Empty: everybody.
///
/// Kubernetes lets a load balancer that knows no ranges ignore them; Kuryr rather doesn't open what somebody wants closed.
fn allowed_cidrs(
    spec: &LoadBalancerSpec,
    served: &[&Vip],
    settings: &Settings,
    shortfalls: &mut Shortfalls<'_>,
) -> BTreeSet<IpNet> {
    const ASKED: &str =
        "Source ranges (where members see the client's address, as with OVN, a NetworkPolicy does the same)";
    if spec.source_ranges.is_empty() || !shortfalls.can(Feature::AllowedCidrs, None, Effect::NotExposed, ASKED) {
        return BTreeSet::new();
    }
    // Octavia refuses a range of a family that no address has.
    let of_family = |net: &&IpNet| served.iter().any(|vip| vip.address.is_ipv4() == net.addr().is_ipv4());
    let mut allowed: BTreeSet<IpNet> =
        spec.source_ranges.iter().chain(&settings.inside).filter(of_family).copied().collect();
    if allowed.is_empty() {
        // An empty list would let everybody in.
        allowed.extend(served.iter().map(|vip| IpNet::from(vip.address)));
    }
    allowed
}
