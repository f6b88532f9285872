//! When two rules are the same: what a planner compares wanted and existing rules by.
//!
//! Neutron keeps some values as they were given and changes others (docs/neutron-groups.md), and refuses a rule that it takes for one
//! that the group has. A [`RuleKey`] has one form for all that allows the same.

use super::{
    AddressGroupId, Direction, EtherType, NewSecurityGroupRule, SecurityGroupId, SecurityGroupRule, SecurityGroupRuleId,
};
use crate::Error;
use ipnet::IpNet;

/// Neutron's names of protocols (`IP_PROTOCOL_MAP` of neutron-lib), by number. The last one of a number is the one that Neutron's comparison
/// takes for the number.
const PROTOCOLS: [(&str, u8); 25] = [
    ("ah", 51),
    ("dccp", 33),
    ("egp", 8),
    ("esp", 50),
    ("gre", 47),
    ("hopopt", 0),
    ("icmp", 1),
    ("icmpv6", 58),
    ("igmp", 2),
    ("ip", 0),
    ("ipip", 4),
    ("ipv6-encap", 41),
    ("ipv6-frag", 44),
    ("ipv6-icmp", 58),
    ("ipv6-nonxt", 59),
    ("ipv6-opts", 60),
    ("ipv6-route", 43),
    ("ospf", 89),
    ("pgm", 113),
    ("rsvp", 46),
    ("sctp", 132),
    ("tcp", 6),
    ("udp", 17),
    ("udplite", 136),
    ("vrrp", 112),
];

/// The number of ICMP.
const ICMP: u8 = 1;
/// The number of ICMP for IPv6.
const ICMP_V6: u8 = 58;

/// Who a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RulePeers {
    /// Everybody of the address family.
    All,
    /// A prefix without host bits.
    Prefix(IpNet),
    /// Ports with this security group.
    SecurityGroup(SecurityGroupId),
    /// The addresses of this address group.
    AddressGroup(AddressGroupId),
}

/// What a rule allows. Two rules of one group with the same key allow the same; Neutron refuses the second one
/// (`SecurityGroupRuleExists`) unless they only differ in a prefix's host bits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleKey {
    /// Direction.
    pub direction: Direction,
    /// Address family.
    pub ethertype: EtherType,
    /// IP protocol: Neutron's name, or the number of one that has none; `None`: any.
    pub protocol: Option<String>,
    /// First port, or ICMP type; `None`: any.
    pub first: Option<u16>,
    /// Last port, or ICMP code; `None`: any.
    pub last: Option<u16>,
    /// Peers.
    pub peers: RulePeers,
}

impl SecurityGroupRule {
    /// What the rule allows, in the one form of all that allows the same.
    #[must_use]
    pub fn key(&self) -> RuleKey {
        RuleKey {
            peers: peers(self.remote_ip_prefix, self.remote_group_id.as_ref(), self.remote_address_group_id.as_ref()),
            ..key(&self.direction, &self.ethertype, self.protocol.as_deref(), self.port_range_min, self.port_range_max)
        }
    }
}

impl NewSecurityGroupRule {
    /// What the rule will allow, in the one form of all that allows the same.
    #[must_use]
    pub fn key(&self) -> RuleKey {
        RuleKey {
            peers: peers(self.remote_ip_prefix, self.remote_group_id.as_ref(), self.remote_address_group_id.as_ref()),
            ..key(&self.direction, &self.ethertype, self.protocol.as_deref(), self.port_range_min, self.port_range_max)
        }
    }
}

impl Error {
    /// The rule that exists already, where that is what Neutron says (`SecurityGroupRuleExists`). Only its words name it, so it may
    /// be `None` for other Neutrons.
    #[must_use]
    pub fn existing_rule(&self) -> Option<SecurityGroupRuleId> {
        self.neutron_type().filter(|kind| *kind == "SecurityGroupRuleExists")?;
        let (_, id) = self.message().rsplit_once("Rule id is ")?;
        Some(id.trim_end_matches('.').into()).filter(|id: &SecurityGroupRuleId| !id.as_str().is_empty())
    }
}

/// A key for everybody.
fn key(
    direction: &Direction,
    ethertype: &EtherType,
    protocol: Option<&str>,
    first: Option<u16>,
    last: Option<u16>,
) -> RuleKey {
    let (first, last) = if (first, last) == (Some(1), Some(u16::MAX)) { (None, None) } else { (first, last) };
    RuleKey {
        direction: direction.clone(),
        ethertype: ethertype.clone(),
        protocol: protocol.and_then(|text| protocol_name(text, *ethertype == EtherType::Ipv6)),
        first,
        last,
        peers: RulePeers::All,
    }
}

