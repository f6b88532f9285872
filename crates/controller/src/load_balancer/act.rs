//! Carries the next step out, and remembers what Octavia answers.

use super::{convert, request};
use kuryr_core::service::{
    apply::apply,
    observed::{Observed, Provisioning},
    step::Step,
};
use kuryr_openstack::{
    Error, Found,
    octavia::{HealthMonitorId, ListenerId, LoadBalancerId, NewListener, NewPool, Octavia, PoolId},
};

/// The load balancer that Octavia is at work on after a step.
pub type Busy = String;

/// Sends the request of a step, and takes its answer over into what is known. `None`: the step is no request.
///
/// # Errors
/// When the request fails. What is known is unchanged then.
pub async fn act(octavia: &Octavia, step: &Step, observed: &mut Observed) -> Result<Option<Busy>, Error> {
    let mut made = None;
    match step {
        Step::Converged | Step::Wait { .. } | Step::Blocked(_) => return Ok(None),
        Step::Create { graph } => {
            let answer = octavia.create_load_balancer(&request::load_balancer(graph)).await?;
            let id = answer.load_balancer.id.to_string();
            observed.load_balancers.extend(convert::load_balancer(&answer));
            observed.recorded = Some(id.clone());
            return Ok(Some(id));
        }
        Step::Delete { load_balancer, .. } => {
            octavia.delete_load_balancer_tree(&LoadBalancerId::from(load_balancer.as_str())).await.found()?;
            mark(observed, load_balancer, Provisioning::PendingDelete);
            return Ok(Some(load_balancer.clone()));
        }
        Step::UpdateLoadBalancer { load_balancer, name } => {
            let update = kuryr_openstack::octavia::LoadBalancerUpdate {
                name: Some(name.clone()),
                admin_state_up: Some(true),
                ..Default::default()
            };
            octavia.update_load_balancer(&LoadBalancerId::from(load_balancer.as_str()), &update).await?;
        }
        Step::Failover { load_balancer } => {
            octavia.fail_over_load_balancer(&LoadBalancerId::from(load_balancer.as_str())).await?;
        }
        Step::CreateListener { .. } | Step::UpdateListener { .. } | Step::DeleteListener { .. } => {
            made = listener(octavia, step, observed).await?;
        }
        Step::CreatePool { .. } | Step::UpdatePool { .. } | Step::DeletePool { .. } | Step::SetMembers { .. } => {
            made = pool(octavia, step).await?;
        }
        Step::CreateMonitor { .. } | Step::UpdateMonitor { .. } | Step::DeleteMonitor { .. } => {
            made = monitor(octavia, step).await?;
        }
    }
    let busy = load_balancer_of(step, observed);
    apply(step, observed, &mut || made.take().unwrap_or_default());
    if let Some(id) = &busy {
        mark(observed, id, Provisioning::PendingUpdate);
    }
    Ok(busy)
}

fn mark(observed: &mut Observed, id: &str, status: Provisioning) {
    observed.load_balancers.iter_mut().filter(|one| one.id == id).for_each(|one| one.provisioning = status);
}

/// The load balancer that a step is about.
fn load_balancer_of(step: &Step, observed: &Observed) -> Option<String> {
    let with_pool = |id: &str| {
        observed.load_balancers.iter().find(|one| one.pools.iter().any(|pool| pool.id == id)).map(|one| one.id.clone())
    };
    let with_listener = |id: &str| {
        let has = |one: &&kuryr_core::service::observed::ObservedLoadBalancer| {
            one.listeners.iter().any(|listener| listener.id == id)
        };
        observed.load_balancers.iter().find(has).map(|one| one.id.clone())
    };
    let with_monitor = |id: &str| {
        let has = |one: &&kuryr_core::service::observed::ObservedLoadBalancer| {
            one.pools.iter().any(|pool| pool.monitor.as_ref().is_some_and(|monitor| monitor.id == id))
        };
        observed.load_balancers.iter().find(has).map(|one| one.id.clone())
    };
    match step {
        Step::Converged | Step::Blocked(_) | Step::Create { .. } => None,
        Step::Wait { load_balancer, .. }
        | Step::UpdateLoadBalancer { load_balancer, .. }
        | Step::Failover { load_balancer }
        | Step::Delete { load_balancer, .. }
        | Step::CreatePool { load_balancer, .. }
        | Step::CreateListener { load_balancer, .. } => Some(load_balancer.clone()),
        Step::UpdatePool { pool, .. }
        | Step::DeletePool { pool, .. }
        | Step::SetMembers { pool, .. }
        | Step::CreateMonitor { pool, .. } => with_pool(pool),
        Step::UpdateMonitor { monitor, .. } | Step::DeleteMonitor { monitor, .. } => with_monitor(monitor),
        Step::UpdateListener { listener, .. } | Step::DeleteListener { listener, .. } => with_listener(listener),
    }
}

