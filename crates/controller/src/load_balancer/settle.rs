//! The floating IP of a load balancer: its turns, from a look to what is to be told of it.
//!
//! The load balancer never waits for its floating IP: what can't be had is told, and tried again by itself.

use super::{
    Turn,
    floating::{self, Target},
    memory::{Known, NoFloatingIp},
    orphan,
    status::{self, NoAddress},
};
use crate::error::Error;
use kuryr_api::{FloatingIpOrigin, FloatingIpStatus, conditions::load_balancer as reasons};
use kuryr_core::{
    backoff::Backoff,
    error::Class,
    service::{Observed, Step, observed::ObservedLoadBalancer, plan, spec::FloatingIp},
};
use std::net::IpAddr;
use tokio::time::Instant;

/// What became of the floating IP.
#[derive(Debug)]
pub struct Floating {
    /// What the Service has, or why it doesn't have what it asks for.
    pub has: Result<Option<FloatingIpStatus>, NoAddress>,
    /// Neutron was asked to change something: OVN takes that over by itself, a moment later.
    pub changed: bool,
}

/// So many conflicts in a row are no news: somebody else was quicker.
const QUIET_CONFLICTS: u32 = 3;

impl Turn<'_> {
    fn wanted_floating(&self) -> Option<&FloatingIp> {
        self.desired.as_ref()?.external.as_ref()?.floating_ip.as_ref()
    }

    /// Whether one that isn't wanted any more stays: as the Service says, or said when it was last wanted.
    fn keeps_floating(&self) -> bool {
        let asked = self.object.spec.load_balancer.external.as_ref().and_then(|of| of.floating_ip.as_ref());
        let recorded = self.present().floating_ip;
        asked.map_or_else(|| recorded.is_some_and(|has| has.origin == FloatingIpOrigin::Kept), |asked| asked.keep)
    }

    /// The floating IP at this step. It is taken away at once, and given when the load balancer is there with all its parts: OVN's provider
    /// and its agent may undo each other's work on one that is just being made.
    pub(super) async fn floating_at(
        &self,
        known: &mut Known,
        observed: &Observed,
        step: &Step,
    ) -> Result<Floating, Error> {
        let is_there = match step {
            Step::Converged => true,
            Step::Create { .. } | Step::Delete { .. } | Step::Failover { .. } => false,
            step => step.is_request(),
        };
        // A look at what is as it was, as after an audit, takes as long as Neutron likes: endpoints don't wait for it.
        let is_endpoints = matches!(step, Step::SetMembers { .. })
            && known.no_floating_ip.is_none()
            && is_as_wanted(self.wanted_floating(), self.present().floating_ip.as_ref());
        if self.goes || is_endpoints || (self.wanted_floating().is_some() && !is_there) {
            return Ok(Floating { has: Ok(self.present().floating_ip), changed: false });
        }
        self.floating(known, observed).await
    }

    async fn floating(&self, known: &mut Known, observed: &Observed) -> Result<Floating, Error> {
        let (wanted, recorded) = (self.wanted_floating(), self.present().floating_ip);
        let is_settled = match (wanted, &recorded) {
            (None, None) => !known.floating_is_unsure,
            (wanted, recorded) => known.floating_is_settled && is_as_wanted(wanted, recorded.as_ref()),
        };
        if is_settled {
            known.no_floating_ip = None;
            return Ok(Floating { has: Ok(recorded), changed: false });
        }
        let waits = known.no_floating_ip.as_ref().filter(|no| no.wanted.as_ref() == wanted);
        if let Some(waits) = waits.filter(|no| Instant::now() < no.next) {
            return Ok(Floating { has: waits.told(recorded), changed: false });
        }
        let mut done = Done::default();
        let tried = self.try_floating(known, observed, wanted, recorded.as_ref(), &mut done).await;
        let Done { changed, lost } = done;
        let (class, says, asked) = match tried {
            Ok(Ok(has)) => {
                // The status that tells of it isn't written yet.
                (known.floating_is_settled, known.floating_is_unsure) = (true, has.is_some());
                known.no_floating_ip = None;
                return Ok(Floating { has: Ok(has), changed });
            }
            Ok(Err(message)) => (Class::Quota, NoAddress { reason: reasons::NO_FLOATING_IP, message, lost }, None),
            Err(error @ Error::Kubernetes { .. }) => return Err(error),
            Err(error) => {
                tracing::warn!(object = self.name, %error, "no floating IP, trying again");
                let (reason, message) = match &error {
                    Error::OpenStack { source, .. } => status::failure(source, false),
                    _ => (reasons::REFUSED, error.to_string()),
                };
                (error.class(), NoAddress { reason, message, lost }, error.retry_after())
            }
        };
        (known.floating_is_settled, known.floating_is_unsure) = (false, true);
        let before = known.no_floating_ip.take().filter(|no| no.class == class && no.wanted.as_ref() == wanted);
        let failures = before.map_or(0, |no| no.failures).saturating_add(1);
        let wait = Backoff::of(class).delay(failures, fastrand::f64()).max(asked.unwrap_or_default());
        let no = NoFloatingIp { wanted: wanted.cloned(), class, failures, next: Instant::now() + wait, says };
        let has = no.told(recorded);
        known.no_floating_ip = Some(no);
        Ok(Floating { has, changed })
    }

    async fn try_floating(
        &self,
        known: &mut Known,
        observed: &Observed,
        wanted: Option<&FloatingIp>,
        recorded: Option<&FloatingIpStatus>,
        done: &mut Done,
    ) -> Result<Result<Option<FloatingIpStatus>, String>, Error> {
        let target = match plan::current(&self.identity, observed) {
            Some(current) => self.target(current).await?,
            None => None,
        };
        let target = target.as_ref().map(|(port, address)| Target { port, address: *address });
        self.settle_floating(known, wanted, recorded, target, done).await
    }

    /// The address that a floating IP stands for, and the Neutron port that has it: each further address of OVN's load balancers has a port of
    /// its own.
    async fn target(&self, current: &ObservedLoadBalancer) -> Result<Option<(String, IpAddr)>, Error> {
        let mut vips = std::iter::once(&current.vip).chain(&current.additional_vips);
        let Some(vip) = vips.find(|vip| vip.address.is_ipv4()) else { return Ok(None) };
        if *vip == current.vip {
            return Ok(Some((current.vip_port_id.clone(), vip.address)));
        }
        let ports = orphan::ports_of(self.services, vip).await;
        let ports = ports.map_err(Error::openstack("look for the port of an address", self.described()))?;
        let own = ports.into_iter().find(|port| orphan::load_balancer_of(port) == Some(current.id.as_str()));
        let port = own.map_or_else(|| current.vip_port_id.clone(), |port| port.id.to_string());
        Ok(Some((port, vip.address)))
    }

    /// The load balancer's address goes: a floating IP that Kuryr made goes too, unless it is to be kept or the Service still wants it.
    pub(super) async fn release_floating(&self, known: &mut Known) -> Result<(), Error> {
        known.floating_is_settled = false;
        let recorded = self.present().floating_ip;
        let external = self.object.spec.load_balancer.external.as_ref();
        // A controller before this one may have asked for one, and heard no answer.
        let may_have = recorded.is_some()
            || known.floating_is_unsure
            || !known.from_birth
            || external.is_some_and(|of| of.floating_ip.is_some());
        if self.goes && may_have {
            let vip_port = self.present().vip_port_id;
            let target = vip_port.as_deref().zip(self.object.spec.load_balancer.vips.first());
            let target = target.map(|(port, vip)| Target { port, address: vip.address });
            // That there is none to be had doesn't matter any more.
            let _ = self.settle_floating(known, None, recorded.as_ref(), target, &mut Done::default()).await?;
            known.floating_is_unsure = false;
        }
        Ok(())
    }

    async fn settle_floating(
        &self,
        known: &mut Known,
        wanted: Option<&FloatingIp>,
        recorded: Option<&FloatingIpStatus>,
        target: Option<Target<'_>>,
        done: &mut Done,
    ) -> Result<Result<Option<FloatingIpStatus>, String>, Error> {
        /// Each request does what it is for; more are needed only if somebody else works against it.
        const MOST_STEPS: usize = 6;
        let (object, mark) = (self.described(), self.identity.mark.as_str());
        let keep = wanted.map_or_else(|| self.keeps_floating(), |wanted| wanted.keep);
        for _ in 0..MOST_STEPS {
            let seen = floating::observe(self.services, &object, mark, wanted, recorded).await?;
            let step = floating::plan(wanted, keep, &seen, target);
            match step {
                floating::Step::Settled(has) => return Ok(Ok(has)),
                floating::Step::Impossible(why) => {
                    done.lost = true;
                    return Ok(Err(why));
                }
                request => {
                    tracing::info!(object = self.name, step = ?request, "asking Neutron");
                    if matches!(request, floating::Step::Create(_)) {
                        // Its answer may be lost, and nobody may want it when it is looked for.
                        known.suspicions = self.services.memory.suspect_floating(&self.uid);
                    }
                    // Another one is only made where there is none. Who is merely to be associated again may be, after a lost answer.
                    done.lost |= matches!(request, floating::Step::Create(_));
                    floating::act(self.services, &object, mark, &request, wanted, target).await?;
                    done.changed = true;
                }
            }
        }
        Ok(Err("the floating IP is changed by somebody else all the time".to_owned()))
    }
}

/// What was seen and done of the floating IP in one turn.
#[derive(Debug, Default)]
struct Done {
    /// Neutron was asked to change something.
    changed: bool,
    /// The one that the status tells of isn't the Service's any more.
    lost: bool,
}

impl NoFloatingIp {
    /// What the status says of it.
    fn told(&self, recorded: Option<FloatingIpStatus>) -> Result<Option<FloatingIpStatus>, NoAddress> {
        match self.class {
            Class::Conflict if self.failures < QUIET_CONFLICTS => Ok(recorded),
            _ => Err(self.says.clone()),
        }
    }
}

/// Whether a floating IP that was had before is one that is asked for.
fn is_as_wanted(wanted: Option<&FloatingIp>, recorded: Option<&FloatingIpStatus>) -> bool {
    match (wanted, recorded) {
        (None, None) => true,
        (Some(wanted), Some(recorded)) => {
            let address = wanted.address.is_none_or(|address| address == recorded.address);
            let kept = recorded.origin == FloatingIpOrigin::Kept;
            let adopted = recorded.origin == FloatingIpOrigin::Adopted;
            address && (adopted == wanted.address.is_some() || !adopted) && (adopted || kept == wanted.keep)
        }
        _ => false,
    }
}
