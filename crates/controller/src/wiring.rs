//! Which change starts which reconcile. One watch per kind, listened to by every reconciler that reads the kind.

use crate::{
    context::Context,
    runtime::{
        cache::{Cache, Feed, cache},
        events::Events,
        metrics::Metrics,
        queue::{Inbox, Queue},
    },
};
use k8s_openapi::api::core::v1::{Node, Pod, PodSpec, PodStatus};
use kube::{Client, ResourceExt};
use kuryr_api::{ClaimKind, KuryrPoolPort, KuryrPort};
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
}

/// New queues, and their other ends.
pub fn queues() -> (Queues, Inboxes) {
    let (pods, pod_inbox) = Queue::new();
    let (nodes, node_inbox) = Queue::new();
    let (ports, port_inbox) = Queue::new();
    let (pool_ports, pool_port_inbox) = Queue::new();
    let inboxes = Inboxes { pods: pod_inbox, nodes: node_inbox, ports: port_inbox, pool_ports: pool_port_inbox };
    (Queues { pods, nodes, ports, pool_ports }, inboxes)
}

/// New caches, and the watches that fill them.
pub fn caches(client: &Client, metrics: &Metrics, events: &Events) -> (Caches, Feeds) {
    let (pods, pod_feed) = cache(client, metrics, events, Some(PODS), prune_pod);
    let (nodes, node_feed) = cache(client, metrics, events, None, prune_node);
    let (ports, port_feed) = cache(client, metrics, events, None, |_| {});
    let (pool_ports, pool_port_feed) = cache(client, metrics, events, None, |_| {});
    let feeds = Feeds { pods: pod_feed, nodes: node_feed, ports: port_feed, pool_ports: pool_port_feed };
    (Caches { pods, nodes, ports, pool_ports }, feeds)
}

/// Keeps what decisions read of a pod: who it is, where it is, whether it has ended.
fn prune_pod(pod: &mut Pod) {
    pod.annotations_mut().clear();
    pod.labels_mut().clear();
    pod.metadata.owner_references = None;
    pod.spec = pod.spec.take().map(|spec| PodSpec {
        node_name: spec.node_name,
        host_network: spec.host_network,
        ..PodSpec::default()
    });
    pod.status = pod.status.take().map(|status| PodStatus { phase: status.phase, ..PodStatus::default() });
}

/// Keeps what decisions read of a node: who it is.
fn prune_node(node: &mut Node) {
    node.annotations_mut().clear();
    node.labels_mut().clear();
    (node.spec, node.status) = (None, None);
}

impl Queues {
    /// Has everything looked at whose desired state follows from the configured networks.
    pub fn add_all(&self, caches: &Caches) {
        for port in caches.ports.all() {
            self.ports.add(port.namespace().as_deref(), &port.name_any());
        }
        for node in caches.nodes.all() {
            self.nodes.add(None, &node.name_any());
        }
    }
}

impl Feeds {
    /// Has each change start the reconciles that it concerns.
    pub fn connect(&mut self, caches: &Caches, queues: &Queues, context: &Arc<Context>) {
        self.connect_pods(caches, queues, context);
        self.connect_nodes(caches, queues);
        self.connect_ports(queues);
        self.connect_pool_ports(queues, context);
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
        });
    }

    fn connect_nodes(&mut self, caches: &Caches, queues: &Queues) {
        let (queues, caches) = (queues.clone(), caches.clone());
        self.nodes.listen(move |node, gone| {
            let name = node.name_any();
            queues.nodes.add(None, &name);
            if !gone {
                return;
            }
            for port in caches.ports.all().into_iter().filter(|port| port.spec.node_name == name) {
                queues.ports.add(port.namespace().as_deref(), &port.name_any());
            }
            for port in caches.pool_ports.all().into_iter().filter(|port| port.spec.node_name == name) {
                queues.pool_ports.add(None, &port.name_any());
            }
        });
    }

    fn connect_ports(&mut self, queues: &Queues) {
        let queues = queues.clone();
        self.ports.listen(move |port, gone| {
            let namespace = port.namespace();
            queues.ports.add(namespace.as_deref(), &port.name_any());
            if gone {
                // Deleted by hand: a pod that lives gets another one.
                queues.pods.add(namespace.as_deref(), &port.spec.pod_name);
                for interface in &port.spec.interfaces {
                    let uid = port.uid().unwrap_or_default();
                    queues.pool_ports.add(None, &names::pool_port(&port.spec.node_name, &uid, &interface.name));
                }
            }
        });
    }

    fn connect_pool_ports(&mut self, queues: &Queues, context: &Arc<Context>) {
        let (queues, context) = (queues.clone(), context.clone());
        self.pool_ports.listen(move |port, gone| {
            queues.pool_ports.add(None, &port.name_any());
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
            // A node's own port that is gone, or is missing in Neutron, is made anew.
            if port.owner_references().iter().any(|owner| owner.kind == "Node") {
                queues.nodes.add(None, &port.spec.node_name);
            }
        });
    }
}
