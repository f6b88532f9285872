//! Which security groups the ports of pods, and free ones, are to have.

use super::{
    Policies,
    state::{Name, State},
};
use crate::{context::Context, port};
use kube::ResourceExt;
use kuryr_api::{KuryrPoolPort, KuryrPort};
use kuryr_core::{
    names,
    policy::{GroupKey, Key, Target, facts::Uid},
};
use std::{collections::BTreeSet, net::IpAddr};

/// The groups of a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Groups {
    /// These, sorted by id.
    Given(Vec<String>),
    /// They aren't all there yet: the port isn't made, and none is claimed. A text where that may take long.
    Awaited(Option<String>),
}

impl Context {
    /// The groups that the port of a pod is to have now. `port`: the one that it has.
    pub fn groups_for(&self, claim: &KuryrPort, port: Option<&KuryrPoolPort>) -> Groups {
        match &self.policies {
            None => Groups::Given(self.networks.defaults().pod_groups.clone()),
            Some(policies) => policies.groups_for(claim.spec.pod_uid.as_str().into(), port),
        }
    }

    /// The groups of a node's ports that nobody has. `None`: they aren't known yet.
    pub fn free_groups(&self, node: &str) -> Option<Vec<String>> {
        if self.settings.pools.closed {
            return Some(Vec::new());
        }
        match &self.policies {
            None => Some(self.networks.defaults().pod_groups.clone()),
            Some(policies) => policies.free_groups(node),
        }
    }

    /// Whether address groups still have an address for a pod that had it before.
    pub fn is_haunted(&self, claim: &KuryrPort, mut addresses: impl Iterator<Item = IpAddr>) -> bool {
        let Some(policies) = &self.policies else { return false };
        let uid = Uid::from(claim.spec.pod_uid.as_str());
        policies.with(|state| addresses.any(|address| state.is_somebody_elses(&uid, address))).unwrap_or(false)
    }
}

impl Policies {
    fn groups_for(&self, uid: Uid, port: Option<&KuryrPoolPort>) -> Groups {
        let has = port.and_then(|port| port.status.as_ref()).map(|status| status.security_group_ids.clone());
        self.with(|state| {
            let has = state.keys_of(&has.unwrap_or_default());
            if !state.is_loaded {
                return None;
            }
            let groups = match state.target(&uid, &has) {
                Some(Target::Groups(keys)) => return Some(Groups::Given(state.ids_of(&keys))),
                Some(Target::Wait(key)) => Groups::Awaited(why(state, &key)),
                // The pod isn't known yet, or isn't any more.
                None => return Some(Groups::Awaited(None)),
            };
            state.waiting.insert(uid);
            Some(groups)
        })
        .flatten()
        .unwrap_or_else(|| Groups::Awaited(Some("waiting for Neutron's security groups to be read".to_owned())))
    }

    /// Those of a pod that no policy isolates: such a pod gets the port as it is.
    fn free_groups(&self, node: &str) -> Option<Vec<String>> {
        let keys = [GroupKey::OpenIngress, GroupKey::OpenEgress, GroupKey::Node(node.into())];
        self.with(|state| Some(state.ids_of(&keys)).filter(|ids| ids.len() == keys.len())).flatten()
    }

    /// Looks at the pods that something has become of: those whose ports have their groups are settled, those whose ports are to change
    /// are looked at by their own reconciler.
    pub(super) fn look_at_ports(&self, context: &Context, state: &mut State) {
        let mut settles = false;
        for uid in std::mem::take(&mut state.look) {
            state.moving.remove(&uid);
            match look_at(context, state, &uid) {
                Look::Settled => {
                    settles |= state.unsettled.remove(&uid);
                    state.waiting.remove(&uid);
                }
                Look::Unsettled { changes, moving } => {
                    if let Some((namespace, name)) = state.pods.get(&uid).filter(|_| changes) {
                        context.queues.ports.add(Some(namespace), &names::kuryr_port(name, &uid));
                        state.waiting.remove(&uid);
                    }
                    if !moving.is_empty() {
                        state.moving.insert(uid, moving);
                    }
                }
            }
        }
        if settles {
            // Policies may be in force with it.
            self.tell(state);
        }
    }
}

/// What has become of a pod's ports.
enum Look {
    /// They have all that they are to have, or the pod is gone.
    Settled,
    /// They don't.
    Unsettled {
        /// Something can be done about it now.
        changes: bool,
        /// What must not change before they do.
        moving: BTreeSet<Key>,
    },
}

fn look_at(context: &Context, state: &State, uid: &Uid) -> Look {
    let Some(wants) = state.world.groups_of_pod(uid) else { return Look::Settled };
    let Some(name) = state.pods.get(uid) else { return Look::Settled };
    let mut ports = ports_of(context, uid, name);
    ports.retain(|port| port::is_created(port));
    let (mut settled, mut changes, mut moving) = (!ports.is_empty(), false, BTreeSet::new());
    if ports.is_empty() && state.waiting.contains(uid) {
        changes = matches!(state.target(uid, &BTreeSet::new()), Some(Target::Groups(_)));
    }
    for port in ports {
        let has = port.status.as_ref().map(|status| status.security_group_ids.clone()).unwrap_or_default();
        let keys = state.keys_of(&has);
        let Some(Target::Groups(now)) = state.target(uid, &keys) else {
            settled = false;
            continue;
        };
        let ids = state.ids_of(&now);
        settled &= has == ids && now == *wants;
        changes |= port.spec.security_group_ids != ids;
        if has != ids && now != *wants && !keys.is_empty() {
            moving.extend(state.touched_by(&keys, wants));
        }
    }
    if settled { Look::Settled } else { Look::Unsettled { changes, moving } }
}

/// What a port waits for, where it may take long.
fn why(state: &State, key: &GroupKey) -> Option<String> {
    let failure = state.failures.get(&Key::Group(key.clone()))?;
    Some(format!("waiting for the security group of {key}: {}", failure.message))
}

/// The ports that a pod has.
pub fn ports_of(context: &Context, uid: &Uid, (namespace, name): &Name) -> Vec<std::sync::Arc<KuryrPoolPort>> {
    let Some(claim) = context.ports.get(Some(namespace), &names::kuryr_port(name, uid)) else { return Vec::new() };
    let held = claim.spec.interfaces.iter().flat_map(|interface| {
        let reference = port::claim_of(&claim, &interface.name);
        context.inventory.held(&reference)
    });
    held.filter_map(|name| context.pool_ports.get(None, &name))
        .filter(|port| port.spec.claim_ref.as_ref().is_some_and(|of| Some(&of.uid) == claim.uid().as_ref()))
        .collect()
}
