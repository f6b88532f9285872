//! Ports that Octavia forgets: it makes the ports of the addresses first, and when it refuses the load balancer then, as for a quota of what
//! belongs to it, it leaves them. They keep the Service's address, so that no later creation succeeds.
//!
//! A port whose load balancer isn't in Octavia may also be of one that is just being made. Where nobody knows what was asked for, as after a
//! start or a lost answer, a port counts as forgotten only when it has been seen for a while ([`Known::blind_since`]).

use super::{Turn, memory::Known};
use crate::{error::Error as Failed, services::Services};
use kuryr_core::service::spec::Vip;
use kuryr_openstack::{
    Error, Found,
    neutron::{FixedIpFilter, Port, PortId, PortQuery},
    octavia::LoadBalancerId,
};
use std::{collections::BTreeSet, time::Duration};
use tokio::time::Instant;

/// Owners of load balancers' ports.
const OWNERS: [&str; 2] = ["ovn-lb:vip", "Octavia"];

/// What comes before a load balancer's id in the device of its port.
const DEVICE: &str = "lb-";

/// No creation takes longer from its port to its load balancer: Octavia's API does both in one request.
const CREATION: Duration = Duration::from_secs(60);

/// The load balancer that a port is of.
pub fn load_balancer_of(port: &Port) -> Option<&str> {
    port.device_id.strip_prefix(DEVICE)
}

/// The ports of load balancers that have this address.
///
/// # Errors
/// When the request fails.
pub async fn ports_of(services: &Services, vip: &Vip) -> Result<Vec<Port>, Error> {
    let query = PortQuery {
        device_owners: OWNERS.map(str::to_owned).to_vec(),
        fixed_ips: vec![FixedIpFilter::Address(vip.address)],
        ..PortQuery::default()
    };
    let mut ports = services.neutron.list_ports(&query).await?;
    ports.retain(|port| {
        port.fixed_ips.iter().any(|fixed| fixed.subnet_id.as_str() == vip.subnet_id && fixed.ip_address == vip.address)
    });
    Ok(ports)
}

/// The ports that have these addresses and are of load balancers that Octavia doesn't have.
async fn find(services: &Services, vips: impl Iterator<Item = &Vip>) -> Result<BTreeSet<String>, Error> {
    let mut orphans = BTreeSet::new();
    for vip in vips {
        for port in ports_of(services, vip).await? {
            if is_forgotten(services, &port).await? {
                orphans.insert(port.id.to_string());
            }
        }
    }
    Ok(orphans)
}

async fn is_forgotten(services: &Services, port: &Port) -> Result<bool, Error> {
    let Some(id) = load_balancer_of(port) else { return Ok(false) };
    Ok(services.octavia.get_load_balancer(&LoadBalancerId::from(id)).await.found()?.is_none())
}

async fn delete(services: &Services, port: &str) -> Result<(), Error> {
    let port_id = PortId::from(port);
    let Some(found) = services.neutron.get_port(&port_id).await.found()? else { return Ok(()) };
    if is_forgotten(services, &found).await? {
        tracing::warn!(port, "deleting the port that a refused load balancer has left");
        services.neutron.delete_port(&port_id).await.found()?;
    }
    Ok(())
}

impl Turn<'_> {
    /// Notes the ports that the Service's addresses are at though Octavia has no load balancer there.
    pub(super) async fn find_orphans(&self, known: &mut Known) -> Result<(), Error> {
        let found = find(self.services, self.object.spec.load_balancer.vips.iter()).await?;
        known.orphans.retain(|port, _| found.contains(port));
        for port in found {
            known.orphans.entry(port).or_insert_with(Instant::now);
        }
        Ok(())
    }

    /// Deletes what refused creations have left. For how long some of it has to be watched still.
    pub(super) async fn delete_orphans(&self, known: &mut Known) -> Result<Option<Duration>, Failed> {
        let is_blind = known.blind_since.is_some_and(|since| since.elapsed() < CREATION);
        let left = |since: &Instant| CREATION.saturating_sub(since.elapsed());
        let is_ripe = |since: &Instant| !is_blind || left(since).is_zero();
        let ripe: Vec<_> = known.orphans.iter().filter(|(_, since)| is_ripe(since)).map(|(id, _)| id.clone()).collect();
        for port in ripe {
            let deleted = delete(self.services, &port).await;
            deleted
                .map_err(Failed::openstack("delete the port that was left of the load balancer", self.described()))?;
            known.orphans.remove(&port);
        }
        Ok(known.orphans.values().map(left).max())
    }
}
