//! The next request to Octavia, and what has to be waited for after it.

use super::{
    Turn, act,
    memory::{Expected, Going, Known},
    settle::Floating,
};
use crate::{
    error::Error,
    runtime::{apply, queue::Next},
    service::facts,
};
use kube::ResourceExt;
use kuryr_core::{
    backoff::Backoff,
    error::Class,
    names,
    service::{
        Observed, Step,
        observed::{ObservedLoadBalancer, Provisioning::PendingDelete},
        plan,
    },
};
use kuryr_openstack::Kind;
use std::time::Duration;
use tokio::time::Instant;

/// Changes that take no longer aren't told: they come with every endpoint.
const QUIET: Duration = Duration::from_secs(5);

/// How soon to look again at parts of a load balancer that change still, though it is `ACTIVE`.
const PARTS: Duration = Duration::from_millis(300);

/// For how long a pool that was told its members is waited for, and how much longer for each of them: OVN's provider needs 0.2 s.
const MEMBERS: Duration = Duration::from_secs(10);

const MEMBER: Duration = Duration::from_secs(1);

/// What is to be deleted, and is known from a look alone, is deleted when looks have shown the same for so long. OVN's provider deletes one
/// member in 0.2 s, and says `ACTIVE` in between; what is deleted a second time then comes back in `ERROR`, or leaves a listener pending for
/// ever.
const SAME: Duration = Duration::from_secs(2);

/// Kubernetes' endpoint slice controller needs 0.05 s where there is little to do.
const FIRST_SLICE: Duration = Duration::from_secs(1);

/// How soon a load balancer that is to go asks again whether it may.
const DEPARTURE: Duration = Duration::from_secs(1);

/// How soon to look again at what only a person can put right.
const BLOCKED: Duration = Duration::from_secs(30);

