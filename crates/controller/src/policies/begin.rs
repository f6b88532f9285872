//! How work on policies begins: what the cloud can do, what all policies together ask for, and what Neutron has.

use super::{
    Inboxes, Policies, audit,
    cluster_facts::cluster_policy,
    engine, facts,
    feed::{own_addresses, pod_fact},
    read::{self, Marks},
    state::State,
};
use crate::{
    context::Context,
    networks::{self, ResolveError},
    policy,
    runtime::{
        part::spawn,
        queue::{Runtime, work},
    },
    services::Services,
};
use ipnet::IpNet;
use kube::ResourceExt;
use kuryr_core::{
    backoff::Backoff,
    error::Class,
    policy::{Abilities, Fact, Settings, World, facts::Family},
};
use kuryr_openstack::neutron::SubnetId;
use std::{collections::BTreeSet, future::Future, sync::Arc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The provider whose load balancers show backends the client's address.
const KEEPS_SOURCE: &str = "ovn";

/// Starts what brings policies into force. Pods wait until it is known which groups there are.
pub fn start(
    context: &Arc<Context>,
    services: Option<&Arc<Services>>,
    inboxes: Inboxes,
    runtime: &Runtime,
    workers: &mut JoinSet<&'static str>,
) {
    let Some(policies) = context.policies.clone() else { return };
    let (stop, listed) = (runtime.shutdown.clone(), CancellationToken::new());
    let begun = begin(context.clone(), policies.clone(), services.cloned(), listed.clone(), stop.clone());
    spawn(workers, "NetworkPolicies in Neutron", begun);
    let many = policies.settings.controller.concurrency.network_policies;
    let reconciler = Arc::new(policy::NetworkPolicies(context.clone(), policies.clone()));
    let (cache, queue) = (policies.policies.clone(), policies.queue.clone());
    let worked = work(reconciler, cache, queue, inboxes.policies, many, runtime.clone());
    let reconciler = Arc::new(policy::ClusterNetworkPolicies(context.clone(), policies.clone()));
    let (cache, queue) = (policies.cluster_policies.clone(), policies.cluster_queue.clone());
    let worked_cluster = work(reconciler, cache, queue, inboxes.cluster_policies, many, runtime.clone());
    spawn(workers, "NetworkPolicies", async move {
        if stop.run_until_cancelled(listed.cancelled()).await.is_some() {
            tokio::join!(worked, worked_cluster);
        }
    });
}

async fn begin(
    context: Arc<Context>,
    policies: Arc<Policies>,
    services: Option<Arc<Services>>,
    listed: CancellationToken,
    stop: CancellationToken,
) {
    let ready = async {
        tokio::join!(
            policies.policies.synced(),
            policies.cluster_policies.synced(),
            policies.namespaces.synced(),
            policies.objects.synced()
        );
        if let Some(services) = &services {
            services.listed().await;
        }
        listed.cancel();
        let settings = persistently("what the cloud can do", || settings(&context, &policies)).await;
        build(&context, &policies, services.as_deref(), settings);
        let address_groups = policies.with(|state| state.world.settings().abilities.address_groups).unwrap_or(false);
        let all = persistently("security groups", || async {
            read::list(&policies.neutron, address_groups).await.map_err(networks::openstack("security groups"))
        });
        let all = all.await;
        // Of two with one mark the one that ports have is the right one.
        let used = engine::used_groups(&context);
        policies.with(|state| {
            let found = read::sort(policies.cluster(), &Marks::of(&state.world, []), all, &used);
            let (groups, rules) = (found.observed.groups.len(), found.observed.address_groups.len());
            tracing::info!(groups, address_groups = rules, "Neutron's groups are known, NetworkPolicies are served");
            state.see(found.observed);
            state.strangers = found.strangers;
        });
        look_over_all(&context, &policies);
    };
    if stop.run_until_cancelled(ready).await.is_none() {
        return;
    }
    tokio::join!(
        engine::run(context.clone(), policies.clone(), stop.clone()),
        audit::run(policies.clone(), stop.clone())
    );
    // A part that ends by itself ends the controller.
    stop.cancelled().await;
}

/// Asks until there is an answer.
async fn persistently<T, F: Future<Output = Result<T, ResolveError>>>(what: &str, ask: impl Fn() -> F) -> T {
    let mut failures = 0;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => {
                failures += 1;
                tracing::warn!(%error, "NetworkPolicies wait for Neutron to say {what}, trying again");
                tokio::time::sleep(Backoff::of(Class::Transient).delay(failures, fastrand::f64())).await;
            }
        }
    }
}

