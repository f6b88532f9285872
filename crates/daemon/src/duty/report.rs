//! Writes the conditions `Plugged` and `Ready` of the node's KuryrPorts.

use super::{Action, Duty, Failure, basis, request};
use crate::{
    caches::{GuardedPort, Since},
    decide::{PlugFacts, PlugState},
    node::{Claim, Node, neutron_says},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use kuryr_api::{
    DAEMON, KuryrPort, Readiness,
    conditions::{self, PLUGGED, READY, Wanted},
};
use kuryr_datapath::Attached;
use serde_json::json;
use std::{collections::HashMap, sync::Arc};
use tokio::time::{Duration, Instant};

/// Reason of the conditions when an interface that was there isn't any more.
const INTERFACE_MISSING: &str = "InterfaceMissing";

/// How soon good news that was kept back is looked at again.
const LATER: Duration = Duration::from_secs(1);

/// Reports what became of the KuryrPorts' interfaces.
#[derive(Default)]
pub struct Report {
    missing: Since<String>,
    /// Good news is to be told later.
    later: bool,
}

/// Conditions to write.
pub struct Conditions {
    namespace: String,
    name: String,
    uid: String,
    conditions: Vec<Condition>,
}

impl Duty for Report {
    type What = Conditions;

    fn name(&self) -> &'static str {
        "report"
    }

    async fn plan(&mut self, node: &Node) -> Option<Vec<Action<Conditions>>> {
        if !node.caches.unsynced().is_empty() {
            return None;
        }
        // Calls in flight first: an interface whose ADD ends between the two looks is on record at the second.
        let ports: Vec<_> = node.caches.ports.state_filter(|port| !port.deleting() && port.0.is_ok());
        let busy: Vec<bool> = ports.iter().map(|port| adding(node, port)).collect();
        let attached = node.switch.driver.attachments().await.ok()?;
        node.metrics.attached.set(i64::try_from(attached.len()).unwrap_or(i64::MAX));
        let mut by_pod: HashMap<&str, Vec<&Attached>> = HashMap::new();
        for interface in &attached {
            by_pod.entry(&interface.pod.uid).or_default().push(interface);
        }
        let facts: Vec<_> = ports.iter().zip(busy).map(|(port, busy)| facts(node, port, busy, &by_pod)).collect();
        let missing = ports.iter().zip(&facts).filter(|(port, facts)| is_missing(port, facts));
        let missing = self.missing.update(missing.filter_map(|(port, _)| port.uid()), Instant::now());
        node.metrics.missing.set(i64::try_from(missing.len()).unwrap_or(i64::MAX));
        let missing_for = |port: &GuardedPort| port.uid().and_then(|uid| missing.get(&uid).copied());
        let states = ports.iter().zip(facts).map(|(port, facts)| {
            (port, PlugFacts { missing_for: missing_for(port).unwrap_or(Duration::ZERO), ..facts }.state())
        });
        let (mut news, starting) = (states.collect::<Vec<_>>(), node.in_flight.starting());
        let all = news.len();
        news.retain(|(port, state)| !(starting && can_wait(port, *state)));
        self.later = news.len() < all;
        Some(news.into_iter().filter_map(|(port, state)| write(port, state, &node.settings.node_name)).collect())
    }

    fn again(&self, _now: Instant) -> Option<Duration> {
        self.later.then_some(LATER)
    }

    async fn act(node: Arc<Node>, what: Conditions) -> Result<(), Failure> {
        let api = Api::<KuryrPort>::namespaced(node.client.clone(), &what.namespace);
        let patch = json!({
            "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPort",
            "metadata": {"name": what.name, "namespace": what.namespace, "uid": what.uid},
            "status": {"conditions": what.conditions},
        });
        let tried = || format!("writing the conditions of KuryrPort {}/{}", what.namespace, what.name);
        let params = PatchParams::apply(DAEMON).force();
        request(&node, tried, api.patch_status(&what.name, &params, &Patch::Apply(&patch))).await
    }
}

