//! Which change starts which reconcile. One watch per kind, listened to by every reconciler that reads the kind.

use crate::{
    context::Context,
    inventory::pool_of,
    pod::Pod,
    port_status,
    runtime::{
        Kind,
        cache::{Cache, cache},
        events::Events,
        feed::Feed,
        metrics::Metrics,
        queue::{Inbox, Queue},
    },
};
use k8s_openapi::api::core::v1::{Node, NodeCondition, NodeSpec, NodeStatus};
use kube::{Client, ResourceExt};
use kuryr_api::{ClaimKind, KuryrPool, KuryrPoolPort, KuryrPort};
use kuryr_core::names;
use std::sync::Arc;

/// Only pods that can need a port are watched: bound to a node, with a network of their own. The API server leaves out the
/// others.
const PODS: &str = "spec.nodeName!=,spec.hostNetwork=false";

/// The caches of all kinds.
#[derive(Clone)]
pub struct Caches {
    /// Pods.
    pub pods: Cache<Pod>,
    /// Nodes.
    pub nodes: Cache<Node>,
    /// Pods' claims.
    pub ports: Cache<KuryrPort>,
    /// Neutron ports.
    pub pool_ports: Cache<KuryrPoolPort>,
    /// Levels of free ports.
    pub pools: Cache<KuryrPool>,
}

/// The watches behind the caches.
pub struct Feeds {
    /// Pods.
    pub pods: Feed<Pod>,
    /// Nodes.
    pub nodes: Feed<Node>,
    /// Pods' claims.
    pub ports: Feed<KuryrPort>,
    /// Neutron ports.
    pub pool_ports: Feed<KuryrPoolPort>,
    /// Levels of free ports.
    pub pools: Feed<KuryrPool>,
}

/// The queues of all kinds.
#[derive(Clone)]
pub struct Queues {
    /// Pods.
    pub pods: Queue<Pod>,
    /// Nodes.
    pub nodes: Queue<Node>,
    /// Pods' claims.
    pub ports: Queue<KuryrPort>,
    /// Neutron ports.
    pub pool_ports: Queue<KuryrPoolPort>,
    /// Levels of free ports.
    pub pools: Queue<KuryrPool>,
}

/// The ends of the queues from which the reconcilers take.
pub struct Inboxes {
    /// Pods.
    pub pods: Inbox<Pod>,
    /// Nodes.
    pub nodes: Inbox<Node>,
    /// Pods' claims.
    pub ports: Inbox<KuryrPort>,
    /// Neutron ports.
    pub pool_ports: Inbox<KuryrPoolPort>,
    /// Levels of free ports.
    pub pools: Inbox<KuryrPool>,
}

/// New queues, and their other ends.
pub fn queues() -> (Queues, Inboxes) {
    let (pods, pod_inbox) = Queue::new();
    let (nodes, node_inbox) = Queue::new();
    let (ports, port_inbox) = Queue::new();
    let (pool_ports, pool_port_inbox) = Queue::new();
    let (pools, pool_inbox) = Queue::new();
    let inboxes = Inboxes {
        pods: pod_inbox,
        nodes: node_inbox,
        ports: port_inbox,
        pool_ports: pool_port_inbox,
        pools: pool_inbox,
    };
    (Queues { pods, nodes, ports, pool_ports, pools }, inboxes)
}

/// New caches, and the watches that fill them. `labels`: NetworkPolicies read the labels of pods, and the names of their ports.
pub fn caches(
    client: &Client,
    metrics: &Metrics,
    events: &Events,
    watch_seconds: u32,
    labels: bool,
) -> (Caches, Feeds) {
    let prune_pod = if labels { prune_labelled_pod } else { prune_pod };
    let (pods, pod_feed) = cache(client, metrics, events, Some(PODS), prune_pod);
    let (nodes, node_feed) = cache(client, metrics, events, None, prune_node);
    let (ports, port_feed) = cache(client, metrics, events, None, prune_owned);
    let (pool_ports, pool_port_feed) = cache(client, metrics, events, None, prune);
    let (pools, pool_feed) = cache(client, metrics, events, None, prune);
    let feeds = Feeds {
        pods: pod_feed.lasting(watch_seconds),
        nodes: node_feed.lasting(watch_seconds),
        ports: port_feed.lasting(watch_seconds),
        pool_ports: pool_port_feed.lasting(watch_seconds),
        pools: pool_feed.lasting(watch_seconds),
    };
    (Caches { pods, nodes, ports, pool_ports, pools }, feeds)
}

