//! The ports that hold the addresses of load balancers.

use super::{
    Failure, Octavia, Provider,
    object::{Json, Object},
    provider::Vips,
    vip::{additional, given, prefix, text},
};
use crate::{keystone::Caller, neutron::Neutron, uuid::Uuid};
use hyper::Method;
use serde_json::{Value, json};
use std::sync::Arc;

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
