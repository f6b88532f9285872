//! Floating IPs.

use super::{
    Failure, Neutron, Outcome, Request,
    attribute::{Attribute, Kind, check_change, check_new, fixed, free, read_only, required},
    body::Body,
    list::Query,
    network::Network,
    object::{self, Meta, Names, Object},
    port::Port,
};
use crate::uuid::Uuid;
use serde_json::{Value, json};
use std::net::IpAddr;

/// What owns the port in the external network.
pub(super) const OWNER: &str = "network:floatingip";

const ATTRIBUTES: [Attribute; 10] = [
    required("floating_network_id", Kind::Uuid),
    fixed("subnet_id", Kind::UuidOrNull),
    fixed("floating_ip_address", Kind::Address),
    free("port_id", Kind::UuidOrNull),
    free("fixed_ip_address", Kind::Address),
    free("router_id", Kind::UuidOrNull),
    free("qos_policy_id", Kind::UuidOrNull),
    fixed("dns_name", Kind::Text(255)),
    fixed("dns_domain", Kind::Text(255)),
    read_only("status"),
];

#[derive(Debug)]
pub(super) struct FloatingIp {
    meta: Meta,
    network: Uuid,
    address: IpAddr,
    /// The port that holds the address.
    holder: Uuid,
    /// The port that it stands for, with which of its addresses.
    pub port: Option<Uuid>,
    fixed: Option<IpAddr>,
    pub router: Option<Uuid>,
    active: bool,
    /// The port as it was at the last request.
    details: Value,
}

/// What a floating IP stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Target {
    port: Uuid,
    fixed: IpAddr,
    router: Uuid,
}

impl Object for FloatingIp {
    const NAMES: Names = Names {
        one: "floatingip",
        many: "floatingips",
        quota: "floatingip",
        title: "Floating IP",
        not_found: "FloatingIPNotFound",
        missing: "could not be found",
    };
    const FIELDS: &'static [&'static str] = &[
        "floating_network_id",
        "floating_ip_address",
        "port_id",
        "fixed_ip_address",
        "router_id",
        "status",
        "qos_policy_id",
        "port_details",
    ];

    const HAS_NAME: bool = false;

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn field(&self, name: &str) -> Value {
        match name {
            "floating_network_id" => self.network.to_string().into(),
            "floating_ip_address" => self.address.to_string().into(),
            "port_id" => self.port.map(|port| port.to_string()).into(),
            "fixed_ip_address" => self.fixed.map(|address| address.to_string()).into(),
            "router_id" => self.router.map(|router| router.to_string()).into(),
            "status" => if self.active { "ACTIVE" } else { "DOWN" }.into(),
            "port_details" => self.details.clone(),
            _ => Value::Null,
        }
    }

    fn get(neutron: &Neutron, id: Uuid) -> Option<&Self> {
        neutron.floating_ips.get(&id)
    }

    fn get_mut(neutron: &mut Neutron, id: Uuid) -> Option<&mut Meta> {
        neutron.floating_ips.get_mut(&id).map(|floating| &mut floating.meta)
    }

    fn list(neutron: &mut Neutron, request: &Request<'_>) -> Outcome {
        let query = Query::parse(&request.call.query, Self::FIELDS)?;
        neutron.page(request, &query, neutron.floating_ips.values())
    }

    fn count(neutron: &Neutron, project: &str) -> usize {
        neutron.floating_ips.values().filter(|floating| *floating.meta.project == *project).count()
    }

    fn check(_: &Neutron, request: &Request<'_>, body: Body<'_>) -> Result<(), Failure> {
        check_new(&ATTRIBUTES, body)?;
        if body.text("floating_ip_address").is_some() && !request.caller.admin {
            let rules = "(rule:create_floatingip and rule:create_floatingip:floating_ip_address)";
            let message = format!("{rules} is disallowed by policy");
            return Err(Failure::new(403, "PolicyNotAuthorized", message));
        }
        Ok(())
    }

    fn create(neutron: &mut Neutron, request: &Request<'_>, body: Body<'_>) -> Result<Uuid, Failure> {
        let network = neutron.external_network(request, body)?;
        let meta = Meta::new(request, body);
        let id = meta.id;
        let (holder, address) = neutron.hold_address(id, network, body)?;
        let floating = Self {
            meta,
            network,
            address,
            holder,
            port: None,
            fixed: None,
            router: None,
            active: false,
            details: Value::Null,
        };
        let target = neutron.target(request, &floating, body);
        let target = target.inspect_err(|_| neutron.drop_port(holder))?;
        neutron.floating_ips.insert(id, floating);
        neutron.associate(id, target.flatten());
        Ok(id)
    }

    fn update(neutron: &mut Neutron, request: &Request<'_>, id: Uuid, body: Body<'_>) -> Result<(), Failure> {
        check_change(&ATTRIBUTES, body)?;
        let target = neutron.target(request, neutron.stored::<Self>(id)?, body)?;
        if let Some(target) = target {
            neutron.associate(id, target);
        }
        if let Some(floating) = neutron.floating_ips.get_mut(&id) {
            floating.meta.update(body);
            floating.meta.touch();
        }
        Ok(())
    }

    fn delete(neutron: &mut Neutron, _: &Request<'_>, id: Uuid) -> Result<(), Failure> {
        Self::remove(neutron, id);
        Ok(())
    }

    fn remove(neutron: &mut Neutron, id: Uuid) {
        if let Some(floating) = neutron.floating_ips.remove(&id) {
            neutron.drop_port(floating.holder);
        }
    }
}

fn bad(message: &str) -> Failure {
    Failure::new(400, "BadRequest", format!("Bad floatingip request: {message}."))
}

impl Neutron {
    /// The external network that a new floating IP is of.
    fn external_network(&self, request: &Request<'_>, body: Body<'_>) -> Result<Uuid, Failure> {
        let network = self.find::<Network>(request, body.text("floating_network_id").unwrap_or_default())?;
        let id = network.meta().id;
        if !network.external {
            return Err(bad(&format!("Network {id} is not a valid external network")));
        }
        if !network.subnets.iter().any(|subnet| self.subnets.get(subnet).is_some_and(super::subnet::Subnet::is_v4)) {
            return Err(bad(&format!("Network {id} does not contain any IPv4 subnet")));
        }
        Ok(id)
    }

    /// Makes the port that holds a new address. It is of no project.
    fn hold_address(&mut self, id: Uuid, network: Uuid, body: Body<'_>) -> Result<(Uuid, IpAddr), Failure> {
        let mut new = json!({ "network_id": network.to_string(), "device_id": id.to_string(), "device_owner": OWNER });
        let mut fixed = serde_json::Map::new();
        for (from, to) in [("subnet_id", "subnet_id"), ("floating_ip_address", "ip_address")] {
            if let Some(text) = body.text(from) {
                fixed.insert(to.to_owned(), text.into());
            }
        }
        if !fixed.is_empty() {
            new["fixed_ips"] = json!([fixed]);
        }
        let holder = self.own_port(&"".into(), new)?;
        let addresses = self.ports.get(holder).map(|port| port.fixed_ips.clone()).unwrap_or_default();
        let address = addresses.iter().map(|fixed| fixed.address).find(IpAddr::is_ipv4);
        address.map(|address| (holder, address)).ok_or_else(|| {
            let message = format!("Unable to find any IP address on external network {network}.");
            Failure::new(503, "ExternalIpAddressExhausted", message)
        })
    }

    /// What a request lets a floating IP stand for: none if it says nothing of it, `Some(None)` for nothing.
    fn target(
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

    fn associate(&mut self, id: Uuid, target: Option<Target>) {
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
