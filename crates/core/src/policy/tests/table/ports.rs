//! What a port has while groups change.

use super::build::*;
use crate::policy::{Desired, Observed, apply::apply, meanwhile, plan};
use std::collections::BTreeSet;

/// Neutron with all that there is to be.
fn carried_out(world: &World) -> Observed {
    let mut observed = Observed::default();
    let mut ids = 0;
    for _ in 0..2 {
        for step in plan(&Desired::all(world), &observed) {
            apply(&step, &mut observed, &mut || {
                ids += 1;
                format!("id{ids}")
            });
        }
    }
    observed
}

/// Pod 1 has a policy that lets in `db`, and one that lets in nobody. What its port has while facts are followed, without its node's group
/// and the open ones.
fn while_learning(facts: Vec<Fact>) -> BTreeSet<String> {
    let db = ingress(&[rule(&[pods(select(&[("app", "db")]))], &[])]);
    let closed = Policy { uid: "policy2".into(), pod_selector: select(&[]), ..ingress(&[]) };
    let mut world = world(&cluster(&[db, closed]), settings(true));
    let observed = carried_out(&world);
    let has = world.groups_of_pod(&"pod1".into()).unwrap().clone();
    let changes = world.learn(facts);
    let desired = Desired::of(&world, &changes);
    let groups = meanwhile(&desired, &observed, &has, world.groups_of_pod(&"pod1".into()).unwrap());
    groups.iter().filter(|key| key.policy().is_some()).map(ToString::to_string).collect()
}

/// It would have the new rules of a policy that no longer selects it, or the old policy's new peers.
#[test]
fn a_port_leaves_first_what_gets_something_new() {
    let names = |all: &[&str]| all.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
    let elsewhere = |rules: &[PolicyRule]| Policy { pod_selector: select(&[("app", "")]), ..ingress(rules) };
    let same = rule(&[pods(select(&[("app", "db")]))], &[]);
    let wider = rule(&[], &[port("TCP", 80)]);
    assert_eq!(while_learning(vec![Fact::Policy(elsewhere(&[same]))]), names(&["policy policy1", "policy policy2"]));
    assert_eq!(while_learning(vec![Fact::Policy(elsewhere(std::slice::from_ref(&wider)))]), names(&["policy policy2"]));
    assert_eq!(while_learning(vec![Fact::Policy(ingress(&[wider]))]), names(&["policy policy1", "policy policy2"]));
    let deselected = Fact::Pod(pod(1, "a", &[("app", "other")], &[]));
    let new_peer = Fact::Pod(pod(7, "a", &[("app", "db")], &[]));
    assert_eq!(while_learning(vec![deselected.clone()]), names(&["policy policy1", "policy policy2"]));
    assert_eq!(while_learning(vec![deselected, new_peer]), names(&["policy policy2"]));
}
