//! One device with its addresses and routes: how it should be, how it is, and what makes the one out of the other.

use crate::{
    Difference, Route,
    netlink::{self, Link, LinkRoute, Netlink, Request, add_address, add_route, delete_address, delete_route},
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::{collections::HashSet, fmt::Display, fs, io, net::IpAddr};

/// The routes that are needed for `routes` to work: a gateway that is in no address's prefix is first made reachable.
pub(super) fn link_routes(addresses: &[IpNet], routes: &[Route]) -> Vec<LinkRoute> {
    let mut all: Vec<LinkRoute> = Vec::new();
    for route in routes {
        let reachable = addresses.iter().any(|address| address.contains(&route.gateway))
            || matches!(route.gateway, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let host = LinkRoute { destination: host(route.gateway), gateway: None };
        if !reachable && !all.contains(&host) {
            all.push(host);
        }
        all.push(LinkRoute { destination: route.destination, gateway: Some(route.gateway) });
    }
    all
}

fn host(address: IpAddr) -> IpNet {
    match address {
        IpAddr::V4(v4) => Ipv4Net::from(v4).into(),
        IpAddr::V6(v6) => Ipv6Net::from(v6).into(),
    }
}

/// The requests that give a new device its addresses and routes, in the order in which they have to be made.
pub(super) fn configure(link: &Link, addresses: &[IpNet], routes: &[Route]) -> Vec<Request> {
    let mut requests = vec![netlink::set_up(&link.name)];
    requests.extend(addresses.iter().map(|address| add_address(link, *address)));
    requests.extend(link_routes(addresses, routes).into_iter().map(|route| add_route(link, route)));
    requests
}

/// The requests that make an existing device as it should be. None: it is.
pub(super) async fn repair(
    netlink: &Netlink,
    link: &Link,
    mtu: u32,
    addresses: &[IpNet],
    routes: &[Route],
) -> Result<Vec<Request>, netlink::Error> {
    let wanted: HashSet<_> = addresses.iter().copied().collect();
    let found: HashSet<_> = netlink.addresses(link).await?.into_iter().collect();
    let wanted_routes = link_routes(addresses, routes);
    let found_routes = netlink.routes(link).await?;
    let mut requests = Vec::new();
    if link.mtu != mtu {
        requests.push(netlink::set_mtu(&link.name, mtu));
    }
    if !link.up {
        requests.push(netlink::set_up(&link.name));
    }
    let stray = found_routes.iter().filter(|route| !wanted_routes.contains(route));
    requests.extend(stray.map(|route| delete_route(link, *route)));
    requests.extend(found.difference(&wanted).map(|address| delete_address(link, *address)));
    requests.extend(wanted.difference(&found).map(|address| add_address(link, *address)));
    // An address that goes takes routes with it, and a device that was down has none: so all are made again.
    let missing = !requests.is_empty() || wanted_routes.iter().any(|route| !found_routes.contains(route));
    if missing {
        requests.extend(wanted_routes.into_iter().map(|route| add_route(link, route)));
    }
    Ok(requests)
}

/// Compares the addresses and routes of a device with what they should be.
pub(super) async fn compare(
    netlink: &Netlink,
    link: &Link,
    addresses: &[IpNet],
    routes: &[Route],
) -> Result<Vec<Difference>, netlink::Error> {
    let mut differences = Vec::new();
    let found = netlink.addresses(link).await?;
    let name = &link.name;
    sets(&format!("address of {name}"), addresses, &found, &mut differences);
    let wanted = link_routes(addresses, routes);
    let found = netlink.routes(link).await?;
    // Others (a sidecar, a service mesh) may add routes in a pod; only those that are missing matter.
    let found: Vec<_> = found.into_iter().filter(|route| wanted.contains(route)).collect();
    sets(&format!("route of {name}"), &wanted, &found, &mut differences);
    Ok(differences)
}

fn sets<T: PartialEq + Display>(what: &str, expected: &[T], found: &[T], differences: &mut Vec<Difference>) {
    let nothing = || "nothing".to_owned();
    let difference = |expected, found| Difference { what: what.to_owned(), expected, found };
    let missing = expected.iter().filter(|item| !found.contains(item));
    differences.extend(missing.map(|item| difference(item.to_string(), nothing())));
    let extra = found.iter().filter(|item| !expected.contains(item));
    differences.extend(extra.map(|item| difference(nothing(), item.to_string())));
}

/// Sets how the kernel treats IPv6 on a device. To be run inside its namespace.
///
/// Addresses and routes come from Neutron alone, so router advertisements are not obeyed; they are unique, so they are not
/// probed for; and where a runtime switched IPv6 off for new interfaces, an interface with IPv6 addresses gets it.
pub(super) fn set_ipv6(device: &str, has_addresses: bool) -> io::Result<()> {
    set_key(device, "accept_ra", "0")?;
    set_key(device, "accept_dad", "0")?;
    if has_addresses { set_key(device, "disable_ipv6", "0") } else { Ok(()) }
}

/// Writes one of a device's settings of IPv6.
fn set_key(device: &str, key: &str, value: &str) -> io::Result<()> {
    let path = format!("/proc/sys/net/ipv6/conf/{device}/{key}");
    match fs::write(&path, value) {
        // A kernel without IPv6: harmless, unless there are addresses; then adding them says so.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io::Error::new(error.kind(), format!("writing {value} to {path}: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// Switches IPv6 off in the namespace of the calling thread, so that none of its devices ever says anything by itself.
pub(super) fn without_ipv6() -> io::Result<()> {
    ["all", "default"].into_iter().try_for_each(|device| set_key(device, "disable_ipv6", "1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(destination: &str, gateway: &str) -> Route {
        Route { destination: destination.parse().unwrap(), gateway: gateway.parse().unwrap() }
    }

    fn shown(addresses: &[&str], routes: &[Route]) -> Vec<String> {
        let addresses: Vec<IpNet> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        link_routes(&addresses, routes).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn gateways_outside_of_the_prefixes_are_made_reachable_first_and_once() {
        let routes =
            [route("0.0.0.0/0", "169.254.1.1"), route("10.96.0.0/16", "169.254.1.1"), route("::/0", "fd00::1")];
        assert_eq!(
            shown(&["10.0.0.2/32", "fd00::2/64"], &routes),
            [
                "169.254.1.1/32 on the link",
                "0.0.0.0/0 via 169.254.1.1",
                "10.96.0.0/16 via 169.254.1.1",
                "::/0 via fd00::1"
            ]
        );
    }

    #[test]
    fn link_local_gateways_are_always_reachable() {
        assert_eq!(shown(&["fd00::2/64"], &[route("::/0", "fe80::1")]), ["::/0 via fe80::1"]);
    }
}
