//! NetworkPolicy to KuryrNetworkPolicy: what a policy has become is told. What is done about it is in [`crate::policies`].

mod cluster;
mod status;

pub use cluster::ClusterNetworkPolicies;

use crate::{
    context::Context,
    error::Error,
    policies::Policies,
    runtime::{
        apply,
        queue::{Next, Reconciler},
    },
};
use k8s_openapi::{
    api::{core::v1::ObjectReference, networking::v1::NetworkPolicy},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{Api, Resource, ResourceExt, api::PostParams};
use kuryr_api::{CONTROLLER, KuryrNetworkPolicy, KuryrNetworkPolicySpec, conditions::network_policy::INVALID};
use kuryr_core::{names, policy::facts::Uid};
use status::Seen;
use std::{sync::Arc, time::Duration};

/// For how long it isn't told that a change of a policy is under way: mostly it is in force by then.
const SOON: Duration = Duration::from_secs(1);

/// How soon after the last time other numbers of pods and members are told: they follow each pod that comes or goes.
const NUMBERS: Duration = Duration::from_secs(10);

/// How soon to look again when an object that is being deleted still holds the name.
const NAME_IN_USE: Duration = Duration::from_secs(2);

/// The reconciler of NetworkPolicies.
pub struct NetworkPolicies(pub Arc<Context>, pub Arc<Policies>);

impl Reconciler for NetworkPolicies {
    type Object = NetworkPolicy;

    async fn reconcile(&self, policy: Arc<NetworkPolicy>) -> Result<Next, Error> {
        let Self(context, policies) = self;
        if policy.metadata.deletion_timestamp.is_some() {
            return Ok(Next::Converged);
        }
        let uid = Uid::from(policy.uid().unwrap_or_default());
        let name = names::kuryr_network_policy(&policy.name_any(), &uid);
        let namespace = policy.namespace();
        let Some(object) = policies.objects.get(namespace.as_deref(), &name) else {
            return create(policies, &policy, &name).await;
        };
        let seen = policies.with(|state| {
            // What changes from now on is another change.
            let seen = status::look(context, state, &uid)?;
            if seen.is_programmed() {
                state.unprogrammed.remove(&uid);
            }
            Some(seen)
        });
        let Some(seen) = seen.flatten() else { return Ok(Next::Converged) };
        if seen.is_under_way() && seen.since < SOON {
            return Ok(Next::After(SOON));
        }
        tell(policies, policy.object_ref(&()), &uid, &seen).await;
        self.publish(&policy, &object, &seen).await
    }
}

impl NetworkPolicies {
    async fn publish(&self, policy: &NetworkPolicy, object: &KuryrNetworkPolicy, seen: &Seen) -> Result<Next, Error> {
        let (policies, present) = (&self.1, object.status.clone().unwrap_or_default());
        let wanted = seen.status(policy.metadata.generation, &present);
        if wanted == present {
            return Ok(Next::Converged);
        }
        let mut like = wanted.clone();
        (like.pods, like.members) = (present.pods, present.members);
        if like == present
            && let Some(left) = policies.told.wait(&policy.uid().unwrap_or_default(), NUMBERS)
        {
            return Ok(Next::After(left));
        }
        let api: Api<KuryrNetworkPolicy> =
            Api::namespaced(policies.client.clone(), &policy.namespace().unwrap_or_default());
        let written = apply::status(&api, object, &wanted).await?;
        policies.objects.wrote(written);
        policies.told.wrote(&policy.uid().unwrap_or_default());
        if seen.is_programmed() && seen.is_new {
            policies.metrics.programmed(seen.since);
        }
        Ok(Next::Converged)
    }
}

/// Tells of what somebody has to do something about.
async fn tell(policies: &Policies, about: ObjectReference, uid: &str, seen: &Seen) {
    let troubles = seen.troubles();
    let texts: Vec<String> = troubles.iter().map(|(_, text)| text.clone()).collect();
    for text in policies.told.of(uid, &texts) {
        let reason = troubles.iter().find(|(_, told)| *told == text).map_or(INVALID, |(reason, _)| reason);
        policies.events.warn(&about, "Enforce", reason, &text).await;
    }
}

async fn create(policies: &Policies, policy: &NetworkPolicy, name: &str) -> Result<Next, Error> {
    let spec = KuryrNetworkPolicySpec { policy_name: policy.name_any(), policy_uid: policy.uid().unwrap_or_default() };
    let mut object = KuryrNetworkPolicy::new(name, spec);
    object.metadata.namespace = policy.namespace();
    object.metadata.owner_references = Some(vec![OwnerReference {
        api_version: NetworkPolicy::api_version(&()).into_owned(),
        kind: NetworkPolicy::kind(&()).into_owned(),
        name: policy.name_any(),
        uid: policy.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    }]);
    let api: Api<KuryrNetworkPolicy> =
        Api::namespaced(policies.client.clone(), &policy.namespace().unwrap_or_default());
    let parameters = PostParams { field_manager: Some(CONTROLLER.to_owned()), ..PostParams::default() };
    match api.create(&parameters, &object).await {
        Ok(created) => {
            // The cache has it, which starts the next reconcile.
            policies.objects.wrote(created);
            Ok(Next::Converged)
        }
        Err(error) if apply::already_exists(&error) => Ok(Next::After(NAME_IN_USE)),
        Err(error) => Err(Error::kubernetes("create", apply::described(&object))(error)),
    }
}
