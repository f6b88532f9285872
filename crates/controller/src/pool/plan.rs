//! The steps from a pool's ports to those that it is to have. Pure.

use super::observe::Observed;
use crate::{inventory::says, settings};
use kube::ResourceExt;
use kuryr_api::{KuryrPoolPort, conditions};
use kuryr_core::pool::{LevelFacts, Levels, PoolFacts, PoolStep};
use std::sync::Arc;

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The levels in force.
    pub levels: Levels,
    /// Nothing is kept.
    pub draining: bool,
    /// How many free ports there are to be, and how many are to be made.
    pub step: PoolStep,
    /// Free ports that are one too many.
    pub delete: Vec<Arc<KuryrPoolPort>>,
    /// Free ports that get the groups that free ports are to have.
    pub regroup: Vec<Arc<KuryrPoolPort>>,
    /// The pool itself is to go: its node is gone, or nothing of it is left and pods get ports of another network.
    pub delete_pool: bool,
}

/// Plans the steps.
pub fn plan(seen: &Observed, settings: &settings::Pools) -> Plan {
    let spec = &seen.object.spec;
    let cordoned = seen.drains_in.is_some_and(|left| left.is_zero());
    let going = seen.object.metadata.deletion_timestamp.is_some();
    let draining = !seen.node_exists || !seen.is_current || cordoned || going;
    let facts = LevelFacts {
        configured: settings.levels(),
        own_minimum: spec.minimum,
        own_maximum: spec.maximum,
        own_plugged: spec.plugged,
        in_use: seen.claimed > 0 || seen.waiting > 0,
        draining,
    };
    let levels = facts.levels();
    let free = seen.claimable + seen.cooling_down;
    let facts = PoolFacts {
        levels,
        free,
        creating: seen.creating(),
        waiting: seen.waiting,
        demand: seen.demand.peak,
        idle: seen.demand.idle_in.is_zero(),
        starting: !seen.demand.calm_in.is_zero(),
        no_room: seen.no_room,
    };
    let step = facts.step();
    let empty = seen.free.is_empty() && seen.claimed == 0 && seen.waiting == 0;
    let delete_pool = !going && (!seen.node_exists || (!seen.is_current && empty));
    let delete = surplus(&seen.free, step.delete);
    let stays = |port: &&Arc<KuryrPoolPort>| !draining && !delete.iter().any(|other| Arc::ptr_eq(port, other));
    let regroup = seen.outdated.iter().filter(stays).cloned().collect();
    Plan { levels, draining, step, delete, regroup, delete_pool }
}

/// The ports that are missed least: those that aren't made yet, then those that the node doesn't hold plugged, then those that
/// were released last.
fn surplus(free: &[Arc<KuryrPoolPort>], many: u32) -> Vec<Arc<KuryrPoolPort>> {
    let mut free = free.to_vec();
    free.sort_by_cached_key(|port| {
        let released = port.spec.released_at.as_ref().map(|at| at.0);
        let value = (says(port, conditions::CREATED), says(port, conditions::PLUGGED));
        (value, std::cmp::Reverse(released), port.name_any())
    });
    free.truncate(usize::try_from(many).unwrap_or(usize::MAX));
    free
}

#[cfg(test)]
mod tests {
    use super::*;
    use kuryr_api::{KuryrPool, KuryrPoolSpec};
    use serde_json::json;
    use std::time::Duration;

    fn port(name: &str, conditions: &[&str], released: Option<&str>) -> Arc<KuryrPoolPort> {
        let conditions: Vec<_> = conditions
            .iter()
            .map(|type_| json!({ "type": type_, "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-11-23T00:00:00Z" }))
            .collect();
        let object = json!({
            "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPoolPort", "metadata": { "name": name },
            "spec": { "nodeName": "n", "networkId": "net", "subnetIds": ["four"], "releasedAt": released },
            "status": { "conditions": conditions },
        });
        Arc::new(serde_json::from_value(object).unwrap())
    }

