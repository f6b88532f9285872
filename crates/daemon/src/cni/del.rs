//! DEL: takes a sandbox's interfaces away, from the node's own records.

use super::datapath_error;
use crate::node::Node;
use kuryr_cni::{Call, CniError};
use std::sync::Arc;

/// Works with the API server and the controller down, and when there is nothing (left) to remove.
pub(super) async fn del(node: Arc<Node>, call: Call) -> Result<(), CniError> {
    node.in_flight.cancel_sandbox(&call.container_id);
    let _lock = node.in_flight.lock(&call.container_id).await;
    let driver = &node.switch.driver;
    let failed =
        |error| datapath_error(format!("can't remove the interfaces of sandbox {}", call.container_id), &error);
    // A pod's further interfaces were made by the same ADD and aren't named in the call.
    let others = driver.attachments().await.map_err(failed)?;
    let others = others.iter().filter(|a| a.container_id == call.container_id && a.ifname != call.ifname);
    let mut outcome = driver.unplug(&call.container_id, &call.ifname).await;
    for other in others {
        outcome = outcome.and(driver.unplug(&other.container_id, &other.ifname).await);
    }
    node.changed.send_replace(());
    outcome.map_err(failed)
}
