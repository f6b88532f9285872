//! What Octavia does with a request, as a model: tests of the plan run against it.

use super::{
    graph::{Graph, HealthMonitor, Key, Listener, Members},
    observed::{
        Observed, ObservedListener, ObservedLoadBalancer, ObservedMember, ObservedMonitor, ObservedPool, Operating,
        Provisioning,
    },
    step::Step,
};
use std::collections::BTreeMap;

/// What Octavia has after a step, as soon as it is done with it. `new_id` gives ids that nothing has yet.
///
/// What a request names becomes `ACTIVE`, as if all went well; what it doesn't name stays as it is.
pub fn apply(step: &Step, observed: &mut Observed, new_id: &mut dyn FnMut() -> String) {
    match step {
        Step::Converged | Step::Blocked(_) => {}
        Step::Wait { load_balancer, .. } => settle(observed, load_balancer),
        Step::Create { graph } => {
            let created = create(graph, new_id);
            observed.recorded = Some(created.id.clone());
            observed.load_balancers.push(created);
        }
        Step::Delete { load_balancer, .. } => observed.load_balancers.retain(|one| one.id != *load_balancer),
        Step::Failover { load_balancer } => {
            if let Some(one) = find(observed, load_balancer) {
                one.provisioning = Provisioning::Active;
            }
        }
        Step::UpdateLoadBalancer { load_balancer, name } => {
            if let Some(one) = find(observed, load_balancer) {
                one.name.clone_from(name);
                one.admin_state_up = true;
            }
        }
        part => observed.load_balancers.iter_mut().for_each(|one| apply_to(part, one, new_id)),
    }
}

fn find<'a>(observed: &'a mut Observed, id: &str) -> Option<&'a mut ObservedLoadBalancer> {
    observed.load_balancers.iter_mut().find(|one| one.id == id)
}

/// What was pending is done.
fn settle(observed: &mut Observed, id: &str) {
    observed.load_balancers.retain(|one| one.id != id || one.provisioning != Provisioning::PendingDelete);
    let Some(one) = find(observed, id) else { return };
    let done = |status: &mut Provisioning| {
        if status.is_pending() {
            *status = Provisioning::Active;
        }
    };
    done(&mut one.provisioning);
    let gone = |status: Provisioning| status == Provisioning::PendingDelete;
    one.listeners.retain(|listener| !gone(listener.provisioning));
    one.listeners.iter_mut().for_each(|listener| done(&mut listener.provisioning));
    one.pools.retain(|pool| !gone(pool.provisioning));
    let pools = &one.pools;
    for listener in &mut one.listeners {
        listener.pool_id = listener.pool_id.take().filter(|id| pools.iter().any(|pool| pool.id == *id));
    }
    for pool in &mut one.pools {
        done(&mut pool.provisioning);
        pool.members.retain(|_, member| !gone(member.provisioning));
        pool.members.values_mut().for_each(|member| done(&mut member.provisioning));
        pool.monitor = pool.monitor.take().filter(|monitor| !gone(monitor.provisioning));
        pool.monitor.iter_mut().for_each(|monitor| done(&mut monitor.provisioning));
    }
}

fn create(graph: &Graph, new_id: &mut dyn FnMut() -> String) -> ObservedLoadBalancer {
    let mut created = ObservedLoadBalancer {
        id: new_id(),
        provisioning: Provisioning::Active,
        operating: Operating::Online,
        name: graph.name.clone(),
        description: graph.description.clone(),
        admin_state_up: true,
        provider: graph.provider.clone().unwrap_or_else(|| "amphora".to_owned()),
        flavor_id: graph.flavor_id.clone(),
        availability_zone: graph.availability_zone.clone(),
        vip: graph.vip.clone(),
        vip_port_id: new_id(),
        additional_vips: graph.additional_vips.clone(),
        listeners: Vec::new(),
        pools: Vec::new(),
    };
    for (key, listener) in &graph.listeners {
        let pool = create_pool(listener, new_id);
        created.listeners.push(create_listener(*key, listener, Some(pool.id.clone()), new_id));
        created.pools.push(pool);
    }
    created
}

fn create_listener(
    key: Key,
    listener: &Listener,
    pool_id: Option<String>,
    new_id: &mut dyn FnMut() -> String,
) -> ObservedListener {
    ObservedListener {
        id: new_id(),
        provisioning: Provisioning::Active,
        protocol: listener.protocol,
        port: key.port,
        settings: listener.settings.clone(),
        pool_id,
    }
}

