//! KuryrLoadBalancer to Octavia: one load balancer for each Service, with a listener and a pool for each port and a member for each
//! endpoint.
//!
//! One request at a time: Octavia refuses changes of what it changes. What comes meanwhile is seen together by the next reconcile, which
//! begins when Octavia is done ([`pending`]). What Octavia has is remembered from its answers ([`memory`]).

mod act;
mod convert;
mod floating;
pub mod memory;
mod orphan;
pub mod pending;
mod read;
mod request;
mod status;

use crate::{
    error::Error,
    runtime::{
        apply,
        cache::object_ref,
        queue::{self, Next, Reconciler},
    },
    services::{Cloud, Services},
};
use floating::Target;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ObjectReference, Service};
use kube::{Api, ResourceExt};
use kuryr_api::{FloatingIpStatus, KuryrLoadBalancer, KuryrLoadBalancerStatus};
use kuryr_core::{
    names::{self, OwnerMark},
    service::{
        Abilities, Desired, Identity, Observed, Provider, Step, desire,
        observed::{
            ObservedLoadBalancer,
            Provisioning::{PendingDelete, PendingUpdate},
        },
        plan,
        spec::FloatingIp,
    },
};
use kuryr_openstack::{
    Found, Kind,
    octavia::{LoadBalancerId, PoolId},
};
use memory::{Expected, Going, Known};
use status::Facts;
use std::{sync::Arc, time::Duration};
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

/// How soon to look again at what only a person can put right.
const BLOCKED: Duration = Duration::from_secs(30);

/// How soon to look again when nothing of the cloud is known yet.
const NO_CLOUD: Duration = Duration::from_secs(1);

/// The reconciler of KuryrLoadBalancers.
pub struct LoadBalancers(pub Arc<Services>);

/// One KuryrLoadBalancer in its turn.
struct Turn<'a> {
    services: &'a Services,
    object: Arc<KuryrLoadBalancer>,
    uid: String,
    name: String,
    identity: Identity,
    abilities: Abilities,
    desired: Option<Desired>,
}

impl Reconciler for LoadBalancers {
    type Object = KuryrLoadBalancer;

    async fn reconcile(&self, object: Arc<KuryrLoadBalancer>) -> Result<Next, Error> {
        let services = &*self.0;
        let (namespace, name) = (object.namespace(), object.name_any());
        let key = queue::key::<KuryrLoadBalancer>(&object_ref(namespace.as_deref(), &name));
        if let Some(left) = services.retries.remaining(&key, object.metadata.generation) {
            return Ok(Next::NotYet(left));
        }
        let deleting = object.metadata.deletion_timestamp.is_some();
        if !deleting && !lives(services, &object).await? {
            // Nothing of the API server may do it: its garbage collector comes late, or not at all.
            if let Some(deleted) = apply::delete(&services.load_balancers_api(&object), &*object).await? {
                services.load_balancers.wrote(deleted);
            }
            return Ok(Next::Converged);
        }
        let held = object.finalizers().iter().any(|finalizer| finalizer == names::LOAD_BALANCER_FINALIZER);
        if deleting && !held {
            return Ok(Next::Converged);
        }
        if !held {
            let api = services.load_balancers_api(&object);
            let held = apply::with_finalizer(&api, &*object, names::LOAD_BALANCER_FINALIZER).await?;
            services.load_balancers.wrote(held);
            return Ok(Next::Converged);
        }
        let Some(cloud) = services.cloud() else { return Ok(Next::After(NO_CLOUD)) };
        let turn = Turn::of(services, &cloud, object, !deleting);
        let known = services.memory.get(&turn.uid);
        let outcome = turn.step(known).await;
        if let Err(error) = &outcome {
            services.memory.doubt(&turn.uid);
            if !error.is_stale() {
                turn.tell_failure(error).await?;
            }
        }
        outcome
    }
}

/// Whether the Service of the object is there. The API server itself says that it is gone, not only a cache.
async fn lives(services: &Services, object: &KuryrLoadBalancer) -> Result<bool, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let of_uid = |uid: Option<String>| uid.as_deref() == Some(object.spec.service_uid.as_str());
    if services.services.get(Some(&namespace), &object.spec.service_name).is_some_and(|known| of_uid(known.uid())) {
        return Ok(true);
    }
    let api: Api<Service> = Api::namespaced(services.client.clone(), &namespace);
    let found = api.get_metadata_opt(&object.spec.service_name).await;
    let found = found.map_err(Error::kubernetes("ask for the Service of", apply::described(object)))?;
    Ok(found.is_some_and(|found| of_uid(found.uid())))
}

