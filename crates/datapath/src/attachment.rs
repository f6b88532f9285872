//! What is to be attached, and what is found attached.

use ipnet::IpNet;
use kuryr_core::{names, net::MacAddress};
use std::{fmt, net::IpAddr, path::PathBuf};

/// The pod that an interface belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PodRef {
    /// The pod's namespace in Kubernetes.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// The pod's uid: a recreated pod of the same name has another one.
    pub uid: String,
}

impl fmt::Display for PodRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One route of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Route {
    /// Where the route leads to; `0.0.0.0/0` or `::/0` for a default route.
    pub destination: IpNet,
    /// The next hop. Where no address of the interface has it in its prefix, it is reached directly on the link.
    pub gateway: IpAddr,
}

/// One interface of a pod's sandbox, all that a driver needs to make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The pod that the interface is for.
    pub pod: PodRef,
    /// Id of the sandbox, CNI's `CNI_CONTAINERID`.
    pub container_id: String,
    /// The sandbox's network namespace, CNI's `CNI_NETNS`.
    pub netns: PathBuf,
    /// Name of the interface in the sandbox, CNI's `CNI_IFNAME`.
    pub ifname: String,
    /// Id of the Neutron port.
    pub port_id: String,
    /// The MAC address that Neutron expects.
    pub mac: MacAddress,
    /// The network's MTU, in bytes.
    pub mtu: u32,
    /// The interface's addresses with the prefix of their subnets.
    pub addresses: Vec<IpNet>,
    /// Routes beside those that follow from the addresses' prefixes.
    pub routes: Vec<Route>,
}

impl Attachment {
    /// Name of the host's end of an interface that is made for the sandbox. One that was held before has another.
    #[must_use]
    pub fn host_interface(&self) -> String {
        names::host_interface(&self.container_id, &self.ifname)
    }
}

/// What became of an interface that was plugged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugged {
    /// Name of the host's end.
    pub host_interface: String,
    /// Whether the port was held, and only had to be moved and configured.
    pub was_held: bool,
}

/// A port to hold: connected to the bridge before any pod has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HoldSpec {
    /// Id of the Neutron port.
    pub port_id: String,
    /// The MAC address that Neutron expects.
    pub mac: MacAddress,
    /// The network's MTU, in bytes.
    pub mtu: u32,
}

/// A port that the node holds, as it remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The port.
    pub spec: HoldSpec,
    /// Name of the host's end.
    pub host_interface: String,
    /// Whether the dataplane has the port's flows.
    pub ready: bool,
    /// What the switch says is wrong with the port, if anything.
    pub error: Option<String>,
}

/// An attachment as the node remembers it: read from the OVSDB, without the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// The pod that the interface was made for.
    pub pod: PodRef,
    /// Id of the sandbox.
    pub container_id: String,
    /// The sandbox's network namespace. It may be gone.
    pub netns: PathBuf,
    /// Name of the interface in the sandbox.
    pub ifname: String,
    /// Name of the host's end.
    pub host_interface: String,
    /// Id of the Neutron port.
    pub port_id: String,
    /// Whether the dataplane has the port's flows (OVN: `ovn-installed`).
    pub ready: bool,
    /// What the switch says is wrong with the port, if anything.
    pub error: Option<String>,
}

/// Something about an attachment that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What was compared, as `MTU of eth0`.
    pub what: String,
    /// What it should be.
    pub expected: String,
    /// What it is; `nothing` where it is missing.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, found {}", self.what, self.expected, self.found)
    }
}
