//! Now and then: what Neutron has is read again. What somebody changed by hand is repaired, and what nobody wants goes.

use super::{
    Policies,
    read::{self, Inventory, Marks},
    state::State,
};
use kuryr_core::policy::Key;
use kuryr_openstack::{
    Found, Priority,
    neutron::{AddressGroupId, SecurityGroupId},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

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
        let found = self.with(|state| {
            let leaving = state.observed.groups.keys().cloned().map(Key::Group);
            let leaving = leaving.chain(state.observed.address_groups.keys().cloned().map(Key::AddressGroup));
            let further: BTreeSet<Key> = leaving.collect();
            let mut found = read::sort(self.cluster(), &Marks::of(&state.world, further.iter()), listed);
            compare(state, &mut found);
            found
        });
        self.wake();
        let Some(found) = found else { return };
        self.remove_strangers(found.strange_groups, found.strange_address_groups).await;
    }

    /// Deletes groups that nobody wants. Those that ports or rules have still are left for the next time.
    pub(super) async fn remove_strangers(&self, groups: Vec<SecurityGroupId>, address_groups: Vec<AddressGroupId>) {
        if self.settings.sweep.dry_run {
            tracing::info!(?groups, ?address_groups, "nobody wants these groups; nothing is deleted on a trial");
            return;
        }
        let neutron = self.neutron.with_priority(Priority::Background);
        for id in groups {
            match neutron.delete_security_group(&id).await.found() {
                Ok(_) => tracing::info!(security_group = %id, "deleted a security group that nobody wants"),
                Err(error) => tracing::info!(security_group = %id, %error, "a security group that nobody wants stays for now"),
            }
        }
        for id in address_groups {
            match neutron.delete_address_group(&id).await.found() {
                Ok(_) => tracing::info!(address_group = %id, "deleted an address group that nobody wants"),
                Err(error) => tracing::info!(address_group = %id, %error, "an address group that nobody wants stays for now"),
            }
        }
    }
}

/// Takes in what was read, but for what has been changed since: that is known better.
fn compare(state: &mut State, found: &mut Inventory) {
    let known: BTreeSet<Key> = state.changed.union(&state.busy).cloned().collect();
    let mut changed = BTreeSet::new();
    let keys = |observed: &kuryr_core::policy::Observed| {
        let groups = observed.groups.keys().cloned().map(Key::Group);
        groups.chain(observed.address_groups.keys().cloned().map(Key::AddressGroup)).collect::<BTreeSet<Key>>()
    };
    for key in keys(&state.observed).union(&keys(&found.observed)).filter(|key| !known.contains(key)) {
        match key {
            Key::Group(key) => {
                let new = found.observed.groups.get(key);
                let same = |a: &kuryr_core::policy::observed::ObservedGroup| {
                    new.is_some_and(|new| (&new.id, &new.rules) == (&a.id, &a.rules))
                };
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
    let named = changed.iter().filter_map(|key| match key {
        Key::Group(key) => Some(key),
        Key::AddressGroup(_) => None,
    });
    let named: BTreeSet<_> = named.cloned().collect();
    let has = |uid: &&kuryr_core::policy::facts::Uid| {
        state.world.groups_of_pod(uid).is_some_and(|groups| !groups.is_disjoint(&named))
    };
    let pods: Vec<_> = state.pods.keys().filter(has).cloned().collect();
    state.look.extend(pods.iter().cloned());
    state.unsettled.extend(pods);
    state.pending.extend(changed);
}
