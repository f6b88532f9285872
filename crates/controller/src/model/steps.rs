//! What each action does to the world.

use super::{Action, Claim, Port, World, objects::Protocol};

impl Protocol {
    pub(super) fn apply(&self, world: &mut World, action: &Action) -> Option<()> {
        match action {
            Action::PodDies(pod) => world.alive[*pod] = false,
            Action::MakeClaim(pod) => {
                let object = &mut world.claims[*pod];
                if world.alive[*pod] && object.now.is_none() && object.past.is_empty() {
                    object.now = Some(Claim::default());
                }
            }
            Action::Collect(pod) => {
                let now = world.claims[*pod].now.clone()?;
                if !world.alive[*pod] && !now.deleting {
                    world.claims[*pod].write(Some(Claim { deleting: true, ..now }));
                }
            }
            Action::ReconcileClaim(pod, views) => self.reconcile_claim(world, *pod, &views.0, &views.1)?,
            Action::Settle(pod, port) => {
                let now = world.claims[*pod].now.clone()?;
                // Some version of the port is created and claimed; the claim itself is as the writer knows it.
                let object = &world.ports[*port];
                let claimed = |version: &Port| version.claim == Some(*pod) && version.created && !version.missing;
                if now.settled.is_none() && !now.deleting && object.past.iter().chain(&object.now).any(claimed) {
                    world.claims[*pod].write(Some(Claim { settled: Some(*port), ..now }));
                }
            }
            Action::Cool(_) | Action::GiveUp(_) | Action::Vanish(_) | Action::Notice(_) => befall(world, action)?,
            Action::ReconcilePort(port, views) => self.reconcile_port(world, *port, &views.0, &views.1)?,
            Action::Plug(pod, port) => {
                let object = &world.claims[*pod];
                let settled = object.past.iter().chain(&object.now).any(|claim| claim.settled == Some(*port));
                if world.alive[*pod] && settled && !world.confirmed[*pod] {
                    world.plugged[*pod] = Some(*port);
                }
            }
            Action::Unplug(pod) => {
                if !world.alive[*pod] {
                    world.plugged[*pod] = None;
                }
            }
            Action::Confirm(pod) => {
                let deleting = world.claims[*pod].now.as_ref().is_some_and(|claim| claim.deleting);
                if deleting && world.plugged[*pod].is_none() {
                    world.confirmed[*pod] = true;
                    world.claims[*pod].write(None);
                }
            }
        }
        Some(())
    }
}

/// What happens to a port without a reconcile.
fn befall(world: &mut World, action: &Action) -> Option<()> {
    match action {
        Action::Cool(port) => {
            if let Some(now) = world.ports[*port].now.as_mut() {
                now.hot = false;
            }
        }
        Action::GiveUp(port) => {
            let now = world.ports[*port].now.clone()?;
            if now.claim.is_none() && !now.deleting {
                world.ports[*port].write(Some(Port { deleting: true, ..now }));
            }
        }
        Action::Vanish(port) if !world.vanished && world.neutron[*port].is_some() => {
            (world.neutron[*port], world.vanished) = (None, true);
        }
        Action::Notice(port) => {
            let now = world.ports[*port].now.clone()?;
            if now.created && !now.missing && world.neutron[*port].is_none() {
                world.ports[*port].write(Some(Port { missing: true, ..now }));
            }
        }
        _ => {}
    }
    Some(())
}
