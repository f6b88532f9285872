//! What is in the cloud from the beginning.

use crate::{Config, SeedNetwork, StartError, call::Answer, neutron::Neutron};
use ipnet::IpNet;
use serde_json::{Value, json};
use std::sync::Arc;

/// Makes the networks and groups of the configuration.
pub(crate) fn seed(neutron: &mut Neutron, config: &Config, project: &Arc<str>) -> Result<(), StartError> {
    for new in &config.networks {
        network(neutron, project, new)?;
    }
    for (names, open) in [(&config.open_groups, true), (&config.closed_groups, false)] {
        for name in names {
            group(neutron, project, name, open)?;
        }
    }
    Ok(())
}

fn network(neutron: &mut Neutron, project: &Arc<str>, new: &SeedNetwork) -> Result<(), StartError> {
    let network = neutron.seed(project, "networks", json!({ "network": { "name": new.name } }));
    let network = created(&network, "network", &new.name)?;
    for (name, prefix) in &new.subnets {
        let version = if matches!(prefix, IpNet::V4(_)) { 4 } else { 6 };
        let subnet = json!({
            "name": name, "network_id": network["id"], "ip_version": version, "cidr": prefix.to_string(),
            "enable_dhcp": false,
        });
        created(&neutron.seed(project, "subnets", json!({ "subnet": subnet })), "subnet", name)?;
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
