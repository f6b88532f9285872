//! Properties of the plan, against the model of Octavia.

mod cases;
mod legal;
mod random;
mod steps;

use super::super::{
    Step,
    abilities::{Abilities, ApiVersion, Provider},
    apply::apply,
    desire::Identity,
    graph::{Graph, Key, Listener, ListenerSettings, Pool},
    observed::{Observed, ObservedLoadBalancer, Provisioning},
    step::{Blocked, Reason},
};
use super::{current, plan};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// The Service of all tests.
fn identity() -> Identity {
    Identity { name: "default/web".into(), mark: "kuryr:lab:1".into() }
}

/// Ids that nothing has yet.
#[derive(Default)]
struct Ids(u32);

impl Ids {
    fn next(&mut self) -> String {
        self.0 += 1;
        format!("new-{:05}", self.0)
    }
}

/// What the controller does: asks for a step, makes it, counts what it did about errors. Whether there is more to do.
fn turn(wanted: Option<&Graph>, observed: &mut Observed, abilities: &Abilities, ids: &mut Ids) -> (Step, bool) {
    let step = plan(&identity(), wanted, observed, abilities);
    observed.repairs += u32::from(observed.has_error(&identity().mark));
    // What takes too long is over when something was done about it.
    observed.stuck &= !matches!(step, Step::Wait { .. });
    apply(&step, observed, &mut || ids.next());
    let more = !matches!(step, Step::Converged | Step::Blocked(_));
    observed.repairs *= u32::from(more);
    (step, more)
}

/// More steps than any state can need: a few for the load balancers, and for each part that it has or is to have.
fn bound(wanted: Option<&Graph>, observed: &Observed) -> usize {
    let has = observed.load_balancers.iter();
    let parts: usize = has.map(|one| 4 + 3 * one.listeners.len() + 5 * one.pools.len()).sum();
    8 + parts + wanted.map_or(0, |graph| 8 * graph.listeners.len())
}

/// All steps until nothing is left to do.
fn converge(wanted: Option<&Graph>, observed: &mut Observed, abilities: &Abilities, ids: &mut Ids) -> Vec<Step> {
    let bound = bound(wanted, observed);
    let mut steps = Vec::new();
    loop {
        let (step, more) = turn(wanted, observed, abilities, ids);
        steps.push(step);
        if !more {
            return steps;
        }
        assert!(steps.len() <= bound, "doesn't converge: {steps:#?}");
    }
}

/// A load balancer as the graph that it is, without ids. What `wanted` doesn't say, because the provider has no such thing, is left out.
fn as_graph(one: &ObservedLoadBalancer, wanted: &Graph) -> Graph {
    let pool = |id: &String| one.pools.iter().find(|pool| pool.id == *id);
    let listener = |listener: &super::super::observed::ObservedListener| {
        let key = Key { protocol: listener.protocol.transport(), port: listener.port };
        let pool = listener.pool_id.as_ref().and_then(pool)?;
        let said = wanted.listeners.get(&key).map(|listener| &listener.settings);
        let settings = ListenerSettings {
            connection_limit: listener
                .settings
                .connection_limit
                .filter(|_| said.is_some_and(|said| said.connection_limit.is_some())),
            timeouts: listener.settings.timeouts.filter(|_| said.is_some_and(|said| said.timeouts.is_some())),
            ..listener.settings.clone()
        };
        let wanted_members = wanted.listeners.get(&key).map(|listener| &listener.pool.members);
        let members = pool.members.iter().map(|(key, has)| {
            let mut member = has.member.clone();
            let said = wanted_members.and_then(|all| all.get(key));
            member.subnet_id = member.subnet_id.filter(|_| said.is_some_and(|said| said.subnet_id.is_some()));
            (*key, member)
        });
        let monitor = pool.monitor.as_ref().map(|has| super::super::graph::HealthMonitor {
            kind: has.kind,
            settings: has.settings,
            admin_state_up: has.admin_state_up,
        });
        let pool =
            Pool { protocol: pool.protocol, settings: pool.settings.clone(), members: members.collect(), monitor };
        Some((key, Listener { protocol: listener.protocol, settings, pool }))
    };
    Graph {
        name: one.name.clone(),
        description: one.description.clone(),
        provider: wanted.provider.clone(),
        flavor_id: wanted.flavor_id.clone().and(one.flavor_id.clone()),
        availability_zone: wanted.availability_zone.clone().and(one.availability_zone.clone()),
        vip: one.vip.clone(),
        additional_vips: one.additional_vips.clone(),
        listeners: one.listeners.iter().filter_map(listener).collect(),
    }
}

