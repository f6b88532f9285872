//! What is there of a claim: its pod, its node, the ports that it has claimed, and those that it could claim.

use super::fit;
use crate::{
    context::Context,
    error::Error,
    networks::Defaults,
    pod::{self, Pod},
    policies::Groups,
    runtime::apply,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, ResourceExt};
use kuryr_api::{ClaimKind, ClaimRef, KuryrPoolPort, KuryrPort, conditions};
use kuryr_core::{
    claim::{Held, settled},
    names,
    node::{NodeFacts, Release, release},
};
use std::{sync::Arc, time::Duration};

/// What is there of a claim.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The claim.
    pub port: Arc<KuryrPort>,
    /// The pod whose claim it is exists and hasn't ended.
    pub pod_lives: bool,
    /// Who says that the interfaces are gone. Only asked while the claim is being deleted.
    pub release: Release,
    /// The claim's interfaces in their order.
    pub interfaces: Vec<Interface>,
    /// Free ports of the pod's node on the pods' network, whether they fit or not.
    pub free: Vec<Arc<KuryrPoolPort>>,
    /// When all of this was looked at.
    pub now: Timestamp,
}

/// One interface of a claim.
#[derive(Debug, Clone, PartialEq)]
pub struct Interface {
    /// The claim to it.
    pub claim: ClaimRef,
    /// Name of the port that is made for it when none is free.
    pub name: String,
    /// The port that is claimed for it.
    pub pool_port: Option<Arc<KuryrPoolPort>>,
    /// The claim has settled on a port: its node may use it, whatever becomes of the port.
    pub settled: bool,
    /// The port that it has settled on is no longer its own: nothing can be put in its place.
    pub lost: bool,
    /// The security groups that its port is to have now.
    pub groups: Groups,
    /// An address of its port is still meant for a pod that had it before, by others' NetworkPolicies.
    pub haunted: bool,
}

impl Observed {
    /// The claim is being deleted.
    pub fn deleting(&self) -> bool {
        self.port.metadata.deletion_timestamp.is_some()
    }

    /// The node says that it has connected the pod.
    pub fn is_plugged(&self) -> bool {
        self.port.status.as_ref().is_some_and(|status| conditions::is_true(&status.conditions, conditions::PLUGGED))
    }

    /// These ports have been claimed meanwhile: the claim settles on them, unless it has settled before.
    pub fn settle_on(&mut self, claimed: Vec<KuryrPoolPort>) {
        for port in claimed {
            let of = |interface: &&mut Interface| Some(&interface.claim) == port.spec.claim_ref.as_ref();
            if let Some(interface) = self.interfaces.iter_mut().find(of)
                && !interface.settled
            {
                interface.pool_port = Some(Arc::new(port));
            }
        }
    }

    /// Looks once more at what NetworkPolicies say of those that aren't settled: a port may have been claimed since, or a policy made.
    pub fn look_at_policies(&mut self, context: &Context) {
        for interface in self.interfaces.iter_mut().filter(|interface| !interface.settled) {
            (interface.groups, interface.haunted) = policies_say(context, &self.port, interface.pool_port.as_deref());
        }
    }
}

/// The groups that a port is to have now, and whether an address of it is still meant for another pod.
fn policies_say(context: &Context, claim: &KuryrPort, port: Option<&KuryrPoolPort>) -> (Groups, bool) {
    let status = port.and_then(|port| port.status.as_ref());
    let addresses = status.into_iter().flat_map(|status| &status.addresses).map(|address| address.ip);
    (context.groups_for(claim, port), context.is_haunted(claim, addresses))
}

