//! What floating IPs stand for.

use super::{
    Failure, Neutron, Request,
    body::Body,
    floating_ip::{FloatingIp, bad},
    object::{self, Object},
    port::Port,
};
use crate::uuid::Uuid;
use serde_json::Value;
use std::net::IpAddr;

/// What a floating IP stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    port: Uuid,
    fixed: IpAddr,
    router: Uuid,
}

impl Neutron {
    /// What a request lets a floating IP stand for: none if it says nothing of it, `Some(None)` for nothing.
    pub(super) fn target(
        &self,
        request: &Request<'_>,
        floating: &FloatingIp,
        body: Body<'_>,
    ) -> Result<Option<Option<Target>>, Failure> {
        let wanted = body.text("fixed_ip_address").and_then(|text| text.parse::<IpAddr>().ok());
        let Some(port) = body.text("port_id") else {
            if wanted.is_some() {
                return Err(bad("fixed_ip_address cannot be specified without a port_id"));
            }
            return Ok(body.get("port_id").map(|_| None));
        };
        let port = self.find::<Port>(request, port)?;
        let id = port.meta().id;
        if *port.meta().project != *floating.meta.project && !request.caller.admin {
            let message = "Cannot process floating IP association with Port";
            return Err(bad(&format!("{message} {id}, since that port is owned by a different project")));
        }
        let (fixed, subnet) = inner_address(port, wanted)?;
        let router = self.router_between(subnet, floating.network).ok_or_else(|| {
            let message = format!(
                "External network {} is not reachable from subnet {subnet}.  Therefore, cannot associate Port {id} with a \
                 Floating IP.",
                floating.network
            );
            Failure::new(404, "ExternalGatewayForFloatingIPNotFound", message)
        })?;
        if floating.port != Some(id) {
            self.check_not_associated(floating, id, fixed)?;
        }
        Ok(Some(Some(Target { port: id, fixed, router })))
    }

    fn check_not_associated(&self, floating: &FloatingIp, port: Uuid, fixed: IpAddr) -> Result<(), Failure> {
        let network = floating.network;
        let taken =
            |other: &FloatingIp| other.port == Some(port) && other.network == network && other.fixed == Some(fixed);
        if !self.floating_ips.values().any(taken) {
            return Ok(());
        }
        let message = format!(
            "Cannot associate floating IP {} ({}) with port {port} using fixed IP {fixed}, as that fixed IP already has a \
             floating IP on external network {network}.",
            floating.address, floating.meta.id
        );
        Err(Failure::conflict("FloatingIPPortAlreadyAssociated", message))
    }

    pub(super) fn associate(&mut self, id: Uuid, target: Option<Target>) {
        let port = target.and_then(|target| self.ports.get(target.port));
        let details = port.map(details).unwrap_or_default();
        if let Some(floating) = self.floating_ips.get_mut(&id) {
            floating.port = target.map(|target| target.port);
            floating.fixed = target.map(|target| target.fixed);
            floating.router = target.map(|target| target.router);
            floating.details = details;
        }
    }

    /// A port is gone: what stood for it stands for nothing.
    pub(super) fn dissociate(&mut self, port: Uuid) {
        for floating in self.floating_ips.values_mut().filter(|floating| floating.port == Some(port)) {
            (floating.port, floating.fixed, floating.router, floating.active) = (None, None, None, false);
            floating.details = Value::Null;
            floating.meta.touch();
        }
    }

    /// OVN has taken notice of all associations: it does so after the request was answered.
    pub(super) fn settle_floating_ips(&mut self) {
        for floating in self.floating_ips.values_mut() {
            floating.active = floating.router.is_some();
            let port = floating.port.and_then(|port| self.ports.get(port));
            floating.details = port.map(details).unwrap_or_default();
        }
    }
}

/// What a floating IP tells of the port that it stands for.
fn details(port: &Port) -> Value {
    let fields = ["name", "network_id", "mac_address", "admin_state_up", "status", "device_id", "device_owner"];
    fields
        .into_iter()
        .map(|name| (name.to_owned(), object::field(port, name)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// The address of a port that a floating IP stands for, and its subnet.
fn inner_address(port: &Port, wanted: Option<IpAddr>) -> Result<(IpAddr, Uuid), Failure> {
    let id = port.meta().id;
    if let Some(wanted) = wanted {
        if !wanted.is_ipv4() {
            let message = "Cannot process floating IP association with";
            return Err(bad(&format!("{message} {wanted}, since that is not an IPv4 address")));
        }
        let found = port.fixed_ips.iter().find(|fixed| fixed.address == wanted);
        let found = found.ok_or_else(|| bad(&format!("Port {id} does not have fixed ip {wanted}")))?;
        return Ok((found.address, found.subnet));
    }
    let v4: Vec<_> = port.fixed_ips.iter().filter(|fixed| fixed.address.is_ipv4()).collect();
    match v4.as_slice() {
        [] => Err(bad(&format!("Cannot add floating IP to port {id} that has no fixed IPv4 addresses"))),
        [fixed] => Ok((fixed.address, fixed.subnet)),
        _ => Err(bad(&format!(
            "Port {id} has multiple fixed IPv4 addresses.  Must provide a specific IPv4 address when assigning a floating IP"
        ))),
    }
}
