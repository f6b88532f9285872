//! The whole way: something happens, the world tells what it touched, plans are made of that alone, Neutron carries them out. In the end
//! Neutron has what a world made anew asks for.

use super::{
    incremental::{event, happen},
    random::cluster,
    simulation::{settings, world},
};
use crate::policy::{
    Changes, Desired, GroupKey, Observed, World, apply::apply, facts::Uid, observed::ObservedRule, oracle::Cluster,
    plan,
};
use proptest::{collection::vec, prelude::*};
use std::collections::{BTreeMap, BTreeSet};

/// Neutron: what carries the mark, and which groups ports have.
#[derive(Default)]
struct Neutron {
    observed: Observed,
    ports: BTreeMap<Uid, BTreeSet<GroupKey>>,
    ids: u32,
}

impl Neutron {
    fn carry_out(&mut self, desired: &Desired) -> usize {
        let steps = plan(desired, &self.observed);
        for step in &steps {
            apply(step, &mut self.observed, &mut || {
                self.ids += 1;
                format!("id{:06}", self.ids)
            });
        }
        steps.len()
    }

    /// Ports get the groups that they are to have, or are gone.
    fn plug(&mut self, world: &World, pods: &BTreeSet<Uid>) {
        for uid in pods {
            match world.groups_of_pod(uid) {
                Some(groups) => self.ports.insert(uid.clone(), groups.clone()),
                None => self.ports.remove(uid),
            };
        }
        let used: BTreeSet<&GroupKey> = self.ports.values().flatten().collect();
        for (key, group) in &mut self.observed.groups {
            group.in_use = used.contains(key);
        }
    }

    /// What the controller does about a change: groups first, then ports, then what no port has any more.
    fn follow(&mut self, world: &World, changes: &Changes) -> Result<(), TestCaseError> {
        let desired = Desired::of(world, changes);
        self.carry_out(&desired);
        self.carry_out(&desired);
        for key in changes.pods.iter().filter_map(|uid| world.groups_of_pod(uid)).flatten() {
            let ready = desired.distance(key, &self.observed).is_some_and(|distance| distance.superfluous == 0);
            prop_assert!(ready || !desired.groups.contains_key(key), "{key} isn't ready");
            prop_assert!(self.observed.groups.contains_key(key), "{key} isn't there");
        }
        self.plug(world, &changes.pods);
        self.carry_out(&desired);
        prop_assert_eq!(self.carry_out(&desired), 0);
        Ok(())
    }

    /// What there is, as it would be asked for.
    fn as_desired(&self) -> Desired {
        let rules = |group: &crate::policy::observed::ObservedGroup| {
            Some(group.rules.values().filter_map(ObservedRule::rule).cloned().collect())
        };
        let members = |group: &crate::policy::observed::ObservedAddressGroup| Some(group.members.clone());
        Desired {
            groups: self.observed.groups.iter().map(|(key, group)| (key.clone(), rules(group))).collect(),
            address_groups: self.observed.address_groups.iter().map(|(key, has)| (key.clone(), members(has))).collect(),
        }
    }
}

/// All that there is in a world is new.
fn everything(world: &World, cluster: &Cluster) -> Changes {
    Changes {
        pods: cluster.pods.iter().map(|pod| pod.uid.clone()).collect(),
        groups: world.groups().cloned().collect(),
        address_groups: world.address_groups().cloned().collect(),
        policies: BTreeSet::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_a_change_has_touched_is_enough_to_follow_it(
        start in cluster(), events in vec(event(), 1..12), address_groups in any::<bool>(),
    ) {
        let mut cluster = start;
        let mut changing = world(&cluster, settings(address_groups));
        let mut neutron = Neutron::default();
        neutron.follow(&changing, &everything(&changing, &cluster))?;
        // Some changes are followed one by one, some together.
        let mut pending = Changes::default();
        for (number, event) in events.iter().enumerate() {
            pending.merge(changing.learn(happen(event, &mut cluster)));
            if number % 3 != 0 {
                neutron.follow(&changing, &std::mem::take(&mut pending))?;
                prop_assert_eq!(neutron.as_desired(), Desired::all(&changing), "after {:?}", event);
            }
        }
        neutron.follow(&changing, &pending)?;
        prop_assert_eq!(neutron.as_desired(), Desired::all(&world(&cluster, settings(address_groups))));
    }
}
