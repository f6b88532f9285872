//! Notices ports that somebody deleted in Neutron: one list request for all of them, now and then.

use super::status;
use crate::{context::Context, error::Error};
use futures::StreamExt;
use kube::ResourceExt;
use kuryr_api::{KuryrPoolPort, conditions};
use kuryr_core::names;
use kuryr_openstack::{
    Found,
    neutron::{PortId, PortQuery},
};
use std::{collections::HashSet, sync::Arc};

/// Ports per page of the list.
const PAGE: usize = 500;

/// Compares our objects with Neutron's list, and says on each object whose port is missing that it is.
///
/// # Errors
/// When Neutron or the API server can't be asked; nothing is decided on half of a list.
pub async fn audit(context: &Context) -> Result<(), Error> {
    // The objects are read first: a port that is made while Neutron lists is not in question.
    let objects: Vec<_> = context.pool_ports.all().into_iter().filter(has_port).collect();
    if objects.is_empty() {
        return Ok(());
    }
    let query = PortQuery {
        device_owners: vec![names::DEVICE_OWNER.to_owned()],
        fields: vec!["id"],
        page_size: Some(PAGE),
        ..PortQuery::default()
    };
    let failed = Error::openstack("list the Neutron ports", "all nodes");
    let mut present = HashSet::new();
    let mut ports = std::pin::pin!(context.neutron.stream_ports(&query));
    while let Some(port) = ports.next().await {
        match port {
            Ok(port) => present.insert(port.id),
            Err(error) => return Err(failed(error)),
        };
    }
    for object in objects {
        if let Some(id) = port_id(&object)
            && !present.contains(&id)
        {
            confirm(context, &object, &id).await?;
        }
    }
    Ok(())
}

fn port_id(object: &KuryrPoolPort) -> Option<PortId> {
    object.status.as_ref()?.port_id.as_deref().map(PortId::from)
}

/// The object's port is said to exist, and is to.
fn has_port(object: &Arc<KuryrPoolPort>) -> bool {
    object.metadata.deletion_timestamp.is_none()
        && object.status.as_ref().is_some_and(|status| conditions::is_true(&status.conditions, conditions::CREATED))
}

/// Not in the list may mean that its device owner was changed: only its own 404 says that it is gone.
async fn confirm(context: &Context, object: &KuryrPoolPort, id: &PortId) -> Result<(), Error> {
    let port = context.neutron.get_port(id).await.found();
    let port = port.map_err(Error::openstack("look for the Neutron port", object.name_any()))?;
    let current = context.pool_ports.get(None, &object.name_any());
    match (port, current) {
        (None, Some(current)) if current.uid() == object.uid() && has_port(&current) => {
            tracing::warn!(object = object.name_any(), port = %id, "somebody deleted this port in Neutron");
            status::publish_missing(context, &current, id.as_str()).await
        }
        _ => Ok(()),
    }
}
