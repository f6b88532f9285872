//! Keeps the host's own port on the integration bridge as the Node's KuryrPoolPort says.

use super::{Action, Duty, Failure, basis, request, unread};
use crate::{caches::GuardedPoolPort, node::Node};
use ipnet::IpNet;
use jiff::Timestamp;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use kuryr_api::{
    ClaimKind, DAEMON, KuryrPoolPort,
    conditions::{self, CREATED, PLUGGED, Wanted},
};
use kuryr_datapath::{
    Route,
    ovs::{NodePortSpec, NodePortStatus},
};
use serde_json::json;
use std::sync::Arc;

/// Makes and removes the node port.
pub struct HostPortDuty;

/// What is to be done with the node port.
pub enum What {
    /// Make it so, and say so.
    Ensure(Box<(KuryrPoolPort, NodePortSpec)>),
    /// Remove it: no object of the Node asks for it.
    Remove,
}

impl Duty for HostPortDuty {
    type What = What;

    fn name(&self) -> &'static str {
        "host_port"
    }

    async fn plan(&mut self, node: &Node) -> Option<Vec<Action<What>>> {
        if !node.caches.unsynced().is_empty() {
            return None;
        }
        let status = node.switch.host_port.status().await.ok()?;
        let ports = node.caches.pool_ports.state();
        let claimed = claimed(&ports, &node.settings.node_name);
        let name = &node.settings.node_port;
        let action = |what, basis| Some(vec![Action { key: name.clone(), basis, what }]);
        let state = status.as_ref().map(|status| (status.ifindex, status.ready, status.error.clone()));
        let Some(port) = claimed else {
            let may_be_claimed = unread::any(&ports, unread::is_of_node);
            let is_unwanted = status.is_some() && !may_be_claimed;
            return if is_unwanted { action(What::Remove, basis(&state)) } else { Some(Vec::new()) };
        };
        let Some(spec) = spec(&port, &node.settings.routed_networks) else { return Some(Vec::new()) };
        // Made again when the object or the device changes (a restart of the switch makes a new device without
        // addresses), and now and then, because somebody may have taken an address or a route away.
        let round = node.started.elapsed().as_secs() / node.settings.timeouts.repair_seconds.max(1);
        let basis = basis(&(port.uid(), format!("{spec:?}"), &state, round));
        action(What::Ensure(Box::new((port, spec))), basis)
    }

    async fn act(node: Arc<Node>, what: What) -> Result<(), Failure> {
        let name = &node.settings.node_port;
        match what {
            What::Remove => {
                tracing::info!(interface = name, "removing the node port: the Node claims none");
                let removed = node.switch.host_port.remove().await;
                removed.map_err(|source| Failure::Switch { what: format!("removing node port {name}"), source })
            }
            What::Ensure(wanted) => {
                let (port, spec) = *wanted;
                let made = node.switch.host_port.ensure(&spec).await;
                if made.as_ref().is_ok_and(|status| status.ready) {
                    announce(&node, &spec).await;
                }
                let wanted = match &made {
                    Ok(status) => said(status, name),
                    Err(error) => failed(name, &crate::caches::chain(error)),
                };
                if !is_said(&port, &wanted) {
                    say(&node, &port, &wanted).await?;
                }
                made.map(drop).map_err(|source| Failure::Switch { what: format!("making node port {name}"), source })
            }
        }
    }
}

/// Others may still know the addresses by the MAC address of an earlier port. Without it they find out by themselves, late.
async fn announce(node: &Node, spec: &NodePortSpec) {
    if let Err(error) = node.switch.host_port.announce(spec).await {
        let error = crate::caches::chain(&error);
        tracing::warn!(interface = node.settings.node_port, error, "can't announce the addresses of the node port");
    }
}

fn conditions_of(port: &KuryrPoolPort) -> &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition] {
    port.status.as_ref().map_or(&[], |status| &status.conditions)
}

fn is_said(port: &KuryrPoolPort, wanted: &Wanted) -> bool {
    wanted.is_in(conditions_of(port))
}

/// The port that this Node claims and that isn't being deleted. There is one; should there be more, the youngest belongs to
/// the present Node object.
fn claimed(ports: &[Arc<GuardedPoolPort>], node: &str) -> Option<KuryrPoolPort> {
    let ours = ports.iter().filter_map(|port| port.0.as_ref().ok()).filter(|port| {
        let claim = port.spec.claim_ref.as_ref();
        port.metadata.deletion_timestamp.is_none()
            && claim.is_some_and(|claim| claim.kind == ClaimKind::Node && claim.name == node)
    });
    ours.max_by_key(|port| port.metadata.creation_timestamp.as_ref().map(|time| time.0)).cloned()
}

/// How the node port is to be. `None` while Neutron hasn't made it.
fn spec(port: &KuryrPoolPort, routed: &[IpNet]) -> Option<NodePortSpec> {
    let status = port.status.as_ref().filter(|status| conditions::is_true(&status.conditions, CREATED))?;
    let addresses: Option<Vec<_>> =
        status.addresses.iter().map(|address| IpNet::new(address.ip, address.prefix_length).ok()).collect();
    let gateway = |network: &IpNet| {
        let gateways = status.addresses.iter().filter_map(|address| address.gateway);
        gateways.into_iter().find(|gateway| gateway.is_ipv4() == network.addr().is_ipv4())
    };
    let routes = routed.iter().filter_map(|network| Some(Route { destination: *network, gateway: gateway(network)? }));
    Some(NodePortSpec {
        port_id: status.port_id.clone()?,
        mac: status.mac_address?,
        mtu: status.mtu?,
        addresses: addresses?,
        // Not the subnets' own routes: the host keeps its default route.
        routes: routes.collect(),
    })
}

fn said(status: &NodePortStatus, name: &str) -> Wanted {
    match &status.error {
        Some(error) => failed(name, error),
        None => Wanted {
            type_: PLUGGED,
            status: Some(true),
            reason: "Connected",
            message: format!("The node's interface {name} is connected."),
        },
    }
}

fn failed(name: &str, error: &str) -> Wanted {
    Wanted {
        type_: PLUGGED,
        status: Some(false),
        reason: "NotConnected",
        message: format!("The node's interface {name} can't be connected: {error}"),
    }
}

async fn say(node: &Node, port: &KuryrPoolPort, wanted: &Wanted) -> Result<(), Failure> {
    let condition = wanted.onto(conditions_of(port), port.metadata.generation, Timestamp::now());
    let name = port.name_any();
    let patch = json!({
        "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPoolPort",
        "metadata": {"name": name, "uid": port.metadata.uid},
        "status": {"conditions": [condition]},
    });
    let api = Api::<KuryrPoolPort>::all(node.client.clone());
    let params = PatchParams::apply(DAEMON).force();
    let tried = || format!("writing the condition Plugged of KuryrPoolPort {name}");
    request(node, tried, api.patch_status(&name, &params, &Patch::Apply(&patch))).await
}
