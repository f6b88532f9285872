//! DEL: takes a sandbox's interfaces away, from the node's own records.

use super::datapath_error;
use crate::{duty::hold::gives_back, node::Node};
use kuryr_cni::{Call, CniError};
use kuryr_datapath::Attached;
use std::sync::Arc;

/// Works with the API server and the controller down, and when there is nothing (left) to remove.
pub(super) async fn del(node: Arc<Node>, call: Call) -> Result<(), CniError> {
    node.in_flight.cancel_sandbox(&call.container_id);
    let _lock = node.in_flight.lock(&call.container_id).await;
    let driver = &node.switch.driver;
    let failed =
        |error| datapath_error(format!("can't remove the interfaces of sandbox {}", call.container_id), &error);
    // A pod's further interfaces were made by the same ADD and aren't named in the call.
    let attached = driver.attachments().await.map_err(failed)?;
    let mine: Vec<_> = attached.iter().filter(|attached| attached.container_id == call.container_id).collect();
    let mut outcome = Ok(());
    for interface in &mine {
        outcome = outcome.and(remove(&node, interface).await);
    }
    if !mine.iter().any(|interface| interface.ifname == call.ifname) {
        // What a crash left of an ADD is not on record.
        outcome = outcome.and(driver.unplug(&call.container_id, &call.ifname).await);
    }
    node.changed.send_replace(());
    outcome.map_err(failed)
}

/// Removes an interface, but goes on holding its port where the pool has use for it.
async fn remove(node: &Node, interface: &Attached) -> kuryr_datapath::Result<()> {
    let driver = &node.switch.driver;
    let (container, ifname) = (&interface.container_id, &interface.ifname);
    let (_given, mut held) = node.giving.begin(&interface.port_id);
    held.extend(driver.held().await?.into_iter().map(|held| held.spec.port_id));
    if gives_back(node, &interface.port_id, &held.into_iter().collect()) {
        driver.give_back(container, ifname).await
    } else {
        driver.unplug(container, ifname).await
    }
}
