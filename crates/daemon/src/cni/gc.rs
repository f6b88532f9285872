//! GC: removes the interfaces of every sandbox that the runtime doesn't list.

use super::datapath_error;
use crate::node::Node;
use kuryr_cni::{Attachment, CniError};
use std::{collections::HashSet, sync::Arc};

pub(super) async fn gc(node: Arc<Node>, valid: Vec<Attachment>) -> Result<(), CniError> {
    let driver = &node.switch.driver;
    let failed = |error| datapath_error("can't remove all unused interfaces".to_owned(), &error);
    let attached = driver.attachments().await.map_err(failed)?;
    let valid: HashSet<&str> = valid.iter().map(|attachment| attachment.container_id.as_str()).collect();
    // A sandbox whose ADD is in flight isn't in the runtime's list yet. By sandbox, not by interface: a pod's further
    // interfaces aren't in the list at all.
    let unused =
        attached.iter().filter(|a| !valid.contains(a.container_id.as_str()) && !node.in_flight.busy(&a.container_id));
    let mut outcome = Ok(());
    for leftover in unused {
        tracing::warn!(pod = %leftover.pod, sandbox = leftover.container_id, interface = leftover.host_interface,
            "removing an interface that the runtime doesn't list");
        let _lock = node.in_flight.lock(&leftover.container_id).await;
        outcome = outcome.and(driver.unplug(&leftover.container_id, &leftover.ifname).await);
        node.metrics.repaired("gc");
    }
    node.changed.send_replace(());
    outcome.map_err(failed)
}