/// What the configuration and the cloud say, for all policies.
async fn settings(context: &Context, policies: &Policies) -> Result<Settings, ResolveError> {
    let (configured, neutron) = (&policies.settings, &policies.neutron);
    let failed = || networks::openstack("what Neutron can do");
    let address_groups = neutron.has_address_groups().await.map_err(failed())?;
    let mut service_ranges: BTreeSet<IpNet> = configured.network_policies.service_ranges.iter().copied().collect();
    if service_ranges.is_empty() {
        for wanted in &configured.services.subnets {
            service_ranges.insert(networks::subnet(neutron, "services.subnets", wanted).await?.cidr);
        }
    }
    let mut pod_networks = BTreeSet::new();
    for id in &context.networks.defaults().subnets {
        let found = neutron.get_subnet(&SubnetId::from(id.as_str())).await;
        pod_networks.insert(found.map_err(networks::openstack("pods' subnets"))?.cidr);
    }
    let families = pod_networks.iter().map(Family::of).collect();
    let source_kept = configured.services.provider.as_deref().is_none_or(|provider| provider == KEEPS_SOURCE);
    Ok(Settings {
        service_ranges,
        pod_networks,
        families,
        to_node: configured.network_policies.to_node,
        abilities: Abilities { address_groups, source_kept },
    })
}

/// Works out what there is to be. From now on every change is told: nothing comes between, because whoever tells waits for the same lock.
fn build(context: &Context, policies: &Policies, services: Option<&Services>, settings: Settings) {
    let mut state = policies.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let new = state.insert(State::new(World::new(settings)));
    for policy in policies.policies.all() {
        let (uid, name) = (facts::uid(&*policy), (policy.namespace().unwrap_or_default(), policy.name_any()));
        new.policies.insert(uid.clone(), name);
        new.touch(uid);
    }
    for pod in context.pods.all() {
        new.pods.insert(facts::uid(&*pod), (pod.namespace().unwrap_or_default(), pod.name_any()));
    }
    let nodes = context.nodes.all();
    let nodes = nodes.iter().map(|node| Fact::Node(facts::node(node, own_addresses(context, node))));
    let namespaces = policies.namespaces.all();
    let namespaces = namespaces.iter().map(|namespace| Fact::Namespace(facts::namespace(namespace)));
    let all = policies.policies.all();
    let all = all.iter().map(|policy| Fact::Policy(facts::policy(policy)));
    let cluster = policies.cluster_policies.all();
    let cluster = cluster.iter().map(|policy| Fact::ClusterPolicy(cluster_policy(policy)));
    let pods = context.pods.all();
    let pods = pods.iter().map(|pod| pod_fact(context, pod));
    let services = services.map(Services::backends_of_all).unwrap_or_default();
    new.learn(nodes.chain(namespaces).chain(all).chain(cluster).chain(pods).chain(services));
}

/// Has everything looked at that waits for groups.
fn look_over_all(context: &Context, policies: &Policies) {
    policies.queue.open();
    policies.cluster_queue.open();
    for port in context.ports.all() {
        context.queues.ports.add(port.namespace().as_deref(), &port.name_any());
    }
    for pool in context.pools.all() {
        context.queues.pools.add(None, &pool.name_any());
    }
    for policy in policies.policies.all() {
        policies.queue.look_over(policy.namespace().as_deref(), &policy.name_any());
    }
    for policy in policies.cluster_policies.all() {
        policies.cluster_queue.look_over(None, &policy.name_any());
    }
}
