//! The next request for the listeners, pools, members and monitors of a load balancer that is well.

use super::{
    super::{
        graph::HealthMonitor,
        observed::{ObservedListener, ObservedMonitor, ObservedPool, Provisioning},
        step::{Attribute, Reason, Step},
    },
    matching::{Matching, Port},
    members,
};

/// What decides how far a repair reaches.
#[derive(Debug, Clone, Copy)]
struct Trouble {
    repairs: u32,
    stuck: bool,
}

impl Trouble {
    /// Whether a part failed, or takes so long that it counts as failed.
    const fn is_in(self, part: Provisioning) -> bool {
        matches!(part, Provisioning::Error) || (self.stuck && part.is_pending())
    }
}

/// The part of a port that failed, members aside: of several the one to begin with.
enum Failed<'a> {
    Pool(&'a ObservedPool),
    Listener(&'a ObservedListener),
    Monitor(&'a ObservedMonitor),
}

impl<'a> Failed<'a> {
    fn of(port: &Port<'a>, trouble: Trouble) -> Option<Self> {
        let pool = port.pool.filter(|pool| trouble.is_in(pool.provisioning)).map(Self::Pool);
        let listener = || port.listener.filter(|one| trouble.is_in(one.provisioning)).map(Self::Listener);
        let monitor = || port.pool?.monitor.as_ref().filter(|one| trouble.is_in(one.provisioning)).map(Self::Monitor);
        pool.or_else(listener).or_else(monitor)
    }
}

/// A stage: what is the same for all ports and comes before all that follows.
type Stage<'a> = &'a dyn Fn(&Port<'_>) -> Option<Step>;

/// The next request. Stages follow each other by what matters most to those who use the Service: what failed (nothing else can be done with
/// it), settings (who may connect; few, and endpoints that never rest mustn't hold them back), endpoints, ports that are missing, monitors, and
/// then what is too much. A pool gets its members before its listener is made, or is given it: a port that answers has somebody behind it. What
/// fails whatever is done about it comes last: it keeps no port and no member from what they need.
pub(super) fn next(all: &Matching<'_>, repairs: u32, stuck: bool) -> Option<Step> {
    let trouble = Trouble { repairs, stuck };
    let failing = if repairs > REPLACED { members::Failing::Left } else { members::Failing::of(repairs) };
    let stages: [Stage<'_>; 10] = [
        &|port| failed(all, port, trouble),
        &|port| replaced(all, port),
        &|port| update_listener(port),
        &|port| update_pool(port),
        &|port| set_members(all, port, failing),
        &|port| create_pool(all, port),
        &|port| give_pool(port),
        &|port| create_listener(all, port),
        &|port| monitor(port),
        &|port| update_monitor(port),
    ];
    let fails = |port: &Port<'_>| Failed::of(port, trouble).is_some();
    // Where no port is well, there is nothing to lose by making the whole anew once more.
    let given_up = repairs > REBUILT && !all.ports.iter().all(fails);
    let (last, first): (Vec<&Port<'_>>, Vec<&Port<'_>>) = all.ports.iter().partition(|port| given_up && fails(port));
    let anew = |port: &&Port<'_>| Some(mend(all, port, &Failed::of(port, trouble)?, false));
    stages
        .iter()
        .find_map(|stage| first.iter().find_map(|port| stage(port)))
        .or_else(|| surplus(all))
        .or_else(|| last.iter().find_map(anew))
        .or_else(|| all.ports.iter().find_map(|port| set_members(all, port, members::Failing::Anew)))
}

/// What failed is sent again; if that doesn't help it is made anew, and if that doesn't help either, the whole load balancer is.
fn failed(all: &Matching<'_>, port: &Port<'_>, trouble: Trouble) -> Option<Step> {
    let failed = Failed::of(port, trouble)?;
    Some(if trouble.repairs > REPLACED {
        Step::Delete { load_balancer: all.load_balancer.id.clone(), why: Reason::Failed }
    } else {
        mend(all, port, &failed, trouble.repairs == 0)
    })
}

/// Sends what failed `again`, where that can be, or takes it away, so that it is made anew.
fn mend(all: &Matching<'_>, port: &Port<'_>, failed: &Failed<'_>, again: bool) -> Step {
    match failed {
        Failed::Pool(pool) if again && port.pool_immutable(all.abilities).is_none() => {
            Step::UpdatePool { pool: pool.id.clone(), key: port.key, settings: port.wanted.pool.settings.clone() }
        }
        Failed::Pool(pool) => Step::DeletePool { pool: pool.id.clone(), why: Reason::Failed },
        Failed::Listener(listener) if again && port.listener_immutable().is_none() => {
            send_listener(port, listener, other_pool(port))
        }
        Failed::Listener(listener) => Step::DeleteListener { listener: listener.id.clone(), why: Reason::Failed },
        Failed::Monitor(monitor) => {
            let wanted = port.wanted.pool.monitor.as_ref().filter(|wanted| wanted.kind == monitor.kind && again);
            wanted.map_or_else(|| delete_monitor(monitor, Reason::Failed), |wanted| send_monitor(port, monitor, wanted))
        }
    }
}

/// Up to this many requests, what failed is made anew; then the whole load balancer is.
pub(super) const REPLACED: u32 = 3;

/// After this many requests the whole load balancer has been made anew, too.
const REBUILT: u32 = REPLACED + 1;

/// What can't be changed goes, so that another one can come: no two listeners have one port, and OVN's provider takes the persistence
/// from all pools of a protocol when any of them is deleted, so that the new pool has to come after.
fn replaced(all: &Matching<'_>, port: &Port<'_>) -> Option<Step> {
    let listener = port.listener.zip(port.listener_immutable()).map(|(listener, attribute)| Step::DeleteListener {
        listener: listener.id.clone(),
        why: Reason::Immutable(attribute),
    });
    let pool = || {
        port.pool
            .zip(port.pool_immutable(all.abilities))
            .map(|(pool, attribute)| Step::DeletePool { pool: pool.id.clone(), why: Reason::Immutable(attribute) })
    };
    listener.or_else(pool)
}

fn set_members(all: &Matching<'_>, port: &Port<'_>, failing: members::Failing) -> Option<Step> {
    let pool = port.pool?;
    let request = members::request(&port.wanted.pool.members, pool, all.abilities, failing)?;
    let members::Request { members, additive } = request;
    Some(Step::SetMembers { pool: pool.id.clone(), key: port.key, members, additive })
}

/// The id of the port's pool where its listener has another one.
fn other_pool(port: &Port<'_>) -> Option<String> {
    let (listener, pool) = port.listener.zip(port.pool)?;
    (listener.pool_id.as_ref() != Some(&pool.id)).then(|| pool.id.clone())
}

fn update_listener(port: &Port<'_>) -> Option<Step> {
    let listener = port.listener.filter(|listener| !port.wanted.settings.is_met_by(&listener.settings))?;
    Some(send_listener(port, listener, None))
}

/// A listener that has another pool, or none, gets its own.
fn give_pool(port: &Port<'_>) -> Option<Step> {
    let (listener, pool) = port.listener.zip(other_pool(port))?;
    Some(send_listener(port, listener, Some(pool)))
}

fn send_listener(port: &Port<'_>, listener: &ObservedListener, pool: Option<String>) -> Step {
    Step::UpdateListener { listener: listener.id.clone(), key: port.key, settings: port.wanted.settings.clone(), pool }
}

fn update_pool(port: &Port<'_>) -> Option<Step> {
    let pool = port.pool.filter(|pool| pool.settings != port.wanted.pool.settings)?;
    Some(Step::UpdatePool { pool: pool.id.clone(), key: port.key, settings: port.wanted.pool.settings.clone() })
}

/// A pool that takes the place of one that another listener has, too, isn't the listener's at once: Octavia refuses a second default pool.
fn create_pool(all: &Matching<'_>, port: &Port<'_>) -> Option<Step> {
    if port.pool.is_some() {
        return None;
    }
    let free = port.listener.filter(|listener| listener.pool_id.is_none());
    Some(Step::CreatePool {
        load_balancer: all.load_balancer.id.clone(),
        key: port.key,
        listener: free.map(|listener| listener.id.clone()),
        protocol: port.wanted.pool.protocol,
        settings: port.wanted.pool.settings.clone(),
    })
}

fn create_listener(all: &Matching<'_>, port: &Port<'_>) -> Option<Step> {
    let pool = port.pool.filter(|_| port.listener.is_none())?;
    Some(Step::CreateListener {
        load_balancer: all.load_balancer.id.clone(),
        key: port.key,
        protocol: port.wanted.protocol,
        settings: port.wanted.settings.clone(),
        pool: pool.id.clone(),
    })
}

fn monitor(port: &Port<'_>) -> Option<Step> {
    let pool = port.pool?;
    match (&port.wanted.pool.monitor, &pool.monitor) {
        (Some(wanted), None) => {
            Some(Step::CreateMonitor { pool: pool.id.clone(), key: port.key, monitor: wanted.clone() })
        }
        (None, Some(has)) => Some(delete_monitor(has, Reason::Unwanted)),
        (Some(wanted), Some(has)) if wanted.kind != has.kind => {
            Some(delete_monitor(has, Reason::Immutable(Attribute::Type)))
        }
        _ => None,
    }
}

fn update_monitor(port: &Port<'_>) -> Option<Step> {
    let (wanted, has) = port.wanted.pool.monitor.as_ref().zip(port.pool?.monitor.as_ref())?;
    let same = wanted.settings == has.settings && wanted.admin_state_up == has.admin_state_up;
    (!same).then(|| send_monitor(port, has, wanted))
}

fn send_monitor(port: &Port<'_>, has: &ObservedMonitor, wanted: &HealthMonitor) -> Step {
    Step::UpdateMonitor { monitor: has.id.clone(), key: port.key, settings: wanted.clone() }
}

fn delete_monitor(has: &ObservedMonitor, why: Reason) -> Step {
    Step::DeleteMonitor { monitor: has.id.clone(), why }
}

/// What is too much. Listeners first: a pool that has one can't always go.
fn surplus(all: &Matching<'_>) -> Option<Step> {
    let why = |name: &str| {
        let ours = name.strip_prefix(all.name).is_some_and(|rest| rest.starts_with(':'));
        if ours { Reason::Unwanted } else { Reason::Foreign }
    };
    let listener = all
        .surplus_listeners
        .first()
        .map(|listener| Step::DeleteListener { listener: listener.id.clone(), why: why(&listener.settings.name) });
    let pool = || {
        let pool = all.surplus_pools.first()?;
        Some(Step::DeletePool { pool: pool.id.clone(), why: why(&pool.settings.name) })
    };
    listener.or_else(pool)
}
