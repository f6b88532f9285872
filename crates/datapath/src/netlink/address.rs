//! Addresses of devices.

use super::{Error, Link, Netlink, Request};
use ipnet::IpNet;
use rtnetlink::{
    packet_core::{NLM_F_CREATE, NLM_F_REPLACE},
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        address::{AddressAttribute, AddressHeaderFlags, AddressMessage},
    },
};
use std::net::IpAddr;

/// Gives an address to a device, with the route to its prefix. That it has it already is no error.
///
/// IPv6 addresses are usable at once, without duplicate address detection (RFC 4862, 5.4): Neutron guarantees that they
/// are unique, and a pod must not wait a second for each.
#[must_use]
pub fn add_address(link: &Link, address: IpNet) -> Request {
    Request {
        what: format!("adding address {address} to `{}`", link.name),
        payload: RouteNetlinkMessage::NewAddress(message(link, address)),
        flags: NLM_F_CREATE | NLM_F_REPLACE,
    }
}

/// Takes an address from a device.
#[must_use]
pub fn delete_address(link: &Link, address: IpNet) -> Request {
    Request {
        what: format!("removing address {address} from `{}`", link.name),
        payload: RouteNetlinkMessage::DelAddress(message(link, address)),
        flags: 0,
    }
}

fn message(link: &Link, address: IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = link.index;
    message.header.prefix_len = address.prefix_len();
    message.attributes = vec![AddressAttribute::Local(address.addr()), AddressAttribute::Address(address.addr())];
    match address {
        IpNet::V4(v4) => {
            message.header.family = AddressFamily::Inet;
            if v4.prefix_len() < 31 {
                message.attributes.push(AddressAttribute::Broadcast(v4.broadcast()));
            }
        }
        IpNet::V6(_) => {
            message.header.family = AddressFamily::Inet6;
            message.header.flags = AddressHeaderFlags::Nodad;
        }
    }
    message
}

impl Netlink {
    /// The addresses of `link`, without those that the kernel makes itself (IPv6 link-local).
    ///
    /// # Errors
    /// When the kernel refuses to tell, or never stops changing its mind.
    pub async fn addresses(&self, link: &Link) -> Result<Vec<IpNet>, Error> {
        let what = format!("listing the addresses of `{}`", link.name);
        let found = self.dump(&what, RouteNetlinkMessage::GetAddress(AddressMessage::default())).await?;
        Ok(found.into_iter().filter_map(|message| address_on(link, message)).collect())
    }
}

/// The address in `message`, if it is one of `link`'s.
fn address_on(link: &Link, message: RouteNetlinkMessage) -> Option<IpNet> {
    let RouteNetlinkMessage::NewAddress(message) = message else { return None };
    if message.header.index != link.index {
        return None;
    }
    // On a point-to-point device the two differ, and LOCAL is ours; IPv6 often has only ADDRESS.
    let of = |attribute: &AddressAttribute| match attribute {
        AddressAttribute::Local(address) => Some((0, *address)),
        AddressAttribute::Address(address) => Some((1, *address)),
        _ => None,
    };
    let (_, address) = message.attributes.iter().filter_map(of).min_by_key(|(order, _)| *order)?;
    let made_by_kernel = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    if made_by_kernel { None } else { IpNet::new(address, message.header.prefix_len).ok() }
}
