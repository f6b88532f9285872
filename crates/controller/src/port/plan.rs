//! The steps from what is there to what is to be there.

use super::{desire::Desired, observe::Observed};
use kuryr_api::{KuryrPoolPort, KuryrPoolPortSpec};
use kuryr_core::names;
use std::sync::Arc;

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Make a port that is born claimed: no free one fits.
    CreatePoolPort {
        /// Its name, a function of the claim.
        name: String,
        /// What it is to be.
        spec: Box<KuryrPoolPortSpec>,
    },
    /// Give a claimed port other security groups.
    SetGroups {
        /// The port.
        pool_port: Arc<KuryrPoolPort>,
        /// The ids of the groups.
        groups: Vec<String>,
    },
    /// Put the node's finalizer on: somebody took it off, or wrote the claim without it. Without it the claim would be gone,
    /// and its ports would be free, before the node has confirmed that the interface is.
    AddFinalizer,
    /// Delete the claim: its pod is gone. Its node's finalizer decides when it goes.
    DeletePort,
    /// Take the node's finalizer off in its place: the node is gone.
    RemoveFinalizer,
}

/// Plans the steps. None: converged.
pub fn plan(seen: &Observed, desired: &Desired) -> Vec<Step> {
    let held = seen.port.metadata.finalizers.iter().flatten().any(|held| held == names::INTERFACE_FINALIZER);
    if seen.deleting() {
        return if held && !seen.node_exists { vec![Step::RemoveFinalizer] } else { Vec::new() };
    }
    if !desired.exists {
        return vec![Step::DeletePort];
    }
    if !held {
        return vec![Step::AddFinalizer];
    }
    let wanted = seen.interfaces.iter().zip(&desired.pool_ports);
    let step = wanted.filter_map(|(interface, spec)| match &interface.pool_port {
        None => Some(Step::CreatePoolPort { name: interface.name.clone(), spec: Box::new(spec.clone()) }),
        Some(port) if port.spec.security_group_ids != spec.security_group_ids => {
            Some(Step::SetGroups { pool_port: port.clone(), groups: spec.security_group_ids.clone() })
        }
        Some(_) => None,
    });
    step.collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::{desire::desire, observe},
        *,
    };
    use crate::networks::Defaults;
    use kuryr_api::{InterfaceRequest, KuryrPort, KuryrPortSpec};
    use proptest::prelude::*;

    fn defaults() -> Defaults {
        Defaults {
            network: "net".into(),
            subnets: vec!["four".into(), "six".into()],
            pod_groups: vec!["open".into()],
            node_groups: vec![],
        }
    }

    fn seen(interfaces: usize) -> Observed {
        let interfaces: Vec<_> = (0..interfaces).map(|i| InterfaceRequest { name: format!("eth{i}") }).collect();
        let spec = KuryrPortSpec { pod_name: "p".into(), pod_uid: "u".into(), node_name: "n".into(), interfaces };
        let mut port = KuryrPort::new("p-1", spec);
        port.metadata.uid = Some("kp".into());
        port.metadata.finalizers = Some(vec![names::INTERFACE_FINALIZER.into()]);
        let interfaces = port.spec.interfaces.iter().map(|interface| observe::Interface {
            claim: observe::claim_of(&port, &interface.name),
            name: names::pool_port("n", "kp", &interface.name),
            pool_port: None,
        });
        let interfaces = interfaces.collect();
        Observed { port: Arc::new(port), pod_lives: true, node_exists: true, interfaces }
    }

    /// What the steps do to the ports.
    fn apply(seen: &mut Observed, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::CreatePoolPort { name, spec } => {
                    let interface = seen.interfaces.iter_mut().find(|interface| interface.name == name).unwrap();
                    interface.pool_port = Some(Arc::new(KuryrPoolPort::new(&name, *spec)));
                }
                Step::SetGroups { pool_port, groups } => {
                    let of = |interface: &&mut observe::Interface| interface.pool_port.as_ref() == Some(&pool_port);
                    let interface = seen.interfaces.iter_mut().find(of).unwrap();
                    let mut changed = (*pool_port).clone();
                    changed.spec.security_group_ids = groups;
                    interface.pool_port = Some(Arc::new(changed));
                }
                Step::AddFinalizer | Step::DeletePort | Step::RemoveFinalizer => panic!("not planned for a living pod"),
            }
        }
    }

    proptest! {
        #[test]
        fn the_plan_leads_to_the_desired_state_and_is_then_empty(interfaces in 1usize..5, there in prop::collection::vec(any::<Option<bool>>(), 5)) {
            let mut seen = seen(interfaces);
            let desired = desire(&seen, &defaults());
            for (interface, (there, spec)) in seen.interfaces.iter_mut().zip(there.iter().zip(&desired.pool_ports)) {
                interface.pool_port = there.map(|same_groups| {
                    let groups = if same_groups { spec.security_group_ids.clone() } else { vec!["old".into()] };
                    Arc::new(KuryrPoolPort::new(&interface.name, KuryrPoolPortSpec { security_group_ids: groups, ..spec.clone() }))
                });
            }
            let steps = plan(&seen, &desired);
            apply(&mut seen, steps);
            for (interface, spec) in seen.interfaces.iter().zip(&desired.pool_ports) {
                prop_assert_eq!(&interface.pool_port.as_ref().unwrap().spec, spec);
            }
            prop_assert_eq!(plan(&seen, &desired), vec![]);
        }
    }

    #[test]
    fn a_claim_without_its_nodes_finalizer_gets_it_before_anything_else() {
        let mut bare = seen(1);
        Arc::make_mut(&mut bare.port).metadata.finalizers = Some(vec!["example.com/other".into()]);
        assert_eq!(plan(&bare, &desire(&bare, &defaults())), vec![Step::AddFinalizer]);
        let podless = Observed { pod_lives: false, ..bare };
        assert_eq!(plan(&podless, &desire(&podless, &defaults())), vec![Step::DeletePort]);
    }

    #[test]
    fn a_claim_goes_with_its_pod_but_its_node_confirms() {
        let gone = Observed { pod_lives: false, ..seen(1) };
        assert_eq!(plan(&gone, &desire(&gone, &defaults())), vec![Step::DeletePort]);

        let mut deleting = seen(1);
        let port = Arc::make_mut(&mut deleting.port);
        port.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
        assert_eq!(plan(&deleting, &desire(&deleting, &defaults())), vec![], "nothing new for a claim that goes");
        let nodeless = Observed { node_exists: false, ..deleting.clone() };
        assert_eq!(plan(&nodeless, &desire(&nodeless, &defaults())), vec![Step::RemoveFinalizer]);
        Arc::make_mut(&mut deleting.port).metadata.finalizers = None;
        let confirmed = Observed { node_exists: false, ..deleting };
        assert_eq!(plan(&confirmed, &desire(&confirmed, &defaults())), vec![]);
    }
}
