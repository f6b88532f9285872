//! Which change is told to the world.

use super::{Policies, cluster_facts::cluster_policy, facts};
use crate::{
    context::Context,
    pod::Pod,
    policies::ports::ports_of,
    runtime::{feed::Feed, health::Health, part::spawn, queue::Inbox},
};
use k8s_openapi::api::{core::v1, networking::v1::NetworkPolicy};
use kube::ResourceExt;
use kuryr_api::{ClaimKind, ClusterNetworkPolicy, KuryrNetworkPolicy, KuryrPoolPort, KuryrPort};
use kuryr_core::{
    names,
    policy::{Fact, facts::Name},
};
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The ends of the queues from which the reconcilers take.
pub struct Inboxes {
    pub(super) policies: Inbox<NetworkPolicy>,
    pub(super) cluster_policies: Inbox<ClusterNetworkPolicy>,
}

/// The watches, and what reconcilers take from.
pub struct Parts {
    pub(super) policies: Feed<NetworkPolicy>,
    pub(super) cluster_policies: Feed<ClusterNetworkPolicy>,
    pub(super) namespaces: Feed<v1::Namespace>,
    pub(super) objects: Feed<KuryrNetworkPolicy>,
    pub(super) inboxes: Inboxes,
}

impl Parts {
    /// Connects the watches, and starts them.
    pub fn watch(
        mut self,
        policies: &Arc<Policies>,
        health: &Health,
        stop: &CancellationToken,
        parts: &mut JoinSet<&'static str>,
    ) -> Inboxes {
        let all = policies.clone();
        self.cluster_policies.listen(move |policy, gone| {
            all.cluster_policy_changed(policy, gone);
            all.cluster_queue.add(None, &policy.name_any());
        });
        let all = policies.clone();
        self.policies.listen(move |policy, gone| {
            all.policy_changed(policy, gone);
            all.queue.add(policy.namespace().as_deref(), &policy.name_any());
        });
        let all = policies.clone();
        self.namespaces.listen(move |namespace, gone| {
            let name = namespace.name_any().into();
            all.learn([if gone { Fact::NoNamespace(name) } else { Fact::Namespace(facts::namespace(namespace)) }]);
        });
        let all = policies.clone();
        self.objects.listen(move |object, _| {
            all.queue.add(object.namespace().as_deref(), &object.spec.policy_name);
        });
        let Self { policies, cluster_policies, namespaces, objects, inboxes } = self;
        spawn(parts, "watch of NetworkPolicies", policies.run(health.clone(), stop.clone()));
        spawn(parts, "watch of ClusterNetworkPolicies", cluster_policies.run(health.clone(), stop.clone()));
        spawn(parts, "watch of Namespaces", namespaces.run(health.clone(), stop.clone()));
        spawn(parts, "watch of KuryrNetworkPolicies", objects.run(health.clone(), stop.clone()));
        inboxes
    }
}

impl Policies {
    fn policy_changed(&self, policy: &NetworkPolicy, gone: bool) {
        let uid = facts::uid(policy);
        self.with(|state| match gone {
            true => {
                state.policies.remove(&uid);
                state.learn([Fact::NoPolicy(uid.clone())]);
                state.unprogrammed.remove(&uid);
            }
            false => {
                state.policies.insert(uid.clone(), (policy.namespace().unwrap_or_default(), policy.name_any()));
                state.touch(uid.clone());
                state.learn([Fact::Policy(facts::policy(policy))]);
            }
        });
        if gone {
            self.told.forget(&uid);
        }
        self.wake();
    }

    fn cluster_policy_changed(&self, policy: &ClusterNetworkPolicy, gone: bool) {
        let name = Name::from(policy.name_any());
        self.with(|state| {
            if gone {
                state.learn([Fact::NoClusterPolicy(name.clone())]);
                state.cluster_unprogrammed.remove(&name);
            } else {
                // A status that is written, by Kuryr itself too, says nothing new, and touches nothing.
                state.learn([Fact::ClusterPolicy(cluster_policy(policy))]);
            }
        });
        if gone {
            self.told.forget(&policy.uid().unwrap_or_default());
        }
        self.wake();
    }

    /// A pod has changed, or has gone. What is there now is looked up while nobody else tells anything: several watches tell of a pod, and whoever
    /// is last must not tell what another has seen before.
    pub fn pod_changed(&self, context: &Context, pod: &Pod) {
        let (uid, name) = (facts::uid(pod), (pod.namespace().unwrap_or_default(), pod.name_any()));
        self.with(|state| {
            let there = context.pods.get(Some(&name.0), &name.1).filter(|there| facts::uid(&**there) == uid);
            match there {
                Some(pod) => {
                    state.pods.insert(uid.clone(), name);
                    state.port_changed(&uid);
                    state.learn([pod_fact(context, &pod)]);
                }
                None => {
                    state.pods.remove(&uid);
                    state.waiting.remove(&uid);
                    state.learn([Fact::NoPod(uid)]);
                }
            }
        });
        self.wake();
    }

    /// A claim has changed: its pod may have other addresses.
    pub fn claim_changed(&self, context: &Context, claim: &KuryrPort) {
        let pod = context.pods.get(claim.namespace().as_deref(), &claim.spec.pod_name);
        if let Some(pod) = pod.filter(|pod| pod.uid().as_deref() == Some(&claim.spec.pod_uid)) {
            self.pod_changed(context, &pod);
        }
    }

    /// A port has changed: so may have the addresses of the pod or the node that has it.
    pub fn port_changed(&self, context: &Context, port: &KuryrPoolPort) {
        match port.spec.claim_ref.as_ref().map(|claim| (claim, claim.kind)) {
            Some((claim, ClaimKind::KuryrPort)) => {
                if let Some(claim) = context.ports.get(claim.namespace.as_deref(), &claim.name) {
                    self.claim_changed(context, &claim);
                }
            }
            Some((_, ClaimKind::Node)) => self.node_changed(context, &port.spec.node_name),
            None => {}
        }
        // Groups wait until no port has them.
        self.wake();
    }

    /// A node has changed, or has gone.
    pub fn node_changed(&self, context: &Context, name: &str) {
        self.with(|state| {
            state.learn([match context.nodes.get(None, name) {
                Some(node) => Fact::Node(facts::node(&node, own_addresses(context, &node))),
                None => Fact::NoNode(name.into()),
            }]);
        });
        self.wake();
    }
}

/// What there is of a pod.
pub fn pod_fact(context: &Context, pod: &Pod) -> Fact {
    let name = (pod.namespace().unwrap_or_default(), pod.name_any());
    let ports = ports_of(context, &facts::uid(pod), &name);
    Fact::Pod(facts::pod(pod, ports.iter().flat_map(|port| addresses(port)).collect()))
}

/// The addresses of the node's own port.
pub fn own_addresses(context: &Context, node: &v1::Node) -> BTreeSet<IpAddr> {
    let name = names::pool_port(&node.name_any(), &node.uid().unwrap_or_default(), names::NODE_INTERFACE);
    context.pool_ports.get(None, &name).iter().flat_map(|port| addresses(port)).collect()
}

fn addresses(port: &KuryrPoolPort) -> Vec<IpAddr> {
    port.status.iter().flat_map(|status| &status.addresses).map(|address| address.ip).collect()
}
