//! STATUS: whether ADD can be served. The runtime reports the node as not ready while it can't.

use crate::node::Node;
use kuryr_cni::{CniError, Code};

pub(super) fn status(node: &Node) -> Result<(), CniError> {
    if !*node.switch.live.borrow() {
        return Err(CniError::new(Code::LimitedConnectivity, "Kuryr has no connection to Open vSwitch on this node")
            .details(format!("{} doesn't answer: is ovsdb-server running?", node.settings.ovsdb)));
    }
    let unsynced = node.caches.unsynced();
    if unsynced.is_empty() {
        return Ok(());
    }
    Err(CniError::new(Code::NotAvailable, "the Kuryr daemon has not read the API yet")
        .details(format!("no list of {} so far: is the API server reachable?", unsynced.join(", "))))
}
