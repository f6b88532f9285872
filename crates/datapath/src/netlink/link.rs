//! Devices.

use super::{Error, Netlink, Request};
use crate::netns::Namespace;
use kuryr_core::net::MacAddress;
use rtnetlink::{
    LinkMacVlan, LinkMessageBuilder, LinkUnspec, LinkVeth,
    packet_core::{NLM_F_CREATE, NLM_F_EXCL},
    packet_route::{
        RouteNetlinkMessage,
        link::{
            AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags,
            LinkInfo, LinkMessage, MacVlanMode,
        },
    },
};

/// A network device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The device's index in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its Ethernet address, if it has one.
    pub mac: Option<MacAddress>,
    /// Its MTU, in bytes.
    pub mtu: u32,
    /// Whether it is set up (`IFF_UP`); it may lack a carrier.
    pub up: bool,
    /// A macvlan device: index of the device that it stands on, in the namespace of that one.
    pub macvlan_on: Option<u32>,
    /// Whether somebody has it take all frames, as a macvlan in the mode `passthru` does that stands on it and is up.
    pub promiscuous: bool,
}

impl From<LinkMessage> for Link {
    fn from(message: LinkMessage) -> Self {
        let up = message.header.flags.contains(LinkFlags::Up);
        let index = message.header.index;
        let mut link = Self { index, name: String::new(), mac: None, mtu: 0, up, macvlan_on: None, promiscuous: false };
        // A kernel doesn't say it where it is the device's own.
        let (mut lower, mut is_macvlan) = (index, false);
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name = name,
                LinkAttribute::Address(bytes) => link.mac = bytes.try_into().ok().map(MacAddress),
                LinkAttribute::Mtu(mtu) => link.mtu = mtu,
                LinkAttribute::Link(index) => lower = index,
                LinkAttribute::LinkInfo(info) => is_macvlan = info.contains(&LinkInfo::Kind(InfoKind::MacVlan)),
                LinkAttribute::Promiscuity(count) => link.promiscuous = count > 0,
                _ => {}
            }
        }
        link.macvlan_on = is_macvlan.then_some(lower);
        link
    }
}

/// A pair of connected devices, one end of which is in another namespace.
#[derive(Debug, Clone, Copy)]
pub struct Veth<'a> {
    /// Name of the end in the namespace of the netlink socket. It is set up.
    pub name: &'a str,
    /// Name of the other end. It is left down, so that it can be configured first.
    pub peer: &'a str,
    /// Where the other end goes. It must stay open until the request is answered.
    pub peer_namespace: &'a Namespace,
    /// The other end's Ethernet address.
    pub peer_mac: MacAddress,
    /// Both ends' MTU, in bytes.
    pub mtu: u32,
}

/// Makes both ends of a veth pair as they should be, at their places, in one request.
#[must_use]
pub fn create_veth(veth: &Veth<'_>) -> Request {
    let peer = LinkUnspec::new_with_name(veth.peer)
        .address(veth.peer_mac.0.to_vec())
        .mtu(veth.mtu)
        .setns_by_fd(veth.peer_namespace.as_raw_fd())
        .build();
    let message = LinkVeth::new(veth.name, veth.peer)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .mtu(veth.mtu)
        .up()
        .build();
    Request {
        what: format!("creating veth `{}` with peer `{}` in {}", veth.name, veth.peer, veth.peer_namespace),
        payload: RouteNetlinkMessage::NewLink(message),
        flags: NLM_F_CREATE | NLM_F_EXCL,
    }
}

/// Sets the device of that name up.
#[must_use]
pub fn set_up(name: &str) -> Request {
    let message = LinkUnspec::new_with_name(name).up().build();
    Request { what: format!("setting `{name}` up"), payload: RouteNetlinkMessage::SetLink(message), flags: 0 }
}

/// Sets the device of that name down.
#[must_use]
pub fn set_down(name: &str) -> Request {
    let message = LinkUnspec::new_with_name(name).down().build();
    Request { what: format!("setting `{name}` down"), payload: RouteNetlinkMessage::SetLink(message), flags: 0 }
}

