//! What has become of a ClusterNetworkPolicy is told in its own conditions.

use super::{SOON, status, tell};
use crate::{
    context::Context,
    error::Error,
    policies::Policies,
    runtime::{
        apply,
        queue::{Next, Reconciler},
    },
};
use kube::{Api, Resource, ResourceExt};
use kuryr_api::{ClusterNetworkPolicy, ClusterNetworkPolicyStatus};
use kuryr_core::policy::facts::Name;
use std::sync::Arc;

/// The reconciler of ClusterNetworkPolicies.
pub struct ClusterNetworkPolicies(pub Arc<Context>, pub Arc<Policies>);

impl Reconciler for ClusterNetworkPolicies {
    type Object = ClusterNetworkPolicy;

    async fn reconcile(&self, policy: Arc<ClusterNetworkPolicy>) -> Result<Next, Error> {
        let Self(context, policies) = self;
        if policy.metadata.deletion_timestamp.is_some() {
            return Ok(Next::Converged);
        }
        let name = Name::from(policy.name_any());
        let seen = policies.with(|state| {
            // What changes from now on is another change.
            let seen = status::look_at_cluster(context, state, &name)?;
            if seen.is_programmed() {
                state.cluster_unprogrammed.remove(&name);
            }
            Some(seen)
        });
        let seen = seen.flatten();
        let Some(seen) = seen else { return Ok(Next::Converged) };
        if seen.is_under_way() && seen.since < SOON {
            return Ok(Next::After(SOON));
        }
        tell(policies, policy.object_ref(&()), &policy.uid().unwrap_or_default(), &seen).await;
        let present = policy.status.clone().unwrap_or_default().conditions;
        let conditions = seen.conditions(policy.metadata.generation, &present);
        if conditions.iter().all(|wanted| present.contains(wanted)) {
            return Ok(Next::Converged);
        }
        let api: Api<ClusterNetworkPolicy> = Api::all(policies.client.clone());
        let written = apply::status(&api, &*policy, &ClusterNetworkPolicyStatus { conditions }).await?;
        policies.cluster_policies.wrote(written);
        if seen.is_programmed() && seen.is_new {
            policies.metrics.programmed(seen.since);
        }
        Ok(Next::Converged)
    }
}
