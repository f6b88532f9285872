//! What the providers' drivers refuse, in their words.

use super::{
    Failure,
    object::{Json, Object},
};
use serde_json::Value;
use std::{fmt, net::IpAddr};

/// A provider of load balancers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provider {
    /// OVN does the work on every node: TCP, UDP and SCTP, source hashing.
    Ovn,
    /// Virtual machines with HAProxy do it.
    Amphora,
}

impl Provider {
    /// Its name in Octavia.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ovn => "ovn",
            Self::Amphora => "amphora",
        }
    }

    pub(super) const fn description(self) -> &'static str {
        match self {
            Self::Ovn => "Octavia OVN driver",
            Self::Amphora => "The Octavia Amphora driver.",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The addresses of a load balancer and the prefix of its first one: what members are compared with.
#[derive(Debug, Default)]
pub(super) struct Vips {
    pub addresses: Vec<IpAddr>,
    pub subnet: Option<ipnet::IpNet>,
}

impl Vips {
    fn has_both_families(&self) -> bool {
        self.addresses.iter().any(IpAddr::is_ipv4) && self.addresses.iter().any(IpAddr::is_ipv6)
    }
}

/// What is about to be done to members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Creation,
    Batch,
    Deletion,
}

impl Deed {
    /// Why a member needs a subnet.
    const fn needs_subnet(self) -> &'static str {
        match self {
            Self::Creation => {
                "Subnet is required, or Loadbalancer associated with Pool must have a subnet, for Member creation with \
                 OVN Provider Driver if it is not the same as LB VIP subnet"
            }
            Self::Batch => {
                "Subnet is required, or Loadbalancer associated with Pool must have a subnet, for Member batch update \
                 with OVN Provider Driver if it is not the same as LB VIP subnet"
            }
            Self::Deletion => {
                "Subnet is required, or Loadbalancer associated with Pool must have a subnet, for Member deletion if it \
                 is with OVN Provider Driver if it is not the same as LB VIP subnet"
            }
        }
    }
}

fn text<'a>(object: &'a Json, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str)
}

impl Provider {
    fn refuse(self, message: &str) -> Result<(), Failure> {
        Err(Failure::unsupported(self.name(), message))
    }

    fn check_protocol(self, object: &Json) -> Result<(), Failure> {
        match (self, text(object, "protocol")) {
            (Self::Ovn, Some(protocol)) if !matches!(protocol, "TCP" | "UDP" | "SCTP") => {
                self.refuse(&format!("OVN provider does not support {protocol} protocol"))
            }
            _ => Ok(()),
        }
    }

    /// A listener, or what is changed of one.
    pub(super) fn check_listener(self, listener: &Json) -> Result<(), Failure> {
        self.check_protocol(listener)?;
        let cidrs = listener.get("allowed_cidrs").and_then(Value::as_array);
        if self == Self::Ovn && cidrs.is_some_and(|cidrs| !cidrs.is_empty()) {
            return self.refuse("OVN provider does not support allowed_cidrs option");
        }
        Ok(())
    }

    /// A pool, or what is changed of one.
    pub(super) fn check_pool(self, pool: &Json) -> Result<(), Failure> {
        self.check_protocol(pool)?;
        let algorithm = text(pool, "lb_algorithm");
        match (self, algorithm) {
            (Self::Ovn, Some(algorithm)) if !matches!(algorithm, "SOURCE_IP_PORT" | "SOURCE_IP") => {
                return self.refuse(&format!("OVN provider does not support {algorithm} algorithm"));
            }
            (Self::Amphora, Some(algorithm @ "SOURCE_IP_PORT")) => {
                return self.refuse(&format!("Amphora provider does not support {algorithm} algorithm."));
            }
            _ => {}
        }
        let persistence = pool.get("session_persistence").and_then(Value::as_object);
        match persistence.map(|persistence| text(persistence, "type")) {
            // The driver stumbles over its own message.
            Some(kind) if self == Self::Ovn && kind != Some("SOURCE_IP") => {
                Err(Failure::provider(self.name(), "'dict' object has no attribute 'type'"))
            }
            _ => Ok(()),
        }
    }

    /// A health monitor that is to be created.
    pub(super) fn check_monitor(self, monitor: &Json) -> Result<(), Failure> {
        let kind = text(monitor, "type").unwrap_or_default();
        if self == Self::Ovn && !matches!(kind, "UDP-CONNECT" | "TCP") {
            return self.refuse(&format!(
                "OVN provider does not support {kind} health monitor type. Supported types: UDP-CONNECT, TCP"
            ));
        }
        Ok(())
    }

    /// Members that are to be created or changed by a batch. `pool` is theirs.
    pub(super) fn check_member(self, pool: &Object, vips: &Vips, member: &Json, deed: Deed) -> Result<(), Failure> {
        match self {
            Self::Ovn => self.check_monitoring(member, deed).and_then(|()| {
                check_family(member, vips)?;
                self.check_subnet(member, vips, deed)
            }),
            Self::Amphora if matches!(pool.text("protocol"), "UDP" | "SCTP") => {
                let Some(address) = address(member) else { return Ok(()) };
                if vips.addresses.iter().any(|vip| vip.is_ipv4() == address.is_ipv4()) {
                    return Ok(());
                }
                let protocol = pool.text("protocol");
                self.refuse(&format!(
                    "This provider doesn't support mixing IPv4 and IPv6 addresses for its VIP and members in {protocol} \
                     load balancers."
                ))
            }
            Self::Amphora => Ok(()),
        }
    }

    /// What is changed of a member.
    pub(super) fn check_monitoring(self, member: &Json, deed: Deed) -> Result<(), Failure> {
        let given = |name: &str| member.get(name).is_some_and(|value| !value.is_null());
        if self == Self::Ovn && (given("monitor_address") || given("monitor_port")) {
            return self.refuse(match deed {
                Deed::Batch => "OVN provider does not support monitor options",
                _ => "OVN Load Balancer does not support different member monitor address or port.",
            });
        }
        Ok(())
    }

    /// A member without a subnet must have an address of the load balancer's.
    pub(super) fn check_subnet(self, member: &Json, vips: &Vips, deed: Deed) -> Result<(), Failure> {
        let inside = || vips.subnet.zip(address(member)).is_some_and(|(subnet, address)| subnet.contains(&address));
        if self == Self::Ovn && text(member, "subnet_id").is_none() && !inside() {
            return self.refuse(deed.needs_subnet());
        }
        Ok(())
    }
}

pub(super) fn address(member: &Json) -> Option<IpAddr> {
    text(member, "address").and_then(|text| text.parse().ok())
}

/// OVN load balancers of one family have members of that family.
fn check_family(member: &Json, vips: &Vips) -> Result<(), Failure> {
    let first = vips.addresses.first();
    let differs = address(member).zip(first).is_some_and(|(address, vip)| address.is_ipv4() != vip.is_ipv4());
    if differs && !vips.has_both_families() {
        let message = "OVN provider does not support mixing IPv4/IPv6 configuration within the same Load Balancer.";
        return Err(Failure::unsupported(Provider::Ovn.name(), message));
    }
    Ok(())
}
