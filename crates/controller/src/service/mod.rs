//! Service to KuryrLoadBalancer: what a Service asks of Octavia, and what it is told of it (`status.loadBalancer`).

pub mod facts;
mod plan;

use crate::{
    error::Error,
    runtime::{
        apply,
        queue::{Next, Reconciler},
    },
    services,
};
use k8s_openapi::{
    api::core::v1::{LoadBalancerIngress, Service},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use kuryr_api::{CONTROLLER, KuryrLoadBalancer, KuryrLoadBalancerSpec, conditions::load_balancer::INVALID};
use kuryr_core::{
    names,
    service::{
        Wanted,
        facts::Settings,
        wanted::{Why, is_ours, wanted},
    },
};
use plan::{Change, Observed};
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// How soon to look again when nothing of the cloud is known yet.
const NO_CLOUD: Duration = Duration::from_secs(1);

/// How soon to look again when an object that is being deleted still holds the name.
const NAME_IN_USE: Duration = Duration::from_secs(2);

/// The reconciler of Services.
pub struct Services(pub Arc<services::Services>);

impl Reconciler for Services {
    type Object = Service;

    async fn reconcile(&self, object: Arc<Service>) -> Result<Next, Error> {
        let shared = &*self.0;
        let Some(cloud) = shared.cloud() else { return Ok(Next::After(NO_CLOUD)) };
        let (namespace, name) = (object.namespace(), object.name_any());
        let load_balancer = names::kuryr_load_balancer(&name, &object.uid().unwrap_or_default());
        let facts = facts::service(&object);
        let present = shared.load_balancers.get(namespace.as_deref(), &load_balancer);
        let asked = present.as_ref().and_then(|present| present.spec.load_balancer.provider.as_deref());
        let has = present.as_ref().and_then(|present| present.status.as_ref()?.provider.as_deref());
        let provider = cloud.keep_provider(&shared.settings.services, asked, has);
        let settings = Settings { provider, ..cloud.settings.clone() };
        let wanted = match shared.are_off() {
            true => Wanted::Nothing(Why::SwitchedOff),
            false => wanted(&facts, &settings),
        };
        let is_ours = is_ours(&facts, &settings);
        let seen = Observed { service: facts, ingress: ingress(&object), object: present };
        let plan = plan::plan(&seen, &wanted, is_ours);
        for problem in shared.news.of(&object.uid().unwrap_or_default(), &plan.problems) {
            shared.events.warn(&object.object_ref(&()), "Serve", INVALID, &problem).await;
        }
        if let Some(ingress) = &plan.ingress {
            publish(shared, &object, ingress).await?;
        }
        change(shared, &object, &load_balancer, seen.object.as_deref(), plan.object).await
    }
}

fn ingress(service: &Service) -> Vec<LoadBalancerIngress> {
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    status.and_then(|status| status.ingress.clone()).unwrap_or_default()
}

/// Brings the KuryrLoadBalancer to what the Service asks for.
async fn change(
    shared: &services::Services,
    service: &Service,
    name: &str,
    object: Option<&KuryrLoadBalancer>,
    change: Change,
) -> Result<Next, Error> {
    let api: Api<KuryrLoadBalancer> = Api::namespaced(shared.client.clone(), &service.namespace().unwrap_or_default());
    match (change, object) {
        (Change::None, _) | (Change::SetSpec(_) | Change::Delete, None) => Ok(Next::Converged),
        (Change::Create(spec), _) => create(shared, &api, service, name, *spec).await,
        (Change::SetSpec(spec), Some(object)) => {
            tracing::info!(object = apply::described(object), "the Service asks for something else");
            shared.load_balancers.wrote(set_spec(&api, object, &spec).await?);
            Ok(Next::Converged)
        }
        (Change::Delete, Some(object)) => {
            tracing::info!(object = apply::described(object), "the Service needs no load balancer");
            if let Some(deleting) = apply::delete(&api, object).await? {
                shared.load_balancers.wrote(deleting);
            }
            Ok(Next::Converged)
        }
    }
}

async fn create(
    shared: &services::Services,
    api: &Api<KuryrLoadBalancer>,
    service: &Service,
    name: &str,
    spec: KuryrLoadBalancerSpec,
) -> Result<Next, Error> {
    let mut object = KuryrLoadBalancer::new(name, spec);
    object.metadata.namespace = service.namespace();
    object.metadata.finalizers = Some(vec![names::LOAD_BALANCER_FINALIZER.to_owned()]);
    object.metadata.owner_references = Some(vec![owner(service)]);
    let parameters = PostParams { field_manager: Some(CONTROLLER.to_owned()), ..PostParams::default() };
    match api.create(&parameters, &object).await {
        Ok(created) => {
            tracing::info!(object = apply::described(&created), "KuryrLoadBalancer created");
            // Nothing was asked of Octavia for it before.
            shared.memory.is_born(&created.uid().unwrap_or_default());
            shared.load_balancers.wrote(created);
            Ok(Next::Converged)
        }
        // The cache was behind, and the watch brings the object; or an earlier one goes still.
        Err(error) if apply::already_exists(&error) => Ok(Next::After(NAME_IN_USE)),
        Err(error) if apply::namespace_terminating(&error) => Ok(Next::Converged),
        Err(error) => Err(Error::kubernetes("create", apply::described(&object))(error)),
    }
}

/// Puts the whole spec in the place of the present one: what isn't asked for any more goes.
async fn set_spec(
    api: &Api<KuryrLoadBalancer>,
    object: &KuryrLoadBalancer,
    spec: &KuryrLoadBalancerSpec,
) -> Result<KuryrLoadBalancer, Error> {
    let patch = json!([
        { "op": "test", "path": "/metadata/uid", "value": object.uid() },
        { "op": "test", "path": "/metadata/resourceVersion", "value": object.resource_version() },
        { "op": "replace", "path": "/spec", "value": spec },
    ]);
    let failed = || Error::kubernetes("change the spec of", apply::described(object));
    let patch = serde_json::from_value(patch).map_err(kube::Error::SerdeError).map_err(failed())?;
    let parameters = PatchParams { field_manager: Some(CONTROLLER.to_owned()), ..PatchParams::default() };
    api.patch(&object.name_any(), &parameters, &Patch::Json::<()>(patch)).await.map_err(failed())
}

fn owner(service: &Service) -> OwnerReference {
    OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Service".to_owned(),
        name: service.name_any(),
        uid: service.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}

/// Says where the Service is reached from outside.
async fn publish(shared: &services::Services, service: &Service, ingress: &[LoadBalancerIngress]) -> Result<(), Error> {
    let api: Api<Service> = Api::namespaced(shared.client.clone(), &service.namespace().unwrap_or_default());
    let patch = json!({
        "metadata": { "uid": service.uid(), "resourceVersion": service.resource_version() },
        "status": { "loadBalancer": { "ingress": ingress } },
    });
    let parameters = PatchParams { field_manager: Some(CONTROLLER.to_owned()), ..PatchParams::default() };
    let written = api.patch_status(&service.name_any(), &parameters, &Patch::Merge(patch)).await;
    let written = written.map_err(Error::kubernetes("write the status of", apply::described(service)))?;
    shared.services.wrote(written);
    Ok(())
}
