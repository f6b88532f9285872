//! Which endpoints are the members of a port's pool (API reference, EndpointSlice; KEP-1669 for endpoints that end).

use super::super::{
    address,
    facts::{AddressType, Endpoint, Slice},
    graph::{Member, MemberKey, Members},
    spec::Port,
};
use std::{collections::BTreeMap, net::IpAddr};

/// What is asked of endpoints.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Endpoints are used whether they are ready or not.
    pub(super) publish_not_ready: bool,
    /// Addresses of this family are served.
    pub(super) ipv4: bool,
    /// Addresses of this family are served.
    pub(super) ipv6: bool,
}

/// Whether an endpoint may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Usable {
    /// Where no other one is ready: it ends, but answers still.
    AtNeed,
    /// Yes.
    Ready,
}

/// The members of a port's pool: all ready endpoints; for a family that has none, those that end and answer still. One that ends goes as soon
/// as another one is ready: who is connected to it stays so with every provider (OVN by its connection tracking, HAProxy by the process
/// that it was), while a weight of 0, which OVN doesn't know, would send it new connections.
///
/// A port is found in a slice by its name. Each slice has numbers of its own, because a named target port may differ from pod to pod. An
/// endpoint in several slices, as there is when Kubernetes moves it, counts once.
pub(super) fn members(
    port: &Port,
    rules: Rules,
    slices: &[Slice],
    subnet: impl Fn(IpAddr) -> Option<String>,
) -> Members {
    let mut found: BTreeMap<MemberKey, Usable> = BTreeMap::new();
    for slice in slices.iter().filter(|slice| rules.serve(slice.address_type)) {
        for number in numbers(slice, port) {
            for (address, usable) in slice.endpoints.iter().filter_map(|endpoint| rules.usable(slice, endpoint)) {
                let best = found.entry(MemberKey { address, port: number }).or_insert(usable);
                *best = usable.max(*best);
            }
        }
    }
    let ready =
        |ipv4: bool| found.iter().any(|(key, usable)| key.address.is_ipv4() == ipv4 && *usable == Usable::Ready);
    let (ready_v4, ready_v6) = (ready(true), ready(false));
    found
        .iter()
        .filter(|(key, usable)| **usable == Usable::Ready || !(if key.address.is_ipv4() { ready_v4 } else { ready_v6 }))
        .map(|(key, _)| (*key, Member::on(subnet(key.address))))
        .collect()
}

/// The numbers that a slice has for a Service's port. None among them, all ports, can't be served.
fn numbers<'a>(slice: &'a Slice, port: &'a Port) -> impl Iterator<Item = u16> + 'a {
    slice
        .ports
        .iter()
        .filter(|candidate| candidate.name == port.name && candidate.protocol == port.protocol)
        .filter_map(|candidate| candidate.port)
        .filter(|number| *number != 0)
}

impl Rules {
    const fn serve(self, address_type: AddressType) -> bool {
        match address_type {
            AddressType::Ipv4 => self.ipv4,
            AddressType::Ipv6 => self.ipv6,
            AddressType::Fqdn => false,
        }
    }

    /// The endpoint's address and whether it may be used. None: not at all.
    fn usable(self, slice: &Slice, endpoint: &Endpoint) -> Option<(IpAddr, Usable)> {
        let address = address::ip(endpoint.addresses.first()?)?;
        let of_family = address.is_ipv4() == (slice.address_type == AddressType::Ipv4);
        let ready = endpoint.ready.unwrap_or(true);
        let ending = endpoint.terminating.unwrap_or(false) && endpoint.serving.unwrap_or(ready);
        let usable = if ready || self.publish_not_ready {
            Usable::Ready
        } else if ending {
            Usable::AtNeed
        } else {
            return None;
        };
        of_family.then_some((address, usable))
    }
}
