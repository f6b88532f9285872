//! What tests do to Neutron behind its API.

use super::{Neutron, Object, port::Port, port::PortView};
use crate::uuid::Uuid;
use std::{net::IpAddr, sync::Arc};

impl Neutron {
    /// Network and project of the port with this address of a subnet.
    pub fn port_with(&self, subnet: Uuid, address: IpAddr) -> Option<(Uuid, Arc<str>)> {
        let network = self.subnets.get(&subnet).filter(|subnet| subnet.addresses.is_taken(address))?.network;
        let mut ports = self.ports.of_network(network).filter_map(|id| self.ports.get(id));
        let port = ports.find(|port| port.fixed_ips.iter().any(|fixed| fixed.address == address))?;
        Some((network, Arc::clone(&port.meta().project)))
    }

    /// A port of this device.
    pub fn port_of_device(&self, device: &str) -> Option<Uuid> {
        let filter = [device.to_owned()];
        let mut found = self.ports.candidates(|name| (name == "device_id").then_some(&filter[..]), None);
        found.next().map(|port| port.meta().id)
    }

    pub fn port_views(&self) -> Vec<PortView> {
        self.ports.values().map(Port::view).collect()
    }

    pub fn port_count(&self) -> usize {
        self.ports.len()
    }

    /// Sets a port's status as the dataplane does. False: there is no such port.
    pub fn set_active(&mut self, id: &str, active: bool) -> bool {
        let Some(port) = id.parse().ok().and_then(|id| self.ports.get_mut(id)) else { return false };
        if port.active != active {
            port.active = active;
            port.touch();
        }
        true
    }

    pub fn delete_behind(&mut self, id: &str) -> bool {
        let known = id.parse().ok().filter(|id| self.ports.get(*id).is_some());
        known.map(|id: Uuid| Port::remove(self, id)).is_some()
    }

    pub fn add_host(&mut self, host: &str) {
        self.options.hosts.get_or_insert_default().insert(host.to_owned());
    }

    pub fn remove_host(&mut self, host: &str) {
        if let Some(hosts) = &mut self.options.hosts {
            hosts.remove(host);
        }
    }

    pub fn set_quota(&mut self, project: &str, kind: &str, limit: i64) {
        self.quotas.entry(project.to_owned()).or_default().insert(kind.to_owned(), limit);
    }

    /// Takes all rules of a security group away.
    pub fn close_group(&mut self, id: &str) {
        if let Some(group) = id.parse().ok().and_then(|id: Uuid| self.groups.get_mut(&id)) {
            group.close();
        }
    }
}
