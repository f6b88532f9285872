//! The reconcilers of the model: what the real ones plan on what they see, and what the world takes of it.

use super::{
    Claim, Port, View, World,
    objects::{ClaimSeen, NOW, PortSeen, Protocol, remembered},
};
use crate::{
    networks::Defaults,
    pool_port::{self, observe::living_claimant},
    port,
};
use jiff::Timestamp;
use kube::ResourceExt;
use kuryr_core::{claim::Claimant, names};
use std::time::Duration;

const COOL_DOWN: Duration = Duration::from_secs(10);

impl Protocol {
    /// What the port reconciler plans on these versions.
    fn plan_claim(&self, seen: &ClaimSeen) -> Vec<port::plan::Step> {
        let (pod, claim, ports, pod_lives, settled_now) = seen;
        let pod = *pod;
        let defaults =
            Defaults { network: "net".into(), subnets: vec!["four".into()], pod_groups: vec![], node_groups: vec![] };
        let object = self.claim_object(pod, claim);
        let claim_ref = self.claim_ref(pod);
        let seen = ports.iter().enumerate().filter_map(|(number, port)| Some(self.port_object(number, port.as_ref()?)));
        let (free, held): (Vec<_>, Vec<_>) = seen.partition(|port| port.spec.claim_ref.is_none());
        let held: Vec<_> = held.into_iter().filter(|port| port.spec.claim_ref.as_ref() == Some(&claim_ref)).collect();
        let recorded = port::observe::recorded(&object, "eth0");
        // Where the cache lacks the port that the claim has settled on, the API server is asked.
        let pool_port =
            port::observe::choose(recorded, &held).filter(|port| recorded.is_none_or(|name| port.name_any() == name));
        let pool_port = pool_port.or_else(|| {
            let settled = claim.settled?;
            let now = settled_now.as_ref().filter(|port| port.claim == Some(pod))?;
            Some(self.port_object(settled, now))
        });
        let name = names::pool_port(&object.spec.node_name, &claim_ref.uid, "eth0");
        let interface = port::observe::Interface {
            claim: claim_ref,
            name,
            pool_port,
            settled: recorded.is_some(),
            lost: false,
            groups: crate::policies::Groups::Given(vec![]),
            haunted: false,
        };
        let seen = port::observe::Observed {
            port: object,
            // A pod that has ended may still be alive in the cache.
            pod_lives: *pod_lives,
            release: kuryr_core::node::Release::ByNode,
            interfaces: vec![interface],
            free,
            now: NOW.parse::<Timestamp>().unwrap(),
        };
        port::plan::plan(&seen, &port::desire::desire(&seen, &defaults), COOL_DOWN)
    }

    pub(super) fn reconcile_claim(
        &self,
        world: &mut World,
        pod: usize,
        claim: &View<Claim>,
        ports: &[View<Port>],
    ) -> Option<()> {
        let claim = claim.0.clone()?;
        let settled_now = claim.settled.and_then(|settled| world.ports[settled].now.clone());
        let seen = ports.iter().map(|(port, _)| port.clone()).collect();
        let seen = (pod, claim, seen, world.alive[pod], settled_now);
        for step in remembered(&self.claim_plans, seen, |seen| self.plan_claim(seen)) {
            let miss = match step {
                port::plan::Step::Claim { free, otherwise, .. } => {
                    let free = free.iter().map(|port| self.port_of(&port.name_any()));
                    let taken =
                        free.clone().find(|number| ports[*number].1 && world.ports[*number].now == ports[*number].0);
                    match taken {
                        Some(number) => {
                            let now = world.ports[number].now.clone()?;
                            world.ports[number].write(Some(Port { claim: Some(pod), hot: false, ..now }));
                            None
                        }
                        None => otherwise,
                    }
                }
                port::plan::Step::CreatePoolPort(miss) => Some(miss),
                port::plan::Step::DeletePort => {
                    let now = world.claims[pod].now.clone()?;
                    world.claims[pod].write(Some(Claim { deleting: true, ..now }));
                    None
                }
                step => panic!("not planned in this model: {step:?}"),
            };
            if let Some(miss) = miss.filter(|_| self.misses.contains(&pod)) {
                let number = self.port_of(&miss.name);
                if world.ports[number].now.is_none() {
                    world.lives[number] += 1;
                    world.ports[number].write(Some(Port {
                        claim: Some(pod),
                        life: world.lives[number],
                        ..Port::default()
                    }));
                }
            }
        }
        Some(())
    }

    /// What the pool_port reconciler plans on these versions.
    fn plan_port(&self, seen: &PortSeen) -> pool_port::plan::Step {
        let (number, version, holder) = seen;
        let object = self.port_object(*number, version);
        let claimant = version.claim.map(|pod| match holder {
            Some(claim) => living_claimant(&self.claim_object(pod, claim), &object, &self.claim_ref(pod)),
            None => Claimant::Gone,
        });
        let pool = pool_port::observe::Pool::Exists;
        let seen = pool_port::observe::Observed { object, claimant, pool, unsettled: None, wait: None };
        pool_port::plan::plan(&seen)
    }

    pub(super) fn reconcile_port(
        &self,
        world: &mut World,
        number: usize,
        port: &View<Port>,
        claimant: &View<Claim>,
    ) -> Option<()> {
        let (version, current) = (port.0.as_ref()?, port.1 && world.ports[number].now == port.0);
        // The cache's silence is confirmed by the API server.
        let holder = version.claim.and_then(|pod| claimant.0.as_ref().or(world.claims[pod].now.as_ref()));
        let seen = (number, version.clone(), holder.cloned());
        let step = remembered(&self.port_plans, seen, |seen| self.plan_port(seen));
        let now = world.ports[number].now.clone();
        match step {
            pool_port::plan::Step::Converged => {}
            pool_port::plan::Step::Release { used } if current => {
                let now = now?;
                let hot = used && now.created;
                world.ports[number].write(Some(Port { claim: None, hot, ..now }));
            }
            pool_port::plan::Step::Create => {
                // Without its object the port is deleted again, as a second one is.
                if now.as_ref().is_some_and(|now| now.life == version.life) {
                    world.neutron[number] = Some(version.life);
                }
                if current {
                    world.ports[number].write(Some(Port { created: true, ..now? }));
                }
            }
            pool_port::plan::Step::Destroy => {
                // Its own port, known by its uid.
                world.neutron[number] = world.neutron[number].filter(|life| *life != version.life);
                if current {
                    world.ports[number].write(None);
                }
            }
            pool_port::plan::Step::Delete if current => {
                world.ports[number].write(Some(Port { deleting: true, ..now? }));
            }
            // What is written for another version isn't taken.
            pool_port::plan::Step::Release { .. } | pool_port::plan::Step::Delete => {}
            step => panic!("not planned in this model: {step:?}"),
        }
        Some(())
    }
}