fn adding(node: &Node, port: &GuardedPort) -> bool {
    let (namespace, name) = (port.namespace().unwrap_or_default(), port.pod_name().unwrap_or_default());
    port.pod_uid().is_some_and(|uid| node.in_flight.adding(&namespace, name, uid))
}

fn facts(node: &Node, port: &GuardedPort, busy: bool, by_pod: &HashMap<&str, Vec<&Attached>>) -> PlugFacts {
    let active = conditions::is_true(port.conditions(), conditions::ACTIVE);
    let passes = |interface: &Attached| match &port.0 {
        Ok(port) if neutron_says(port, &interface.port_id) => active,
        _ => interface.ready,
    };
    let of_pod = port.pod_uid().and_then(|uid| by_pod.get(uid)).map_or(&[][..], Vec::as_slice);
    let of_pod: Vec<_> = of_pod.iter().filter(|interface| is_of(port, interface)).collect();
    PlugFacts {
        wanted: port.0.as_ref().map_or(0, |port| port.spec.interfaces.len()),
        attached: of_pod.len(),
        ready: of_pod.iter().filter(|interface| passes(interface) && interface.error.is_none()).count(),
        busy: busy || of_pod.iter().any(|interface| node.in_flight.busy(&interface.container_id)),
        said_plugged: conditions::is_true(port.conditions(), PLUGGED),
        missing_for: Duration::ZERO,
        grace: node.settings.timeouts.missing(),
    }
}

/// Whether an interface of the pod has one of the Neutron ports that the KuryrPort says. One with another is left of a KuryrPort
/// that somebody deleted.
fn is_of(port: &GuardedPort, interface: &Attached) -> bool {
    let status = port.0.as_ref().ok().and_then(|port| port.status.as_ref());
    status.is_some_and(|status| status.interfaces.iter().any(|got| got.port_id == interface.port_id))
}

/// Whether the news can wait until pods have started: that all is well from the beginning nobody waits to hear, and the API server would
/// take the processor that these pods need.
fn can_wait(port: &GuardedPort, state: PlugState) -> bool {
    state == PlugState::Ready && port.conditions().iter().all(|condition| condition.type_ != PLUGGED)
}

/// Whether the pod waits for Neutron's word.
fn by_neutron(port: &GuardedPort) -> bool {
    let interfaces = port.0.as_ref().ok().and_then(|port| port.status.as_ref()).map(|status| &status.interfaces[..]);
    interfaces.unwrap_or_default().iter().any(|got| got.binding.readiness == Readiness::NeutronStatus)
}

/// Whether an interface that was there isn't any more. One that never was is on its way.
fn is_missing(port: &GuardedPort, facts: &PlugFacts) -> bool {
    let said_missing = port.conditions().iter().any(|c| c.type_ == PLUGGED && c.reason == INTERFACE_MISSING);
    facts.attached < facts.wanted && (facts.said_plugged || said_missing)
}

/// The conditions of a state.
fn wanted(state: PlugState, by_neutron: bool, node: &str) -> Vec<Wanted> {
    let condition = |type_, status, reason, message: String| Wanted { type_, status: Some(status), reason, message };
    let connected = || condition(PLUGGED, true, "Connected", format!("Connected on node {node}."));
    match state {
        PlugState::Unchanged => Vec::new(),
        PlugState::Ready => {
            let reason = if by_neutron { "NeutronActive" } else { "DataplaneReady" };
            vec![connected(), condition(READY, true, reason, format!("Packets pass on node {node}."))]
        }
        PlugState::Plugged if by_neutron => {
            let why = format!("Neutron hasn't said ACTIVE yet; see Neutron's agent on node {node}.");
            vec![connected(), condition(READY, false, "WaitingForNeutron", why)]
        }
        PlugState::Plugged => {
            let why =
                format!("The dataplane of node {node} hasn't installed the port's flows; see ovn-controller there.");
            vec![connected(), condition(READY, false, "WaitingForDataplane", why)]
        }
        PlugState::Missing => {
            let why = format!("The interface is missing on node {node}; delete the pod if it doesn't recover.");
            let both = [PLUGGED, READY];
            both.map(|type_| condition(type_, false, INTERFACE_MISSING, why.clone())).into()
        }
    }
}

