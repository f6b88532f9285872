//! NetworkPolicies and labels as a user changes them, with Kuryr behind.

use super::scene::{self, Change, FRIEND, ROLE, Scene, Way};
use crate::{
    bench::requests::{self, Requests},
    policies::objects,
    wait::{eventually, holds},
};
use anyhow::{Context, Result};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use std::time::Duration;

/// The policy that closes the server.
const POLICY: &str = "only-friends";

/// How long the controller may take until it has nothing to do any more.
const PATIENCE: Duration = Duration::from_secs(60);

/// Gauges that say how much the controller has still to do about policies.
const WORK: [&str; 3] = ["kuryr_policy_groups_pending", "kuryr_policy_groups_failing", "kuryr_policy_pods_unsettled"];

/// A policy, and the label of a pod that it means.
pub(super) struct Kuryr<'a> {
    scene: &'a Scene<'a>,
}

impl<'a> Kuryr<'a> {
    pub(super) const fn new(scene: &'a Scene<'a>) -> Self {
        Self { scene }
    }

    async fn label(&self, value: Option<&str>) -> Result<()> {
        let Scene { cluster, space, other, .. } = self.scene;
        objects::label_pod(cluster, &space.name, other.name, ROLE, value).await
    }
}

impl Way for Kuryr<'_> {
    async fn make(&mut self, change: Change) -> Result<()> {
        let Scene { cluster, space, server, .. } = self.scene;
        match change {
            Change::Close => {
                let spec = scene::only_friends(server.name);
                objects::create(cluster, &space.name, POLICY, &spec).await.map(drop)
            }
            Change::Admit => self.label(Some(FRIEND)).await,
            Change::Expel => self.label(None).await,
            Change::Open => objects::delete(cluster, &space.name, POLICY).await,
        }
    }

    async fn settled(&self) -> Result<()> {
        settled(&self.scene.metrics, PATIENCE).await
    }

    async fn requests(&self) -> Result<Requests> {
        Ok(requests::of_service(&requests::metrics(&self.scene.metrics).await?, requests::NEUTRON))
    }

    async fn clear(&mut self) -> Result<()> {
        let policies: kube::Api<NetworkPolicy> = self.scene.cluster.api(&self.scene.space.name);
        if policies.get_opt(POLICY).await.context("looking for the policy")?.is_some() {
            self.make(Change::Open).await?;
        }
        self.label(None).await?;
        self.settled().await
    }
}

/// Waits until the controller has nothing to do about policies. Whoever has seen packets follow a change knows that it has heard of it.
///
/// # Errors
/// When it doesn't come to that.
pub(super) async fn settled(metrics: &str, patience: Duration) -> Result<()> {
    eventually("the controller to have nothing to do", patience, async || {
        let text = requests::metrics(metrics).await?;
        let left: Vec<_> = WORK.iter().filter_map(|name| Some((*name, gauge(&text, name)?))).collect();
        holds(left.len() == WORK.len(), || "its metrics tell nothing of policies".to_owned())?;
        holds(left.iter().all(|(_, value)| *value <= 0.0), || format!("{left:?}"))
    })
    .await
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
