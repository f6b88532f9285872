//! Floating IPs.

use super::{
    Failure, Neutron, Outcome, Request,
    attribute::{Attribute, Kind, check_change, check_new, fixed, free, read_only, required},
    body::Body,
    list::Query,
    network::Network,
    object::{Meta, Names, Object},
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
    pub meta: Meta,
    pub network: Uuid,
    pub address: IpAddr,
    /// The port that holds the address.
    holder: Uuid,
    /// The port that it stands for, with which of its addresses.
    pub port: Option<Uuid>,
    pub fixed: Option<IpAddr>,
    pub router: Option<Uuid>,
    pub active: bool,
    /// The port as it was at the last request.
    pub details: Value,
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

pub(super) fn bad(message: &str) -> Failure {
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
}
