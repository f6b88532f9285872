//! The steps from what is there to what is to be there.

use super::{
    desire::Desired,
    fit,
    observe::{Interface, Observed},
};
use crate::pool_port::plan::is_missing;
use kuryr_api::{ClaimRef, KuryrPoolPort, KuryrPoolPortSpec};
use kuryr_core::{
    names,
    node::{Release, Why},
};
use std::{sync::Arc, time::Duration};

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Claim the first of these free ports that nobody else claims in the same moment.
    Claim {
        /// The free ports that fit, the best one first.
        free: Vec<Arc<KuryrPoolPort>>,
        /// The claim.
        claim: ClaimRef,
        /// The groups that the port is to have.
        groups: Vec<String>,
        /// What to do when all of them are gone.
        otherwise: Option<Miss>,
    },
    /// Make a port that is born claimed: no free one fits.
    CreatePoolPort(Miss),
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
    /// Delete the claim: its pod is gone, or a port that its node hasn't connected yet is, and the pod gets another
    /// claim. Its node's finalizer decides when it goes.
    DeletePort,
    /// Take the node's finalizer off in its place: it is gone, or has been silent for too long.
    RemoveFinalizer(Why),
}

/// A port that is to be made for a claim.
#[derive(Debug, Clone, PartialEq)]
pub struct Miss {
    /// Its name, a function of the claim.
    pub name: String,
    /// What it is to be.
    pub spec: Box<KuryrPoolPortSpec>,
}

/// Plans the steps. None: converged, or waiting for Neutron.
pub fn plan(seen: &Observed, desired: &Desired, cool_down: Duration) -> Vec<Step> {
    let held = seen.port.metadata.finalizers.iter().flatten().any(|held| held == names::INTERFACE_FINALIZER);
    if seen.deleting() {
        return match seen.release {
            Release::Now(why) if held => vec![Step::RemoveFinalizer(why)],
            _ => Vec::new(),
        };
    }
    if !desired.exists {
        return vec![Step::DeletePort];
    }
    if !held {
        return vec![Step::AddFinalizer];
    }
    let wanted = seen.interfaces.iter().zip(&desired.pool_ports);
    let wanted = wanted.filter_map(|(interface, spec)| Some((interface, spec.as_ref()?)));
    let never_to_come =
        |(interface, spec): (&Interface, _)| never_to_come(interface, || fits_any(seen, spec, cool_down));
    if wanted.clone().any(never_to_come) && !seen.is_plugged() {
        return vec![Step::DeletePort];
    }
    let mut taken = 0;
    let wanted = wanted.filter(|(interface, _)| !interface.lost);
    let step = wanted.filter_map(|(interface, spec)| {
        let miss = || Miss { name: interface.name.clone(), spec: Box::new(spec.clone()) };
        match &interface.pool_port {
            Some(port) if fit::is_created(port) => set_groups(port, spec),
            // A port that is missing in Neutron can't be replaced: the node may have connected it.
            _ if interface.settled => None,
            slow => {
                // A port that is slow to come is given up for one that is there; whoever comes second is free.
                let mut free = fit::fitting(&seen.free, spec, cool_down, seen.now);
                free.drain(..taken.min(free.len()));
                let otherwise = slow.is_none().then(miss);
                if free.is_empty() {
                    return otherwise.map(Step::CreatePoolPort).or_else(|| set_groups(slow.as_ref()?, spec));
                }
                taken += 1;
                let (claim, groups) = (interface.claim.clone(), spec.security_group_ids.clone());
                Some(Step::Claim { free, claim, groups, otherwise })
            }
        }
    });
    step.collect()
}

/// The interface's port was taken away, or went in Neutron before its node heard of it, and there is no other one: the name of
/// a new one follows from the claim.
fn never_to_come(interface: &Interface, another: impl FnOnce() -> bool) -> bool {
    let is_missing = || interface.pool_port.as_deref().is_some_and(is_missing);
    interface.lost || (!interface.settled && is_missing() && !another())
}

fn fits_any(seen: &Observed, spec: &KuryrPoolPortSpec, cool_down: Duration) -> bool {
    !fit::fitting(&seen.free, spec, cool_down, seen.now).is_empty()
}

