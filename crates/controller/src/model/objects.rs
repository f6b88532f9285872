//! The model's state as the objects that the reconcilers see.

use super::{Claim, Port, World};
use crate::{pool_port, port, reasons};
use kuryr_api::{ClaimRef, InterfaceRequest, KuryrPoolPort, KuryrPoolPortSpec, KuryrPort, KuryrPortSpec};
use kuryr_core::names;
use serde_json::json;
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex},
};

pub(super) const NOW: &str = "2026-11-23T12:00:00Z";
const JUST_NOW: &str = "2026-11-23T11:59:59Z";

/// Pods and free ports by their nodes. Every pod may have a port made besides.
pub(super) struct Protocol {
    pub(super) pods: Vec<usize>,
    pub(super) free: Vec<usize>,
    /// Pods that ports can be made for; Neutron has no room for others.
    pub(super) misses: Vec<usize>,
    /// Somebody may delete a port in Neutron by hand.
    pub(super) vanishes: bool,
    /// What the reconcilers plan: the same is asked over and over.
    pub(super) claim_plans: Memo<ClaimSeen, Vec<port::plan::Step>>,
    pub(super) port_plans: Memo<PortSeen, pool_port::plan::Step>,
    /// Whether it converges from the present that a state has, whatever was before.
    pub(super) ends: Memo<World, bool>,
}

pub(super) type Memo<K, V> = Mutex<HashMap<K, V>>;

/// What the port reconciler sees: pod, claim, all ports, whether the pod lives, and the settled port as the API server has it.
pub(super) type ClaimSeen = (usize, Claim, Vec<Option<Port>>, bool, Option<Port>);

/// What the pool_port reconciler sees: port and claimant.
pub(super) type PortSeen = (usize, Port, Option<Claim>);

pub(super) fn remembered<K: Hash + Eq, V: Clone>(memo: &Memo<K, V>, key: K, make: impl FnOnce(&K) -> V) -> V {
    if let Some(known) = memo.lock().unwrap().get(&key) {
        return known.clone();
    }
    let made = make(&key);
    memo.lock().unwrap().insert(key, made.clone());
    made
}

impl Protocol {
    pub(super) fn new(pods: &[usize], free: &[usize], misses: &[usize]) -> Self {
        let (claim_plans, port_plans, ends) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (pods, free, misses) = (pods.to_vec(), free.to_vec(), misses.to_vec());
        Self { pods, free, misses, vanishes: false, claim_plans, port_plans, ends }
    }

    /// Node of the port: first come the free ones, then each pod's own.
    pub(super) fn node(&self, port: usize) -> usize {
        self.free.get(port).copied().unwrap_or_else(|| self.pods[port - self.free.len()])
    }

    pub(super) fn port_name(&self, port: usize) -> String {
        match port.checked_sub(self.free.len()) {
            Some(pod) => names::pool_port(&format!("node{}", self.pods[pod]), &format!("claim{pod}"), "eth0"),
            None => format!("free-{port}"),
        }
    }

    pub(super) fn port_of(&self, name: &str) -> usize {
        (0..self.free.len() + self.pods.len()).find(|port| self.port_name(*port) == name).unwrap()
    }

    pub(super) fn claim_object(&self, pod: usize, claim: &Claim) -> Arc<KuryrPort> {
        let spec = KuryrPortSpec {
            pod_name: format!("pod{pod}"),
            pod_uid: format!("pod{pod}"),
            node_name: format!("node{}", self.pods[pod]),
            interfaces: vec![InterfaceRequest { name: "eth0".into() }],
        };
        let mut object = KuryrPort::new(&names::kuryr_port(&spec.pod_name, &spec.pod_uid), spec);
        object.metadata.uid = Some(format!("claim{pod}"));
        object.metadata.namespace = Some("shop".into());
        object.metadata.finalizers = Some(vec![names::INTERFACE_FINALIZER.to_owned()]);
        object.metadata.deletion_timestamp = claim.deleting.then(|| serde_json::from_value(json!(NOW)).unwrap());
        if let Some(port) = claim.settled {
            let interface = json!({ "name": "eth0", "poolPort": self.port_name(port), "portId": "p", "mtu": 1500,
                "macAddress": "fa:16:3e:00:00:01", "addresses": [], "binding": { "kind": "OVS" } });
            object.status = Some(serde_json::from_value(json!({ "interfaces": [interface] })).unwrap());
        }
        Arc::new(object)
    }

    pub(super) fn claim_ref(&self, pod: usize) -> ClaimRef {
        port::observe::claim_of(&self.claim_object(pod, &Claim::default()), "eth0")
    }

    pub(super) fn port_object(&self, number: usize, port: &Port) -> Arc<KuryrPoolPort> {
        let spec = KuryrPoolPortSpec {
            node_name: format!("node{}", self.node(number)),
            network_id: "net".into(),
            subnet_ids: vec!["four".into()],
            security_group_ids: vec![],
            claim_ref: port.claim.map(|pod| self.claim_ref(pod)),
            released_at: port.hot.then(|| serde_json::from_value(json!(JUST_NOW)).unwrap()),
        };
        let mut object = KuryrPoolPort::new(&self.port_name(number), spec);
        object.metadata.uid = Some(format!("port{number}-{}", port.life));
        object.metadata.finalizers = Some(vec![names::NEUTRON_PORT_FINALIZER.to_owned()]);
        object.metadata.deletion_timestamp = port.deleting.then(|| serde_json::from_value(json!(NOW)).unwrap());
        if port.created {
            let (status, reason) =
                if port.missing { ("False", reasons::PORT_MISSING) } else { ("True", reasons::CREATED) };
            let condition = json!({ "type": "Created", "status": status, "reason": reason, "message": "", "lastTransitionTime": NOW });
            object.status = Some(serde_json::from_value(json!({ "portId": "p", "conditions": [condition] })).unwrap());
        }
        Arc::new(object)
    }
}
