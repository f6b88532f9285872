//! Ports that Octavia forgets: it makes the ports of the addresses first, and when it refuses the load balancer then, as for a quota of what
//! belongs to it, it leaves them. They keep the Service's address, so that no later creation succeeds.

use crate::services::Services;
use kuryr_core::service::{graph::Graph, spec::Vip};
use kuryr_openstack::{
    Error, Found,
    neutron::{FixedIpFilter, Port, PortId, PortQuery},
    octavia::LoadBalancerId,
};
use std::collections::BTreeSet;

/// Owners of load balancers' ports.
const OWNERS: [&str; 2] = ["ovn-lb:vip", "Octavia"];

/// What comes before a load balancer's id in the device of its port.
const DEVICE: &str = "lb-";

/// The ports that have the graph's addresses and are of load balancers that Octavia doesn't have. One that was only now found may be of
/// one that is about to appear.
///
/// # Errors
/// When a request fails.
pub async fn find(services: &Services, graph: &Graph) -> Result<BTreeSet<String>, Error> {
    let mut orphans = BTreeSet::new();
    for vip in std::iter::once(&graph.vip).chain(&graph.additional_vips) {
        let query = PortQuery {
            device_owners: OWNERS.map(str::to_owned).to_vec(),
            fixed_ips: vec![FixedIpFilter::Address(vip.address)],
            ..PortQuery::default()
        };
        for port in services.neutron.list_ports(&query).await?.iter().filter(|port| has(port, vip)) {
            let Some(id) = port.device_id.strip_prefix(DEVICE) else { continue };
            if services.octavia.get_load_balancer(&LoadBalancerId::from(id)).await.found()?.is_none() {
                orphans.insert(port.id.to_string());
            }
        }
    }
    Ok(orphans)
}

fn has(port: &Port, vip: &Vip) -> bool {
    port.fixed_ips.iter().any(|fixed| fixed.subnet_id.as_str() == vip.subnet_id && fixed.ip_address == vip.address)
}

/// Deletes ports that are forgotten still.
///
/// # Errors
/// When a request fails.
pub async fn delete(services: &Services, ports: &BTreeSet<String>) -> Result<(), Error> {
    for id in ports {
        let port_id = PortId::from(id.as_str());
        let Some(port) = services.neutron.get_port(&port_id).await.found()? else { continue };
        let Some(of) = port.device_id.strip_prefix(DEVICE) else { continue };
        if services.octavia.get_load_balancer(&LoadBalancerId::from(of)).await.found()?.is_none() {
            tracing::warn!(port = id, "deleting the port that a refused load balancer has left");
            services.neutron.delete_port(&port_id).await.found()?;
        }
    }
    Ok(())
}