impl<'a> Turn<'a> {
    fn of(services: &'a Services, cloud: &Cloud, object: Arc<KuryrLoadBalancer>, wanted: bool) -> Self {
        let (uid, name) = (object.uid().unwrap_or_default(), object.name_any());
        let namespace = object.namespace().unwrap_or_default();
        let mark = OwnerMark { cluster: services.settings.cluster.clone(), uid: uid.clone() }.to_string();
        let identity = Identity { name: format!("{namespace}/{}", object.spec.service_name), mark };
        // Where nobody chose one, Octavia has.
        let given = object.status.as_ref().and_then(|status| status.provider.as_deref());
        let provider = object.spec.load_balancer.provider.as_deref().or(given).unwrap_or_default();
        let abilities = Abilities::new(Provider::of(provider), cloud.api);
        let slices = services.slices_of(&namespace, &object.spec.service_name);
        let desired = wanted
            .then(|| desire(&identity, &object.spec.load_balancer, &slices, &cloud.settings, &abilities))
            .flatten();
        Self { services, object, uid, name, identity, abilities, desired }
    }

    fn described(&self) -> String {
        apply::described(&*self.object)
    }

    fn present(&self) -> KuryrLoadBalancerStatus {
        self.object.status.clone().unwrap_or_default()
    }

    /// What is known of Octavia's side. Asks where nothing is known, or of which part what has become.
    async fn observe(&self, known: &mut Known) -> Result<Observed, Error> {
        let octavia = &self.services.octavia;
        let failed = || Error::openstack("read the load balancer", self.described());
        let recorded = self.present().load_balancer_id;
        let mut load_balancers = match known.load_balancers.take() {
            Some(load_balancers) => load_balancers,
            None => {
                known.unverified = false;
                let read = read::all(octavia, &self.identity.mark, recorded.as_deref()).await.map_err(failed())?;
                known.looked(&read);
                read
            }
        };
        if known.unverified && load_balancers.iter().any(has_pending_pool_without_listener) {
            // The status tree shows no pool without a listener.
            load_balancers = read::all(octavia, &self.identity.mark, recorded.as_deref()).await.map_err(failed())?;
            known.unverified = false;
        }
        if known.unverified {
            for one in load_balancers.iter_mut().filter(|one| !one.provisioning.is_pending()) {
                let id = LoadBalancerId::from(one.id.as_str());
                match octavia.get_status_tree(&id).await.found().map_err(failed())? {
                    Some(tree) => read::take_over(&tree, one),
                    None => one.provisioning = PendingDelete,
                }
            }
            known.unverified = false;
        }
        if let Some(going) = &known.going {
            load_balancers.iter_mut().filter(|one| going.is(one)).for_each(|one| one.provisioning = PendingDelete);
        }
        if known.expected.as_ref().is_some_and(|expected| expected.is_awaited(&load_balancers)) {
            let pool = known.expected.as_ref().map(|expected| expected.pool.as_str());
            let pools = load_balancers.iter_mut().flat_map(|one| &mut one.pools);
            pools.filter(|of| Some(of.id.as_str()) == pool).for_each(|of| of.provisioning = PendingUpdate);
        } else {
            known.expected = None;
        }
        self.await_going(known, &mut load_balancers).await?;
        known.load_balancers = Some(load_balancers.clone());
        let stuck = known.working_for() > self.services.settings.services.pending();
        Ok(Observed { recorded, load_balancers, repairs: known.repairs, stuck })
    }

    /// Has the pools that were told to go count as going until Octavia has them no more, whatever it says of them meanwhile.
    async fn await_going(&self, known: &mut Known, load_balancers: &mut [ObservedLoadBalancer]) -> Result<(), Error> {
        known.going_pools.retain(|(_, until)| Instant::now() < *until);
        if load_balancers.iter().any(|one| one.provisioning.is_pending()) {
            return Ok(());
        }
        for (id, until) in std::mem::take(&mut known.going_pools) {
            let pool = self.services.octavia.get_pool(&PoolId::from(id.as_str())).await;
            let pool = pool.found().map_err(Error::openstack("ask for the deleted pool of", self.described()))?;
            for one in &mut *load_balancers {
                if pool.is_some() {
                    one.pools
                        .iter_mut()
                        .filter(|pool| pool.id == id)
                        .for_each(|pool| pool.provisioning = PendingDelete);
                } else {
                    one.pools.retain(|pool| pool.id != id);
                    for listener in one.listeners.iter_mut().filter(|listener| listener.pool_id.as_ref() == Some(&id)) {
                        listener.pool_id = None;
                    }
                }
            }
            if pool.is_some() {
                known.going_pools.push((id, until));
            }
        }
        Ok(())
    }

