//! Giving addresses to ports, and taking them back.

use super::{
    Failure, Neutron, Object,
    port_attributes::{FixedIp, Wanted},
    subnet::Subnet,
};
use crate::uuid::Uuid;

impl Neutron {
    /// Allocates one address of each family for which the network has a subnet.
    pub(super) fn allocate_any(&mut self, network: Uuid) -> Result<Vec<FixedIp>, Failure> {
        let subnets = self.networks.get(&network).map(|network| network.subnets.clone()).unwrap_or_default();
        let mut allocated = Vec::new();
        for v4 in [true, false] {
            let family: Vec<Uuid> = subnets.iter().copied().filter(|id| self.is_v4(*id) == Some(v4)).collect();
            if family.is_empty() {
                continue;
            }
            let taken = family.iter().find_map(|id| self.take_any(*id));
            let Some(fixed) = taken else {
                self.give_back(&allocated);
                return Err(exhausted(network));
            };
            allocated.push(fixed);
        }
        Ok(allocated)
    }

    fn is_v4(&self, subnet: Uuid) -> Option<bool> {
        self.subnets.get(&subnet).map(Subnet::is_v4)
    }

    fn take_any(&mut self, subnet: Uuid) -> Option<FixedIp> {
        let address = self.subnets.get_mut(&subnet)?.addresses.take_any()?;
        Some(FixedIp { subnet, address })
    }

    /// Allocates the addresses that are asked for, all or none.
    pub(super) fn allocate(&mut self, network: Uuid, wanted: &[Wanted]) -> Result<Vec<FixedIp>, Failure> {
        let mut allocated = Vec::with_capacity(wanted.len());
        for one in wanted {
            match self.allocate_one(network, *one) {
                Ok(fixed) => allocated.push(fixed),
                Err(failure) => {
                    self.give_back(&allocated);
                    return Err(failure);
                }
            }
        }
        Ok(allocated)
    }

    fn allocate_one(&mut self, network: Uuid, wanted: Wanted) -> Result<FixedIp, Failure> {
        let subnet = self.subnet_for(network, wanted)?;
        let Some(address) = wanted.address else { return self.take_any(subnet).ok_or_else(|| exhausted(network)) };
        let taken = self.subnets.get_mut(&subnet).is_some_and(|subnet| subnet.addresses.take(address));
        if !taken {
            let message = format!("IP address {address} already allocated in subnet {subnet}");
            return Err(Failure::conflict("IpAddressAlreadyAllocated", message));
        }
        Ok(FixedIp { subnet, address })
    }

    /// The subnet that is named, or the one that the address belongs to.
    fn subnet_for(&self, network: Uuid, wanted: Wanted) -> Result<Uuid, Failure> {
        let known = self.networks.get(&network).map(|network| network.subnets.as_slice()).unwrap_or_default();
        if known.is_empty() {
            return Err(Failure::invalid("IP allocation requires subnets for network"));
        }
        match wanted {
            Wanted { subnet: Some(id), address } => {
                let subnet = self.subnets.get(&id);
                let subnet = subnet.ok_or_else(|| Failure::not_found(Subnet::NAMES, &id.to_string()))?;
                if subnet.network != network {
                    let message = format!(
                        "Failed to create port on network {network}, because fixed_ips included invalid subnet {id}"
                    );
                    return Err(Failure::invalid(&message));
                }
                match address.filter(|address| !subnet.has_host(*address)) {
                    Some(address) => Err(Failure::new(
                        400,
                        "InvalidIpForSubnet",
                        format!("IP address {address} is not a valid IP for the specified subnet."),
                    )),
                    None => Ok(id),
                }
            }
            Wanted { subnet: None, address } => {
                let fits = |id: &&Uuid| {
                    self.subnets.get(*id).zip(address).is_some_and(|(subnet, address)| subnet.has_host(address))
                };
                known.iter().find(fits).copied().ok_or_else(|| {
                    let address = address.map(|address| address.to_string()).unwrap_or_default();
                    let message = format!(
                        "IP address {address} is not a valid IP for any of the subnets on the specified network."
                    );
                    Failure::new(400, "InvalidIpForNetwork", message)
                })
            }
        }
    }

    /// Gives a port other addresses; what it has already and is asked for again, or fits a subnet that is asked for, stays.
    pub(super) fn move_addresses(&mut self, id: Uuid, wanted: &[Wanted]) -> Result<(), Failure> {
        let Some((network, mut old)) = self.ports.get(id).map(|port| (port.network, port.fixed_ips.clone())) else {
            return Ok(());
        };
        let before = old.clone();
        let (mut kept, mut new) = (Vec::new(), Vec::new());
        for one in wanted {
            let same = |fixed: &FixedIp| {
                one.subnet.is_none_or(|subnet| subnet == fixed.subnet)
                    && one.address.is_none_or(|address| address == fixed.address)
            };
            match old.iter().position(same) {
                Some(place) => kept.push(old.remove(place)),
                None => new.push(*one),
            }
        }
        kept.extend(self.allocate(network, &new)?);
        self.give_back(&old);
        if let Some(mut port) = self.ports.remove(id).filter(|_| kept != before) {
            port.fixed_ips = kept;
            port.touch();
            self.ports.insert(port);
        }
        Ok(())
    }

    pub(super) fn give_back(&mut self, addresses: &[FixedIp]) {
        for fixed in addresses {
            if let Some(subnet) = self.subnets.get_mut(&fixed.subnet) {
                subnet.addresses.give_back(fixed.address);
            }
        }
    }
}

fn exhausted(network: Uuid) -> Failure {
    let message = format!("No more IP addresses available on network {network}.");
    Failure::conflict("IpAddressGenerationFailure", message)
}
