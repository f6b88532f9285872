//! A load balancer's addresses: Octavia asks Neutron for ports that hold them.

use super::{
    Failure, Octavia, Provider, Request,
    object::{Json, Object},
    provider::Vips,
};
use crate::{keystone::Caller, neutron::Neutron, uuid::Uuid};
use hyper::Method;
use serde_json::{Value, json};
use std::{net::IpAddr, sync::Arc};

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn given<'a>(body: &'a Json, name: &str) -> Option<&'a str> {
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

fn prefix(subnet: &Value) -> Option<ipnet::IpNet> {
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

fn additional(body: &Json) -> &[Value] {
    body.get("additional_vips").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Makes the ports of a new load balancer and notes what they got.
pub(super) fn allocate(
    neutron: &mut Neutron,
    project: &Arc<str>,
    provider: Provider,
    id: Uuid,
    body: &mut Json,
) -> Result<(), Failure> {
    match provider {
        Provider::Ovn => allocate_for_ovn(neutron, project, id, body),
        Provider::Amphora => allocate_for_amphora(neutron, project, id, body),
    }
}

fn fixed_ip(subnet: &str, address: Option<&str>) -> Value {
    match address {
        Some(address) => json!({ "subnet_id": subnet, "ip_address": address }),
        None => json!({ "subnet_id": subnet }),
    }
}

/// The driver makes a port for each address.
fn allocate_for_ovn(neutron: &mut Neutron, project: &Arc<str>, id: Uuid, body: &mut Json) -> Result<(), Failure> {
    let network = given(body, "vip_network_id").unwrap_or_default().to_owned();
    let port = |name: String, subnet: &str, address: Option<&str>| {
        json!({
            "name": name, "network_id": network, "fixed_ips": [fixed_ip(subnet, address)], "admin_state_up": true,
            "device_owner": "ovn-lb:vip", "device_id": format!("lb-{id}"),
        })
    };
    let mut made = Vec::new();
    if given(body, "vip_port_id").is_none() {
        let subnet = given(body, "vip_subnet_id").unwrap_or_default();
        let new = port(format!("ovn-lb-vip-{id}"), subnet, given(body, "vip_address"));
        let port = create_port(neutron, project, Provider::Ovn, &new)?;
        body.insert("vip_port_id".to_owned(), text(&port, "id").into());
        body.insert("vip_address".to_owned(), port["fixed_ips"][0]["ip_address"].clone());
        made.push(text(&port, "id").to_owned());
    }
    let mut vips = additional(body).to_vec();
    for (vip, number) in vips.iter_mut().zip(1..) {
        let (subnet, address) = (text(vip, "subnet_id"), vip.get("ip_address").and_then(Value::as_str));
        let new = port(format!("ovn-lb-vip-additional-{number}-{id}"), subnet, address);
        let port = create_port(neutron, project, Provider::Ovn, &new);
        let port = port.inspect_err(|_| made.iter().for_each(|id| delete_port(neutron, project, id)))?;
        *vip = json!({ "subnet_id": subnet, "ip_address": port["fixed_ips"][0]["ip_address"], "port_id": port["id"] });
        made.push(text(&port, "id").to_owned());
    }
    body.insert("additional_vips".to_owned(), vips.into());
    Ok(())
}

/// Octavia makes one port for all addresses.
fn allocate_for_amphora(neutron: &mut Neutron, project: &Arc<str>, id: Uuid, body: &mut Json) -> Result<(), Failure> {
    if given(body, "vip_port_id").is_some() {
        return Ok(());
    }
    let first = fixed_ip(given(body, "vip_subnet_id").unwrap_or_default(), given(body, "vip_address"));
    let more = additional(body)
        .iter()
        .map(|vip| fixed_ip(text(vip, "subnet_id"), vip.get("ip_address").and_then(Value::as_str)));
    let fixed: Vec<Value> = std::iter::once(first).chain(more).collect();
    let mut new = json!({
        "name": format!("octavia-lb-{id}"), "network_id": given(body, "vip_network_id"), "fixed_ips": fixed,
        "admin_state_up": false, "device_owner": "Octavia", "device_id": format!("lb-{id}"),
    });
    if let Some(groups) = body.get("vip_sg_ids").filter(|groups| groups.as_array().is_some_and(|all| !all.is_empty())) {
        new["security_groups"] = groups.clone();
    }
    let port = create_port(neutron, project, Provider::Amphora, &new)?;
    let got = port.get("fixed_ips").and_then(Value::as_array).cloned().unwrap_or_default();
    let address = |subnet: &str| {
        got.iter().find(|fixed| text(fixed, "subnet_id") == subnet).map(|fixed| fixed["ip_address"].clone())
    };
    let vips: Vec<Value> = additional(body)
        .iter()
        .map(|vip| {
            let subnet = text(vip, "subnet_id");
            json!({ "subnet_id": subnet, "ip_address": address(subnet), "port_id": port["id"] })
        })
        .collect();
    let first = address(given(body, "vip_subnet_id").unwrap_or_default()).unwrap_or_default();
    body.insert("vip_port_id".to_owned(), port["id"].clone());
    body.insert("vip_address".to_owned(), first);
    body.insert("additional_vips".to_owned(), vips.into());
    Ok(())
}

fn create_port(neutron: &mut Neutron, project: &Arc<str>, provider: Provider, port: &Value) -> Result<Value, Failure> {
    let caller = Caller::of_the_cloud(project);
    let (status, body) = neutron.ask(&caller, Method::POST, "ports", Some(json!({ "port": port })));
    if let Some(port) = body.get("port").filter(|_| status == 201) {
        return Ok(port.clone());
    }
    let message = body["NeutronError"]["message"].as_str().unwrap_or_default();
    Err(match status {
        409 => Failure::new(409, format!("The VIP IP address is already in use: {message}")),
        _ => Failure::provider(provider.name(), message),
    })
}

fn delete_port(neutron: &mut Neutron, project: &Arc<str>, id: &str) {
    neutron.ask(&Caller::of_the_cloud(project), Method::DELETE, &format!("ports/{id}"), None);
}

impl Octavia {
    /// Deletes the ports that were made for a load balancer; not one that it was given.
    pub(super) fn free_vips(&mut self, neutron: &mut Neutron, load_balancer: Uuid) {
        let Some(object) = self.store.get(load_balancer) else { return };
        let project = Arc::clone(&object.project);
        let ours = |name: &str| name.starts_with("ovn-lb-vip-") || name.starts_with("octavia-lb-");
        let caller = Caller::of_the_cloud(&project);
        for id in port_ids(object) {
            let (_, body) = neutron.ask(&caller, Method::GET, &format!("ports/{id}"), None);
            if body.get("port").is_some_and(|port| ours(text(port, "name"))) {
                delete_port(neutron, &project, &id);
            }
        }
    }

    /// The addresses that members are compared with.
    pub(super) fn vips(&self, neutron: &mut Neutron, load_balancer: Uuid) -> Vips {
        let Some(object) = self.store.get(load_balancer) else { return Vips::default() };
        let more = additional(&object.attributes).iter().map(|vip| text(vip, "ip_address"));
        let addresses = std::iter::once(object.text("vip_address")).chain(more).filter_map(|text| text.parse().ok());
        let path = format!("subnets/{}", object.text("vip_subnet_id"));
        let (_, body) = neutron.ask(&Caller::of_the_cloud(&object.project), Method::GET, &path, None);
        Vips { addresses: addresses.collect(), subnet: body.get("subnet").and_then(prefix) }
    }
}

/// The ports of a load balancer, each once.
fn port_ids(object: &Object) -> Vec<String> {
    let more = additional(&object.attributes).iter().map(|vip| text(vip, "port_id").to_owned());
    let mut ids: Vec<String> = std::iter::once(object.text("vip_port_id").to_owned()).chain(more).collect();
    ids.retain(|id| !id.is_empty());
    ids.dedup();
    ids
}
