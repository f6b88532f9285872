//! What a rule allows: how Neutron reads it, what it changes of it, and when two rules are the same to it.

use super::{
    Failure,
    attribute::plain,
    body::{Body, as_number},
    group_attributes::{PORT_PROTOCOLS, PROTOCOLS},
};
use crate::uuid::Uuid;
use ipnet::IpNet;
use std::net::IpAddr;

/// What a rule allows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct What {
    pub group: Uuid,
    pub ingress: bool,
    pub v4: bool,
    pub protocol: Option<String>,
    pub min: Option<i64>,
    pub max: Option<i64>,
    /// With the host bits that it was given with.
    pub prefix: Option<IpNet>,
    pub remote_group: Option<Uuid>,
    pub address_group: Option<Uuid>,
}

impl What {
    /// Everything of one family in one direction.
    pub fn new(group: Uuid, ingress: bool, v4: bool) -> Self {
        let (protocol, min, max, prefix) = (None, None, None, None);
        Self { group, ingress, v4, protocol, min, max, prefix, remote_group: None, address_group: None }
    }

    pub fn parse(body: Body<'_>) -> Result<Self, Failure> {
        let group = body.uuid("security_group_id").unwrap_or_else(Uuid::random);
        let v4 = ethertype(body)?;
        let mut what = Self {
            protocol: protocol(body)?,
            min: port(body, "port_range_min")?,
            max: port(body, "port_range_max")?,
            prefix: prefix(body)?,
            remote_group: body.uuid("remote_group_id"),
            address_group: body.uuid("remote_address_group_id"),
            ..Self::new(group, body.text("direction") == Some("ingress"), v4)
        };
        what.normalise();
        what.check_ports()?;
        what.check_families()?;
        let remotes = [what.prefix.is_some(), what.remote_group.is_some(), what.address_group.is_some()];
        if remotes.into_iter().filter(|given| *given).count() > 1 {
            let message = "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided.";
            return Err(Failure::new(400, "SecurityGroupMultipleRemoteEntites", message));
        }
        Ok(what)
    }

    /// Writes some values otherwise than they were given.
    fn normalise(&mut self) {
        if !self.v4 {
            match self.protocol.as_deref() {
                Some("icmp" | "icmpv6") => self.protocol = Some("ipv6-icmp".to_owned()),
                Some("1") => self.protocol = Some("58".to_owned()),
                _ => {}
            }
        }
        if (self.min, self.max) == (Some(1), Some(65535)) {
            (self.min, self.max) = (None, None);
        }
    }

    fn check_ports(&self) -> Result<(), Failure> {
        let (min, max) = (self.min, self.max);
        if (min, max) == (None, None) {
            return Ok(());
        }
        let invalid = |kind, message: &str| Err(Failure::new(400, kind, message));
        let Some(protocol) = &self.protocol else {
            let message = "Must also specify protocol if port range is given.";
            return invalid("SecurityGroupProtocolRequiredWithPorts", message);
        };
        let number = number_of(protocol);
        if PORT_PROTOCOLS.iter().any(|name| Some(number_of(name)) == Some(number)) {
            if min == Some(0) || max == Some(0) {
                return invalid("SecurityGroupInvalidPortValue", "Invalid value for port 0");
            }
            return match (min, max) {
                (Some(min), Some(max)) if min <= max => Ok(()),
                _ => {
                    let message = "For TCP/UDP protocols, port_range_min must be <= port_range_max";
                    invalid("SecurityGroupInvalidPortRange", message)
                }
            };
        }
        if number != number_of("icmp") && number != number_of("ipv6-icmp") {
            let known = PORT_PROTOCOLS.map(str::to_uppercase).join(", ");
            let number = number.unwrap_or_default();
            let message =
                format!("Ports cannot be specified for protocol {number}. Ports are only supported for {known}.");
            return invalid("SecurityGroupInvalidProtocolForPort", &message);
        }
        for (value, field, name) in [(min, "type", "port_range_min"), (max, "code", "port_range_max")] {
            if let Some(value) = value.filter(|value| !(0..=255).contains(value)) {
                let message = format!("Invalid value for ICMP {field} ({name}) {value}. It must be 0 to 255.");
                return invalid("SecurityGroupInvalidIcmpValue", &message);
            }
        }
        if let (None, Some(code)) = (min, max) {
            let message =
                format!("ICMP code (port-range-max) {code} is provided but ICMP type (port-range-min) is missing.");
            return invalid("SecurityGroupMissingIcmpType", &message);
        }
        Ok(())
    }

