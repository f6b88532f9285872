//! Keeps free ports of the node's pools connected, so that a pod that gets one starts sooner.

use super::{Action, Duty, Failure, basis, request, unread};
use crate::{
    caches::{GuardedPool, GuardedPoolPort},
    decide_hold::{self, Owner, PortFacts, REST},
    node::Node,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use kuryr_api::{
    DAEMON, KuryrPool, KuryrPoolPort,
    conditions::{self, CREATED, PLUGGED, Wanted},
};
use kuryr_datapath::{Held, HoldSpec};
use serde_json::json;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};
use tokio::time::{Duration, Instant};

/// For how long an ADD goes first that waits for its dataplane, which takes a second or two. One that waits in vain keeps no other
/// pod from a port that is held.
const ADDS_FIRST: Duration = Duration::from_secs(10);

/// Holds ports, lets go of them, and says which are held.
#[derive(Default)]
pub struct Hold {
    /// Something is to be done that is to be done later: a port rests, or an ADD goes first.
    later: bool,
    /// The ports that pods had claimed at the last look.
    claimed: HashSet<String>,
}

impl Hold {
    /// Whether pods go first: ADDs, but not those that wait for a port, as that may take for ever; and pods that start, from the
    /// moment at which one is seen to have a port.
    fn waits(&mut self, node: &Node, ports: &[&KuryrPoolPort]) -> bool {
        let claimed = ports.iter().filter(|port| port.spec.claim_ref.is_some()).map(|port| port.name_any()).collect();
        let before = std::mem::replace(&mut self.claimed, claimed);
        if !self.claimed.is_subset(&before) {
            node.in_flight.pod_starts();
        }
        node.in_flight.hurried(ADDS_FIRST) || node.in_flight.starting()
    }
}

/// What is to be done with one port.
pub enum What {
    /// Hold it.
    Hold(HoldSpec),
    /// Hold it no longer.
    LetGo(String),
    /// Say on its object whether it is held.
    Say(Box<(KuryrPoolPort, Condition)>),
}

impl Duty for Hold {
    type What = What;

    /// Less than what would keep the node, or OVN, busy when an ADD comes.
    const AT_ONCE: usize = 2;

    fn name(&self) -> &'static str {
        "hold"
    }

    async fn plan(&mut self, node: &Node) -> Option<Vec<Action<What>>> {
        // Objects first: a port that a pod gives back between the two looks is held at the second.
        let (pools, ports) = (node.caches.pools.state(), node.caches.pool_ports.state());
        let unread = Unread { pool: unread::any(&pools, |_| true), port: unread::any(&ports, |_| true) };
        let (pools, ports) = (readable_pools(&pools), readable_ports(&ports));
        self.later = self.waits(node, &ports);
        if self.later || !node.caches.unsynced().is_empty() || !node.caches.pools_synced() {
            return None;
        }
        let held = node.switch.driver.held().await.ok()?;
        node.metrics.held.set(i64::try_from(held.len()).unwrap_or(i64::MAX));
        let held: HashMap<&str, &Held> = held.iter().map(|held| (held.spec.port_id.as_str(), held)).collect();
        let now = Timestamp::now();
        let facts = |port: &KuryrPoolPort| facts(port, &held, now);
        let of_pool =
            |pool: &KuryrPool| ports.iter().copied().filter(|port| is_of(port, pool)).filter_map(facts).collect();
        let by_pool: Vec<(Vec<PortFacts>, usize)> = pools.iter().map(|pool| (of_pool(pool), to_plug(pool))).collect();
        let wanted: Vec<&str> =
            by_pool.iter().flat_map(|(facts, to_plug)| decide_hold::wanted(facts, *to_plug)).collect();
        self.later = by_pool.iter().flat_map(|(facts, _)| facts).any(is_resting);
        let mut plan = Vec::new();
        for &port in &ports {
            let Some(spec) = spec(port) else { continue };
            let found = held.get(spec.port_id.as_str()).copied();
            if wanted.contains(&spec.port_id.as_str()) && found.is_none_or(|held| held.spec != spec) {
                plan.push(Action {
                    key: spec.port_id.clone(),
                    basis: basis(&(&spec, port.uid())),
                    what: What::Hold(spec),
                });
            } else if let Some(condition) = said(port, found, now) {
                plan.push(say(port, condition));
            }
        }
        let unwanted = held.keys().filter(|id| !wanted.contains(*id) && !unread.may_want(id, &pools, &ports));
        plan.extend(unwanted.map(|id| Action { key: (*id).to_owned(), basis: 0, what: What::LetGo((*id).to_owned()) }));
        Some(plan)
    }

    fn again(&self, _now: Instant) -> Option<Duration> {
        self.later.then_some(REST / 10)
    }

    async fn act(node: Arc<Node>, what: What) -> Result<(), Failure> {
        let driver = &node.switch.driver;
        let failed = |what: String| move |source| Failure::Switch { what, source };
        match what {
            What::Hold(port) => {
                driver.hold(&port).await.map_err(failed(format!("holding port {}", port.port_id)))?;
                tracing::debug!(port = port.port_id, "held ready");
            }
            What::LetGo(id) => {
                driver.let_go(&id).await.map_err(failed(format!("letting go of port {id}")))?;
                tracing::debug!(port = id, "no longer held");
            }
            What::Say(said) => return write(&node, &said.0, &said.1).await,
        }
        node.changed.send_replace(());
        Ok(())
    }
}