impl Turn<'_> {
    /// The next step, and what follows from it.
    pub(super) async fn step(&self, mut known: Known) -> Result<Next, Error> {
        if !known.from_birth {
            // A controller before this one may have asked for something whose end it didn't see.
            known.blind_since.get_or_insert_with(Instant::now);
        }
        if !self.goes && self.desired.is_none() {
            // An object that asks for nothing that can be made, as nobody but a person writes it: its Service sets it right.
            return Ok(Next::Converged);
        }
        let mut observed = self.observe(&mut known).await?;
        let graph = self.desired.as_ref().map(|desired| &desired.graph);
        let step = plan(&self.identity, graph, &observed, &self.abilities);
        tracing::debug!(object = self.name, %step, "next");
        let floating = self.floating_at(&mut known, &observed, &step).await?;
        match &step {
            Step::Wait { load_balancer, .. } => self.wait(known, &observed, &step, load_balancer, &floating).await,
            Step::Blocked(_) => {
                self.services.memory.put(&self.uid, Known { load_balancers: None, ..known });
                self.publish(&observed, &step, &floating.has).await?;
                Ok(Next::After(BLOCKED))
            }
            Step::Converged => self.converged(known, &observed, &floating).await,
            request if deletes(request) && known.same_for().is_some_and(|same| same < SAME) => {
                // Who was here before may have asked for it already, and heard no answer: it may look ACTIVE in the middle of it.
                self.services.memory.put(&self.uid, Known { load_balancers: None, ..known });
                Ok(Next::After(PARTS))
            }
            request if floating.changed => {
                self.services.memory.put(&self.uid, known);
                self.publish(&observed, request, &floating.has).await?;
                Ok(Next::After(PARTS))
            }
            Step::Create { .. } if let Some(left) = self.awaits_endpoints(&mut known) => {
                self.services.memory.put(&self.uid, known);
                Ok(Next::After(left))
            }
            Step::Delete { .. } if self.goes && !self.services.departures.has_turn(&self.uid) => {
                self.services.memory.put(&self.uid, known);
                Ok(Next::After(DEPARTURE))
            }
            request => match repair_pause(&known).filter(|_| repairs(request, &observed, &self.identity.mark)) {
                Some(pause) => {
                    self.services.memory.put(&self.uid, Known { load_balancers: None, ..known });
                    if observed.has_error(&self.identity.mark) {
                        self.publish(&observed, request, &floating.has).await?;
                    }
                    Ok(Next::After(pause))
                }
                None => self.ask(known, &mut observed, request).await,
            },
        }
    }

    /// For how long the endpoints of a Service that was only just made are waited for: Kubernetes makes its first EndpointSlice a moment later,
    /// also where no pod is selected, and a load balancer that is made without members gets them by a second request, after the first.
    fn awaits_endpoints(&self, known: &mut Known) -> Option<Duration> {
        let (namespace, name) = (self.object.namespace().unwrap_or_default(), &self.object.spec.service_name);
        if self.present().load_balancer_id.is_some() || self.services.has_slices(&namespace, name) {
            return None;
        }
        let service = self.services.services.get(Some(&namespace), name)?;
        if !facts::service(&service).selector {
            return None;
        }
        let since = known.awaits_endpoints.get_or_insert_with(Instant::now);
        FIRST_SLICE.checked_sub(since.elapsed()).filter(|left| !left.is_zero())
    }

    /// Makes ready for a request, and sends it.
    async fn ask(&self, mut known: Known, observed: &mut Observed, request: &Step) -> Result<Next, Error> {
        if observed.has_error(&self.identity.mark) {
            known.repairs = known.repairs.saturating_add(1);
        }
        if self.goes || matches!(request, Step::Delete { .. }) {
            // It would go with the load balancer's port, and nobody would know whether it is to be kept.
            self.release_floating(&mut known).await?;
        }
        self.request(known, observed, request).await
    }

    /// Sends a request, and waits until Octavia is done with it.
    async fn request(&self, mut known: Known, observed: &mut Observed, step: &Step) -> Result<Next, Error> {
        self.delete_orphans(&mut known).await?;
        tracing::info!(object = self.name, %step, "asking Octavia");
        let before = observed.load_balancers.clone();
        let busy = match act::act(&self.services.octavia, step, observed).await {
            Ok(busy) => busy,
            Err(error) if error.kind() == Kind::Immutable => {
                // Somebody else changes it, or what we know is old.
                self.services.memory.put(&self.uid, Known { load_balancers: None, ..known });
                return Ok(Next::After(PARTS));
            }
            Err(error) => {
                known.asked = Some(Instant::now());
                if matches!(step, Step::Create { .. }) {
                    match error.status() {
                        // What can't be found now is found after the next try.
                        Some(400..=499 | 501) => drop(self.find_orphans(&mut known).await),
                        _ => known.blind_since = Some(Instant::now()),
                    }
                }
                self.services.memory.put(&self.uid, Known { load_balancers: None, ..known });
                return Err(Error::openstack("change the load balancer", self.described())(error));
            }
        };
        known.read = None;
        known.expected = expected(step, observed);
        known.going_pools.extend(still_there(step, &before, observed));
        if let Step::Delete { load_balancer, .. } = step {
            known.going = Some(Going { id: load_balancer.clone(), since: Instant::now() });
        }
        known.load_balancers = Some(observed.load_balancers.clone());
        (known.working_since, known.asked) = (Some(Instant::now()), Some(Instant::now()));
        self.services.memory.put(&self.uid, known);
        if let Some(id) = busy {
            let goes = matches!(step, Step::Delete { .. });
            self.services.pending.add(&id, goes, self.object.namespace().as_deref(), &self.name, &self.uid);
        }
        Ok(Next::After(QUIET))
    }

    /// Octavia is at work.
    async fn wait(
        &self,
        mut known: Known,
        observed: &Observed,
        step: &Step,
        id: &str,
        floating: &Floating,
    ) -> Result<Next, Error> {
        let since = *known.working_since.get_or_insert_with(Instant::now);
        let is_whole = observed.load_balancers.iter().any(|one| one.id == id && one.provisioning.is_pending());
        // The list of all tells when the load balancer is done, not when its parts are.
        known.unverified |= !is_whole;
        self.services.memory.put(&self.uid, known);
        if is_whole {
            let goes = observed.load_balancers.iter().any(|one| one.id == id && one.provisioning == PendingDelete);
            self.services.pending.add(id, goes, self.object.namespace().as_deref(), &self.name, &self.uid);
        }
        let worked = since.elapsed();
        if worked >= QUIET || floating.changed {
            self.publish(observed, step, &floating.has).await?;
        }
        let limit = self.services.settings.services.pending();
        let told = [QUIET, limit].into_iter().find(|at| *at > worked).map_or(limit, |at| at - worked);
        Ok(Next::After(if is_whole { told } else { PARTS.max(worked / 10).min(QUIET) }))
    }

    /// Octavia has all that is desired.
    async fn converged(&self, mut known: Known, observed: &Observed, floating: &Floating) -> Result<Next, Error> {
        (known.repairs, known.working_since, known.read, known.failed) = (0, None, None, None);
        if self.goes {
            return self.end(known).await;
        }
        let next = known.no_floating_ip.as_ref().map(|no| no.next);
        self.services.memory.put(&self.uid, known);
        self.publish(observed, &Step::Converged, &floating.has).await?;
        Ok(next.map_or(Next::Converged, |next| Next::After(next.saturating_duration_since(Instant::now()))))
    }

    /// Octavia has nothing of it any more: the object may go.
    async fn end(&self, mut known: Known) -> Result<Next, Error> {
        self.release_floating(&mut known).await?;
        if !known.from_birth {
            let found = self.find_orphans(&mut known).await;
            found.map_err(Error::openstack("look for ports that were left of the load balancer", self.described()))?;
        }
        if let Some(left) = self.delete_orphans(&mut known).await? {
            self.services.memory.put(&self.uid, known);
            return Ok(Next::After(left));
        }
        let api = self.services.load_balancers_api(&self.object);
        let gone = apply::without_finalizer(&api, &*self.object, names::LOAD_BALANCER_FINALIZER).await?;
        self.services.load_balancers.wrote(gone);
        self.services.memory.forget(&self.uid);
        tracing::info!(object = self.name, "nothing is left in Octavia");
        Ok(Next::Converged)
    }
}