/// Drops what no decision reads: a user may have written much there.
fn prune<K: Kind>(object: &mut K) {
    object.annotations_mut().clear();
    object.labels_mut().clear();
}

/// As [`prune`]; nor does any decision read whose the object is.
fn prune_owned<K: Kind>(object: &mut K) {
    prune(object);
    object.meta_mut().owner_references = None;
}

fn prune_pod(pod: &mut Pod) {
    prune_owned(pod);
    pod.spec.forget_containers();
}

fn prune_labelled_pod(pod: &mut Pod) {
    let labels = std::mem::take(pod.labels_mut());
    prune_owned(pod);
    *pod.labels_mut() = labels;
}

/// Keeps what decisions read of a node: who and where it is, whether it takes new pods, and whether it is ready.
fn prune_node(node: &mut Node) {
    prune(node);
    node.spec = node.spec.take().map(|spec| NodeSpec { taints: spec.taints, ..NodeSpec::default() });
    let ready = |condition: &NodeCondition| condition.type_ == "Ready";
    node.status = node.status.take().map(|status| NodeStatus {
        conditions: status.conditions.map(|all| all.into_iter().filter(ready).collect()),
        addresses: status.addresses,
        ..NodeStatus::default()
    });
}

impl Queues {
    /// Work begins: everything that is there is looked at, and from now on every change.
    pub fn begin(&self, caches: &Caches) {
        begin(&self.pods, &caches.pods);
        begin(&self.nodes, &caches.nodes);
        begin(&self.ports, &caches.ports);
        begin(&self.pool_ports, &caches.pool_ports);
        begin(&self.pools, &caches.pools);
    }

    /// Has everything looked at whose desired state follows from the configured networks.
    pub fn add_all(&self, caches: &Caches) {
        for port in caches.ports.all() {
            self.ports.look_over(port.namespace().as_deref(), &port.name_any());
        }
        for node in caches.nodes.all() {
            self.nodes.look_over(None, &node.name_any());
        }
        for pool in caches.pools.all() {
            self.pools.look_over(None, &pool.name_any());
        }
    }

    /// Number of objects of all kinds that wait to be looked at.
    pub fn depth(&self) -> usize {
        let (pods, nodes, ports) = (self.pods.depth(), self.nodes.depth(), self.ports.depth());
        pods + nodes + ports + self.pool_ports.depth() + self.pools.depth()
    }
}

fn begin<K: Kind>(queue: &Queue<K>, cache: &Cache<K>) {
    queue.open();
    cache.tell_malformed();
    for object in cache.all() {
        queue.look_over(object.meta().namespace.as_deref(), &object.name_any());
    }
}

impl Feeds {
    /// Has each change start the reconciles that it concerns.
    pub fn connect(&mut self, caches: &Caches, context: &Arc<Context>) {
        let queues = &context.queues;
        self.connect_pods(caches, queues, context);
        self.connect_nodes(caches, queues, context);
        self.connect_ports(queues, context);
        self.connect_pool_ports(queues, context);
        self.connect_pools(queues, context);
    }

    fn connect_pods(&mut self, caches: &Caches, queues: &Queues, context: &Arc<Context>) {
        let (queues, ports, context) = (queues.clone(), caches.ports.clone(), context.clone());
        self.pods.listen(move |pod, gone| {
            let (namespace, name, uid) = (pod.namespace(), pod.name_any(), pod.uid().unwrap_or_default());
            queues.pods.add(namespace.as_deref(), &name);
            let claim = names::kuryr_port(&name, &uid);
            if ports.get(namespace.as_deref(), &claim).is_some() {
                queues.ports.add(namespace.as_deref(), &claim);
            }
            if gone {
                context.seen.take(&uid);
            }
            if let Some(policies) = &context.policies {
                policies.pod_changed(&context, pod);
            }
        });
    }

