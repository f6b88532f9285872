//! Node to KuryrPoolPort: each node has a port of its own on the pod network, by which the host reaches its pods.

mod plan;

use crate::{
    context::Context,
    error::Error,
    port::create_pool_port,
    runtime::{
        apply,
        queue::{Next, Reconciler},
    },
};
use k8s_openapi::{api::core::v1::Node, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{Api, ResourceExt};
use kuryr_api::{ClaimKind, ClaimRef, KuryrPoolPort, KuryrPoolPortSpec};
use kuryr_core::names;
use plan::{Observed, Step};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::sync::Mutex;

/// How soon to look again when a port that is being deleted still holds the name.
const NAME_IN_USE: Duration = Duration::from_secs(2);

/// How soon to look whether Neutron has answered, or whether other nodes have their new ports.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The reconciler of nodes.
pub struct Nodes {
    context: Arc<Context>,
    /// Whoever replaces a node's port, so that each sees what the others have begun.
    replacing: Mutex<()>,
}

impl Nodes {
    /// The reconciler of nodes, which works with this.
    pub fn new(context: Arc<Context>) -> Self {
        Self { context, replacing: Mutex::default() }
    }
}

impl Reconciler for Nodes {
    type Object = Node;

    async fn reconcile(&self, node: Arc<Node>) -> Result<Next, Error> {
        let context = &*self.context;
        let (name, uid) = (node.name_any(), node.uid().unwrap_or_default());
        let port_name = names::pool_port(&name, &uid, names::NODE_INTERFACE);
        let wanted = context.settings.node_port.enabled && node.metadata.deletion_timestamp.is_none();
        let desired = wanted.then(|| desire(context, &name, &uid));
        let seen =
            Observed { port: context.pool_ports.get(None, &port_name), resolved: context.networks.are_resolved() };
        let api: Api<KuryrPoolPort> = Api::all(context.client.clone());
        match plan::plan(&seen, desired) {
            Step::Converged => {}
            Step::Wait => return Ok(Next::After(LOOK_AGAIN)),
            Step::Create(spec) => {
                tracing::info!(node = name, port = port_name, "making the node's own port");
                if !create_pool_port(context, &port_name, *spec, Some(owner(&name, &uid))).await? {
                    return Ok(Next::After(NAME_IN_USE));
                }
            }
            Step::SetGroups(port, groups) => {
                context.pool_ports.wrote(apply::spec(&api, &*port, json!({ "securityGroupIds": groups })).await?);
            }
            Step::Delete(port) => delete(context, &api, &port).await?,
            Step::Replace(port) => {
                let _one = self.replacing.lock().await;
                if !plan::may_replace(context.nodes.len(), &context.pool_ports.all()) {
                    return Ok(Next::After(LOOK_AGAIN));
                }
                tracing::info!(
                    node = name,
                    port = port_name,
                    "the nodes' network is another one: replacing the node's port"
                );
                delete(context, &api, &port).await?;
            }
        }
        Ok(Next::Converged)
    }
}

async fn delete(context: &Context, api: &Api<KuryrPoolPort>, port: &KuryrPoolPort) -> Result<(), Error> {
    if let Some(deleting) = apply::delete(api, port).await? {
        context.pool_ports.wrote(deleting);
    }
    Ok(())
}

/// The port that the node is to have.
fn desire(context: &Context, name: &str, uid: &str) -> KuryrPoolPortSpec {
    let defaults = context.networks.defaults();
    KuryrPoolPortSpec {
        node_name: name.to_owned(),
        network_id: defaults.network.clone(),
        subnet_ids: defaults.subnets.clone(),
        security_group_ids: defaults.node_groups.clone(),
        claim_ref: Some(ClaimRef {
            kind: ClaimKind::Node,
            namespace: None,
            name: name.to_owned(),
            uid: uid.to_owned(),
            interface: names::NODE_INTERFACE.to_owned(),
        }),
        released_at: None,
    }
}

fn owner(name: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}