/// Reads the caches, and asks the API server where a cache's silence would end something.
pub async fn observe(context: &Context, port: Arc<KuryrPort>, defaults: &Defaults) -> Result<Observed, Error> {
    let deleting = port.metadata.deletion_timestamp.is_some();
    let pod_lives = deleting || pod_lives(context, &port).await?;
    let release = if deleting { released_by(context, &port.spec.node_name).await? } else { Release::ByNode };
    let mut interfaces = Vec::with_capacity(port.spec.interfaces.len());
    for interface in &port.spec.interfaces {
        interfaces.push(held(context, &port, &interface.name).await?);
    }
    let pool = names::pool(&port.spec.node_name, &defaults.network, &defaults.subnets);
    let has_port = |interface: &Interface| interface.pool_port.as_deref().is_some_and(fit::is_created);
    let complete = interfaces.iter().all(|interface| interface.settled || has_port(interface));
    let free = if deleting || complete { Vec::new() } else { context.inventory.free(&pool) };
    let free = free.iter().filter_map(|name| context.pool_ports.get(None, name)).collect();
    Ok(Observed { port, pod_lives, release, interfaces, free, now: Timestamp::now() })
}

/// The interface with the port that the claim has settled on, or would settle on now.
async fn held(context: &Context, port: &KuryrPort, interface: &str) -> Result<Interface, Error> {
    let claim = claim_of(port, interface);
    let name = names::pool_port(&port.spec.node_name, &claim.uid, &claim.interface);
    let held: Vec<_> =
        context.inventory.held(&claim).iter().filter_map(|name| context.pool_ports.get(None, name)).collect();
    let held: Vec<_> = held.into_iter().filter(|held| held.spec.claim_ref.as_ref() == Some(&claim)).collect();
    let recorded = recorded(port, interface);
    let mut pool_port = choose(recorded, &held);
    let settled = pool_port.as_ref().map(|port| port.name_any());
    let mut lost = false;
    if let Some(recorded) = recorded.filter(|recorded| settled.as_deref() != Some(*recorded)) {
        // The cache is behind, or somebody took the port away.
        let found = context.pool_ports_api().get_opt(recorded).await;
        let found = found.map_err(Error::kubernetes("look for the port of", apply::described(port)))?;
        let ours = found.filter(|found| found.spec.claim_ref.as_ref() == Some(&claim));
        lost = ours.is_none();
        if let Some(ours) = &ours {
            context.pool_ports.wrote(ours.clone());
        }
        // Another port that it holds besides is none for it: it never leaves the one that it has settled on.
        pool_port = ours.map(Arc::new);
    }
    let (groups, haunted) = policies_say(context, port, pool_port.as_deref());
    Ok(Interface { claim, name, settled: recorded.is_some(), lost, groups, haunted, pool_port })
}

/// The one of the ports that are claimed for an interface that the claim has settled on, or would settle on now.
pub fn choose(recorded: Option<&str>, held: &[Arc<KuryrPoolPort>]) -> Option<Arc<KuryrPoolPort>> {
    let named: Vec<_> = held.iter().map(|held| (held.name_any(), fit::is_created(held))).collect();
    let named: Vec<_> = named.iter().map(|(name, usable)| Held { name, usable: *usable }).collect();
    let name = settled(recorded, &named)?;
    held.iter().find(|held| held.name_any() == name).cloned()
}

/// Name of the port that the claim has settled on: the one that its status tells to the node.
pub fn recorded<'a>(port: &'a KuryrPort, interface: &str) -> Option<&'a str> {
    let interfaces = port.status.as_ref().map_or(&[][..], |status| &status.interfaces);
    interfaces.iter().find(|known| known.name == interface).map(|known| known.pool_port.as_str())
}

/// How the claim names itself in the ports that it claims.
pub fn claim_of(port: &KuryrPort, interface: &str) -> ClaimRef {
    ClaimRef {
        kind: ClaimKind::KuryrPort,
        namespace: port.namespace(),
        name: port.name_any(),
        uid: port.uid().unwrap_or_default(),
        interface: interface.to_owned(),
    }
}

