//! One namespace of a test, with pods that are entered, policies, and what Neutron had before.

use anyhow::{Context, Result};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use kuryr_e2e::{
    Cluster, PodTemplate,
    inside::Inside,
    policies::{
        groups::Groups,
        objects,
        probe::{self, Outcome},
        table::{Family, Protocol},
        text::address,
    },
    services,
    traffic::From,
    wait::{eventually, holds},
    workload::{HTTP_PORT, Namespace, UDP_PORT},
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// Both families.
pub const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// Both protocols of a server pod.
pub const PROTOCOLS: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

pub struct Stage {
    pub cluster: Cluster,
    pub space: Namespace,
    before: Groups,
    pods: BTreeMap<String, (Pod, Arc<Inside>)>,
}

impl Stage {
    pub async fn begin(stem: &str) -> Result<Self> {
        let cluster = Cluster::attach().await?;
        let before = Groups::take(&cluster).await?;
        let space = cluster.namespace(stem).await?;
        Ok(Self { cluster, space, before, pods: BTreeMap::new() })
    }

    /// Removes all that the test made, and looks whether no group of it is left.
    pub async fn end(self) -> Result<()> {
        drop(self.pods);
        self.space.remove().await?;
        self.before.are_back(&self.cluster).await
    }

    /// Runs pods, all at the same time, and enters them.
    pub async fn run<const N: usize>(&mut self, pods: [(&str, PodTemplate); N]) -> Result<()> {
        let started = try_join_all(pods.map(async |(name, template)| {
            let pod = self.space.run(&template).await?;
            let inside = Inside::of(&self.cluster, &From::pod(&self.space.name, name)).await?;
            anyhow::Ok((name.to_owned(), (pod, Arc::new(inside))))
        }));
        let started = started.await?;
        self.pods.extend(started);
        Ok(())
    }

    fn entered(&self, pod: &str) -> Result<&(Pod, Arc<Inside>)> {
        self.pods.get(pod).with_context(|| format!("{pod} isn't entered"))
    }

    pub fn inside(&self, pod: &str) -> Result<Arc<Inside>> {
        Ok(self.entered(pod)?.1.clone())
    }

    pub fn ip(&self, pod: &str, family: Family) -> Result<IpAddr> {
        address(&self.entered(pod)?.0, family).with_context(|| format!("{pod} has no address of {family:?}"))
    }

    /// Where a server pod serves a protocol.
    pub fn server(&self, pod: &str, protocol: Protocol, family: Family) -> Result<SocketAddr> {
        Ok(SocketAddr::new(self.ip(pod, family)?, port_of(protocol)))
    }

    /// Waits until an attempt from a pod has this outcome.
    pub async fn is(&self, outcome: Outcome, from: &str, protocol: Protocol, at: SocketAddr) -> Result<()> {
        let inside = self.inside(from)?;
        let what = format!("{at} over {} from {from} to be {outcome}", protocol.as_str());
        eventually(&what, services::PATIENCE, async || {
            let is = inside.spawn(probe::reach(protocol, at)).await?;
            holds(is == outcome, || format!("it is {is}"))
        })
        .await
    }

    /// Waits until a server pod is open to another one, over both protocols at both of its addresses, or closed.
    pub async fn pod_is(&self, outcome: Outcome, from: &str, to: &str) -> Result<()> {
        let each = PROTOCOLS.map(|protocol| self.protocol_is(outcome, from, to, protocol));
        try_join_all(each).await.map(drop)
    }

    /// As [`Self::pod_is`], over one protocol.
    pub async fn protocol_is(&self, outcome: Outcome, from: &str, to: &str, protocol: Protocol) -> Result<()> {
        let each = FAMILIES.map(async |family| {
            let at = self.server(to, protocol, family)?;
            self.is(outcome, from, protocol, at).await.with_context(|| format!("{to}, over {}", protocol.as_str()))
        });
        try_join_all(each).await.map(drop)
    }

    pub async fn policy(&self, name: &str, spec: Value) -> Result<()> {
        objects::create(&self.cluster, &self.space.name, name, &spec).await.map(drop)
    }

    pub async fn change(&self, name: &str, spec: Value) -> Result<()> {
        objects::replace(&self.cluster, &self.space.name, name, &spec).await.map(drop)
    }

    pub async fn delete(&self, name: &str) -> Result<()> {
        objects::delete(&self.cluster, &self.space.name, name).await
    }

    pub async fn label(&self, pod: &str, key: &str, value: Option<&str>) -> Result<()> {
        objects::label_pod(&self.cluster, &self.space.name, pod, key, value).await
    }
}

/// The port at which server pods serve a protocol.
pub const fn port_of(protocol: Protocol) -> u16 {
    match protocol {
        Protocol::Tcp => HTTP_PORT,
        Protocol::Udp => UDP_PORT,
    }
}
