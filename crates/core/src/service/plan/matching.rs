//! Which of the listeners and pools that Octavia has are which of those that are desired.

use super::super::{
    abilities::{Abilities, Feature},
    graph::{Graph, Key, Listener, ListenerSettings, Pool},
    observed::{ObservedListener, ObservedLoadBalancer, ObservedPool},
    step::Attribute,
};
use std::collections::{BTreeMap, BTreeSet};

/// One desired port, and what Octavia has of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Port<'a> {
    pub(super) key: Key,
    pub(super) wanted: &'a Listener,
    pub(super) listener: Option<&'a ObservedListener>,
    pub(super) pool: Option<&'a ObservedPool>,
}

/// A load balancer, as desired and as it is.
#[derive(Debug)]
pub(super) struct Matching<'a> {
    pub(super) load_balancer: &'a ObservedLoadBalancer,
    pub(super) abilities: &'a Abilities,
    /// Name of the load balancer, which the names of all its parts begin with.
    pub(super) name: &'a str,
    pub(super) ports: Vec<Port<'a>>,
    /// Listeners that nobody desires, by id.
    pub(super) surplus_listeners: Vec<&'a ObservedListener>,
    /// Pools that nobody desires, by id.
    pub(super) surplus_pools: Vec<&'a ObservedPool>,
}

impl<'a> Matching<'a> {
    /// A listener is the one of its transport protocol and port: Octavia has at most one. A pool is its listener's default pool, whatever its
    /// name is; else one that nobody uses and that has the right name, as there is between its creation and its listener's.
    pub(super) fn of(graph: &'a Graph, load_balancer: &'a ObservedLoadBalancer, abilities: &'a Abilities) -> Self {
        let mut listeners: BTreeMap<Key, &ObservedListener> = BTreeMap::new();
        for listener in sorted(&load_balancer.listeners, |listener| &listener.id) {
            listeners.entry(key_of(listener)).or_insert(listener);
        }
        let mut pools = Pools::of(load_balancer);
        let defaults: BTreeMap<Key, &ObservedPool> =
            graph.listeners.keys().filter_map(|key| Some((*key, pools.take_default(listeners.get(key)?)?))).collect();
        let ports: Vec<Port<'a>> = graph
            .listeners
            .iter()
            .map(|(key, wanted)| Port {
                key: *key,
                wanted,
                listener: listeners.get(key).copied(),
                pool: defaults.get(key).copied().or_else(|| pools.take_unused(&wanted.pool)),
            })
            .collect();
        let known: BTreeSet<&str> = ports.iter().filter_map(|port| Some(port.listener?.id.as_str())).collect();
        let surplus_listeners = sorted(&load_balancer.listeners, |listener| &listener.id);
        Self {
            load_balancer,
            abilities,
            name: &graph.name,
            ports,
            surplus_listeners: surplus_listeners.filter(|listener| !known.contains(listener.id.as_str())).collect(),
            surplus_pools: pools.left,
        }
    }
}

fn sorted<T>(all: &[T], id: impl Fn(&T) -> &String) -> impl Iterator<Item = &T> {
    let mut all: Vec<&T> = all.iter().collect();
    all.sort_by(|one, other| id(one).cmp(id(other)));
    all.into_iter()
}

fn key_of(listener: &ObservedListener) -> Key {
    Key { protocol: listener.protocol.transport(), port: listener.port }
}

/// The pools that aren't matched yet, and those that listeners use.
struct Pools<'a> {
    left: Vec<&'a ObservedPool>,
    used: BTreeSet<&'a str>,
}

impl<'a> Pools<'a> {
    fn of(load_balancer: &'a ObservedLoadBalancer) -> Self {
        let used = load_balancer.listeners.iter().filter_map(|listener| listener.pool_id.as_deref()).collect();
        Self { left: sorted(&load_balancer.pools, |pool| &pool.id).collect(), used }
    }

    fn take(&mut self, is: impl Fn(&ObservedPool) -> bool) -> Option<&'a ObservedPool> {
        let found = self.left.iter().position(|pool| is(pool))?;
        Some(self.left.remove(found))
    }

    /// The listener's default pool, unless another listener has it already.
    fn take_default(&mut self, listener: &ObservedListener) -> Option<&'a ObservedPool> {
        let id = listener.pool_id.as_ref()?;
        self.take(|pool| pool.id == *id)
    }

    fn take_unused(&mut self, wanted: &Pool) -> Option<&'a ObservedPool> {
        let used = std::mem::take(&mut self.used);
        let found = self.take(|pool| pool.settings.name == wanted.settings.name && !used.contains(pool.id.as_str()));
        self.used = used;
        found
    }
}

impl Port<'_> {
    /// What is to be another of the listener and can't be changed.
    pub(super) fn listener_immutable(&self) -> Option<Attribute> {
        self.listener.filter(|listener| listener.protocol != self.wanted.protocol).map(|_| Attribute::Protocol)
    }

    /// What is to be another of the pool and can't be changed.
    pub(super) fn pool_immutable(&self, abilities: &Abilities) -> Option<Attribute> {
        let pool = self.pool?;
        let (wanted, has) = (&self.wanted.pool.settings, &pool.settings);
        let algorithm = wanted.algorithm != has.algorithm && !abilities.has(Feature::PoolInPlace);
        let unset =
            wanted.persistence.is_none() && has.persistence.is_some() && !abilities.has(Feature::UnsetPersistence);
        if pool.protocol != self.wanted.pool.protocol {
            Some(Attribute::Protocol)
        } else if algorithm || unset {
            Some(Attribute::Balancing)
        } else {
            None
        }
    }
}

impl ListenerSettings {
    /// Whether a listener that has `observed` is as this says.
    pub(super) fn is_met_by(&self, observed: &Self) -> bool {
        let limit = self.connection_limit.is_none() || self.connection_limit == observed.connection_limit;
        let timeouts = self.timeouts.is_none() || self.timeouts == observed.timeouts;
        limit
            && timeouts
            && self.name == observed.name
            && self.admin_state_up == observed.admin_state_up
            && self.allowed_cidrs == observed.allowed_cidrs
            && self.x_forwarded_for == observed.x_forwarded_for
            && self.tls_container_ref == observed.tls_container_ref
    }
}