/// Whether a request is about something that failed, or makes anew what had failed as a whole. All others are as if nothing had failed.
fn repairs(request: &Step, observed: &Observed, mark: &str) -> bool {
    observed.has_error(mark) || matches!(request, Step::Create { .. } | Step::Failover { .. })
}

/// For how long nothing is repaired, because what was asked for to repair something didn't help yet.
fn repair_pause(known: &Known) -> Option<Duration> {
    let asked = known.asked.filter(|_| known.repairs > 0)?;
    let pause = Backoff::of(Class::Transient).delay(known.repairs, 0.0).saturating_sub(asked.elapsed());
    (!pause.is_zero()).then_some(pause)
}

/// A time that is longer the more members there are.
pub(super) fn with_members(time: Duration, members: usize) -> Duration {
    time.saturating_add(MEMBER.saturating_mul(u32::try_from(members).unwrap_or(u32::MAX)))
}

/// Whether the step takes something away.
const fn deletes(step: &Step) -> bool {
    matches!(
        step,
        Step::Delete { .. } | Step::DeletePool { .. } | Step::DeleteListener { .. } | Step::DeleteMonitor { .. }
    )
}

/// A pool that was told to go is there until Octavia has it no more: puts it back, and says until when that is waited for.
fn still_there(step: &Step, before: &[ObservedLoadBalancer], observed: &mut Observed) -> Option<(String, Instant)> {
    let Step::DeletePool { pool: id, .. } = step else { return None };
    let was = before.iter().find(|one| one.pools.iter().any(|pool| pool.id == *id))?;
    let now = observed.load_balancers.iter_mut().find(|one| one.id == was.id)?;
    let mut pool = was.pools.iter().find(|pool| pool.id == *id)?.clone();
    pool.provisioning = PendingDelete;
    let until = Instant::now() + with_members(MEMBERS, pool.members.len());
    now.pools.push(pool);
    now.listeners.clone_from(&was.listeners);
    Some((id.clone(), until))
}

/// The members that a pool has after the step, where it is about members.
fn expected(step: &Step, observed: &Observed) -> Option<Expected> {
    let Step::SetMembers { pool: id, members, .. } = step else { return None };
    let pool = observed.load_balancers.iter().flat_map(|one| &one.pools).find(|pool| pool.id == *id)?;
    let until = Instant::now() + with_members(MEMBERS, members.len());
    Some(Expected { pool: id.clone(), members: pool.members.keys().copied().collect(), until })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kuryr_core::service::observed::{Operating, Provisioning};

    #[test]
    fn only_repairs_are_slowed_down() {
        let members = Step::SetMembers {
            pool: "p".to_owned(),
            key: kuryr_core::service::graph::Key { protocol: kuryr_core::service::spec::Protocol::Tcp, port: 80 },
            members: std::collections::BTreeMap::new(),
            additive: false,
        };
        let vip = kuryr_core::service::spec::Vip { address: [10, 96, 0, 9].into(), subnet_id: "s".to_owned() };
        let one = |provisioning| ObservedLoadBalancer {
            id: "lb".to_owned(),
            provisioning,
            operating: Operating::Online,
            name: "shop/web".to_owned(),
            description: "mark".to_owned(),
            admin_state_up: true,
            provider: "ovn".to_owned(),
            flavor_id: None,
            availability_zone: None,
            vip: vip.clone(),
            vip_port_id: "port".to_owned(),
            additional_vips: std::collections::BTreeSet::new(),
            listeners: Vec::new(),
            pools: Vec::new(),
        };
        let with = |load_balancer| Observed { load_balancers: vec![load_balancer], repairs: 9, ..Observed::default() };
        assert!(
            !repairs(&members, &with(one(Provisioning::Active)), "mark"),
            "after an outage endpoints are followed at once"
        );
        assert!(repairs(&members, &with(one(Provisioning::Error)), "mark"));
        let again = Step::Failover { load_balancer: "lb".to_owned() };
        assert!(repairs(&again, &with(one(Provisioning::Active)), "mark"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_gets_well_is_tried_less_and_less_often() {
        let pause = |repairs, asked| repair_pause(&Known { repairs, asked, ..Known::default() });
        let now = Some(Instant::now());
        assert_eq!((pause(0, now), pause(3, None)), (None, None));
        let pauses: Vec<_> = (1..12).map(|repairs| pause(repairs, now).unwrap()).collect();
        assert!(pauses.is_sorted() && pauses[10] >= Duration::from_secs(60) && pauses[0] < Duration::from_secs(1));
        tokio::time::sleep(pauses[0]).await;
        assert_eq!(pause(1, now), None);
    }
}
