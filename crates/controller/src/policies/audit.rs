//! Now and then: what Neutron has is read again. What somebody changed by hand is repaired, and what nobody wants goes.

use super::{
    Policies,
    read::{self, Inventory, Marks},
    state::{State, Strangers},
};
use kuryr_core::policy::{Key, facts::Uid, observed::ObservedGroup};
use kuryr_openstack::{Found, Priority};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// How soon it is tried again to delete what nobody wants.
const STRANGERS: Duration = Duration::from_secs(1);

/// Audits once in each period, until the end.
pub async fn run(policies: Arc<Policies>, stop: CancellationToken) {
    let period = Duration::from_secs(policies.settings.network_policies.audit_seconds.max(1));
    while stop.run_until_cancelled(tokio::time::sleep(period)).await.is_some() {
        if stop.run_until_cancelled(policies.audit()).await.is_none() {
            return;
        }
    }
}

impl Policies {
    async fn audit(&self) {
        let address_groups = self.with(|state| {
            state.changed.clear();
            state.world.settings().abilities.address_groups
        });
        let neutron = self.neutron.with_priority(Priority::Background);
        let listed = match read::list(&neutron, address_groups.unwrap_or(false)).await {
            Ok(listed) => listed,
            Err(error) => {
                tracing::warn!(%error, "can't look at the security groups of NetworkPolicies, trying again");
                return;
            }
        };
        self.with(|state| {
            let further = state.observed.keys();
            let (marks, known) = (Marks::of(&state.world, &further), state.group_ids());
            let mut found = read::sort(self.cluster(), &marks, listed, &known);
            compare(state, &mut found);
            state.strangers = found.strangers;
        });
        self.wake();
    }

    /// Deletes groups that nobody wants. What ports or rules have still is left for another time.
    pub(super) async fn remove_strangers(&self, strangers: Strangers) {
        if self.settings.sweep.dry_run {
            tracing::info!(?strangers, "nobody wants these groups; nothing is deleted on a trial");
            return;
        }
        let neutron = self.neutron.with_priority(Priority::Background);
        let mut left = Strangers::default();
        for id in strangers.groups {
            match neutron.delete_security_group(&id).await.found() {
                Ok(_) => tracing::info!(security_group = %id, "deleted a security group that nobody wants"),
                Err(error) => {
                    tracing::info!(security_group = %id, %error, "a security group that nobody wants stays for now");
                    left.groups.insert(id);
                }
            }
        }
        for id in strangers.address_groups {
            match neutron.delete_address_group(&id).await.found() {
                Ok(_) => tracing::info!(address_group = %id, "deleted an address group that nobody wants"),
                Err(error) => {
                    tracing::info!(address_group = %id, %error, "an address group that nobody wants stays for now");
                    left.address_groups.insert(id);
                }
            }
        }
        if !left.is_empty() {
            // What is seen of them next decides; until then nothing has changed.
            tokio::time::sleep(STRANGERS).await;
            self.with(|state| {
                state.strangers.groups.extend(left.groups);
                state.strangers.address_groups.extend(left.address_groups);
            });
            self.wake();
        }
    }
}

/// Takes in what was read, but for what has been changed since: that is known better.
fn compare(state: &mut State, found: &mut Inventory) {
    let known: BTreeSet<Key> = state.changed.union(&state.busy).cloned().collect();
    let mut changed = BTreeSet::new();
    for key in state.observed.keys().union(&found.observed.keys()).filter(|key| !known.contains(key)) {
        match key {
            Key::Group(key) => {
                let new = found.observed.groups.get(key);
                let same = |a: &ObservedGroup| new.is_some_and(|new| (&new.id, &new.rules) == (&a.id, &a.rules));
                if state.observed.groups.get(key).is_some_and(same) {
                    continue;
                }
                match new {
                    Some(new) => state.put_group(key, new.clone()),
                    None => state.drop_group(key),
                }
            }
            Key::AddressGroup(key) => {
                let new = found.observed.address_groups.get(key);
                if state.observed.address_groups.get(key) == new {
                    continue;
                }
                state.put_address_group(key, new.cloned());
            }
        }
        changed.insert(key.clone());
    }
    if !changed.is_empty() {
        tracing::warn!(groups = changed.len(), "somebody changed groups of NetworkPolicies in Neutron: repairing them");
    }
    // Whoever has a group that is another one now gets that.
    let named: BTreeSet<_> = changed.iter().filter_map(Key::group).cloned().collect();
    let has = |uid: &&Uid| state.world.groups_of_pod(uid).is_some_and(|groups| !groups.is_disjoint(&named));
    let pods: Vec<_> = state.pods.keys().filter(has).cloned().collect();
    state.look.extend(pods.iter().cloned());
    state.unsettled.extend(pods);
    state.pending.extend(changed);
}
