//! What is promised of every world.

use super::{
    Action, Claim, World,
    objects::{Protocol, remembered},
};

impl Protocol {
    /// What happens when nothing goes wrong any more: everybody sees the current state, and works until nobody has anything to do.
    fn settle_down(&self, world: &World) -> World {
        let mut world = world.clone();
        for _ in 0..64 {
            let before = world.clone();
            for pod in 0..self.pods.len() {
                for action in [Action::Collect(pod), Action::MakeClaim(pod), Action::Unplug(pod), Action::Confirm(pod)]
                {
                    self.apply(&mut world, &action);
                }
                let ports: Vec<_> = world.ports.iter().map(|port| (port.now.clone(), true)).collect();
                let claim = (world.claims[pod].now.clone(), true);
                self.apply(&mut world, &Action::ReconcileClaim(pod, Box::new((claim, ports))));
                for port in 0..world.ports.len() {
                    self.apply(&mut world, &Action::Settle(pod, port));
                    self.apply(&mut world, &Action::Plug(pod, port));
                }
            }
            for port in 0..world.ports.len() {
                let view = (world.ports[port].now.clone(), true);
                let holder = view.0.as_ref().and_then(|port| port.claim);
                let claimant = holder.map_or((None, true), |pod| (world.claims[pod].now.clone(), true));
                self.apply(&mut world, &Action::ReconcilePort(port, Box::new((view, claimant))));
                self.apply(&mut world, &Action::Cool(port));
                self.apply(&mut world, &Action::Notice(port));
            }
            if world == before {
                return world;
            }
        }
        panic!("never settles down: {world:?}");
    }

    /// Whether it converges once everybody sees the current state.
    pub(super) fn converges(&self, world: &World) -> bool {
        let mut present = world.clone();
        for port in &mut present.ports {
            port.past.clear();
        }
        for claim in &mut present.claims {
            // That there was one: it isn't made again.
            claim.past = claim.past.iter().next().map(|_| Claim::default()).into_iter().collect();
        }
        remembered(&self.ends, present, |present| self.is_converged(&self.settle_down(present)))
    }

    /// No port is two pods', from before the pod knows of it until its node has confirmed (P2).
    pub(super) fn is_exclusive(&self, world: &World) -> bool {
        let settled = world.claims.iter().map(|claim| claim.now.as_ref().and_then(|claim| claim.settled));
        let mut used = settled
            .zip(&world.plugged)
            .enumerate()
            .flat_map(|(pod, (settled, plugged))| settled.into_iter().chain(*plugged).map(move |port| (pod, port)));
        used.all(|(pod, port)| {
            let now = world.ports[port].now.as_ref();
            let there = |life| world.vanished || world.neutron[port] == Some(life);
            now.is_some_and(|now| now.claim == Some(pod) && there(now.life)) && self.node(port) == self.pods[pod]
        })
    }

    /// Every pod that lives has one port, and nobody else has any.
    pub(super) fn is_converged(&self, world: &World) -> bool {
        (0..self.pods.len()).all(|pod| {
            let holds =
                world.ports.iter().filter(|port| port.now.as_ref().is_some_and(|port| port.claim == Some(pod))).count();
            let claim = world.claims[pod].now.as_ref();
            let had = !world.claims[pod].past.is_empty();
            match (world.alive[pod], claim) {
                // A claim that was deleted under a living pod isn't made again in this model.
                (true, Some(claim)) if !claim.deleting => {
                    claim.settled == world.plugged[pod] && holds == usize::from(claim.settled.is_some())
                }
                (true, _) => had && holds <= 1,
                (false, claim) => claim.is_none() && holds == 0 && world.plugged[pod].is_none(),
            }
        })
    }
}
