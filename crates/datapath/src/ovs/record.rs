//! What stands in an Interface row's `external_ids`: OVN's keys, and our own record of the attachment.

use crate::{
    Attached, Attachment, Held, HoldSpec, PodRef,
    ovsdb::{Interface, View},
};
use kuryr_core::net::MacAddress;
use std::collections::BTreeMap;

/// The Neutron port that OVN binds the interface to.
pub(super) const IFACE_ID: &str = "iface-id";
const ATTACHED_MAC: &str = "attached-mac";
const IFACE_STATUS: &str = "iface-status";
/// OVN's sign that the port's flows are installed.
const OVN_INSTALLED: &str = "ovn-installed";

const POD_NAMESPACE: &str = "kuryr-pod-namespace";
const POD_NAME: &str = "kuryr-pod-name";
const POD_UID: &str = "kuryr-pod-uid";
pub(super) const CONTAINER_ID: &str = "kuryr-container-id";
const NETNS: &str = "kuryr-netns";
const IFNAME: &str = "kuryr-ifname";

/// What a pod's port has beside its binding.
pub(super) const POD_KEYS: [&str; 6] = [POD_NAMESPACE, POD_NAME, POD_UID, CONTAINER_ID, NETNS, IFNAME];

/// Marks a port that waits for a pod. Its value is the MTU of both ends, in bytes.
pub(super) const HELD: &str = "kuryr-held";

/// Marks the node's own port.
pub(super) const NODE_PORT: &str = "kuryr-node-port";

/// What OVN, and those who look at a node's ports, expect on every port.
pub(super) fn binding(port_id: &str, mac: MacAddress) -> Vec<(&'static str, String)> {
    vec![(IFACE_ID, port_id.to_owned()), (ATTACHED_MAC, mac.to_string()), (IFACE_STATUS, "active".to_owned())]
}

/// Everything that stands beside a pod's port.
pub(super) fn of(attachment: &Attachment) -> Vec<(&'static str, String)> {
    let mut ids = binding(&attachment.port_id, attachment.mac);
    ids.extend(of_pod(attachment));
    ids
}

/// The values of [`POD_KEYS`].
pub(super) fn of_pod(attachment: &Attachment) -> [(&'static str, String); 6] {
    [
        (POD_NAMESPACE, attachment.pod.namespace.clone()),
        (POD_NAME, attachment.pod.name.clone()),
        (POD_UID, attachment.pod.uid.clone()),
        (CONTAINER_ID, attachment.container_id.clone()),
        (NETNS, attachment.netns.display().to_string()),
        (IFNAME, attachment.ifname.clone()),
    ]
}

/// Everything that stands beside a held port.
pub(super) fn of_held(port: &HoldSpec) -> Vec<(&'static str, String)> {
    let mut ids = binding(&port.port_id, port.mac);
    ids.push((HELD, port.mtu.to_string()));
    ids
}

/// Reads a held port back. `None`: the interface isn't one.
pub(super) fn read_held(interface: &Interface) -> Option<Held> {
    let get = |key| interface.external_ids.get(key);
    let mtu = get(HELD)?.parse().ok()?;
    let spec = HoldSpec { port_id: get(IFACE_ID)?.clone(), mac: get(ATTACHED_MAC)?.parse().ok()?, mtu };
    Some(Held {
        spec,
        host_interface: interface.name.clone(),
        ready: installed(interface),
        error: interface.error.clone(),
    })
}

/// The held port of that Neutron port.
pub(super) fn held_port(view: &View, port_id: &str) -> Option<Held> {
    let of_port = |interface: &&Interface| interface.external_ids.get(IFACE_ID).is_some_and(|id| id == port_id);
    view.interfaces.values().filter(of_port).find_map(read_held)
}

/// The interface by which somebody, a pod or the node itself, has that Neutron port.
pub(super) fn user<'a>(view: &'a View, port_id: &str) -> Option<&'a Interface> {
    let has = |i: &&Interface| i.external_ids.get(IFACE_ID).is_some_and(|id| id == port_id);
    view.interfaces.values().filter(has).find(|i| !i.external_ids.contains_key(HELD))
}

/// The Neutron port and the MAC address of an interface.
pub(super) fn bound(interface: &Interface) -> Option<(String, MacAddress)> {
    let get = |key| interface.external_ids.get(key);
    Some((get(IFACE_ID)?.clone(), get(ATTACHED_MAC)?.parse().ok()?))
}

/// The host's end of a sandbox's interface that is on record.
pub(super) fn find<'a>(view: &'a View, container_id: &str, ifname: &str) -> Option<&'a Interface> {
    let is = |interface: &Interface, key, value: &str| interface.external_ids.get(key).is_some_and(|v| v == value);
    view.interfaces.values().find(|i| is(i, CONTAINER_ID, container_id) && is(i, IFNAME, ifname))
}

/// Reads the record back. `None`: the interface is not a pod's, or not ours.
pub(super) fn read(interface: &Interface) -> Option<Attached> {
    let get = |key| text(&interface.external_ids, key);
    Some(Attached {
        container_id: get(CONTAINER_ID)?,
        ifname: get(IFNAME)?,
        pod: PodRef { namespace: get(POD_NAMESPACE)?, name: get(POD_NAME)?, uid: get(POD_UID)? },
        netns: get(NETNS)?.into(),
        host_interface: interface.name.clone(),
        port_id: get(IFACE_ID)?,
        ready: installed(interface),
        error: interface.error.clone(),
    })
}

/// Whether OVN has installed the flows of the interface.
pub(super) fn installed(interface: &Interface) -> bool {
    interface.external_ids.get(OVN_INSTALLED).is_some_and(|value| value == "true")
}

fn text(ids: &BTreeMap<String, String>, key: &str) -> Option<String> {
    ids.get(key).cloned()
}