fn set_groups(port: &Arc<KuryrPoolPort>, wanted: &KuryrPoolPortSpec) -> Option<Step> {
    let groups = &wanted.security_group_ids;
    (port.spec.security_group_ids != *groups)
        .then(|| Step::SetGroups { pool_port: port.clone(), groups: groups.clone() })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{desire::desire, observe},
        *,
    };
    use crate::{networks::Defaults, policies::Groups, reasons};
    use kuryr_api::{InterfaceRequest, KuryrPort, KuryrPortSpec, conditions};
    use proptest::prelude::*;
    use serde_json::json;

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
            settled: false,
            lost: false,
            groups: Groups::Given(vec!["open".into()]),
            haunted: false,
        });
        let interfaces = interfaces.collect();
        let (free, now) = (Vec::new(), jiff::Timestamp::UNIX_EPOCH);
        Observed { port: Arc::new(port), pod_lives: true, release: Release::ByNode, interfaces, free, now }
    }

    const COOL_DOWN: Duration = Duration::from_secs(10);

    fn planned(seen: &Observed) -> Vec<Step> {
        plan(seen, &desire(seen, &defaults()), COOL_DOWN)
    }

    /// A port that exists in Neutron with these groups.
    fn created(name: &str, groups: &[&str], claim: Option<&ClaimRef>) -> Arc<KuryrPoolPort> {
        let condition = json!({ "type": "Created", "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-11-23T00:00:00Z" });
        let object = json!({
            "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPoolPort",
            "metadata": { "name": name, "finalizers": [names::NEUTRON_PORT_FINALIZER] },
            "spec": { "nodeName": "n", "networkId": "net", "subnetIds": ["four", "six"], "securityGroupIds": groups, "claimRef": claim },
            "status": { "portId": "p", "securityGroupIds": groups, "conditions": [condition] },
        });
        Arc::new(serde_json::from_value(object).unwrap())
    }

    /// What the steps do to the ports. Of the free ports that a step names, the first `lost` ones are somebody else's by then.
    fn apply(seen: &mut Observed, steps: Vec<Step>, lost: usize) {
        let mut put = |name: &str, claim: Option<&ClaimRef>, port: Arc<KuryrPoolPort>| {
            let of = |interface: &&mut observe::Interface| interface.name == name || Some(&interface.claim) == claim;
            seen.interfaces.iter_mut().find(of).unwrap().pool_port = Some(port);
        };
        for step in steps {
            match step {
                Step::Claim { free, claim, groups, otherwise } => match (free.get(lost), otherwise) {
                    (Some(port), _) => {
                        let groups: Vec<_> = groups.iter().map(String::as_str).collect();
                        let name = port.metadata.name.clone().unwrap();
                        put("", Some(&claim), created(&name, &groups, Some(&claim)));
                        seen.free.retain(|free| free.metadata.name.as_ref() != Some(&name));
                    }
                    (None, Some(miss)) => put(&miss.name, None, Arc::new(KuryrPoolPort::new(&miss.name, *miss.spec))),
                    (None, None) => {}
                },
                Step::CreatePoolPort(Miss { name, spec }) => {
                    put(&name, None, Arc::new(KuryrPoolPort::new(&name, *spec)));
                }
                Step::SetGroups { pool_port, groups } => {
                    let mut changed = (*pool_port).clone();
                    changed.spec.security_group_ids = groups;
                    let claim = changed.spec.claim_ref.clone();
                    put("", claim.as_ref(), Arc::new(changed));
                }
                Step::AddFinalizer | Step::DeletePort | Step::RemoveFinalizer(_) => {
                    panic!("not planned for a living pod")
                }
            }
        }
    }

    proptest! {
        #[test]
        fn the_plan_leads_to_the_desired_state_and_is_then_empty(
            interfaces in 1usize..5, there in prop::collection::vec(any::<Option<bool>>(), 5), free in 0usize..4, lost in 0usize..2,
        ) {
            let mut seen = seen(interfaces);
            let desired = desire(&seen, &defaults());
            for (interface, (there, spec)) in seen.interfaces.iter_mut().zip(there.iter().zip(desired.pool_ports.iter().flatten())) {
                interface.pool_port = there.map(|same_groups| {
                    let groups = if same_groups { spec.security_group_ids.clone() } else { vec!["old".into()] };
                    Arc::new(KuryrPoolPort::new(&interface.name, KuryrPoolPortSpec { security_group_ids: groups, ..spec.clone() }))
                });
            }
            seen.free = (0..free).map(|i| created(&format!("free-{i}"), if i % 2 == 0 { &["open"] } else { &[] }, None)).collect();
            for _ in 0..2 {
                let steps = plan(&seen, &desired, COOL_DOWN);
                apply(&mut seen, steps, lost);
                seen.free.drain(..lost.min(seen.free.len()));
            }
            seen.free.clear();
            for (interface, spec) in seen.interfaces.iter().zip(desired.pool_ports.iter().flatten()) {
                let found = &interface.pool_port.as_ref().unwrap().spec;
                prop_assert_eq!((&found.claim_ref, &found.security_group_ids), (&spec.claim_ref, &spec.security_group_ids));
            }
            prop_assert_eq!(plan(&seen, &desired, COOL_DOWN), vec![]);
            let held: std::collections::BTreeSet<_> = seen.interfaces.iter().map(|i| i.pool_port.as_ref().unwrap().metadata.name.clone()).collect();
            prop_assert_eq!(held.len(), interfaces, "each interface has a port of its own");
        }
    }

    #[test]
    fn a_free_port_is_claimed_in_place_of_one_that_is_slow_to_come() {
        let mut seen = seen(1);
        seen.free = vec![created("free", &["open"], None)];
        assert!(matches!(&planned(&seen)[..], [Step::Claim { otherwise: Some(_), .. }]));
        let spec = desire(&seen, &defaults()).pool_ports.remove(0);
        seen.interfaces[0].pool_port = Some(Arc::new(KuryrPoolPort::new("slow", spec.unwrap())));
        assert!(matches!(&planned(&seen)[..], [Step::Claim { otherwise: None, .. }]));
        seen.interfaces[0].settled = true;
        assert_eq!(planned(&seen), vec![], "a pod's own port can't be replaced");
    }

    #[test]
    fn nothing_is_done_about_a_port_before_its_groups_are_there() {
        let mut seen = seen(1);
        seen.free = vec![created("free", &["open"], None)];
        seen.interfaces[0].groups = Groups::Awaited(None);
        assert_eq!(planned(&seen), vec![], "neither claimed nor made");
        seen.interfaces[0].pool_port = Some(created("own", &["old"], None));
        assert_eq!(planned(&seen), vec![], "it keeps the groups that it has");
    }

    #[test]
    fn a_claim_that_has_lost_its_port_begins_anew_unless_its_pod_uses_it() {
        let mut seen = seen(1);
        seen.free = vec![created("free", &["open"], None)];
        (seen.interfaces[0].settled, seen.interfaces[0].lost) = (true, true);
        assert_eq!(planned(&seen), vec![Step::DeletePort]);
        let plugged = json!({ "conditions": [{ "type": conditions::PLUGGED, "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-11-23T00:00:00Z" }] });
        Arc::make_mut(&mut seen.port).status = Some(serde_json::from_value(plugged).unwrap());
        assert_eq!(planned(&seen), vec![], "the pod has to be deleted by its owner");
    }

    #[test]
    fn a_claim_whose_port_went_in_neutron_begins_anew_unless_its_node_has_heard_of_it() {
        let mut seen = seen(1);
        let missing = json!({ "portId": "p", "conditions": [{ "type": conditions::CREATED, "status": "False", "reason": reasons::PORT_MISSING, "message": "", "lastTransitionTime": "2026-11-23T00:00:00Z" }] });
        let spec = desire(&seen, &defaults()).pool_ports.remove(0);
        let mut port = KuryrPoolPort::new("gone", spec.unwrap());
        port.status = Some(serde_json::from_value(missing).unwrap());
        seen.interfaces[0].pool_port = Some(Arc::new(port));
        assert_eq!(planned(&seen), vec![Step::DeletePort]);
        seen.free = vec![created("free", &["open"], None)];
        assert!(
            matches!(&planned(&seen)[..], [Step::Claim { otherwise: None, .. }]),
            "another one is taken in its place"
        );
        seen.interfaces[0].settled = true;
        assert_eq!(planned(&seen), vec![], "the pod has to be deleted by its owner");
    }

    #[test]
    fn a_claim_without_its_nodes_finalizer_gets_it_before_anything_else() {
        let mut bare = seen(1);
        Arc::make_mut(&mut bare.port).metadata.finalizers = Some(vec!["example.com/other".into()]);
        assert_eq!(planned(&bare), vec![Step::AddFinalizer]);
        let podless = Observed { pod_lives: false, ..bare };
        assert_eq!(planned(&podless), vec![Step::DeletePort]);
    }

    #[test]
    fn a_claim_goes_with_its_pod_but_its_node_confirms() {
        let gone = Observed { pod_lives: false, ..seen(1) };
        assert_eq!(planned(&gone), vec![Step::DeletePort]);

        let mut deleting = seen(1);
        let port = Arc::make_mut(&mut deleting.port);
        port.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
        assert_eq!(planned(&deleting), vec![], "nothing new for a claim that goes");
        let nodeless = Observed { release: Release::Now(Why::NodeGone), ..deleting.clone() };
        assert_eq!(planned(&nodeless), vec![Step::RemoveFinalizer(Why::NodeGone)]);
        Arc::make_mut(&mut deleting.port).metadata.finalizers = None;
        let confirmed = Observed { release: Release::Now(Why::NodeGone), ..deleting };
        assert_eq!(planned(&confirmed), vec![]);
    }
}