    fn connect_nodes(&mut self, caches: &Caches, queues: &Queues, context: &Arc<Context>) {
        let (queues, caches, context) = (queues.clone(), caches.clone(), context.clone());
        let silence_matters = context.settings.nodes.patience().is_some();
        self.nodes.listen(move |node, gone| {
            let name = node.name_any();
            if let Some(policies) = &context.policies {
                policies.node_changed(&context, &name);
            }
            queues.nodes.add(None, &name);
            for pool in caches.pools.all().into_iter().filter(|pool| pool.spec.node_name == name) {
                queues.pools.add(None, &pool.name_any());
            }
            // Without its word its pods' claims that are being deleted may have to go.
            let waits = |port: &KuryrPort| gone || port.metadata.deletion_timestamp.is_some();
            if gone || silence_matters {
                for port in caches.ports.all().into_iter().filter(|port| port.spec.node_name == name && waits(port)) {
                    queues.ports.add(port.namespace().as_deref(), &port.name_any());
                }
            }
            if !gone {
                return;
            }
            for port in caches.pool_ports.all().into_iter().filter(|port| port.spec.node_name == name) {
                queues.pool_ports.add(None, &port.name_any());
            }
        });
    }

    fn connect_ports(&mut self, queues: &Queues, context: &Arc<Context>) {
        let (queues, inventory, context) = (queues.clone(), context.inventory.clone(), context.clone());
        self.ports.listen(move |port, gone| {
            let (namespace, name, uid) = (port.namespace(), port.name_any(), port.uid().unwrap_or_default());
            queues.ports.add(namespace.as_deref(), &name);
            context.waiting.note(namespace.as_deref(), &name, !gone && port_status::waits(port));
            let held = inventory.held_by(&uid, port.spec.interfaces.iter().map(|interface| interface.name.as_str()));
            if gone {
                // Deleted by hand: a pod that lives gets another one.
                queues.pods.add(namespace.as_deref(), &port.spec.pod_name);
                if let Some(pool) = inventory.served(&(namespace.unwrap_or_default(), name)) {
                    queues.pools.add(None, &pool);
                }
            }
            if let Some(policies) = &context.policies {
                policies.claim_changed(&context, port);
            }
            // A claim that has settled on one port leaves the others.
            if gone || held.len() > port.spec.interfaces.len() {
                for name in held {
                    queues.pool_ports.add(None, &name);
                }
            }
        });
    }

    fn connect_pool_ports(&mut self, queues: &Queues, context: &Arc<Context>) {
        let (queues, context) = (queues.clone(), context.clone());
        self.pool_ports.listen(move |port, gone| {
            if gone {
                context.inventory.remove(port);
            } else {
                context.inventory.put(port);
            }
            queues.pool_ports.add(None, &port.name_any());
            queues.pools.add(None, &pool_of(port));
            match &port.spec.claim_ref {
                Some(claim) if claim.kind == ClaimKind::KuryrPort => {
                    queues.ports.add(claim.namespace.as_deref(), &claim.name);
                }
                _ => {}
            }
            if gone {
                // Whoever let it go: nothing is left to be remembered about it.
                context.attempts.forget(&port.uid().unwrap_or_default());
            }
            if let Some(policies) = &context.policies {
                policies.port_changed(&context, port);
            }
            // A node's own port that is gone, or is missing in Neutron, is made anew.
            if port.owner_references().iter().any(|owner| owner.kind == "Node") {
                queues.nodes.add(None, &port.spec.node_name);
            }
        });
    }

    fn connect_pools(&mut self, queues: &Queues, context: &Arc<Context>) {
        let (queues, inventory) = (queues.clone(), context.inventory.clone());
        self.pools.listen(move |pool, gone| {
            let name = pool.name_any();
            queues.pools.add(None, &name);
            if gone {
                // Its ports have it made again, or go.
                for port in inventory.members(&name) {
                    queues.pool_ports.add(None, &port);
                }
            }
        });
    }
}
