//! Routes through devices.

use super::{Error, Link, Netlink, Request};
use ipnet::IpNet;
use rtnetlink::{
    packet_core::{NLM_F_CREATE, NLM_F_REPLACE},
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType},
    },
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A route through one device, in the main table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinkRoute {
    /// Where it leads to.
    pub destination: IpNet,
    /// The next hop; `None` where the destination is on the link itself.
    pub gateway: Option<IpAddr>,
}

impl std::fmt::Display for LinkRoute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.gateway {
            Some(gateway) => write!(f, "{} via {gateway}", self.destination),
            None => write!(f, "{} on the link", self.destination),
        }
    }
}

/// Adds a route through a device. A route of the same destination is replaced.
#[must_use]
pub fn add_route(link: &Link, route: LinkRoute) -> Request {
    Request {
        what: format!("adding route {route} to `{}`", link.name),
        payload: RouteNetlinkMessage::NewRoute(message(link, route)),
        flags: NLM_F_CREATE | NLM_F_REPLACE,
    }
}

/// Removes a route through a device.
#[must_use]
pub fn delete_route(link: &Link, route: LinkRoute) -> Request {
    Request {
        what: format!("removing route {route} from `{}`", link.name),
        payload: RouteNetlinkMessage::DelRoute(any_origin(message(link, route))),
        flags: 0,
    }
}

/// Whoever made the route, and in whatever scope.
fn any_origin(mut message: RouteMessage) -> RouteMessage {
    message.header.protocol = RouteProtocol::Unspec;
    message.header.scope = RouteScope::NoWhere;
    message
}

fn message(link: &Link, route: LinkRoute) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family =
        if route.destination.addr().is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.destination_prefix_length = route.destination.prefix_len();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.kind = RouteType::Unicast;
    // IPv4 refuses a gateway that isn't reached by a route of a narrower scope; IPv6 has no scopes.
    message.header.scope = if route.gateway.is_none() { RouteScope::Link } else { RouteScope::Universe };
    message.attributes = vec![RouteAttribute::Oif(link.index)];
    if route.destination.prefix_len() > 0 {
        message.attributes.push(RouteAttribute::Destination(route.destination.network().into()));
    }
    if let Some(gateway) = route.gateway {
        message.attributes.push(RouteAttribute::Gateway(gateway.into()));
    }
    message
}

impl Netlink {
    /// The routes through `link` in the main table, without those that the kernel made itself (the addresses' prefixes).
    ///
    /// # Errors
    /// When the kernel refuses to tell, or never stops changing its mind.
    pub async fn routes(&self, link: &Link) -> Result<Vec<LinkRoute>, Error> {
        let what = format!("listing the routes of `{}`", link.name);
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            let found = self.dump(&what, RouteNetlinkMessage::GetRoute(message)).await?;
            routes.extend(found.into_iter().filter_map(|message| route_through(link, message)));
        }
        Ok(routes)
    }
}

/// The route in `message`, if it leads through `link` and somebody asked for it.
fn route_through(link: &Link, message: RouteNetlinkMessage) -> Option<LinkRoute> {
    let RouteNetlinkMessage::NewRoute(message) = message else { return None };
    let header = &message.header;
    if header.table != RouteHeader::RT_TABLE_MAIN || header.protocol == RouteProtocol::Kernel {
        return None;
    }
    let any = match header.address_family {
        AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        _ => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let (mut destination, mut gateway, mut through) = (any, None, false);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => through = *index == link.index,
            RouteAttribute::Destination(address) => destination = ip(address)?,
            RouteAttribute::Gateway(address) => gateway = ip(address),
            _ => {}
        }
    }
    let destination = IpNet::new(destination, header.destination_prefix_length).ok()?;
    through.then_some(LinkRoute { destination, gateway })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some((*v4).into()),
        RouteAddress::Inet6(v6) => Some((*v6).into()),
        _ => None,
    }
}
