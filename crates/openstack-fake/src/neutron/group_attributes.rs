//! Attributes of security groups and their rules.

use super::attribute::{Attribute, Kind, fixed, free, read_only, required};

pub(super) const GROUP: [Attribute; 3] =
    [free("stateful", Kind::Flag), read_only("shared"), read_only("security_group_rules")];

pub(super) const RULE: [Attribute; 11] = [
    required("security_group_id", Kind::Uuid),
    required("direction", Kind::OneOf(&["ingress", "egress"])),
    fixed("ethertype", Kind::OneOf(&["IPv4", "IPv6"])),
    fixed("protocol", Kind::Any),
    fixed("port_range_min", Kind::Any),
    fixed("port_range_max", Kind::Any),
    fixed("remote_ip_prefix", Kind::Any),
    fixed("remote_group_id", Kind::UuidOrNull),
    fixed("remote_address_group_id", Kind::UuidOrNull),
    read_only("normalized_cidr"),
    read_only("belongs_to_default_sg"),
];

/// Protocols that have a name.
pub(super) const PROTOCOLS: [&str; 26] = [
    "any",
    "ah",
    "dccp",
    "egp",
    "esp",
    "gre",
    "hopopt",
    "icmp",
    "igmp",
    "ip",
    "ipip",
    "ipv6-encap",
    "ipv6-frag",
    "ipv6-icmp",
    "icmpv6",
    "ipv6-nonxt",
    "ipv6-opts",
    "ipv6-route",
    "ospf",
    "pgm",
    "rsvp",
    "sctp",
    "tcp",
    "udp",
    "udplite",
    "vrrp",
];
