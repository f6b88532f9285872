//! Subnets.

use super::{
    Failure, Neutron, Outcome, Request,
    address::{Addresses, Range, step},
    attribute::{Attribute, Kind, check_change, check_new, fixed, free, required},
    body::Body,
    list::Query,
    object::{Meta, Names, Object},
};
use crate::uuid::Uuid;
use ipnet::IpNet;
use serde_json::{Value, json};
use std::net::IpAddr;

const ATTRIBUTES: [Attribute; 15] = [
    required("network_id", Kind::Uuid),
    required("ip_version", Kind::Integer),
    fixed("cidr", Kind::Any),
    fixed("subnetpool_id", Kind::UuidOrNull),
    fixed("prefixlen", Kind::Integer),
    free("gateway_ip", Kind::Any),
    free("allocation_pools", Kind::List),
    free("dns_nameservers", Kind::List),
    free("host_routes", Kind::List),
    free("enable_dhcp", Kind::Flag),
    fixed("ipv6_ra_mode", Kind::Any),
    fixed("ipv6_address_mode", Kind::Any),
    free("service_types", Kind::List),
    free("segment_id", Kind::Any),
    free("dns_publish_fixed_ip", Kind::Flag),
];

#[derive(Debug)]
pub(super) struct Subnet {
    meta: Meta,
    pub network: Uuid,
    pub prefix: IpNet,
    pub gateway: Option<IpAddr>,
    pub pool: Option<Uuid>,
    pools: Vec<Range>,
    pub addresses: Addresses,
    enable_dhcp: bool,
    name_servers: Value,
    routes: Value,
}

impl Subnet {
    /// Whether a port may have this address.
    pub fn has_host(&self, address: IpAddr) -> bool {
        let v4_ends = self.prefix.addr().is_ipv4()
            && self.prefix.prefix_len() < 31
            && (address == self.prefix.network() || address == self.prefix.broadcast());
        self.prefix.contains(&address) && !v4_ends
    }

    pub const fn is_v4(&self) -> bool {
        matches!(self.prefix, IpNet::V4(_))
    }
}

impl Object for Subnet {
    const NAMES: Names = Names {
        one: "subnet",
        many: "subnets",
        quota: "subnet",
        title: "Subnet",
        not_found: "SubnetNotFound",
        missing: "could not be found.",
    };
    const FIELDS: &'static [&'static str] = &[
        "network_id",
        "ip_version",
        "cidr",
        "gateway_ip",
        "subnetpool_id",
        "allocation_pools",
        "enable_dhcp",
        "dns_nameservers",
        "host_routes",
        "ipv6_ra_mode",
        "ipv6_address_mode",
        "service_types",
    ];
    const SERVICES_SEE: bool = true;

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn field(&self, name: &str) -> Value {
        match name {
            "network_id" => self.network.to_string().into(),
            "ip_version" => if self.is_v4() { 4 } else { 6 }.into(),
            "cidr" => self.prefix.to_string().into(),
            "gateway_ip" => self.gateway.map(|gateway| gateway.to_string()).into(),
            "subnetpool_id" => self.pool.map(|pool| pool.to_string()).into(),
            "allocation_pools" => {
                let pool = |range: &Range| json!({ "start": range.first.to_string(), "end": range.last.to_string() });
                self.pools.iter().map(pool).collect()
            }
            "enable_dhcp" => self.enable_dhcp.into(),
            "dns_nameservers" => self.name_servers.clone(),
            "host_routes" => self.routes.clone(),
            "service_types" => json!([]),
            _ => Value::Null,
        }
    }

    fn get(neutron: &Neutron, id: Uuid) -> Option<&Self> {
        neutron.subnets.get(&id)
    }

    fn get_mut(neutron: &mut Neutron, id: Uuid) -> Option<&mut Meta> {
        neutron.subnets.get_mut(&id).map(|subnet| &mut subnet.meta)
    }

    fn list(neutron: &mut Neutron, request: &Request<'_>) -> Outcome {
        let query = Query::parse(&request.call.query, Self::FIELDS)?;
        neutron.page(request, &query, neutron.subnets.values())
    }

    fn count(neutron: &Neutron, project: &str) -> usize {
        neutron.subnets.values().filter(|subnet| *subnet.meta.project == *project).count()
    }

    fn check(_: &Neutron, _: &Request<'_>, body: Body<'_>) -> Result<(), Failure> {
        check_new(&ATTRIBUTES, body)
    }

    fn create(neutron: &mut Neutron, request: &Request<'_>, body: Body<'_>) -> Result<Uuid, Failure> {
        let network = neutron.visible_network(request, body)?;
        let version = body.number("ip_version").unwrap_or(4);
        let (prefix, pool) = match body.get("cidr").filter(|cidr| !cidr.is_null()) {
            Some(cidr) => (parse_prefix(cidr, version)?, body.uuid("subnetpool_id")),
            None => neutron.prefix_from_pool(request, network, body)?,
        };
        let neighbours = neutron.networks.get(&network).map(|network| network.subnets.clone()).unwrap_or_default();
        let overlaps = |id: &Uuid| neutron.subnets.get(id).is_some_and(|other| overlap(&other.prefix, &prefix));
        if neighbours.iter().any(overlaps) {
            let message =
                format!("Requested subnet with cidr: {prefix} for network: {network} overlaps with another subnet");
            return Err(Failure::invalid(&message));
        }
        let gateway = gateway(body, &prefix)?;
        let pools = match body.list("allocation_pools").filter(|pools| !pools.is_empty()) {
            Some(pools) => pools.iter().map(|pool| parse_pool(pool, &prefix)).collect::<Result<_, _>>()?,
            None => default_pools(&prefix, gateway),
        };
        let subnet = Self {
            meta: Meta::new(request, body),
            network,
            prefix,
            gateway,
            pool,
            addresses: Addresses::new(&pools),
            pools,
            enable_dhcp: body.flag("enable_dhcp").unwrap_or(true),
            name_servers: body.get("dns_nameservers").filter(|list| list.is_array()).cloned().unwrap_or(json!([])),
            routes: body.get("host_routes").filter(|list| list.is_array()).cloned().unwrap_or(json!([])),
        };
        let id = subnet.meta.id;
        neutron.subnets.insert(id, subnet);
        if let Some(network) = neutron.networks.get_mut(&network) {
            network.subnets.push(id);
            network.touch();
        }
        Ok(id)
    }

    fn update(neutron: &mut Neutron, _: &Request<'_>, id: Uuid, body: Body<'_>) -> Result<(), Failure> {
        check_change(&ATTRIBUTES, body)?;
        let Some(subnet) = neutron.subnets.get_mut(&id) else { return Ok(()) };
        let mut changed = subnet.meta.update(body);
        changed |= body.flag("enable_dhcp").is_some_and(|on| on != std::mem::replace(&mut subnet.enable_dhcp, on));
        for (field, name) in [(&mut subnet.name_servers, "dns_nameservers"), (&mut subnet.routes, "host_routes")] {
            if let Some(list) = body.get(name).filter(|list| *list != &*field) {
                *field = list.clone();
                changed = true;
            }
        }
        if changed {
            subnet.meta.touch();
        }
        Ok(())
    }

    fn delete(neutron: &mut Neutron, _: &Request<'_>, id: Uuid) -> Result<(), Failure> {
        if neutron.ports.any_in_subnet(id) {
            let message = format!(
                "Unable to complete operation on subnet {id}: One or more ports have an IP allocation from this subnet."
            );
            return Err(Failure::conflict("SubnetInUse", message));
        }
        Self::remove(neutron, id);
        Ok(())
    }

    fn remove(neutron: &mut Neutron, id: Uuid) {
        let network = neutron.subnets.remove(&id).map(|subnet| subnet.network);
        if let Some(network) = network.and_then(|id| neutron.networks.get_mut(&id)) {
            network.subnets.retain(|subnet| *subnet != id);
            network.touch();
        }
    }
}