    fn check_families(&self) -> Result<(), Failure> {
        let family = if self.v4 { "IPv4" } else { "IPv6" };
        if let Some(prefix) = self.prefix.filter(|prefix| prefix.addr().is_ipv4() != self.v4) {
            let message = format!("Conflicting value ethertype {family} for CIDR {prefix}");
            return Err(Failure::new(400, "SecurityGroupRuleParameterConflict", message));
        }
        let Some(protocol) = self.protocol.as_deref().filter(|_| self.v4) else { return Ok(()) };
        if protocol.starts_with("ipv6-") || ["icmpv6", "41", "43", "44", "58", "59", "60"].contains(&protocol) {
            let message = format!("Invalid ethertype {family} for protocol {protocol}.");
            return Err(Failure::new(400, "SecurityGroupEthertypeConflictWithProtocol", message));
        }
        Ok(())
    }

    /// The one form of all rules that are the same to Neutron: numbers have names, and all addresses are no prefix. Host bits
    /// count.
    pub fn comparable(&self) -> Self {
        let name = |text: String| match text.parse() {
            Ok(number) => PROTOCOLS
                .iter()
                .rev()
                .find(|(_, known)| *known == Some(number))
                .map_or(text, |(name, _)| (*name).to_owned()),
            Err(_) => text,
        };
        let (protocol, prefix) = (self.protocol.clone().map(name), self.prefix);
        let everything = prefix.is_some_and(|prefix| prefix.prefix_len() == 0 && prefix.addr().is_unspecified());
        Self { protocol, prefix: prefix.filter(|_| !everything), ..self.clone() }
    }
}

impl What {
    /// What OVN compares: as Neutron, and without host bits.
    pub fn passing(&self) -> Self {
        let what = self.comparable();
        Self { prefix: what.prefix.map(|prefix| prefix.trunc()), ..what }
    }
}

/// The number of a protocol that is given by name or number.
fn number_of(protocol: &str) -> Option<u8> {
    let named = PROTOCOLS.iter().find(|(name, _)| *name == protocol).and_then(|(_, number)| *number);
    named.or_else(|| protocol.parse().ok())
}

/// Whether the family is IPv4, which it is unless something else is said. Capitals don't matter.
fn ethertype(body: Body<'_>) -> Result<bool, Failure> {
    let Some(value) = body.get("ethertype") else { return Ok(true) };
    let text = plain(value);
    if text.eq_ignore_ascii_case("IPv4") || text.eq_ignore_ascii_case("IPv6") {
        return Ok(text.ends_with('4'));
    }
    let message =
        format!("Security group rule for ethertype '{text}' not supported. Allowed values are ['IPv4', 'IPv6'].");
    Err(Failure::new(400, "SecurityGroupRuleInvalidEtherType", message))
}

fn protocol(body: Body<'_>) -> Result<Option<String>, Failure> {
    let Some(value) = body.get("protocol").filter(|value| !value.is_null()) else { return Ok(None) };
    let text = plain(value).to_lowercase();
    let number = text.parse::<i64>().is_ok_and(|number| (0..=255).contains(&number));
    if !number && !PROTOCOLS.iter().any(|(name, _)| *name == text) {
        let known = PROTOCOLS.map(|(name, _)| format!("'{name}'")).join(", ");
        let message = format!(
            "Security group rule protocol {text} not supported. Only protocol values (None, {known}) and integer representations [0 to 255] are supported."
        );
        return Err(Failure::new(400, "SecurityGroupRuleInvalidProtocol", message));
    }
    Ok((text != "any").then_some(text))
}

fn port(body: Body<'_>, name: &str) -> Result<Option<i64>, Failure> {
    let Some(value) = body.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
    let port = as_number(value).filter(|port| (0..=65535).contains(port));
    port.map(Some).ok_or_else(|| {
        Failure::new(400, "SecurityGroupInvalidPortValue", format!("Invalid value for port {}", plain(value)))
    })
}

/// A prefix, or an address as one of its whole length.
fn prefix(body: Body<'_>) -> Result<Option<IpNet>, Failure> {
    let Some(value) = body.get("remote_ip_prefix").filter(|value| !value.is_null()) else { return Ok(None) };
    let text = plain(value);
    if text.is_empty() {
        return Ok(None);
    }
    let prefix = text.parse().ok().or_else(|| text.parse().ok().map(|address: IpAddr| IpNet::from(address)));
    prefix.map(Some).ok_or_else(|| {
        let message = format!("Invalid CIDR {text} given as IP prefix.");
        Failure::new(400, "InvalidCIDR", message)
    })
}