    /// The next step, and what follows from it.
    async fn step(&self, mut known: Known) -> Result<Next, Error> {
        let mut observed = self.observe(&mut known).await?;
        let graph = self.desired.as_ref().map(|desired| &desired.graph);
        let step = plan(&self.identity, graph, &observed, &self.abilities);
        tracing::debug!(object = self.name, %step, "next");
        match &step {
            Step::Wait { load_balancer, .. } => self.wait(known, &observed, &step, load_balancer).await,
            Step::Blocked(_) => {
                self.services.memory.put(&self.uid, Known { load_balancers: None, ..known });
                self.publish(&observed, &step, &Ok(self.present().floating_ip)).await?;
                Ok(Next::After(BLOCKED))
            }
            Step::Converged => self.converged(known, &observed).await,
            request if deletes(request) && known.same_for().is_some_and(|same| same < SAME) => {
                // Who was here before may have asked for it already, and heard no answer: it may look ACTIVE in the middle of it.
                self.services.memory.put(&self.uid, Known { load_balancers: None, ..known });
                Ok(Next::After(PARTS))
            }
            request => {
                if observed.has_error(&self.identity.mark) {
                    known.repairs = known.repairs.saturating_add(1);
                }
                if self.desired.is_none() || matches!(request, Step::Delete { .. }) {
                    // It would go with the load balancer's port, and nobody would know whether it is to be kept.
                    self.release_floating(&mut known).await?;
                }
                self.request(known, &mut observed, request).await
            }
        }
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
                if let Step::Create { graph } = step
                    && matches!(error.status(), Some(400..=499 | 501))
                {
                    // What can't be found now is found after the next try.
                    known.orphans = orphan::find(self.services, graph).await.unwrap_or_default();
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
        known.working_since = Some(Instant::now());
        self.services.memory.put(&self.uid, known);
        if let Some(id) = busy {
            let goes = matches!(step, Step::Delete { .. });
            self.services.pending.add(&id, goes, self.object.namespace().as_deref(), &self.name, &self.uid);
        }
        Ok(Next::After(QUIET))
    }

    /// Deletes what refused creations have left.
    async fn delete_orphans(&self, known: &mut Known) -> Result<(), Error> {
        if !known.orphans.is_empty() {
            let deleted = orphan::delete(self.services, &known.orphans).await;
            deleted
                .map_err(Error::openstack("delete the port that was left of the load balancer", self.described()))?;
            known.orphans.clear();
        }
        Ok(())
    }

    /// Octavia is at work.
    async fn wait(&self, mut known: Known, observed: &Observed, step: &Step, id: &str) -> Result<Next, Error> {
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
        if worked >= QUIET {
            self.publish(observed, step, &Ok(self.present().floating_ip)).await?;
        }
        let limit = self.services.settings.services.pending();
        let told = [QUIET, limit].into_iter().find(|at| *at > worked).map_or(limit, |at| at - worked);
        Ok(Next::After(if is_whole { told } else { PARTS.max(worked / 10).min(QUIET) }))
    }

    /// Octavia has all that is desired.
    async fn converged(&self, mut known: Known, observed: &Observed) -> Result<Next, Error> {
        (known.repairs, known.working_since, known.read) = (0, None, None);
        if self.desired.is_none() {
            self.release_floating(&mut known).await?;
            self.delete_orphans(&mut known).await?;
            let api = self.services.load_balancers_api(&self.object);
            let gone = apply::without_finalizer(&api, &*self.object, names::LOAD_BALANCER_FINALIZER).await?;
            self.services.load_balancers.wrote(gone);
            self.services.memory.forget(&self.uid);
            tracing::info!(object = self.name, "nothing is left in Octavia");
            return Ok(Next::Converged);
        }
        let floating_ip = self.floating(&mut known, observed).await?;
        let retry = floating_ip.is_err();
        self.services.memory.put(&self.uid, known);
        self.publish(observed, &Step::Converged, &floating_ip).await?;
        Ok(if retry { Next::After(BLOCKED) } else { Next::Converged })
    }

    fn wanted_floating(&self) -> Option<&FloatingIp> {
        self.desired.as_ref()?.external.as_ref()?.floating_ip.as_ref()
    }

    /// Brings the floating IP to what is desired. The inner error is for a person to put right.
    async fn floating(
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
    async fn release_floating(&self, known: &mut Known) -> Result<(), Error> {
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

    async fn publish(
        &self,
        observed: &Observed,
        step: &Step,
        floating_ip: &Result<Option<FloatingIpStatus>, String>,
    ) -> Result<(), Error> {
        let facts = Facts {
            desired: self.desired.as_ref(),
            current: plan::current(&self.identity, observed),
            step,
            stuck: observed.stuck,
            floating_ip,
        };
        match status::status(&self.object, &facts, Timestamp::now()) {
            Some(status) => self.write(status).await,
            None => Ok(()),
        }
    }

    /// Writes the status, and tells on the Service what is new of it and bad.
    async fn write(&self, status: KuryrLoadBalancerStatus) -> Result<(), Error> {
        let bad = status.conditions.iter().find(|says| says.status == "False" && status::is_for_users(&says.reason));
        let news = bad.filter(|says| self.present().conditions.iter().all(|said| said.reason != says.reason));
        if let Some(news) = news {
            self.services.events.warn(&self.service(), "Serve", &news.reason, &news.message).await;
        }
        let written = apply::status(&self.services.load_balancers_api(&self.object), &*self.object, &status).await?;
        self.services.load_balancers.wrote(written);
        Ok(())
    }

    /// Says why a request failed, as far as that isn't over in a moment.
    async fn tell_failure(&self, error: &Error) -> Result<(), Error> {
        let failure = match error {
            Error::OpenStack { source, .. } => status::failure(source, self.present().load_balancer_id.is_none()),
            Error::Service { problem, .. } => (kuryr_api::conditions::load_balancer::REFUSED, problem.clone()),
            Error::Kubernetes { .. } | Error::Unusable { .. } => return Ok(()),
        };
        let key = queue::key::<KuryrLoadBalancer>(&object_ref(self.object.namespace().as_deref(), &self.name));
        if error.class() == kuryr_core::error::Class::Conflict
            && self.services.retries.in_a_row(&key, error.class()) < 3
        {
            return Ok(());
        }
        let Some(status) = status::failed(&self.object, &failure, Timestamp::now()) else { return Ok(()) };
        match self.write(status).await {
            Err(error) if !error.is_stale() => Err(error),
            _ => Ok(()),
        }
    }

    fn service(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Service".to_owned()),
            namespace: self.object.namespace(),
            name: Some(self.object.spec.service_name.clone()),
            uid: Some(self.object.spec.service_uid.clone()),
            ..ObjectReference::default()
        }
    }
}

/// Whether something of a pool changes still that no listener uses, as between the creation of both.
fn has_pending_pool_without_listener(one: &ObservedLoadBalancer) -> bool {
    let is_used = |id: &str| one.listeners.iter().any(|listener| listener.pool_id.as_deref() == Some(id));
    one.pools.iter().any(|pool| !is_used(&pool.id) && pool.parts().any(|part| part.is_pending()))
}

/// Whether the step takes something away.
const fn deletes(step: &Step) -> bool {
    matches!(
        step,
        Step::Delete { .. } | Step::DeletePool { .. } | Step::DeleteListener { .. } | Step::DeleteMonitor { .. }
    )
}

/// The members that a pool has after the step, where it is about members.
/// A pool that was told to go is there until Octavia has it no more: puts it back, and says until when that is waited for.
fn still_there(step: &Step, before: &[ObservedLoadBalancer], observed: &mut Observed) -> Option<(String, Instant)> {
    let Step::DeletePool { pool: id, .. } = step else { return None };
    let was = before.iter().find(|one| one.pools.iter().any(|pool| pool.id == *id))?;
    let now = observed.load_balancers.iter_mut().find(|one| one.id == was.id)?;
    let mut pool = was.pools.iter().find(|pool| pool.id == *id)?.clone();
    pool.provisioning = PendingDelete;
    let many = u32::try_from(pool.members.len()).unwrap_or(u32::MAX);
    now.pools.push(pool);
    now.listeners.clone_from(&was.listeners);
    Some((id.clone(), Instant::now() + MEMBERS + MEMBER.saturating_mul(many)))
}

fn expected(step: &Step, observed: &Observed) -> Option<Expected> {
    let Step::SetMembers { pool: id, members, .. } = step else { return None };
    let pool = observed.load_balancers.iter().flat_map(|one| &one.pools).find(|pool| pool.id == *id)?;
    let many = u32::try_from(members.len()).unwrap_or(u32::MAX);
    let until = Instant::now() + MEMBERS + MEMBER.saturating_mul(many);
    Some(Expected { pool: id.clone(), members: pool.members.keys().copied().collect(), until })
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
