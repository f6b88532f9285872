//! Tells the network which MAC address has an IP address now.
//!
//! Neutron gives the address of a deleted port to a new one with another MAC address. Hosts and pods that talked to the old
//! port still have its MAC address among their neighbours, and send there until they have doubted it for some 8 s. They
//! would learn better from the new port's own ARP and neighbour discovery, but OVN answers those in the network's place.

use crate::{Result, netlink, netns::Namespace};
use etherparse::{
    ArpHardwareId, ArpOperation, ArpPacket, EtherType, Icmpv6Type, PacketBuilder, icmpv6::NeighborAdvertisementHeader,
};
use kuryr_core::net::MacAddress;
use nix::{
    libc,
    net::if_::if_nametoindex,
    sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike, sendto, socket},
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsRawFd,
    thread,
};

/// All nodes on the link (RFC 4291, 2.7.1).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// That multicast address on Ethernet (RFC 2464, 7).
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];

/// Neighbour discovery believes only what no router has passed on (RFC 4861, 7.1.2).
const HOP_LIMIT: u8 = 255;

/// The option "target link-layer address", of one unit of 8 bytes (RFC 4861, 4.6.1).
const TARGET_LINK_LAYER_ADDRESS: [u8; 2] = [2, 1];

/// Sends, on the device `ifname` of `namespace`, one announcement for each of `addresses`.
///
/// # Errors
/// When there is no such device, or it isn't up.
pub(crate) async fn announce(
    namespace: &Namespace,
    ifname: &str,
    mac: MacAddress,
    addresses: impl Iterator<Item = IpAddr>,
) -> Result<()> {
    let what = format!("announcing the addresses of `{ifname}`");
    let frames: Result<Vec<_>, _> = addresses.map(|address| frame(mac, address)).collect();
    let device = ifname.to_owned();
    let sent = namespace.run(move || send(&device, &frames?)).await?;
    sent.map_err(|source| netlink::Error { what, namespace: namespace.to_string(), source }.into())
}

/// The announcement of one address.
fn frame(mac: MacAddress, address: IpAddr) -> io::Result<Vec<u8>> {
    match address {
        IpAddr::V4(address) => arp_announcement(mac, address),
        IpAddr::V6(address) => unsolicited_advertisement(mac, address),
    }
}

/// An ARP announcement: a request for the own address (RFC 5227, 2.3 and 3).
fn arp_announcement(MacAddress(mac): MacAddress, address: Ipv4Addr) -> io::Result<Vec<u8>> {
    let (ethernet, ip, request) = (ArpHardwareId::ETHERNET, EtherType::IPV4, ArpOperation::REQUEST);
    let address = address.octets();
    let arp = ArpPacket::new(ethernet, ip, request, &mac, &address, &[0; 6], &address).map_err(io::Error::other)?;
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(mac, [0xff; 6]).arp(arp).write(&mut frame).map_err(io::Error::other)?;
    Ok(frame)
}

/// An unsolicited neighbour advertisement that overrides what is known (RFC 4861, 4.4 and 7.2.6).
fn unsolicited_advertisement(MacAddress(mac): MacAddress, address: Ipv6Addr) -> io::Result<Vec<u8>> {
    let flags = NeighborAdvertisementHeader { router: false, solicited: false, r#override: true };
    let body = [&address.octets()[..], &TARGET_LINK_LAYER_ADDRESS, &mac].concat();
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(mac, ALL_NODES_MAC)
        .ipv6(address.octets(), ALL_NODES.octets(), HOP_LIMIT)
        .icmpv6(Icmpv6Type::NeighborAdvertisement(flags))
        .write(&mut frame, &body)
        .map_err(io::Error::other)?;
    Ok(frame)
}

/// Sends frames on a device of the calling thread's namespace.
fn send(device: &str, frames: &[Vec<u8>]) -> io::Result<()> {
    let index = if_nametoindex(device)?;
    // Protocol 0: nothing is received by it (packet(7)).
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
    let to = link_address(index)?;
    let sent = frames.iter().try_for_each(|frame| {
        sendto(socket.as_raw_fd(), frame, &to, MsgFlags::empty())?;
        Ok(())
    });
    // Closing a packet socket takes some 10 ms, until no processor can be using it any more (packet_release of the kernel's
    // net/packet/af_packet.c). The pod doesn't wait for that. Where no thread can be started, it is closed here.
    drop(thread::Builder::new().name("close".to_owned()).spawn(move || drop(socket)));
    sent
}

/// The address of a device for frames that bring their own Ethernet header.
fn link_address(index: u32) -> io::Result<LinkAddr> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as libc::sa_family_t,
        sll_protocol: 0,
        sll_ifindex: i32::try_from(index).map_err(|_| invalid())?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    #[allow(unsafe_code, reason = "nix has no safe constructor")]
    // SAFETY: the pointer is to a whole `sockaddr_ll`, whose family says so; it is copied before the call returns.
    unsafe { LinkAddr::from_raw((&raw const address).cast(), Some(size_of_val(&address) as libc::socklen_t)) }
        .ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};

    const MAC: MacAddress = MacAddress([0xfa, 0x16, 0x3e, 1, 2, 3]);

    #[test]
    fn ipv4_is_announced_by_a_request_for_the_own_address() {
        let frame = frame(MAC, "10.244.0.9".parse().unwrap()).unwrap();
        assert_eq!((&frame[..6], &frame[6..12], frame.len()), (&[0xff; 6][..], &MAC.0[..], 42));
        let Some(NetSlice::Arp(arp)) = SlicedPacket::from_ethernet(&frame).unwrap().net else { panic!("{frame:?}") };
        assert_eq!(arp.operation(), ArpOperation::REQUEST);
        assert_eq!((arp.sender_hw_addr(), arp.sender_protocol_addr()), (&MAC.0[..], &[10, 244, 0, 9][..]));
        assert_eq!((arp.target_hw_addr(), arp.target_protocol_addr()), (&[0; 6][..], &[10, 244, 0, 9][..]));
    }

    #[test]
    fn ipv6_is_announced_by_an_advertisement_that_overrides() {
        let own: Ipv6Addr = "fd00:244::9".parse().unwrap();
        let frame = frame(MAC, own.into()).unwrap();
        assert_eq!((&frame[..6], &frame[6..12]), (&ALL_NODES_MAC[..], &MAC.0[..]));
        let packet = SlicedPacket::from_ethernet(&frame).unwrap();
        let Some(NetSlice::Ipv6(ip)) = &packet.net else { panic!("{frame:?}") };
        let header = ip.header();
        assert_eq!((header.source_addr(), header.destination_addr(), header.hop_limit()), (own, ALL_NODES, 255));
        let Some(TransportSlice::Icmpv6(icmp)) = &packet.transport else { panic!("{frame:?}") };
        assert!(icmp.is_checksum_valid(header.source(), header.destination()));
        let flags = NeighborAdvertisementHeader { router: false, solicited: false, r#override: true };
        assert_eq!(icmp.icmp_type(), Icmpv6Type::NeighborAdvertisement(flags));
        assert_eq!(icmp.payload(), [&own.octets()[..], &[2, 1], &MAC.0].concat());
    }

    #[test]
    fn a_device_that_is_missing_is_said() {
        let error = send("kuryrnone", &[]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }
}
