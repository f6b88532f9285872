//! What somebody changed of a Neutron port behind Kuryr's back, or what Neutron couldn't do.

use std::{collections::BTreeSet, fmt, net::IpAddr};

/// What a port is to be in Neutron.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Its `description`, the owner mark.
    pub description: String,
    /// Its `device_owner`.
    pub device_owner: String,
    /// Its `binding:host_id`.
    pub host: String,
    /// Its addresses.
    pub addresses: BTreeSet<IpAddr>,
}

/// What a port is in Neutron.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actual {
    /// Its `description`.
    pub description: String,
    /// Its `device_owner`.
    pub device_owner: String,
    /// Its `binding:host_id`, where we may see it.
    pub host: Option<String>,
    /// Whether its binding to the host has failed (`binding:vif_type`).
    pub binding_failed: bool,
    /// Its `admin_state_up`.
    pub up: bool,
    /// Its addresses.
    pub addresses: BTreeSet<IpAddr>,
}

/// A difference between what a port is to be and what it is, which somebody made or has to repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drift {
    /// No mechanism driver could bind the port to its host.
    BindingFailed(String),
    /// It is bound to another host, or to none.
    Host(String, String),
    /// It is switched off.
    Down,
    /// Its addresses were changed.
    Addresses(BTreeSet<IpAddr>, BTreeSet<IpAddr>),
    /// Its `device_owner` was changed.
    DeviceOwner(String, String),
    /// Its `description` was changed: it is no longer known to be ours.
    Mark(String),
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BindingFailed(host) => write!(
                f,
                "no Neutron driver could bind it to the host {host}: is ovn-controller (or the node's Neutron agent) running \
                 there, under that name? Then delete the pod to get another port"
            ),
            Self::Host(expected, actual) if actual.is_empty() => {
                write!(f, "it is bound to no host: set binding:host_id back to {expected}, or delete the pod")
            }
            Self::Host(expected, actual) => {
                write!(f, "it is bound to the host {actual}: set binding:host_id back to {expected}, or delete the pod")
            }
            Self::Down => f.write_str("it is switched off: set admin_state_up back to true"),
            Self::Addresses(expected, actual) => {
                write!(
                    f,
                    "its addresses are {}: set fixed_ips back to {}, or delete the pod",
                    list(actual),
                    list(expected)
                )
            }
            Self::DeviceOwner(expected, actual) => {
                write!(f, "its device_owner is `{actual}`: set it back to {expected}")
            }
            Self::Mark(expected) => {
                write!(
                    f,
                    "its description isn't Kuryr's mark, so it won't be deleted with its pod: set it back to {expected}"
                )
            }
        }
    }
}

fn list(addresses: &BTreeSet<IpAddr>) -> String {
    if addresses.is_empty() {
        return "none".to_owned();
    }
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Expected {
    /// All differences, the gravest first. None: the port is as it should be.
    #[must_use]
    pub fn drift(&self, actual: &Actual) -> Vec<Drift> {
        let mut all = Vec::new();
        match &actual.host {
            Some(host) if *host != self.host => all.push(Drift::Host(self.host.clone(), host.clone())),
            _ if actual.binding_failed => all.push(Drift::BindingFailed(self.host.clone())),
            _ => {}
        }
        if !actual.up {
            all.push(Drift::Down);
        }
        if actual.addresses != self.addresses {
            all.push(Drift::Addresses(self.addresses.clone(), actual.addresses.clone()));
        }
        if actual.device_owner != self.device_owner {
            all.push(Drift::DeviceOwner(self.device_owner.clone(), actual.device_owner.clone()));
        }
        if actual.description != self.description {
            all.push(Drift::Mark(self.description.clone()));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected() -> Expected {
        Expected {
            description: "kuryr:lab:u".into(),
            device_owner: "compute:kuryr".into(),
            host: "node1".into(),
            addresses: ["10.0.0.5".parse().unwrap(), "fd00::5".parse().unwrap()].into(),
        }
    }

    fn as_it_should_be() -> Actual {
        let Expected { description, device_owner, host, addresses } = expected();
        Actual { description, device_owner, host: Some(host), binding_failed: false, up: true, addresses }
    }

    #[test]
    fn a_port_as_it_should_be_has_no_drift() {
        assert_eq!(expected().drift(&as_it_should_be()), []);
        assert_eq!(
            expected().drift(&Actual { host: None, ..as_it_should_be() }),
            [],
            "we may not see where it is bound"
        );
    }

    #[test]
    fn each_change_is_told_with_what_to_do() {
        for (actual, says) in [
            (Actual { binding_failed: true, ..as_it_should_be() }, "ovn-controller"),
            (Actual { host: Some("node2".into()), ..as_it_should_be() }, "bound to the host node2"),
            (Actual { host: Some(String::new()), ..as_it_should_be() }, "bound to no host"),
            (Actual { up: false, ..as_it_should_be() }, "admin_state_up"),
            (
                Actual { addresses: BTreeSet::new(), ..as_it_should_be() },
                "none: set fixed_ips back to 10.0.0.5, fd00::5",
            ),
            (Actual { device_owner: "compute:nova".into(), ..as_it_should_be() }, "`compute:nova`"),
            (Actual { description: "mine".into(), ..as_it_should_be() }, "kuryr:lab:u"),
        ] {
            let drift = expected().drift(&actual);
            assert_eq!(drift.len(), 1, "{drift:?}");
            assert!(drift[0].to_string().contains(says), "{}", drift[0]);
        }
    }
}
