//! What the original Kuryr is given in the cloud: a network on Kuryr's router, and a region with its own way to Neutron.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    engine::{CONTROL, Lab, netns},
    openstack::{ADMIN, Cloud, KURYR, Session, id, keystone_url, neutron_url},
};

/// The name of its network, its subnet and its region.
pub(super) const NAME: &str = "original";

/// The addresses of its pods. It knows one family only.
const CIDR: &str = "10.245.0.0/16";

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Made {
    /// The network's id.
    pub network: String,
    /// The subnet's id.
    pub subnet: String,
}

/// Makes what is missing.
pub(super) fn make(lab: &Lab, neutron: &str) -> Result<Made> {
    let router = Cloud::read(lab)?.router;
    netns::enter(CONTROL, || {
        region(&Session::open(ADMIN)?, neutron)?;
        network(&Session::open(KURYR)?, &router)
    })?
}

fn network(session: &Session, router: &str) -> Result<Made> {
    let wanted = json!({"name": NAME});
    let network = id(&session.ensure(&url("networks"), &named(), "networks", "network", &wanted)?)?;
    let wanted = json!({"name": NAME, "network_id": network, "cidr": CIDR, "ip_version": 4, "enable_dhcp": false});
    let subnet = id(&session.ensure(&url("subnets"), &named(), "subnets", "subnet", &wanted)?)?;
    let ports = session.get(&url(&format!("ports?device_id={router}&network_id={network}")))?;
    if objects(&ports, "ports").next().is_none() {
        session.put(&url(&format!("routers/{router}/add_router_interface")), Some(&json!({"subnet_id": subnet})))?;
    }
    Ok(Made { network, subnet })
}

/// The region's only endpoint is that of Neutron.
fn region(keystone: &Session, neutron: &str) -> Result<()> {
    remove_region(keystone)?;
    let services = format!("{}/services", keystone_url());
    let service = keystone.first(&format!("{services}?type=network"), "services")?;
    let service = id(&service.context("Keystone knows no Neutron")?)?;
    // `region`, not `region_id`: Keystone then makes the region.
    let endpoint = json!({"service_id": service, "interface": "public", "url": neutron, "region": NAME});
    keystone.post(&format!("{}/endpoints", keystone_url()), &json!({"endpoint": endpoint})).map(drop)
}

fn remove_region(keystone: &Session) -> Result<()> {
    let found = keystone.get(&format!("{}/endpoints?region_id={NAME}", keystone_url()))?;
    for endpoint in objects(&found, "endpoints") {
        keystone.delete(&format!("{}/endpoints/{}", keystone_url(), id(endpoint)?))?;
    }
    let regions = keystone.get(&format!("{}/regions", keystone_url()))?;
    if objects(&regions, "regions").any(|region| id(region).is_ok_and(|id| id == NAME)) {
        keystone.delete(&format!("{}/regions/{NAME}", keystone_url()))?;
    }
    Ok(())
}

/// Removes it with all ports on the network.
pub(super) fn remove() -> Result<()> {
    netns::enter(CONTROL, || {
        remove_region(&Session::open(ADMIN)?)?;
        let session = Session::open(KURYR)?;
        let networks = session.get(&url(&format!("networks?{}", named())))?;
        objects(&networks, "networks").try_for_each(|network| remove_network(&session, &id(network)?))
    })?
}

fn remove_network(session: &Session, network: &str) -> Result<()> {
    let ports = session.get(&url(&format!("ports?network_id={network}")))?;
    for port in objects(&ports, "ports") {
        let text = |key| port.get(key).and_then(Value::as_str).unwrap_or_default();
        if text("device_owner") == "network:router_interface" {
            let interface = json!({"port_id": id(port)?});
            let path = format!("routers/{}/remove_router_interface", text("device_id"));
            session.put(&url(&path), Some(&interface))?;
        } else {
            session.delete(&url(&format!("ports/{}", id(port)?)))?;
        }
    }
    // The subnets go with their network.
    session.delete(&url(&format!("networks/{network}"))).map(drop)
}

fn url(path: &str) -> String {
    format!("{}/v2.0/{path}", neutron_url())
}

fn named() -> String {
    format!("name={NAME}")
}

fn objects<'a>(answer: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    answer.get(list).and_then(Value::as_array).into_iter().flatten()
}
