//! KuryrLoadBalancer to Octavia: one load balancer for each Service, with a listener and a pool for each port and a member for each
//! endpoint.
//!
//! One request at a time: Octavia refuses changes of what it changes. What comes meanwhile is seen together by the next reconcile, which
//! begins when Octavia is done ([`pending`]). What Octavia has is remembered from its answers ([`memory`]).

pub mod act;
mod convert;
mod floating;
pub mod memory;
mod observe;
mod orphan;
pub mod pending;
pub mod read;
mod request;
mod settle;
mod status;
mod step;
mod tell;

use crate::{
    error::Error,
    runtime::{
        apply,
        cache::object_ref,
        queue::{self, Next, Reconciler},
    },
    services::{Cloud, Services},
};
use k8s_openapi::api::core::v1::Service;
use kube::{Api, ResourceExt};
use kuryr_api::{KuryrLoadBalancer, KuryrLoadBalancerStatus};
use kuryr_core::{
    names::{self, OwnerMark},
    service::{Abilities, ApiVersion, Desired, Identity, Provider, desire},
};
use memory::Known;
use std::{sync::Arc, time::Duration};

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
    /// It is being deleted.
    goes: bool,
    desired: Option<Desired>,
}

impl Reconciler for LoadBalancers {
    type Object = KuryrLoadBalancer;

    async fn reconcile(&self, object: Arc<KuryrLoadBalancer>) -> Result<Next, Error> {
        let services = &*self.0;
        let (namespace, name) = (object.namespace(), object.name_any());
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
        let cloud = services.cloud();
        if cloud.is_none() && !deleting {
            return Ok(Next::After(NO_CLOUD));
        }
        let turn = Turn::of(services, cloud.as_deref(), object, deleting);
        let known = services.memory.get(&turn.uid);
        let key = queue::key::<KuryrLoadBalancer>(&object_ref(namespace.as_deref(), &name));
        let waits = services.retries.remaining(&key, turn.object.metadata.generation);
        // Endpoints that come and go don't wait for what failed for others.
        if let Some(left) = waits.filter(|_| !turn.has_changed_since_failure(&known)) {
            return Ok(Next::NotYet(left));
        }
        let outcome = turn.step(known).await;
        if let Err(error) = &outcome {
            services.memory.failed(&turn.uid, turn.desired.as_ref().map(|desired| desired.graph.clone()));
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

/// What the provider of a load balancer can do. Where nobody chose one, Octavia has.
fn abilities(cloud: Option<&Cloud>, object: &KuryrLoadBalancer) -> Abilities {
    let given = object.status.as_ref().and_then(|status| status.provider.as_deref());
    let provider = object.spec.load_balancer.provider.as_deref().or(given).unwrap_or_default();
    Abilities::new(Provider::of(provider), cloud.map_or(ApiVersion::v2(0), |cloud| cloud.api))
}

fn desired_of(services: &Services, cloud: &Cloud, object: &KuryrLoadBalancer, identity: &Identity) -> Option<Desired> {
    let slices = services.slices_of(&object.namespace().unwrap_or_default(), &object.spec.service_name);
    let abilities = abilities(Some(cloud), object);
    desire(identity, &object.spec.load_balancer, &slices, &cloud.settings, &abilities)
}

/// What a load balancer is to serve, whatever Octavia has.
pub fn desired(services: &Services, cloud: &Cloud, object: &KuryrLoadBalancer) -> Option<Desired> {
    let identity = Identity { name: String::new(), mark: String::new() };
    desired_of(services, cloud, object, &identity)
}

impl<'a> Turn<'a> {
    /// `cloud` isn't needed for one that goes.
    fn of(services: &'a Services, cloud: Option<&Cloud>, object: Arc<KuryrLoadBalancer>, goes: bool) -> Self {
        let (uid, name) = (object.uid().unwrap_or_default(), object.name_any());
        let namespace = object.namespace().unwrap_or_default();
        let mark = OwnerMark { cluster: services.settings.cluster.clone(), uid: uid.clone() }.to_string();
        let identity = Identity { name: format!("{namespace}/{}", object.spec.service_name), mark };
        let abilities = abilities(cloud, &object);
        let desired = cloud.filter(|_| !goes).and_then(|cloud| desired_of(services, cloud, &object, &identity));
        Self { services, object, uid, name, identity, abilities, goes, desired }
    }

    /// Whether there is a load balancer that is to be another one than when something of it failed.
    fn has_changed_since_failure(&self, known: &Known) -> bool {
        self.present().load_balancer_id.is_some()
            && known.failed.as_ref() != self.desired.as_ref().map(|desired| &desired.graph)
    }

    fn described(&self) -> String {
        apply::described(&*self.object)
    }

    fn present(&self) -> KuryrLoadBalancerStatus {
        self.object.status.clone().unwrap_or_default()
    }
}