fn parse_prefix(cidr: &Value, version: i64) -> Result<IpNet, Failure> {
    let text = super::attribute::plain(cidr);
    let parsed = text.parse::<IpNet>().map_err(|_| Failure::invalid(&format!("{text} is not in a CIDR format")))?;
    if (version == 4) != parsed.addr().is_ipv4() {
        return Err(Failure::invalid(&format!("cidr '{text}' does not match the ip_version '{version}'")));
    }
    Ok(parsed.trunc())
}

pub(super) fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

/// The gateway that is asked for, or the first address: of an IPv6 prefix that is its subnet-router anycast address.
fn gateway(body: Body<'_>, prefix: &IpNet) -> Result<Option<IpAddr>, Failure> {
    let first = if prefix.addr().is_ipv4() { step(prefix.network(), 1) } else { prefix.network() };
    match body.get("gateway_ip") {
        None => Ok(Some(first)),
        Some(Value::Null) => Ok(None),
        Some(value) => {
            let text = super::attribute::plain(value);
            let parsed = text
                .parse::<IpAddr>()
                .map_err(|_| Failure::attribute("gateway_ip", &format!("'{text}' is not a valid IP address.")))?;
            let is_broadcast = parsed.is_ipv4() && parsed == prefix.broadcast();
            if !prefix.contains(&parsed) || is_broadcast {
                return Err(Failure::invalid("Gateway is not valid on subnet"));
            }
            Ok(Some(parsed))
        }
    }
}

fn parse_pool(pool: &Value, prefix: &IpNet) -> Result<Range, Failure> {
    let end = |name: &str| pool.get(name).and_then(Value::as_str).and_then(|text| text.parse::<IpAddr>().ok());
    let (Some(first), Some(last)) = (end("start"), end("end")) else {
        return Err(Failure::attribute("allocation_pools", &format!("Invalid data format for IP pool: '{pool}'.")));
    };
    if first > last {
        let message = format!("The start address {first} is greater than the end address {last}.");
        return Err(Failure::new(400, "InvalidAllocationPool", message));
    }
    if !prefix.contains(&first) || !prefix.contains(&last) {
        let message = format!("The allocation pool {first}-{last} spans beyond the subnet cidr {prefix}.");
        return Err(Failure::new(400, "OutOfBoundsAllocationPool", message));
    }
    Ok(Range { first, last })
}

/// All hosts but the gateway.
fn default_pools(prefix: &IpNet, gateway: Option<IpAddr>) -> Vec<Range> {
    let v4 = prefix.addr().is_ipv4();
    let first = step(prefix.network(), 1);
    let last = if v4 { step(prefix.broadcast(), -1) } else { prefix.broadcast() };
    let mut pools = vec![Range { first, last }];
    if let Some(gateway) = gateway.filter(|gateway| (first..=last).contains(gateway)) {
        let (before, after) = (Range { first, last: step(gateway, -1) }, Range { first: step(gateway, 1), last });
        pools = [before, after].into_iter().filter(|range| range.first <= range.last).collect();
    }
    pools
}