/// A step about a listener. The id of one that is new.
async fn listener(octavia: &Octavia, step: &Step, observed: &Observed) -> Result<Option<String>, Error> {
    match step {
        Step::CreateListener { load_balancer, key, protocol, settings, pool } => {
            let new = NewListener {
                load_balancer_id: Some(load_balancer.as_str().into()),
                default_pool_id: Some(pool.as_str().into()),
                ..request::listener(*key, *protocol, settings)
            };
            Ok(Some(octavia.create_listener(&new).await?.id.to_string()))
        }
        Step::UpdateListener { listener, settings, pool, .. } => {
            let all = observed.load_balancers.iter().flat_map(|one| &one.listeners);
            let before = all.into_iter().find(|known| known.id == *listener).map(|known| &known.settings);
            let mut update = request::listener_update(settings, before);
            update.default_pool_id = pool.as_deref().map(|pool| Some(pool.into()));
            octavia.update_listener(&ListenerId::from(listener.as_str()), &update).await?;
            Ok(None)
        }
        Step::DeleteListener { listener, .. } => {
            octavia.delete_listener(&ListenerId::from(listener.as_str())).await.found()?;
            Ok(None)
        }
        _ => Ok(None),
    }
}

/// A step about a pool or its members. The id of one that is new.
async fn pool(octavia: &Octavia, step: &Step) -> Result<Option<String>, Error> {
    match step {
        Step::CreatePool { load_balancer, listener, protocol, settings, .. } => {
            // A pool of a listener is told its listener alone: Octavia knows the load balancer.
            let new = NewPool {
                load_balancer_id: listener.is_none().then(|| load_balancer.as_str().into()),
                listener_id: listener.as_deref().map(Into::into),
                ..request::pool(*protocol, settings)
            };
            Ok(Some(octavia.create_pool(&new).await?.id.to_string()))
        }
        Step::UpdatePool { pool, settings, .. } => {
            octavia.update_pool(&PoolId::from(pool.as_str()), &request::pool_update(settings)).await?;
            Ok(None)
        }
        Step::DeletePool { pool, .. } => {
            octavia.delete_pool(&PoolId::from(pool.as_str())).await.found()?;
            Ok(None)
        }
        Step::SetMembers { pool, members, additive, .. } => {
            let (pool, members) = (PoolId::from(pool.as_str()), request::members(members));
            match additive {
                true => octavia.add_members(&pool, &members).await?,
                false => octavia.replace_members(&pool, &members).await?,
            }
            Ok(None)
        }
        _ => Ok(None),
    }
}

/// A step about a health monitor. The id of one that is new.
async fn monitor(octavia: &Octavia, step: &Step) -> Result<Option<String>, Error> {
    match step {
        Step::CreateMonitor { pool, monitor, .. } => {
            let new = kuryr_openstack::octavia::NewHealthMonitor {
                pool_id: Some(pool.as_str().into()),
                ..request::new_monitor(monitor)
            };
            Ok(Some(octavia.create_health_monitor(&new).await?.id.to_string()))
        }
        Step::UpdateMonitor { monitor, settings, .. } => {
            let update = request::monitor_update(settings);
            octavia.update_health_monitor(&HealthMonitorId::from(monitor.as_str()), &update).await?;
            Ok(None)
        }
        Step::DeleteMonitor { monitor, .. } => {
            octavia.delete_health_monitor(&HealthMonitorId::from(monitor.as_str())).await.found()?;
            Ok(None)
        }
        _ => Ok(None),
    }
}
