//! `status.loadBalancer.ingress` of a Service: where it is reached from outside. Pure.
//!
//! An address is published when the load balancer serves it, and stays while it has it, even where something else is being changed or
//! has failed: names and clients follow this list, and whoever is connected shouldn't notice that a port was added.

use super::Observed;
use k8s_openapi::{api::core::v1::LoadBalancerIngress, apimachinery::pkg::apis::meta::v1::Condition};
use kuryr_api::{
    KuryrLoadBalancer, KuryrLoadBalancerStatus,
    conditions::{self, load_balancer::NOT_EXPOSED},
};
use kuryr_core::service::{
    Wanted, address,
    facts::ServiceType,
    spec::{External, Vip},
    wanted::Why,
};
use std::net::IpAddr;

/// `ipMode`: packets reach the endpoints with the address as their destination, so that a node may answer for it (KEP-1860).
const VIP: &str = "VIP";

/// The list to write. None: it stays as it is.
pub fn to_write(seen: &Observed, wanted: &Wanted, is_ours: bool) -> Option<Vec<LoadBalancerIngress>> {
    let to_be = if seen.service.kind != ServiceType::LoadBalancer {
        Vec::new()
    } else if is_ours && !is_left(wanted) {
        ours(seen, wanted)
    } else {
        taken_back(seen)
    };
    (to_be != seen.ingress).then_some(to_be)
}

/// Whether the Service is left to others, who may have published where it is reached.
const fn is_left(wanted: &Wanted) -> bool {
    matches!(wanted, Wanted::Nothing(Why::SwitchedOff | Why::LeftToOthers))
}

/// The list of a Service whose load balancer is Kuryr's.
fn ours(seen: &Observed, wanted: &Wanted) -> Vec<LoadBalancerIngress> {
    let Some(object) = seen.own().filter(|object| object.metadata.deletion_timestamp.is_none()) else {
        return Vec::new();
    };
    let external = match wanted {
        Wanted::LoadBalancer(ask) => ask.spec.external.as_ref(),
        Wanted::Impossible(_) => object.spec.load_balancer.external.as_ref(),
        Wanted::Nothing(_) => None,
    };
    let (Some(external), Some(status)) = (external, object.status.as_ref()) else { return Vec::new() };
    if is_closed(&status.conditions) {
        return Vec::new();
    }
    let is_ready = conditions::is_true(&status.conditions, conditions::READY);
    let kept = || seen.ingress.iter().filter(|one| still_has(status, external, one)).cloned().collect();
    asked(status, external).filter(|_| is_ready).unwrap_or_else(kept)
}

/// The list of a Service whose load balancer is somebody else's: theirs, without what Kuryr published while it was Kuryr's (the
/// configuration decides about Services without a class).
fn taken_back(seen: &Observed) -> Vec<LoadBalancerIngress> {
    let was_ours = |object: &KuryrLoadBalancer, one: &LoadBalancerIngress| {
        let external = object.spec.load_balancer.external.as_ref();
        external.zip(object.status.as_ref()).is_some_and(|(external, status)| still_has(status, external, one))
    };
    let is_theirs = |one: &&LoadBalancerIngress| !seen.own().is_some_and(|object| was_ours(object, one));
    seen.ingress.iter().filter(is_theirs).cloned().collect()
}

/// What the Service asks to be reached at. None: some of it isn't there yet.
fn asked(status: &KuryrLoadBalancerStatus, external: &External) -> Option<Vec<LoadBalancerIngress>> {
    let addresses: Vec<IpAddr> = status.vips.iter().map(|vip| outside(status, external, vip)).collect::<Option<_>>()?;
    if addresses.is_empty() {
        return None;
    }
    Some(match &external.hostname {
        Some(name) => vec![hostname(name)],
        None => addresses.into_iter().map(ip).collect(),
    })
}

/// Where a served address is reached from outside: at its floating IP if there is to be one, which is for IPv4, else as it is.
fn outside(status: &KuryrLoadBalancerStatus, external: &External, vip: &Vip) -> Option<IpAddr> {
    let Some(asked) = external.floating_ip.as_ref().filter(|_| vip.address.is_ipv4()) else {
        return Some(vip.address);
    };
    let has = status.floating_ip.as_ref()?.address;
    asked.address.is_none_or(|asked| asked == has).then_some(has)
}

/// Whether what was published is still true.
fn still_has(status: &KuryrLoadBalancerStatus, external: &External, published: &LoadBalancerIngress) -> bool {
    if published.hostname.is_some() {
        return published.hostname == external.hostname && !status.vips.is_empty();
    }
    let Some(address) = published.ip.as_deref().and_then(address::ip) else { return false };
    let is_floating = status.floating_ip.as_ref().is_some_and(|floating| floating.address == address);
    is_floating || status.vips.iter().any(|vip| vip.address == address)
}

/// The Service isn't reached from outside, because it would be open to more than it may. Its addresses aren't told then.
fn is_closed(present: &[Condition]) -> bool {
    present.iter().any(|one| one.type_ == conditions::ACCEPTED && one.status == "False" && one.reason == NOT_EXPOSED)
}

fn ip(address: IpAddr) -> LoadBalancerIngress {
    let ip_mode = Some(VIP.to_owned());
    LoadBalancerIngress { ip: Some(address.to_string()), ip_mode, ..LoadBalancerIngress::default() }
}

/// Without `ipMode`, which the API server allows for addresses only.
fn hostname(name: &str) -> LoadBalancerIngress {
    LoadBalancerIngress { hostname: Some(name.to_owned()), ..LoadBalancerIngress::default() }
}