fn protocol_name(text: &str, v6: bool) -> Option<String> {
    let text = text.to_ascii_lowercase();
    if text == "any" {
        return None;
    }
    let number = PROTOCOLS.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    // `ip` and `hopopt` are both 0, but not the same to Neutron; any other two names of one number are.
    let Some(number) = number.or_else(|| text.parse().ok()).filter(|_| text != "hopopt") else { return Some(text) };
    let number = if v6 && number == ICMP { ICMP_V6 } else { number };
    let name = PROTOCOLS.iter().rev().find(|(_, known)| *known == number).map(|(name, _)| (*name).to_owned());
    name.or_else(|| Some(number.to_string()))
}

fn peers(prefix: Option<IpNet>, group: Option<&SecurityGroupId>, addresses: Option<&AddressGroupId>) -> RulePeers {
    match (prefix, group, addresses) {
        (_, Some(group), _) => RulePeers::SecurityGroup(group.clone()),
        (_, _, Some(addresses)) => RulePeers::AddressGroup(addresses.clone()),
        (Some(prefix), ..) if prefix.prefix_len() > 0 => RulePeers::Prefix(prefix.trunc()),
        _ => RulePeers::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use reqwest::Method;

    fn rule(ethertype: EtherType) -> NewSecurityGroupRule {
        NewSecurityGroupRule::allow_all("g".into(), Direction::Ingress, ethertype)
    }

    #[test]
    fn a_protocol_has_one_name() {
        for (text, v4, v6) in [
            ("tcp", Some("tcp"), Some("tcp")),
            ("TCP", Some("tcp"), Some("tcp")),
            ("6", Some("tcp"), Some("tcp")),
            ("icmp", Some("icmp"), Some("ipv6-icmp")),
            ("1", Some("icmp"), Some("ipv6-icmp")),
            ("icmpv6", Some("ipv6-icmp"), Some("ipv6-icmp")),
            ("58", Some("ipv6-icmp"), Some("ipv6-icmp")),
            ("132", Some("sctp"), Some("sctp")),
            ("0", Some("ip"), Some("ip")),
            ("hopopt", Some("hopopt"), Some("hopopt")),
            ("200", Some("200"), Some("200")),
            ("any", None, None),
            ("of-the-future", Some("of-the-future"), Some("of-the-future")),
        ] {
            let of =
                |ethertype| NewSecurityGroupRule { protocol: Some(text.to_owned()), ..rule(ethertype) }.key().protocol;
            assert_eq!((of(EtherType::Ipv4).as_deref(), of(EtherType::Ipv6).as_deref()), (v4, v6), "{text}");
        }
    }

    #[test]
    fn what_excludes_nobody_is_left_out() {
        let all = NewSecurityGroupRule { protocol: Some("udp".to_owned()), ..rule(EtherType::Ipv4) };
        let same = NewSecurityGroupRule {
            port_range_min: Some(1),
            port_range_max: Some(65535),
            remote_ip_prefix: Some("0.0.0.0/0".parse().unwrap()),
            ..all.clone()
        };
        assert_eq!(all.key(), same.key());
        let narrower = NewSecurityGroupRule { port_range_max: Some(65534), ..same };
        assert_ne!(all.key(), narrower.key());
        let with =
            |prefix: &str| NewSecurityGroupRule { remote_ip_prefix: Some(prefix.parse().unwrap()), ..all.clone() };
        assert_eq!(with("10.1.2.3/8").key(), with("10.0.0.0/8").key());
    }

    #[test]
    fn the_rule_that_exists_is_read_off_the_refusal() {
        let refusal = |neutron_type: &str, message: &str| {
            let mut details = crate::error::Details::new(Kind::Conflict, Method::POST, "/", message);
            details.neutron_type = Some(neutron_type.to_owned());
            Error::from(details).existing_rule()
        };
        let message = "Security group rule already exists. Rule id is 1a-2b.";
        assert_eq!(refusal("SecurityGroupRuleExists", message), Some("1a-2b".into()));
        assert_eq!(refusal("SecurityGroupInUse", message), None);
        assert_eq!(refusal("SecurityGroupRuleExists", "It exists."), None);
    }
}