/// Octavia has what is wanted, once, and nothing else of ours.
fn check(wanted: &Graph, observed: &Observed) -> Result<(), TestCaseError> {
    let ours: Vec<_> = observed.load_balancers.iter().filter(|one| one.description == identity().mark).collect();
    prop_assert_eq!(ours.len(), 1);
    let one = ours[0];
    prop_assert_eq!(current(&identity(), observed), Some(one));
    prop_assert_eq!(&as_graph(one, wanted), wanted);
    prop_assert_eq!(one.listeners.len(), wanted.listeners.len());
    prop_assert_eq!(one.pools.len(), wanted.listeners.len());
    prop_assert!(
        one.admin_state_up && one.provisioning == Provisioning::Active && !observed.has_error(&identity().mark)
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_octavia_has_it_comes_to_what_is_desired(
        wanted in random::graph(), mut observed in random::observed(), abilities in random::abilities(),
    ) {
        let blocked = observed.load_balancers.iter().any(|one| one.description != identity().mark && one.vip.address == wanted.vip.address);
        let before = observed.clone();
        let mut ids = Ids::default();
        let steps = converge(Some(&wanted), &mut observed, &abilities, &mut ids);
        if blocked {
            let is_blocked = matches!(steps[..], [Step::Blocked(Blocked::NotOurs { .. })]);
            prop_assert!(is_blocked);
            prop_assert_eq!(before.load_balancers, observed.load_balancers);
            return Ok(());
        }
        check(&wanted, &observed)?;
        prop_assert_eq!(plan(&identity(), Some(&wanted), &observed, &abilities), Step::Converged);
    }

    #[test]
    fn what_is_not_ours_is_never_changed(
        wanted in prop::option::of(random::graph()), mut observed in random::observed(), abilities in random::abilities(),
    ) {
        let others = |observed: &Observed| observed.load_balancers.iter().filter(|one| one.description != identity().mark).cloned().collect::<Vec<_>>();
        let before = others(&observed);
        converge(wanted.as_ref(), &mut observed, &abilities, &mut Ids::default());
        prop_assert_eq!(before, others(&observed));
    }

    #[test]
    fn a_service_that_goes_leaves_nothing(mut observed in random::observed(), abilities in random::abilities()) {
        let ours = observed.load_balancers.iter().filter(|one| one.description == identity().mark).count();
        let steps = converge(None, &mut observed, &abilities, &mut Ids::default());
        prop_assert!(observed.load_balancers.iter().all(|one| one.description != identity().mark));
        let is_delete = |step: &&Step| matches!(step, Step::Delete { why: Reason::Unwanted, .. });
        prop_assert!(steps.iter().filter(is_delete).count() <= ours);
    }

    #[test]
    fn the_order_of_events_makes_no_difference(
        history in prop::collection::vec((random::graph(), 0usize..6), 1..6), abilities in random::abilities(),
    ) {
        let mut observed = Observed::default();
        let mut ids = Ids::default();
        // Each desired graph is on its way for some steps when the next one comes.
        for (wanted, steps) in &history {
            for _ in 0..*steps {
                turn(Some(wanted), &mut observed, &abilities, &mut ids);
            }
        }
        let (last, _) = &history[history.len() - 1];
        converge(Some(last), &mut observed, &abilities, &mut ids);
        check(last, &observed)?;
    }

    #[test]
    fn every_request_is_one_that_octavia_takes_and_nothing_is_deleted_that_could_be_changed(
        wanted in random::graph(), mut observed in random::observed(), abilities in random::abilities(),
    ) {
        let mut ids = Ids::default();
        for _ in 0..100 {
            let before = observed.clone();
            let (step, more) = turn(Some(&wanted), &mut observed, &abilities, &mut ids);
            legal::check(&step, &before)?;
            steps::check_deletion(&step, &wanted, &before, &abilities)?;
            steps::check_members(&step, &before)?;
            if !more {
                break;
            }
        }
    }

    #[test]
    fn a_new_service_is_one_request(wanted in random::graph(), minor in 27u16..31) {
        for provider in [Provider::Ovn, Provider::Amphora] {
            let mut observed = Observed::default();
            let abilities = Abilities::new(provider, ApiVersion::v2(minor));
            let steps = converge(Some(&wanted), &mut observed, &abilities, &mut Ids::default());
            prop_assert_eq!(steps, vec![Step::Create { graph: Box::new(wanted.clone()) }, Step::Converged]);
        }
    }

    #[test]
    fn endpoints_are_one_request_for_each_pool(
        mut wanted in random::graph(), members in random::members(), abilities in random::abilities(),
    ) {
        let mut observed = Observed::default();
        let mut ids = Ids::default();
        converge(Some(&wanted), &mut observed, &abilities, &mut ids);
        for listener in wanted.listeners.values_mut() {
            // The same subnets: another one would be another place.
            let known = listener.pool.members.clone();
            listener.pool.members = members.iter().map(|(key, member)| (*key, known.get(key).unwrap_or(member).clone())).collect();
        }
        let steps = converge(Some(&wanted), &mut observed, &abilities, &mut ids);
        prop_assert!(steps.len() <= wanted.listeners.len() + 1, "{:#?}", steps);
        let members_only = steps.iter().all(|step| matches!(step, Step::SetMembers { .. } | Step::Converged));
        prop_assert!(members_only, "{:#?}", steps);
        check(&wanted, &observed)?;
    }
}

/// A map of one listener.
fn one(key: Key, listener: Listener) -> BTreeMap<Key, Listener> {
    BTreeMap::from([(key, listener)])
}
