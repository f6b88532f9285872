//! How far a controller has come with policies.

use crate::{
    bench::requests::metrics,
    wait::{eventually, holds},
};
use anyhow::Result;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::{Api, Client, ResourceExt, api::ListParams};
use kuryr_api::{KuryrNetworkPolicy, conditions};
use std::{collections::BTreeSet, time::Duration};

/// Gauges that say how much the controller has still to do about policies.
const WORK: [&str; 3] = ["kuryr_policy_groups_pending", "kuryr_policy_groups_failing", "kuryr_policy_pods_unsettled"];

/// Waits until the controller has nothing to do about policies, by its metrics. Whoever has seen what it does about a change knows that it
/// has heard of it.
///
/// # Errors
/// When it doesn't come to that.
pub async fn nothing_left(url: &str, patience: Duration) -> Result<()> {
    eventually("the controller to have nothing to do about policies", patience, async || {
        let text = metrics(url).await?;
        let left: Vec<_> = WORK.iter().filter_map(|name| Some((*name, gauge(&text, name)?))).collect();
        holds(left.len() == WORK.len(), || format!("{url} tells nothing of policies"))?;
        holds(left.iter().all(|(_, value)| *value <= 0.0), || format!("{left:?}"))
    })
    .await
}

/// Waits until all policies of a namespace are in force, by their objects.
///
/// # Errors
/// When it doesn't come to that.
pub async fn in_force(client: &Client, namespace: &str, patience: Duration) -> Result<()> {
    let policies: Api<NetworkPolicy> = Api::namespaced(client.clone(), namespace);
    let objects: Api<KuryrNetworkPolicy> = Api::namespaced(client.clone(), namespace);
    eventually("all policies to be in force", patience, async || {
        let all: BTreeSet<_> =
            policies.list_metadata(&ListParams::default()).await?.items.iter().filter_map(ResourceExt::uid).collect();
        let objects = objects.list(&ListParams::default()).await?.items;
        let done: BTreeSet<_> =
            objects.into_iter().filter(is_programmed).map(|object| object.spec.policy_uid).collect();
        let left = all.difference(&done).count();
        holds(left == 0, || format!("{left} of {} aren't", all.len()))
    })
    .await
}

fn is_programmed(object: &KuryrNetworkPolicy) -> bool {
    let conditions = object.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|one| one.type_ == conditions::PROGRAMMED && one.status == "True")
}

/// The value of a metric without labels.
fn gauge(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_is_found_by_its_whole_name() {
        let text = "# TYPE kuryr_a gauge\nkuryr_a_b 3\nkuryr_a 2\nkuryr_a{x=\"1\"} 4\n";
        assert_eq!(gauge(text, "kuryr_a"), Some(2.0));
        assert_eq!(gauge(text, "kuryr"), None);
    }
}
