//! Namespaces, bridges and links.

use std::{fs, net::Ipv4Addr};

use anyhow::{Context, Result};

use crate::{
    engine::{CONTROL, Component, Lab, netns, node_name, node_netns, shell},
    node::on_node,
};

/// The control namespace's leg in the external network, which is the gateway of the router.
pub const EXTERNAL_GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 24, 4, 1);

/// Everything but the external network takes large frames, so that Geneve never has to fragment.
const LARGE_MTU: u32 = 9000;

/// The address of the control plane: Keystone, Neutron, Octavia, the API server.
pub fn control_address() -> Ipv4Addr {
    Ipv4Addr::new(10, 99, 0, 1)
}

/// The address of a node: what Kubernetes knows it by.
pub fn node_address(node: u32) -> Ipv4Addr {
    on_network(0, node)
}

/// The address of a node's tunnel end.
pub(super) fn tunnel_address(node: u32) -> Ipv4Addr {
    on_network(1, node)
}

fn on_network(network: u8, node: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 99, network, 10)) + node)
}

/// One of the links between a node and the control namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wire {
    /// The bridge in the control namespace.
    pub bridge: &'static str,
    /// The bridge's own MAC address. Left to itself it takes the lowest of its ports, so that it would change with
    /// them, and everybody's ARP entries would be wrong for a while.
    mac: &'static str,
    /// The last part of the name of the end in the control namespace.
    suffix: &'static str,
    /// The device in the node.
    pub device: &'static str,
    /// The largest frame.
    pub mtu: u32,
}

impl Wire {
    /// The end in the control namespace.
    pub fn control_end(&self, node: u32) -> String {
        format!("{}-{}", node_name(node), self.suffix)
    }
}

/// The links of a node.
pub(crate) const WIRES: [Wire; 3] = [
    Wire { bridge: "br-nodes", mac: "02:00:00:63:00:01", suffix: "nodes", device: "nodes0", mtu: LARGE_MTU },
    Wire { bridge: "br-tunnel", mac: "02:00:00:63:00:02", suffix: "tunnel", device: "tunnel0", mtu: LARGE_MTU },
    Wire { bridge: "br-ext", mac: "02:00:00:63:00:03", suffix: "ext", device: "ext0", mtu: 1500 },
];

/// Whether a network namespace forwards packets; each has its own.
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// The control namespace with its bridges and addresses.
pub(super) struct ControlNetwork;

impl Component for ControlNetwork {
    fn name(&self) -> String {
        "network".into()
    }

    fn prepare(&self, lab: &Lab) -> Result<()> {
        lab.add_netns(CONTROL)?;
        for wire in &WIRES {
            if !link_exists(lab, CONTROL, wire.bridge) {
                ip(lab, CONTROL, &format!("link add {} type bridge", wire.bridge))?;
            }
            ip(lab, CONTROL, &format!("link set {} address {} mtu {} up", wire.bridge, wire.mac, wire.mtu))?;
            complete_checksums(lab, CONTROL, wire.bridge)?;
        }
        ip(lab, CONTROL, &format!("address replace {}/24 dev br-nodes", control_address()))?;
        ip(lab, CONTROL, &format!("address replace {EXTERNAL_GATEWAY}/24 dev br-ext"))?;
        // Pods reach nodes at their own addresses, as a Service's endpoints on the hosts' network: by the external network's gateway.
        netns::enter(CONTROL, || fs::write(FORWARDING, "1"))?.with_context(|| format!("writing {FORWARDING}"))
    }
}

/// The namespace of a node and its links.
pub(super) struct NodeNetwork(pub u32);

impl Component for NodeNetwork {
    fn name(&self) -> String {
        on_node("network", self.0)
    }

    fn after(&self) -> Vec<String> {
        vec![ControlNetwork.name()]
    }

    fn prepare(&self, lab: &Lab) -> Result<()> {
        let netns = node_netns(self.0);
        lab.add_netns(&netns)?;
        for wire in &WIRES {
            let end = wire.control_end(self.0);
            if !link_exists(lab, CONTROL, &end) {
                ip(lab, CONTROL, &format!("link add {end} type veth peer name {} netns {netns}", wire.device))?;
            }
            // The bridge's MTU is at most its ports' smallest, so they come with their own from the start.
            ip(lab, CONTROL, &format!("link set {end} mtu {} master {} arp on up", wire.mtu, wire.bridge))?;
            ip(lab, &netns, &format!("link set {} mtu {} up", wire.device, wire.mtu))?;
            complete_checksums(lab, CONTROL, &end)?;
            complete_checksums(lab, &netns, wire.device)?;
            ip(lab, CONTROL, &format!("link set {} mtu {}", wire.bridge, wire.mtu))?;
        }
        ip(lab, &netns, &format!("address replace {}/24 dev nodes0", node_address(self.0)))?;
        // Programs such as the kubelet look for a default route to find out which address is theirs.
        ip(lab, &netns, &format!("route replace default via {}", control_address()))
    }
}

/// Turns transmit checksum offload off. The userspace datapath reads frames from AF_PACKET sockets, so whoever sends
/// has to complete the checksums; otherwise TCP through it carries nothing, though ping works.
pub(super) fn complete_checksums(lab: &Lab, netns: &str, device: &str) -> Result<()> {
    let mut command = lab.command(Some(netns), "ethtool");
    shell::run(command.args(["-K", device, "tx", "off"])).map(drop).context("turning checksum offload off")
}

/// Runs `ip` with words inside a namespace.
pub(crate) fn ip(lab: &Lab, netns: &str, words: &str) -> Result<()> {
    shell::run(lab.command(Some(netns), "ip").args(words.split(' '))).map(drop)
}

/// Whether a device is there.
pub(crate) fn link_exists(lab: &Lab, netns: &str, device: &str) -> bool {
    shell::run(lab.command(Some(netns), "ip").args(["link", "show", device])).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_count_from_eleven() {
        assert_eq!(node_address(1).to_string(), "10.99.0.11");
        assert_eq!(tunnel_address(2).to_string(), "10.99.1.12");
    }

    #[test]
    fn device_names_fit_the_kernel_limit_of_15_characters() {
        for wire in WIRES {
            assert!(wire.control_end(99).len() + ".r".len() <= 15, "{}", wire.control_end(99));
        }
    }
}