/// Whether the claim's pod exists and hasn't ended. A cache can be behind, so its silence is confirmed.
async fn pod_lives(context: &Context, port: &KuryrPort) -> Result<bool, Error> {
    let spec = &port.spec;
    let is_it = |found: &Pod| is_claim_of(port, found) && pod::needs_port(found);
    let namespace = port.namespace().unwrap_or_default();
    if context.pods.get(Some(&namespace), &spec.pod_name).is_some_and(|found| is_it(&found)) {
        return Ok(true);
    }
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &namespace);
    let found =
        api.get_opt(&spec.pod_name).await.map_err(Error::kubernetes("look for the pod of", apply::described(port)))?;
    Ok(found.is_some_and(|found| is_it(&found)))
}

/// Whether this is the pod's one claim. A second one, or one for another node, was written by hand: the pod gets nothing
/// by it.
fn is_claim_of(port: &KuryrPort, pod: &Pod) -> bool {
    let spec = &port.spec;
    pod.uid().as_deref() == Some(&spec.pod_uid)
        && pod.spec.node_name.as_deref() == Some(&spec.node_name)
        && port.name_any() == names::kuryr_port(&spec.pod_name, &spec.pod_uid)
}

/// Who says that interfaces on the node are gone. A cache can be behind, so the API server confirms what passes the node over.
async fn released_by(context: &Context, name: &str) -> Result<Release, Error> {
    let patience = context.settings.nodes.patience();
    let decided =
        |node: Option<&Node>| release(node.map_or(NodeFacts::Gone, |node| facts(node, Timestamp::now())), patience);
    let by_cache = decided(context.nodes.get(None, name).as_deref());
    if !matches!(by_cache, Release::Now(_)) {
        return Ok(by_cache);
    }
    let api: Api<Node> = Api::all(context.client.clone());
    let found = api.get_opt(name).await.map_err(Error::kubernetes("look for the node", name))?;
    Ok(decided(found.as_ref()))
}

/// What the node's condition `Ready` says. A node that has none yet hasn't begun to speak.
fn facts(node: &Node, now: Timestamp) -> NodeFacts {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
    match ready.filter(|ready| ready.status != "True") {
        None => NodeFacts::Ready,
        Some(ready) => {
            let since = ready.last_transition_time.as_ref().map_or(now, |time| time.0);
            NodeFacts::Silent(Duration::try_from(now.duration_since(since)).unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kuryr_api::{InterfaceRequest, KuryrPortSpec};
    use serde_json::json;

    #[test]
    fn a_pod_has_one_claim_however_many_are_written() {
        let pod =
            json!({ "metadata": { "name": "web", "uid": "u" }, "spec": { "containers": [], "nodeName": "node1" } });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let claim = |name: &str, uid: &str, node: &str| {
            let interfaces = vec![InterfaceRequest { name: "eth0".into() }];
            let (pod_name, pod_uid, node_name) = ("web".into(), uid.into(), node.into());
            KuryrPort::new(name, KuryrPortSpec { pod_name, pod_uid, node_name, interfaces })
        };
        let name = names::kuryr_port("web", "u");
        for (port, is_it) in [
            (claim(&name, "u", "node1"), true),
            (claim("web-again", "u", "node1"), false),
            (claim(&name, "u", "node2"), false),
            (claim(&names::kuryr_port("web", "old"), "old", "node1"), false),
        ] {
            assert_eq!(is_claim_of(&port, &pod), is_it, "{port:?}");
        }
    }

    #[test]
    fn a_node_is_silent_since_its_condition_said_so() {
        let node = |status: &str| -> Node {
            let ready = json!({ "type": "Ready", "status": status, "lastTransitionTime": "2026-11-23T10:00:00Z" });
            serde_json::from_value(json!({ "metadata": { "name": "node1" }, "status": { "conditions": [ready] } }))
                .unwrap()
        };
        let now = "2026-11-23T10:01:00Z".parse().unwrap();
        let minute = Duration::from_secs(60);
        for (status, is) in
            [("True", NodeFacts::Ready), ("False", NodeFacts::Silent(minute)), ("Unknown", NodeFacts::Silent(minute))]
        {
            assert_eq!(facts(&node(status), now), is, "{status}");
        }
        assert_eq!(facts(&Node::default(), now), NodeFacts::Ready);
    }
}
