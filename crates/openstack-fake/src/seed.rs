//! What is in the cloud from the beginning.

use crate::{Config, SeedNetwork, SeedRouter, StartError, call::Answer, keystone::Caller, neutron::Neutron};
use hyper::Method;
use ipnet::IpNet;
use serde_json::{Value, json};
use std::sync::Arc;

/// Makes the networks and groups of the configuration.
pub(crate) fn seed(neutron: &mut Neutron, config: &Config, project: &Arc<str>) -> Result<(), StartError> {
    for new in &config.networks {
        network(neutron, project, new)?;
    }
    for new in &config.routers {
        router(neutron, project, new)?;
    }
    for (names, open) in [(&config.open_groups, true), (&config.closed_groups, false)] {
        for name in names {
            group(neutron, project, name, open)?;
        }
    }
    Ok(())
}

fn network(neutron: &mut Neutron, project: &Arc<str>, new: &SeedNetwork) -> Result<(), StartError> {
    let network = json!({ "network": { "name": new.name, "router:external": new.external } });
    let network = neutron.seed(project, "networks", network);
    let network = created(&network, "network", &new.name)?;
    for new in &new.subnets {
        let version = if matches!(new.prefix, IpNet::V4(_)) { 4 } else { 6 };
        let mut subnet = json!({
            "name": new.name, "network_id": network["id"], "ip_version": version, "cidr": new.prefix.to_string(),
            "enable_dhcp": false,
        });
        if let Some(gateway) = new.gateway {
            subnet["gateway_ip"] = gateway.to_string().into();
        }
        if let Some((first, last)) = new.pool {
            subnet["allocation_pools"] = json!([{ "start": first.to_string(), "end": last.to_string() }]);
        }
        created(&neutron.seed(project, "subnets", json!({ "subnet": subnet })), "subnet", &new.name)?;
    }
    Ok(())
}

fn router(neutron: &mut Neutron, project: &Arc<str>, new: &SeedRouter) -> Result<(), StartError> {
    let caller = Caller::of_the_cloud(project);
    let mut named = |many: &str, name: &str| {
        let (_, body) = neutron.ask(&caller, Method::GET, many, None);
        let list = body[many].as_array().cloned().unwrap_or_default();
        let found = list.into_iter().find(|object| object["name"] == name).map(|object| object["id"].clone());
        found.ok_or_else(|| StartError::Seed {
            what: format!("router `{}`", new.name),
            why: format!("there is no `{name}` among the {many}"),
        })
    };
    let external = named("networks", &new.external)?;
    let subnets = new.subnets.iter().map(|name| named("subnets", name)).collect::<Result<Vec<_>, _>>()?;
    let router = json!({ "name": new.name, "external_gateway_info": { "network_id": external } });
    let router = created(&neutron.seed(project, "routers", json!({ "router": router })), "router", &new.name)?;
    let path = format!("routers/{}/add_router_interface", router["id"].as_str().unwrap_or_default());
    for subnet in subnets {
        let (status, body) = neutron.ask(&caller, Method::PUT, &path, Some(json!({ "subnet_id": subnet })));
        if status != 200 {
            return Err(StartError::Seed { what: format!("router `{}`", new.name), why: body.to_string() });
        }
    }
    Ok(())
}

/// A group with Neutron's own egress rules and rules for everything that comes in, or with none.
fn group(neutron: &mut Neutron, project: &Arc<str>, name: &str, open: bool) -> Result<(), StartError> {
    let group = neutron.seed(project, "security-groups", json!({ "security_group": { "name": name } }));
    let group = created(&group, "security_group", name)?;
    let id = group["id"].as_str().unwrap_or_default();
    if !open {
        neutron.close_group(id);
        return Ok(());
    }
    for family in ["IPv4", "IPv6"] {
        let rule = json!({ "security_group_id": id, "direction": "ingress", "ethertype": family });
        let answer = neutron.seed(project, "security-group-rules", json!({ "security_group_rule": rule }));
        created(&answer, "security_group_rule", name)?;
    }
    Ok(())
}

/// The object that was created.
fn created(answer: &Answer, envelope: &str, name: &str) -> Result<Value, StartError> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    match body.get(envelope) {
        Some(object) => Ok(object.clone()),
        None => Err(StartError::Seed { what: format!("{envelope} `{name}`"), why: body.to_string() }),
    }
}
