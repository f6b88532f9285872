//! The floating IP of a load balancer: its turns, from a look to what is to be told of it.

use super::{
    Turn,
    floating::{self, Target},
    memory::Known,
};
use crate::error::Error;
use kuryr_api::FloatingIpStatus;
use kuryr_core::service::{Observed, plan, spec::FloatingIp};

impl Turn<'_> {
    fn wanted_floating(&self) -> Option<&FloatingIp> {
        self.desired.as_ref()?.external.as_ref()?.floating_ip.as_ref()
    }

    /// Brings the floating IP to what is desired. The inner error is for a person to put right.
    pub(super) async fn floating(
        &self,
        known: &mut Known,
        observed: &Observed,
    ) -> Result<Result<Option<FloatingIpStatus>, String>, Error> {
        let (wanted, recorded) = (self.wanted_floating(), self.present().floating_ip);
        let is_settled = match (wanted, &recorded) {
            (None, None) => !known.floating_is_unsure,
            (wanted, recorded) => known.floating_is_settled && is_as_wanted(wanted, recorded.as_ref()),
        };
        if is_settled {
            return Ok(Ok(recorded));
        }
        let current = plan::current(&self.identity, observed);
        let address = current.and_then(|one| {
            std::iter::once(&one.vip).chain(&one.additional_vips).map(|vip| vip.address).find(std::net::IpAddr::is_ipv4)
        });
        let target = current.zip(address).map(|(one, address)| Target { port: &one.vip_port_id, address });
        let settled = self.settle_floating(wanted, recorded.as_ref(), target).await?;
        known.floating_is_settled = settled.is_ok();
        // The status that tells of it isn't written yet.
        known.floating_is_unsure = !matches!(settled, Ok(None));
        Ok(settled)
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
        if self.desired.is_none() && may_have {
            let vip_port = self.present().vip_port_id;
            let target = vip_port.as_deref().zip(self.object.spec.load_balancer.vips.first());
            let target = target.map(|(port, vip)| Target { port, address: vip.address });
            // That there is none to be had doesn't matter any more.
            let _ = self.settle_floating(None, recorded.as_ref(), target).await?;
            known.floating_is_unsure = false;
        }
        Ok(())
    }

    async fn settle_floating(
        &self,
        wanted: Option<&FloatingIp>,
        recorded: Option<&FloatingIpStatus>,
        target: Option<Target<'_>>,
    ) -> Result<Result<Option<FloatingIpStatus>, String>, Error> {
        /// Each request does what it is for; more are needed only if somebody else works against it.
        const MOST_STEPS: usize = 6;
        let (object, mark) = (self.described(), self.identity.mark.as_str());
        for _ in 0..MOST_STEPS {
            let seen = floating::observe(self.services, &object, mark, wanted, recorded).await?;
            let step = floating::plan(wanted, &seen, recorded, target);
            match step {
                floating::Step::Settled(has) => return Ok(Ok(has)),
                floating::Step::Impossible(why) => return Ok(Err(why)),
                request => {
                    tracing::info!(object = self.name, step = ?request, "asking Neutron");
                    if matches!(request, floating::Step::Create(_)) {
                        // Its answer may be lost, and nobody may want it when it is looked for.
                        self.services.memory.suspect_floating(&self.uid);
                    }
                    floating::act(self.services, &object, mark, &request, wanted, target).await?;
                }
            }
        }
        Ok(Err("the floating IP is changed by somebody else all the time".to_owned()))
    }
}

/// Whether a floating IP that was had before is one that is asked for.
fn is_as_wanted(wanted: Option<&FloatingIp>, recorded: Option<&FloatingIpStatus>) -> bool {
    match (wanted, recorded) {
        (None, None) => true,
        (Some(wanted), Some(recorded)) => {
            let address = wanted.address.is_none_or(|address| address == recorded.address);
            let kept = recorded.origin == kuryr_api::FloatingIpOrigin::Kept;
            let adopted = recorded.origin == kuryr_api::FloatingIpOrigin::Adopted;
            address && (adopted == wanted.address.is_some() || !adopted) && (adopted || kept == wanted.keep)
        }
        _ => false,
    }
}