/// Which kinds have an object that can't be read and may be what a port is held for.
#[derive(Clone, Copy)]
struct Unread {
    pool: bool,
    port: bool,
}

impl Unread {
    /// Whether such an object may want this port to be held: that of the port itself, or its pool.
    fn may_want(self, id: &str, pools: &[&KuryrPool], ports: &[&KuryrPoolPort]) -> bool {
        let Some(port) = ports.iter().find(|port| has(port, id)) else { return self.port };
        self.pool && spec(port).is_some() && !pools.iter().any(|pool| is_of(port, pool))
    }
}

/// The node's pools that can be read.
fn readable_pools(pools: &[Arc<GuardedPool>]) -> Vec<&KuryrPool> {
    pools.iter().filter_map(|pool| pool.0.as_ref().ok()).collect()
}

/// The pools' ports that can be read.
fn readable_ports(ports: &[Arc<GuardedPoolPort>]) -> Vec<&KuryrPoolPort> {
    ports.iter().filter_map(|port| port.0.as_ref().ok()).collect()
}

/// Whether it is the object of the Neutron port with this id.
fn has(port: &KuryrPoolPort, id: &str) -> bool {
    port.status.as_ref().is_some_and(|status| status.port_id.as_deref() == Some(id))
}

fn is_of(port: &KuryrPoolPort, pool: &KuryrPool) -> bool {
    (&port.spec.network_id, &port.spec.subnet_ids) == (&pool.spec.network_id, &pool.spec.subnet_ids)
}

fn to_plug(pool: &KuryrPool) -> usize {
    let of_status = pool.status.as_ref().filter(|_| pool.metadata.deletion_timestamp.is_none());
    of_status.map_or(0, |status| usize::try_from(status.to_plug).unwrap_or(usize::MAX))
}

/// The port of a sandbox's interface is to be held further when the interface goes, where these are held or are about to be.
/// Without a list of the pools it isn't.
pub fn gives_back(node: &Node, port_id: &str, held: &HashSet<String>) -> bool {
    if !node.caches.pools_synced() {
        return false;
    }
    let (pools, ports) = (node.caches.pools.state(), node.caches.pool_ports.state());
    let (pools, ports) = (readable_pools(&pools), readable_ports(&ports));
    let Some(port) = ports.iter().find(|port| has(port, port_id) && spec(port).is_some()) else { return false };
    let Some(pool) = pools.iter().find(|pool| is_of(port, pool)) else { return false };
    let of_pool = |held: &&String| ports.iter().any(|port| has(port, held) && is_of(port, pool));
    decide_hold::gives_back(held.iter().filter(of_pool).count(), to_plug(pool))
}

fn facts(port: &KuryrPoolPort, held: &HashMap<&str, &Held>, now: Timestamp) -> Option<PortFacts> {
    let id = port.status.as_ref()?.port_id.clone()?;
    let unused = || port.spec.released_at.as_ref().map(|at| now.duration_since(at.0).try_into().unwrap_or_default());
    let owner = match (spec(port), &port.spec.claim_ref) {
        (None, _) => Owner::Nothing,
        (Some(_), Some(_)) => Owner::Claimed,
        (Some(_), None) => Owner::Free(unused()),
    };
    let held = held.contains_key(id.as_str());
    Some(PortFacts { id, owner, held })
}

fn is_resting(port: &PortFacts) -> bool {
    matches!(port.owner, Owner::Free(Some(unused)) if unused < REST)
}

/// What the node needs to hold it. `None`: it isn't in Neutron yet, or it is being deleted.
fn spec(port: &KuryrPoolPort) -> Option<HoldSpec> {
    let created = |conditions: &[Condition]| conditions::is_true(conditions, CREATED);
    let status = port.status.as_ref().filter(|status| created(&status.conditions))?;
    let there = port.metadata.deletion_timestamp.is_none();
    there.then_some(HoldSpec { port_id: status.port_id.clone()?, mac: status.mac_address?, mtu: status.mtu? })
}

/// What is to be said of a free port. Of a claimed one the pod's KuryrPort says it.
fn said(port: &KuryrPoolPort, held: Option<&Held>, now: Timestamp) -> Option<Condition> {
    let present = port.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let wanted = |status, reason, message: String| Wanted { type_: PLUGGED, status: Some(status), reason, message };
    let node = &port.spec.node_name;
    let wanted = match held {
        _ if port.spec.claim_ref.is_some() => return None,
        Some(Held { error: Some(error), .. }) => {
            wanted(false, "NotConnected", format!("Node {node} can't hold it ready: {error}"))
        }
        Some(_) => wanted(true, "Held", format!("Node {node} holds it ready for a pod.")),
        None if !conditions::is_true(present, PLUGGED) => return None,
        None => wanted(false, "NotHeld", format!("Node {node} doesn't hold it ready.")),
    };
    (!wanted.is_in(present)).then(|| wanted.onto(present, port.metadata.generation, now))
}