/// What is to be written. Nothing where the KuryrPort says it already.
fn write(port: &GuardedPort, state: PlugState, node: &str) -> Option<Action<Conditions>> {
    let wanted = wanted(state, by_neutron(port), node);
    if wanted.iter().all(|wanted| wanted.is_in(port.conditions())) {
        return None;
    }
    let generation = kube::Resource::meta(port).generation;
    let now = Timestamp::now();
    let conditions: Vec<_> = wanted.iter().map(|wanted| wanted.onto(port.conditions(), generation, now)).collect();
    let (namespace, name, uid) = (port.namespace()?, port.name_any(), port.uid()?);
    let said: Vec<_> = wanted.iter().map(|wanted| (wanted.type_, wanted.status, wanted.reason)).collect();
    let basis = basis(&(&uid, port.resource_version(), said));
    Some(Action { key: format!("{namespace}/{name}"), basis, what: Conditions { namespace, name, uid, conditions } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(conditions: &[Condition]) -> GuardedPort {
        serde_json::from_value(json!({
            "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPort",
            "metadata": {"namespace": "shop", "name": "web-0-x", "uid": "k1", "resourceVersion": "7", "generation": 1},
            "spec": {"podName": "web-0", "podUid": "u1", "nodeName": "node1", "interfaces": [{"name": "eth0"}]},
            "status": {"conditions": conditions},
        }))
        .unwrap()
    }

    #[test]
    fn a_state_is_written_once() {
        for state in [PlugState::Ready, PlugState::Plugged, PlugState::Missing] {
            let first = write(&port(&[]), state, "node1").unwrap();
            assert_eq!(first.what.conditions.len(), 2);
            assert!(write(&port(&first.what.conditions), state, "node1").is_none(), "{state:?} (promise P5)");
        }
        assert!(write(&port(&[]), PlugState::Unchanged, "node1").is_none());
    }

    #[test]
    fn only_interfaces_with_the_claims_own_ports_count() {
        let attached = |port_id: &str| Attached {
            pod: kuryr_datapath::PodRef { namespace: "shop".into(), name: "web-0".into(), uid: "u1".into() },
            container_id: "c".into(),
            netns: "/run/netns/c".into(),
            ifname: "eth0".into(),
            host_interface: "kpod".into(),
            port_id: port_id.into(),
            ready: true,
            error: None,
        };
        assert!(!is_of(&port(&[]), &attached("p1")), "it has no ports yet");
        let mut with_port = port(&[]);
        let status = with_port.0.as_mut().unwrap().status.as_mut().unwrap();
        status.interfaces = serde_json::from_value(json!([{
            "name": "eth0", "poolPort": "n-1", "portId": "p1", "macAddress": "fa:16:3e:00:00:01", "mtu": 1442,
            "addresses": [], "binding": {"kind": "OVS"},
        }]))
        .unwrap();
        assert!(is_of(&with_port, &attached("p1")) && !is_of(&with_port, &attached("p0")));
    }

    #[test]
    fn only_good_news_of_what_was_never_bad_can_wait() {
        let plugged = write(&port(&[]), PlugState::Plugged, "node1").unwrap().what.conditions;
        for (said, state, waits) in [
            (&[][..], PlugState::Ready, true),
            (&[], PlugState::Plugged, false),
            (&[], PlugState::Missing, false),
            (&plugged, PlugState::Ready, false),
        ] {
            assert_eq!(can_wait(&port(said), state), waits, "{state:?}");
        }
    }

    #[test]
    fn the_time_of_a_condition_moves_only_when_it_flips() {
        let mut plugged = write(&port(&[]), PlugState::Plugged, "node1").unwrap().what.conditions;
        for condition in &mut plugged {
            condition.last_transition_time = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        }
        let ready = write(&port(&plugged), PlugState::Ready, "node1").unwrap().what.conditions;
        assert_eq!(ready[0].last_transition_time, plugged[0].last_transition_time);
        assert_ne!(ready[1].last_transition_time, plugged[1].last_transition_time);
    }
}
