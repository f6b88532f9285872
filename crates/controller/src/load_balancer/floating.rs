//! The floating IP of a Service that is reached from outside.

use crate::{error::Error, services::Services};
use kuryr_api::{FloatingIpOrigin, FloatingIpStatus};
use kuryr_core::{
    names::OwnerMark,
    service::spec::{FloatingIp, FloatingSubnetBy},
};
use kuryr_openstack::{
    Found,
    neutron::{self, FloatingIpId, FloatingIpQuery, FloatingIpUpdate, NewFloatingIp, PortId, SubnetQuery},
};
use std::net::IpAddr;

/// What a floating IP is to stand for.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The Neutron port of the load balancer's address.
    pub port: &'a str,
    /// The address.
    pub address: IpAddr,
}

/// What Neutron has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// Those with the owner mark.
    pub ours: Vec<neutron::FloatingIp>,
    /// The one with the address that the Service asks for.
    pub asked: Option<neutron::FloatingIp>,
    /// The one that the status names, where it is another.
    pub recorded: Option<neutron::FloatingIp>,
}

/// The next request to Neutron.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing: the Service has this one, or none.
    Settled(Option<FloatingIpStatus>),
    /// Make one.
    Create(Option<IpAddr>),
    /// Have it stand for the load balancer's address.
    Associate(FloatingIpId),
    /// Take it off.
    TakeOff(FloatingIpId),
    /// Take it off, and the owner mark with it: it is nobody's.
    Leave(FloatingIpId),
    /// Delete it.
    Delete(FloatingIpId),
    /// It can't be had: why, for people.
    Impossible(String),
}

/// The next step. `wanted`: what the Service asks for; `keep`: what of Kuryr's isn't wanted stays, as nobody's.
pub fn plan(wanted: Option<&FloatingIp>, keep: bool, observed: &Observed, target: Option<Target<'_>>) -> Step {
    let address = wanted.and_then(|of| of.address);
    let chosen = match (wanted, address) {
        (None, _) => None,
        (Some(_), Some(_)) => observed.asked.as_ref(),
        (Some(_), None) => observed.ours.first(),
    };
    let surplus = observed.ours.iter().find(|has| chosen.is_none_or(|chosen| chosen.id != has.id));
    if let Some(surplus) = surplus {
        let id = surplus.id.clone();
        return if keep { Step::Leave(id) } else { Step::Delete(id) };
    }
    let is_targets = |has: &neutron::FloatingIp| match (&has.port_id, target) {
        (Some(port), Some(target)) => port.as_str() == target.port,
        _ => false,
    };
    let other = observed.recorded.iter().find(|has| chosen.is_none_or(|chosen| chosen.id != has.id));
    if let Some(other) = other.filter(|has| is_targets(has)) {
        return Step::TakeOff(other.id.clone());
    }
    let Some(wanted) = wanted else { return Step::Settled(None) };
    let Some(has) = chosen else {
        return match (wanted.network_id.is_some(), address) {
            (true, address) => Step::Create(address),
            (false, Some(address)) => Step::Impossible(format!(
                "there is no floating IP {address} that this project may see, and no external network is configured to make it of: create it, or \
                 set services.floatingNetwork"
            )),
            (false, None) => Step::Impossible(
                "no external network is configured to make a floating IP of: set services.floatingNetwork, or the annotation \
                 loadbalancer.openstack.org/floating-network-id"
                    .to_owned(),
            ),
        };
    };
    if is_targets(has) {
        let is_ours = observed.ours.iter().any(|ours| ours.id == has.id);
        let origin = match (is_ours, wanted.keep) {
            (false, _) => FloatingIpOrigin::Adopted,
            (true, true) => FloatingIpOrigin::Kept,
            (true, false) => FloatingIpOrigin::Created,
        };
        return Step::Settled(has.floating_ip_address.map(|address| FloatingIpStatus {
            id: has.id.to_string(),
            address,
            origin,
        }));
    }
    match &has.port_id {
        // What carries the mark is Kuryr's wherever somebody has put it.
        _ if observed.ours.iter().any(|ours| ours.id == has.id) => Step::Associate(has.id.clone()),
        Some(port) => Step::Impossible(format!(
            "the floating IP {} stands for the port {port} of somebody else: take it off there, or ask for another one",
            called(has)
        )),
        // Its load balancer may be about to be made anew.
        None if OwnerMark::parse(&has.description).is_some() => Step::Impossible(format!(
            "the floating IP {} is another Service's (its description is `{}`): ask for another one",
            called(has),
            has.description
        )),
        None => Step::Associate(has.id.clone()),
    }
}

fn called(has: &neutron::FloatingIp) -> String {
    has.floating_ip_address.map_or_else(|| has.id.to_string(), |address| address.to_string())
}

