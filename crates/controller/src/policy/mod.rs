//! NetworkPolicy to KuryrNetworkPolicy: what a policy has become is told. What is done about it is in [`crate::policies`].

mod status;

use crate::{
    context::Context,
    error::Error,
    policies::Policies,
    runtime::{
        apply,
        queue::{Next, Reconciler},
    },
};
use k8s_openapi::{api::networking::v1::NetworkPolicy, apimachinery::pkg::apis::meta::v1::OwnerReference};
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
        let Some(seen) = policies.with(|state| status::look(context, state, &uid)).flatten() else {
            return Ok(Next::Converged);
        };
        if seen.is_under_way() && seen.since < SOON {
            return Ok(Next::After(SOON));
        }
        self.tell(&policy, &seen).await;
        self.publish(&policy, &object, &seen).await
    }
}

impl NetworkPolicies {
    /// Tells of what somebody has to do something about.
    async fn tell(&self, policy: &NetworkPolicy, seen: &Seen) {
        let policies = &self.1;
        let problems: Vec<String> = seen.problems.iter().chain(&seen.failures).chain(&seen.closed).cloned().collect();
        for problem in policies.told.of(&policy.uid().unwrap_or_default(), &problems) {
            let reason = if seen.problems.contains(&problem) { INVALID } else { seen.wanted_reason() };
            policies.events.warn(&policy.object_ref(&()), "Enforce", reason, &problem).await;
        }
    }

    async fn publish(&self, policy: &NetworkPolicy, object: &KuryrNetworkPolicy, seen: &Seen) -> Result<Next, Error> {
        let (policies, present) = (&self.1, object.status.clone().unwrap_or_default());
        if seen.is_programmed() {
            let uid = Uid::from(policy.uid().unwrap_or_default());
            policies.with(|state| state.unprogrammed.remove(&uid));
        }
        let wanted = seen.status(policy, &present);
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
