//! What is there of a pool: its node and its ports.

use crate::{
    context::Context,
    error::Error,
    inventory::{cooling_for, says},
    port::{has_groups, is_claimable},
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, ResourceExt};
use kuryr_api::{KuryrPool, KuryrPoolPort, conditions};
use kuryr_core::pool::{DemandNow, cool_in};
use std::{sync::Arc, time::Duration};

/// Taint of a cordoned node (well-known labels, annotations and taints).
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// What is there of a pool.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The pool.
    pub object: Arc<KuryrPool>,
    /// The node exists.
    pub node_exists: bool,
    /// Time until the node has been cordoned for long; zero: it has. `None`: it isn't cordoned.
    pub drains_in: Option<Duration>,
    /// Pods of the node get ports of this network.
    pub is_current: bool,
    /// Ports that nobody has, whatever their state, without those that are being deleted.
    pub free: Vec<Arc<KuryrPoolPort>>,
    /// Those of the free ones that don't have the groups that free ports are to have: the configuration has changed.
    pub outdated: Vec<Arc<KuryrPoolPort>>,
    /// Those of the free ones that can be claimed now.
    pub claimable: u32,
    /// Those that were released a moment ago.
    pub cooling_down: u32,
    /// Those that the node holds plugged.
    pub plugged: u32,
    /// Time until the next one has cooled down.
    pub cools_in: Option<Duration>,
    /// Ports that pods have.
    pub claimed: u32,
    /// Claims that wait for a port.
    pub waiting: u32,
    /// The claims of late.
    pub demand: DemandNow,
    /// Pods wait because the quota, or the addresses of the network, are used up.
    pub no_room: bool,
    /// The security groups of free ports. `None`: they aren't known yet, and no ports are made.
    pub groups: Option<Vec<String>>,
}

/// Reads the caches, and asks the API server before a node counts as gone.
pub async fn observe(context: &Context, object: Arc<KuryrPool>) -> Result<Observed, Error> {
    let (name, spec, settings) = (object.name_any(), &object.spec, &context.settings.pools);
    let node = context.nodes.get(None, &spec.node_name);
    let node_exists = node.is_some() || node_exists(context, &spec.node_name).await?;
    let now = Timestamp::now();
    let drains_in = node.and_then(|node| cordoned_since(&node)).map(|since| {
        let since = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        settings.cordon().saturating_sub(since)
    });
    let defaults = context.networks.defaults();
    let is_current = (&spec.network_id, &spec.subnet_ids) == (&defaults.network, &defaults.subnets);
    let free = context.inventory.free(&name);
    let free = free.iter().filter_map(|name| context.pool_ports.get(None, name));
    let free: Vec<_> = free.filter(|port| stays(port)).collect();
    let groups = context.free_groups(&spec.node_name);
    let is_outdated =
        |port: &&Arc<KuryrPoolPort>| groups.as_ref().is_some_and(|groups| port.spec.security_group_ids != *groups);
    let outdated = free.iter().filter(is_outdated).cloned().collect();
    // Which groups these are to be may not be known yet: they are as they were.
    let has_its = |port: &KuryrPoolPort| has_groups(port, groups.as_ref().unwrap_or(&port.spec.security_group_ids));
    let cools: Vec<_> = free
        .iter()
        .filter(|port| is_claimable(port) && has_its(port))
        .map(|port| cool_in(cooling_for(port, now), settings.cool_down()))
        .collect();
    let written = object.status.as_ref().map_or(0, |status| status.demand);
    let demand = context.inventory.demand(&name, written);
    let plugged = free.iter().filter(|port| says(port, conditions::PLUGGED)).count();
    Ok(Observed {
        node_exists,
        drains_in,
        is_current,
        claimable: count(cools.iter().filter(|wait| wait.is_zero()).count()),
        cooling_down: count(cools.iter().filter(|wait| !wait.is_zero()).count()),
        plugged: count(plugged),
        cools_in: cools.into_iter().filter(|wait| !wait.is_zero()).min(),
        claimed: count(context.inventory.claimed(&name)),
        waiting: count(context.inventory.waiting(&name)),
        no_room: context.gather.creator.lacks_room(&spec.network_id.as_str().into()),
        outdated,
        free,
        demand,
        groups,
        object,
    })
}

/// Offers the free ports to those who wait for one.
pub fn wake(context: &Context, seen: &Observed) {
    let many = usize::try_from(seen.claimable).unwrap_or(usize::MAX);
    for (namespace, name) in context.inventory.next_waiting(&seen.object.name_any(), many) {
        context.queues.ports.add(Some(&namespace), &name);
    }
}

impl Observed {
    /// How many free ports Neutron is asked for, or is giving other groups.
    pub fn creating(&self) -> u32 {
        count(self.free.len()).saturating_sub(self.claimable + self.cooling_down)
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The port is nobody's, and isn't being deleted.
fn stays(port: &KuryrPoolPort) -> bool {
    port.spec.claim_ref.is_none() && port.metadata.deletion_timestamp.is_none()
}

/// Since when the node takes no new pods. The node's taint says when it was cordoned.
fn cordoned_since(node: &Node) -> Option<Timestamp> {
    let taints = node.spec.as_ref()?.taints.iter().flatten();
    let cordoned = taints.into_iter().find(|taint| taint.key == UNSCHEDULABLE)?;
    // A taint without a time was put on by hand: it counts from now, at each look, and so for ever.
    Some(cordoned.time_added.as_ref().map_or_else(Timestamp::now, |at| at.0))
}

async fn node_exists(context: &Context, name: &str) -> Result<bool, Error> {
    let api: Api<Node> = Api::all(context.client.clone());
    let found = api.get_metadata_opt(name).await.map_err(Error::kubernetes("look for the node", name))?;
    Ok(found.is_some())
}