fn say(port: &KuryrPoolPort, condition: Condition) -> Action<What> {
    let basis = basis(&(port.uid(), port.resource_version(), &condition.status, &condition.reason));
    Action { key: port.name_any(), basis, what: What::Say(Box::new((port.clone(), condition))) }
}

async fn write(node: &Node, port: &KuryrPoolPort, condition: &Condition) -> Result<(), Failure> {
    let name = port.name_any();
    let patch = json!({
        "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPoolPort",
        "metadata": {"name": name, "uid": port.metadata.uid},
        "status": {"conditions": [condition]},
    });
    let api = Api::<GuardedPoolPort>::all(node.client.clone());
    let params = PatchParams::apply(DAEMON).force();
    let tried = || format!("writing the condition Plugged of KuryrPoolPort {name}");
    request(node, tried, api.patch_status(&name, &params, &Patch::Apply(&patch))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(claimed: bool, conditions: &[Condition]) -> KuryrPoolPort {
        let created = json!({"type": "Created", "status": "True", "reason": "r", "message": "m",
                             "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let conditions: Vec<_> = std::iter::once(created).chain(conditions.iter().map(|c| json!(c))).collect();
        let claim = json!({"kind": "KuryrPort", "namespace": "shop", "name": "web", "uid": "k", "interface": "eth0"});
        serde_json::from_value(json!({
            "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPoolPort", "metadata": {"name": "p", "uid": "u"},
            "spec": {"nodeName": "node1", "networkId": "n", "subnetIds": ["s"], "claimRef": claimed.then_some(claim)},
            "status": {"portId": "id", "macAddress": "fa:16:3e:00:00:01", "mtu": 1442, "conditions": conditions},
        }))
        .unwrap()
    }

    fn held() -> Held {
        Held { spec: spec(&port(false, &[])).unwrap(), host_interface: "kpod".into(), ready: true, error: None }
    }

    #[test]
    fn what_is_said_is_said_once_and_only_of_free_ports() {
        let now = Timestamp::now();
        let yes = said(&port(false, &[]), Some(&held()), now).unwrap();
        assert_eq!((yes.status.as_str(), yes.reason.as_str()), ("True", "Held"));
        let broken = Held { error: Some("no such device".into()), ..held() };
        let no = said(&port(false, std::slice::from_ref(&yes)), Some(&broken), now).unwrap();
        assert!(no.status == "False" && no.message.contains("no such device"), "{no:?}");
        let gone = said(&port(false, std::slice::from_ref(&yes)), None, now).unwrap();
        assert_eq!(gone.status, "False");
        for (condition, held) in [(yes, Some(held())), (no, Some(broken)), (gone, None)] {
            assert_eq!(said(&port(false, &[condition]), held.as_ref(), now), None, "promise P5");
        }
        assert_eq!(said(&port(false, &[]), None, now), None, "nothing was said, and nothing is");
        assert_eq!(said(&port(true, &[]), Some(&held()), now), None);
    }

    #[test]
    fn a_port_that_neutron_does_not_have_is_not_held() {
        assert!(spec(&port(false, &[])).is_some());
        let mut deleting = port(false, &[]);
        deleting.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        assert_eq!(spec(&deleting), None);
        let mut asked = port(false, &[]);
        asked.status.as_mut().unwrap().conditions.clear();
        assert_eq!(spec(&asked), None);
    }

    #[test]
    fn what_cannot_be_read_keeps_only_what_it_may_stand_for() {
        let pool = |network: &str| -> KuryrPool {
            serde_json::from_value(json!({
                "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPool", "metadata": {"name": "q", "uid": "u"},
                "spec": {"nodeName": "node1", "networkId": network, "subnetIds": ["s"]},
            }))
            .unwrap()
        };
        let (free, its_pool, other_pool) = (port(false, &[]), pool("n"), pool("other"));
        let mut deleting = free.clone();
        deleting.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        let (all, no_pool, no_port) =
            (Unread { pool: true, port: true }, Unread { pool: true, port: false }, Unread { pool: false, port: true });
        for (unread, id, pools, port, keeps) in [
            (no_port, "another", &its_pool, &free, true),
            (no_pool, "another", &its_pool, &free, false),
            (all, "id", &its_pool, &free, false),
            (all, "id", &other_pool, &free, true),
            (no_port, "id", &other_pool, &free, false),
            (all, "id", &other_pool, &deleting, false),
        ] {
            assert_eq!(unread.may_want(id, &[pools], &[port]), keeps, "{id} {} {}", unread.pool, unread.port);
        }
    }
}