/// Makes a macvlan device in the namespace `to`, which must stay open until the request is answered, on a device of the
/// socket's own namespace. It has that one for itself (mode `passthru`), with its MAC address and MTU, and is left down.
///
/// The kernel makes it where it is to be, in less than a millisecond. To move a device takes some 18 ms, with the lock held
/// that every other change of any device needs (`dev_change_net_namespace`, `rcu_barrier`).
#[must_use]
pub fn create_macvlan(lower: &Link, to: &Namespace, name: &str) -> Request {
    let message = LinkMacVlan::new(name, lower.index, MacVlanMode::Passthrough).setns_by_fd(to.as_raw_fd()).build();
    Request {
        what: format!("creating macvlan `{name}` in {to} on `{}`", lower.name),
        payload: RouteNetlinkMessage::NewLink(message),
        flags: NLM_F_CREATE | NLM_F_EXCL,
    }
}

/// Sets the MTU of the device of that name, in bytes.
#[must_use]
pub fn set_mtu(name: &str, mtu: u32) -> Request {
    let message = LinkUnspec::new_with_name(name).mtu(mtu).build();
    Request {
        what: format!("setting the MTU of `{name}` to {mtu}"),
        payload: RouteNetlinkMessage::SetLink(message),
        flags: 0,
    }
}

/// Removes the device of that name; of a veth pair, both ends.
#[must_use]
pub fn delete_link(name: &str) -> Request {
    let message = LinkUnspec::new_with_name(name).build();
    Request { what: format!("deleting `{name}`"), payload: RouteNetlinkMessage::DelLink(message), flags: 0 }
}

/// Removes that device, whatever its name is by now.
#[must_use]
pub fn delete_device(link: &Link) -> Request {
    let message = LinkMessageBuilder::<LinkUnspec>::new().index(link.index).build();
    Request { what: format!("deleting `{}`", link.name), payload: RouteNetlinkMessage::DelLink(message), flags: 0 }
}

/// Puts the device of that name into a group.
#[must_use]
pub fn set_group(name: &str, group: u32) -> Request {
    let message = LinkUnspec::new_with_name(name).link_group(group).build();
    Request {
        what: format!("putting `{name}` into group {group}"),
        payload: RouteNetlinkMessage::SetLink(message),
        flags: 0,
    }
}

/// Removes all devices of a group; of veth pairs, both ends. That it is empty is an error (`ENODEV`).
#[must_use]
pub fn delete_group(group: u32) -> Request {
    let message = LinkMessageBuilder::<LinkUnspec>::new().link_group(group).build();
    let what = format!("deleting the devices of group {group}");
    Request { what, payload: RouteNetlinkMessage::DelLink(message), flags: 0 }
}

/// Keeps the kernel from giving the device of that name a link-local address when it gets a carrier. A request that
/// creates a device can't say so.
#[must_use]
pub fn no_own_ipv6_address(name: &str) -> Request {
    let mode = AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]);
    let message =
        LinkUnspec::new_with_name(name).append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![mode])).build();
    let what = format!("keeping IPv6 addresses from `{name}`");
    Request { what, payload: RouteNetlinkMessage::SetLink(message), flags: 0 }
}

impl Netlink {
    /// The device of that name, if there is one.
    ///
    /// # Errors
    /// When the kernel refuses to tell.
    pub async fn link(&self, name: &str) -> Result<Option<Link>, Error> {
        let message = LinkMessageBuilder::<LinkUnspec>::new().name(name).build();
        let what = format!("looking for `{name}`");
        match self.get(&what, RouteNetlinkMessage::GetLink(message), 0).await {
            Ok(found) => Ok(links(found.unwrap_or_default()).pop()),
            Err(error) if error.missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All devices.
    ///
    /// # Errors
    /// When the kernel refuses to tell, or never stops changing its mind.
    pub async fn links(&self) -> Result<Vec<Link>, Error> {
        Ok(links(self.dump("listing devices", RouteNetlinkMessage::GetLink(LinkMessage::default())).await?))
    }

    /// Removes the device of that name. Returns whether there was one.
    ///
    /// # Errors
    /// When it can't be removed.
    pub async fn remove_link(&self, name: &str) -> Result<bool, Error> {
        match self.execute([delete_link(name)]).await {
            Ok(()) => Ok(true),
            Err(error) if error.missing() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn links(messages: Vec<RouteNetlinkMessage>) -> Vec<Link> {
    let link = |message| match message {
        RouteNetlinkMessage::NewLink(link) => Some(Link::from(link)),
        _ => None,
    };
    messages.into_iter().filter_map(link).collect()
}
