//! What stands in an Interface row's `external_ids`: OVN's keys, and our own record of the attachment.

use crate::{Attached, Attachment, PodRef, ovsdb::Interface};
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
const CONTAINER_ID: &str = "kuryr-container-id";
const NETNS: &str = "kuryr-netns";
const IFNAME: &str = "kuryr-ifname";

/// Marks the node's own port.
pub(super) const NODE_PORT: &str = "kuryr-node-port";

/// What OVN, and those who look at a node's ports, expect on every port.
pub(super) fn binding(port_id: &str, mac: MacAddress) -> Vec<(&'static str, String)> {
    vec![(IFACE_ID, port_id.to_owned()), (ATTACHED_MAC, mac.to_string()), (IFACE_STATUS, "active".to_owned())]
}

/// Everything that stands beside a pod's port.
pub(super) fn of(attachment: &Attachment) -> Vec<(&'static str, String)> {
    let mut ids = binding(&attachment.port_id, attachment.mac);
    ids.extend([
        (POD_NAMESPACE, attachment.pod.namespace.clone()),
        (POD_NAME, attachment.pod.name.clone()),
        (POD_UID, attachment.pod.uid.clone()),
        (CONTAINER_ID, attachment.container_id.clone()),
        (NETNS, attachment.netns.display().to_string()),
        (IFNAME, attachment.ifname.clone()),
    ]);
    ids
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