    fn seen(free: Vec<Arc<KuryrPoolPort>>) -> Observed {
        let spec = KuryrPoolSpec {
            node_name: "n".into(),
            network_id: "net".into(),
            subnet_ids: vec!["four".into()],
            minimum: None,
            maximum: None,
            plugged: None,
        };
        Observed {
            object: Arc::new(KuryrPool::new("n-1", spec)),
            node_exists: true,
            drains_in: None,
            is_current: true,
            groups: Some(vec![]),
            claimable: u32::try_from(free.len()).unwrap(),
            free,
            outdated: vec![],
            cooling_down: 0,
            plugged: 0,
            cools_in: None,
            claimed: 1,
            waiting: 0,
            demand: kuryr_core::pool::DemandNow::default(),
            no_room: false,
        }
    }

    fn planned(seen: &Observed) -> Plan {
        plan(seen, &settings::Pools::default())
    }

    #[test]
    fn a_node_with_pods_has_the_minimum_and_one_without_nothing() {
        assert_eq!(planned(&seen(vec![])).step, PoolStep { target: 3, create: 3, delete: 0 });
        assert_eq!(planned(&Observed { claimed: 0, ..seen(vec![]) }).step, PoolStep::default());
        let mut asked = Observed { claimed: 0, ..seen(vec![]) };
        Arc::make_mut(&mut asked.object).spec.minimum = Some(2);
        assert_eq!(planned(&asked).step.create, 2, "unless somebody asks for it");
    }

    #[test]
    fn a_node_that_goes_or_is_cordoned_for_long_or_a_network_that_is_left_keeps_nothing() {
        let free = || vec![port("a", &["Created"], None)];
        let drained = |seen: Observed| {
            let plan = planned(&seen);
            (plan.step.create, plan.delete.len(), plan.draining, plan.delete_pool)
        };
        assert_eq!(drained(seen(free())), (2, 0, false, false));
        assert_eq!(drained(Observed { node_exists: false, ..seen(free()) }), (0, 1, true, true));
        assert_eq!(drained(Observed { drains_in: Some(Duration::ZERO), ..seen(free()) }), (0, 1, true, false));
        assert_eq!(drained(Observed { drains_in: Some(Duration::from_secs(1)), ..seen(free()) }), (2, 0, false, false));
        assert_eq!(drained(Observed { is_current: false, ..seen(free()) }), (0, 1, true, false));
        assert_eq!(drained(Observed { is_current: false, claimed: 0, ..seen(vec![]) }), (0, 0, true, true));
    }

    #[test]
    fn free_ports_of_other_groups_get_the_right_ones_unless_they_go() {
        let free: Vec<_> = ["a", "b", "c"].map(|name| port(name, &["Created"], None)).into();
        let outdated = Observed { outdated: free[1..].to_vec(), claimable: 1, ..seen(free.clone()) };
        let names = |ports: &[Arc<KuryrPoolPort>]| ports.iter().map(|port| port.name_any()).collect::<Vec<_>>();
        let plan = planned(&outdated);
        assert_eq!((names(&plan.regroup), plan.step.create), (vec!["b".into(), "c".into()], 0), "none is made besides");
        assert!(planned(&Observed { is_current: false, ..outdated.clone() }).regroup.is_empty());
        let mut fewer = outdated;
        Arc::make_mut(&mut fewer.object).spec.maximum = Some(1);
        let plan = planned(&fewer);
        assert_eq!((names(&plan.delete), names(&plan.regroup)), (vec!["a".into(), "b".into()], vec!["c".into()]));
    }

    #[test]
    fn what_is_missed_least_goes_first() {
        let free = [
            port("plugged", &["Created", "Plugged"], None),
            port("new", &["Created"], None),
            port("early", &["Created"], Some("2026-11-23T00:00:00Z")),
            port("late", &["Created"], Some("2026-11-23T01:00:00Z")),
            port("asked", &[], None),
        ];
        let order: Vec<_> = surplus(&free, 9).iter().map(|port| port.name_any()).collect();
        assert_eq!(order, ["asked", "late", "early", "new", "plugged"]);
        assert_eq!(surplus(&free, 1).len(), 1);
    }
}
