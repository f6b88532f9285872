//! A new load balancer's addresses: what its request says of them, and what Neutron knows besides.

use super::{Failure, Request, object::Json};
use crate::{keystone::Caller, neutron::Neutron};
use hyper::Method;
use serde_json::{Value, json};
use std::net::IpAddr;

pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn given<'a>(body: &'a Json, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str)
}

/// An object of Neutron's as the caller sees it.
fn seen(neutron: &mut Neutron, caller: &Caller, kind: (&str, &str, &str), id: &str) -> Result<Value, Failure> {
    let (many, one, title) = kind;
    let (status, body) = neutron.ask(caller, Method::GET, &format!("{many}/{id}"), None);
    match body.get(one).filter(|_| status == 200) {
        Some(object) => Ok(object.clone()),
        None => Err(Failure::no_such_part(title, id)),
    }
}

const SUBNET: (&str, &str, &str) = ("subnets", "subnet", "Subnet");
const NETWORK: (&str, &str, &str) = ("networks", "network", "Network");
const PORT: (&str, &str, &str) = ("ports", "port", "Port");
const GROUP: (&str, &str, &str) = ("security-groups", "security_group", "Security Group");

/// Whether there is such a subnet that the caller may use.
pub(super) fn check_subnet(neutron: &mut Neutron, caller: &Caller, member: &Json) -> Result<(), Failure> {
    match given(member, "subnet_id") {
        Some(id) => seen(neutron, caller, SUBNET, id).map(drop),
        None => Ok(()),
    }
}

/// Whether there are such groups.
pub(super) fn check_groups(neutron: &mut Neutron, caller: &Caller, body: &Json) -> Result<(), Failure> {
    let groups = body.get("vip_sg_ids").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    groups.iter().filter_map(Value::as_str).try_for_each(|id| seen(neutron, caller, GROUP, id).map(drop))
}

/// Finds out what a new load balancer doesn't say of its address: network, subnet, or all of it from a port.
pub(super) fn complete(neutron: &mut Neutron, request: &Request<'_>, body: &mut Json) -> Result<(), Failure> {
    let caller = request.caller;
    let ids = ["vip_port_id", "vip_network_id", "vip_subnet_id"].map(|name| given(body, name).map(ToOwned::to_owned));
    match ids {
        [Some(port), _, subnet] => from_port(neutron, caller, body, &port, subnet.as_deref())?,
        [None, Some(network), subnet] => from_network(neutron, caller, body, &network, subnet)?,
        [None, None, Some(subnet)] => {
            let subnet = seen(neutron, caller, SUBNET, &subnet)?;
            body.insert("vip_network_id".to_owned(), text(&subnet, "network_id").into());
        }
        [None, None, None] => {
            let message = "VIP must contain one of: vip_port_id, vip_network_id, vip_subnet_id.";
            return Err(Failure::validation(message));
        }
    }
    check_additional(neutron, caller, body)?;
    check_groups(neutron, caller, body)
}

fn from_port(
    neutron: &mut Neutron,
    caller: &Caller,
    body: &mut Json,
    port: &str,
    subnet: Option<&str>,
) -> Result<(), Failure> {
    let port = seen(neutron, caller, PORT, port)?;
    let device = text(&port, "device_id");
    if !device.is_empty() {
        let message = format!("Port {} is already used by device {device} ", text(&port, "id"));
        return Err(Failure::validation(&message));
    }
    body.insert("vip_network_id".to_owned(), text(&port, "network_id").into());
    let fixed = port.get("fixed_ips").and_then(Value::as_array).cloned().unwrap_or_default();
    let address = given(body, "vip_address").and_then(|text| text.parse::<IpAddr>().ok());
    let chosen = match (subnet, address) {
        (Some(subnet), _) => {
            seen(neutron, caller, SUBNET, subnet)?;
            let chosen = fixed.iter().find(|fixed| text(fixed, "subnet_id") == subnet);
            chosen.ok_or("No VIP address found on the specified VIP port within the specified subnet.")
        }
        (None, Some(address)) => {
            let chosen = fixed.iter().find(|fixed| text(fixed, "ip_address").parse() == Ok(address));
            chosen.ok_or("Specified VIP address not found on the specified VIP port.")
        }
        (None, None) if fixed.len() == 1 => Ok(&fixed[0]),
        (None, None) => {
            Err("VIP port's subnet could not be determined. Please specify either a VIP subnet or address.")
        }
    };
    let chosen = chosen.map_err(Failure::validation)?;
    body.insert("vip_subnet_id".to_owned(), text(chosen, "subnet_id").into());
    body.insert("vip_address".to_owned(), text(chosen, "ip_address").into());
    Ok(())
}

fn from_network(
    neutron: &mut Neutron,
    caller: &Caller,
    body: &mut Json,
    network: &str,
    subnet: Option<String>,
) -> Result<(), Failure> {
    let network = seen(neutron, caller, NETWORK, network)?;
    let ids = network.get("subnets").and_then(Value::as_array).cloned().unwrap_or_default();
    let ids: Vec<&str> = ids.iter().filter_map(Value::as_str).collect();
    if let Some(subnet) = subnet {
        let known = ids.contains(&subnet.as_str());
        return if known { Ok(()) } else { Err(Failure::no_such_part("Subnet", &subnet)) };
    }
    let address = given(body, "vip_address").and_then(|text| text.parse::<IpAddr>().ok());
    let mut first = None;
    for id in ids {
        let subnet = seen(neutron, caller, SUBNET, id)?;
        let fits = match address {
            Some(address) => prefix(&subnet).is_some_and(|prefix| prefix.contains(&address)),
            None => subnet.get("ip_version") == Some(&json!(4)),
        };
        if fits {
            first = Some(id);
            break;
        }
        // Any subnet will do, but one for IPv4 does better.
        first = first.or(address.is_none().then_some(id));
    }
    let missing = match address {
        Some(_) => "Supplied network does not contain a subnet for VIP address specified.",
        None => "Supplied network does not contain a subnet.",
    };
    let first = first.ok_or_else(|| Failure::validation(missing))?;
    body.insert("vip_subnet_id".to_owned(), first.into());
    Ok(())
}

pub(super) fn prefix(subnet: &Value) -> Option<ipnet::IpNet> {
    text(subnet, "cidr").parse().ok()
}

/// Additional addresses are of other subnets of the same network.
fn check_additional(neutron: &mut Neutron, caller: &Caller, body: &Json) -> Result<(), Failure> {
    let first = given(body, "vip_subnet_id").unwrap_or_default();
    let mut used = vec![first];
    for vip in additional(body) {
        let subnet = text(vip, "subnet_id");
        if used.contains(&subnet) {
            let message = "Duplicate VIP subnet(s) specified. Only one IP can be bound per subnet.";
            return Err(Failure::validation(message));
        }
        used.push(subnet);
    }
    let network = given(body, "vip_network_id").unwrap_or_default();
    for id in used {
        let found = seen(neutron, caller, SUBNET, id);
        let subnet = found.map_err(|_| Failure::validation(&format!("Subnet {id} not found")))?;
        if text(&subnet, "network_id") != network {
            return Err(Failure::validation("All VIP subnets must belong to the same network."));
        }
    }
    Ok(())
}

pub(super) fn additional(body: &Json) -> &[Value] {
    body.get("additional_vips").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
