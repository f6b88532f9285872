//! NetworkPolicies and labels as a user changes them, with Kuryr behind.

use super::scene::{self, Change, FRIEND, ROLE, Scene, Way};
use crate::{
    bench::requests::{self, Requests},
    policies::{objects, progress},
};
use anyhow::{Context, Result};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use std::time::Duration;

/// The policy that closes the server.
const POLICY: &str = "only-friends";

/// How long the controller may take until it has nothing to do any more.
const PATIENCE: Duration = Duration::from_secs(60);

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
        progress::nothing_left(&self.scene.metrics, PATIENCE).await
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