fn create_pool(listener: &Listener, new_id: &mut dyn FnMut() -> String) -> ObservedPool {
    let pool = &listener.pool;
    ObservedPool {
        id: new_id(),
        provisioning: Provisioning::Active,
        protocol: pool.protocol,
        settings: pool.settings.clone(),
        members: pool.members.iter().map(|(key, member)| (*key, active(member))).collect(),
        monitor: pool.monitor.as_ref().map(|monitor| create_monitor(monitor, new_id)),
    }
}

fn create_monitor(monitor: &HealthMonitor, new_id: &mut dyn FnMut() -> String) -> ObservedMonitor {
    ObservedMonitor {
        id: new_id(),
        provisioning: Provisioning::Active,
        kind: monitor.kind,
        settings: monitor.settings,
        admin_state_up: monitor.admin_state_up,
    }
}

fn active(member: &super::graph::Member) -> ObservedMember {
    ObservedMember { provisioning: Provisioning::Active, member: member.clone() }
}

/// Applies a step to the parts of a load balancer.
fn apply_to(step: &Step, one: &mut ObservedLoadBalancer, new_id: &mut dyn FnMut() -> String) {
    match step {
        Step::CreateListener { load_balancer, key, protocol, settings, pool } if *load_balancer == one.id => {
            one.listeners.push(ObservedListener {
                id: new_id(),
                provisioning: Provisioning::Active,
                protocol: *protocol,
                port: key.port,
                settings: settings.clone(),
                pool_id: Some(pool.clone()),
            });
        }
        Step::UpdateListener { listener, settings, pool, .. } => {
            for has in one.listeners.iter_mut().filter(|has| has.id == *listener) {
                let kept = has.settings.clone();
                has.provisioning = Provisioning::Active;
                has.settings = settings.clone();
                // What isn't sent stays.
                has.settings.connection_limit = settings.connection_limit.or(kept.connection_limit);
                has.settings.timeouts = settings.timeouts.or(kept.timeouts);
                has.pool_id = pool.clone().or_else(|| has.pool_id.take());
            }
        }
        Step::DeleteListener { listener, .. } => one.listeners.retain(|has| has.id != *listener),
        pool => apply_to_pools(pool, one, new_id),
    }
}

fn apply_to_pools(step: &Step, one: &mut ObservedLoadBalancer, new_id: &mut dyn FnMut() -> String) {
    match step {
        Step::CreatePool { load_balancer, listener, protocol, settings, .. } if *load_balancer == one.id => {
            let id = new_id();
            for has in one.listeners.iter_mut().filter(|has| Some(&has.id) == listener.as_ref()) {
                has.pool_id = Some(id.clone());
            }
            one.pools.push(ObservedPool {
                id,
                provisioning: Provisioning::Active,
                protocol: *protocol,
                settings: settings.clone(),
                members: BTreeMap::new(),
                monitor: None,
            });
        }
        Step::DeletePool { pool, .. } => {
            one.pools.retain(|has| has.id != *pool);
            for listener in &mut one.listeners {
                listener.pool_id = listener.pool_id.take().filter(|id| id != pool);
            }
        }
        part => one.pools.iter_mut().for_each(|pool| apply_to_pool(part, pool, new_id)),
    }
}

fn apply_to_pool(step: &Step, has: &mut ObservedPool, new_id: &mut dyn FnMut() -> String) {
    match step {
        Step::UpdatePool { pool, settings, .. } if *pool == has.id => {
            has.settings = settings.clone();
            has.provisioning = Provisioning::Active;
        }
        Step::SetMembers { pool, members, additive, .. } if *pool == has.id => set_members(has, members, *additive),
        Step::CreateMonitor { pool, monitor, .. } if *pool == has.id => {
            has.monitor = Some(create_monitor(monitor, new_id));
        }
        Step::UpdateMonitor { monitor, settings, .. } => {
            for has in has.monitor.iter_mut().filter(|has| has.id == *monitor) {
                has.settings = settings.settings;
                has.admin_state_up = settings.admin_state_up;
                has.provisioning = Provisioning::Active;
            }
        }
        Step::DeleteMonitor { monitor, .. } => has.monitor = has.monitor.take().filter(|has| has.id != *monitor),
        _ => {}
    }
}

/// A member that is named and there already keeps its subnet, which can't be changed.
fn set_members(pool: &mut ObservedPool, members: &Members, additive: bool) {
    if !additive {
        pool.members.retain(|key, _| members.contains_key(key));
    }
    for (key, member) in members {
        let mut now = active(member);
        if let Some(before) = pool.members.get(key) {
            now.member.subnet_id.clone_from(&before.member.subnet_id);
        }
        pool.members.insert(*key, now);
    }
}
