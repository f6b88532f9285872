//! Attributes of security groups and their rules.

use super::attribute::{Attribute, Kind, fixed, free, read_only, required};

pub(super) const GROUP: [Attribute; 3] =
    [free("stateful", Kind::Flag), read_only("shared"), read_only("security_group_rules")];

pub(super) const RULE: [Attribute; 11] = [
    required("security_group_id", Kind::Text(36)),
    required("direction", Kind::OneOf(&["ingress", "egress"])),
    fixed("ethertype", Kind::Any),
    fixed("protocol", Kind::Any),
    fixed("port_range_min", Kind::Any),
    fixed("port_range_max", Kind::Any),
    fixed("remote_ip_prefix", Kind::Any),
    fixed("remote_group_id", Kind::Any),
    fixed("remote_address_group_id", Kind::Any),
    read_only("normalized_cidr"),
    read_only("belongs_to_default_sg"),
];

/// Names of protocols with their numbers. The last name of a number is the one that stands for it.
pub(super) const PROTOCOLS: [(&str, Option<u8>); 26] = [
    ("any", None),
    ("ah", Some(51)),
    ("dccp", Some(33)),
    ("egp", Some(8)),
    ("esp", Some(50)),
    ("gre", Some(47)),
    ("hopopt", Some(0)),
    ("icmp", Some(1)),
    ("igmp", Some(2)),
    ("ip", Some(0)),
    ("ipip", Some(4)),
    ("ipv6-encap", Some(41)),
    ("ipv6-frag", Some(44)),
    ("icmpv6", Some(58)),
    ("ipv6-icmp", Some(58)),
    ("ipv6-nonxt", Some(59)),
    ("ipv6-opts", Some(60)),
    ("ipv6-route", Some(43)),
    ("ospf", Some(89)),
    ("pgm", Some(113)),
    ("rsvp", Some(46)),
    ("sctp", Some(132)),
    ("tcp", Some(6)),
    ("udp", Some(17)),
    ("udplite", Some(136)),
    ("vrrp", Some(112)),
];

/// Protocols with ports.
pub(super) const PORT_PROTOCOLS: [&str; 5] = ["dccp", "sctp", "tcp", "udp", "udplite"];