/// What Neutron has of the floating IP.
pub async fn observe(
    services: &Services,
    object: &str,
    mark: &str,
    wanted: Option<&FloatingIp>,
    recorded: Option<&FloatingIpStatus>,
) -> Result<Observed, Error> {
    let neutron = &services.neutron;
    let failed = || Error::openstack("look for the floating IP", object);
    let marked = FloatingIpQuery { descriptions: vec![mark.to_owned()], ..FloatingIpQuery::default() };
    let mut ours = neutron.list_floating_ips(&marked).await.map_err(failed())?;
    ours.sort_by(|one, other| one.id.cmp(&other.id));
    let asked = match wanted.and_then(|of| of.address) {
        Some(address) => {
            let by_address = FloatingIpQuery { floating_ip_addresses: vec![address], ..FloatingIpQuery::default() };
            neutron.list_floating_ips(&by_address).await.map_err(failed())?.pop()
        }
        None => None,
    };
    let other = recorded.filter(|has| ours.iter().chain(&asked).all(|known| known.id.as_str() != has.id));
    let recorded = match other {
        Some(has) => neutron.get_floating_ip(&FloatingIpId::from(has.id.as_str())).await.found().map_err(failed())?,
        None => None,
    };
    Ok(Observed { ours, asked, recorded })
}

/// Carries a step out.
pub async fn act(
    services: &Services,
    object: &str,
    mark: &str,
    step: &Step,
    wanted: Option<&FloatingIp>,
    target: Option<Target<'_>>,
) -> Result<(), Error> {
    let neutron = &services.neutron;
    let off = || FloatingIpUpdate { port_id: Some(None), ..FloatingIpUpdate::default() };
    match step {
        Step::Settled(_) | Step::Impossible(_) => Ok(()),
        Step::Create(address) => {
            let (Some(wanted), Some(target)) = (wanted, target) else { return Ok(()) };
            let new = new(services, object, mark, wanted, *address, target).await?;
            neutron.create_floating_ip(&new).await.map(drop).map_err(Error::openstack("create the floating IP", object))
        }
        Step::Associate(id) => {
            let Some(target) = target else { return Ok(()) };
            let update = FloatingIpUpdate {
                port_id: Some(Some(PortId::from(target.port))),
                fixed_ip_address: Some(target.address),
                ..FloatingIpUpdate::default()
            };
            let associated = neutron.update_floating_ip(id, &update).await;
            associated.map(drop).map_err(Error::openstack("associate the floating IP", object))
        }
        Step::TakeOff(id) => {
            let taken = neutron.update_floating_ip(id, &off()).await.found();
            taken.map(drop).map_err(Error::openstack("take off the floating IP", object))
        }
        Step::Leave(id) => {
            let update = FloatingIpUpdate { description: Some(String::new()), ..off() };
            let left = neutron.update_floating_ip(id, &update).await.found();
            left.map(drop).map_err(Error::openstack("leave the floating IP", object))
        }
        Step::Delete(id) => {
            let deleted = neutron.delete_floating_ip(id).await.found();
            deleted.map(drop).map_err(Error::openstack("delete the floating IP", object))
        }
    }
}

async fn new(
    services: &Services,
    object: &str,
    mark: &str,
    wanted: &FloatingIp,
    address: Option<IpAddr>,
    target: Target<'_>,
) -> Result<NewFloatingIp, Error> {
    let network = wanted.network_id.clone().unwrap_or_default();
    let subnet_id = match &wanted.subnet {
        None => None,
        Some(subnet) if subnet.by == FloatingSubnetBy::Id => Some(subnet.value.as_str().into()),
        Some(subnet) if subnet.by == FloatingSubnetBy::Tags || subnet.value.starts_with(['~', '!']) => {
            return Err(Error::Service {
                object: object.to_owned(),
                problem: format!(
                    "the subnet `{}` must be named by its id or its whole name: change the annotation",
                    subnet.value
                ),
            });
        }
        Some(subnet) => {
            let query = SubnetQuery { names: vec![subnet.value.clone()], ..SubnetQuery::default() };
            let found = services.neutron.list_subnets(&query).await;
            let found = found.map_err(Error::openstack("look for the floating IP's subnet", object))?;
            let of_network = found.into_iter().find(|found| found.network_id.as_str() == network);
            Some(of_network.map(|found| found.id).ok_or_else(|| Error::Service {
                object: object.to_owned(),
                problem: format!(
                    "the external network {network} has no subnet `{}`: check the annotation",
                    subnet.value
                ),
            })?)
        }
    };
    Ok(NewFloatingIp {
        subnet_id,
        floating_ip_address: address,
        port_id: Some(PortId::from(target.port)),
        fixed_ip_address: Some(target.address),
        description: Some(mark.to_owned()),
        ..NewFloatingIp::of(network.as_str().into())
    })
}

#[cfg(test)]
#[path = "floating_tests.rs"]
mod tests;
