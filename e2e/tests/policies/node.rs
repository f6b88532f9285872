//! Policies and the node: "traffic to and from the node where a Pod is running is always allowed" (Kubernetes documentation, Network
//! Policies).

use super::stage::{FAMILIES, PROTOCOLS, Stage};
use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use kuryr_api::ClaimKind;
use kuryr_e2e::{
    Cluster, PodTemplate,
    inside::Inside,
    inventory::Inventory,
    policies::{
        measure::ENFORCED,
        probe::{self, Outcome},
    },
    traffic::{self, From},
    wait::{eventually, holds},
};
use serde_json::json;
use std::net::IpAddr;

#[tokio::test(flavor = "multi_thread")]
async fn a_pods_own_node_reaches_it_whatever_policies_say() -> Result<()> {
    let mut stage = Stage::begin("probed").await?;
    stage.policy("nothing", json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] })).await?;
    let server = |name: &str, node: &str| PodTemplate::server(name).on(node).probed();
    // Its own kubelet must reach it, or it never gets ready.
    stage.run([("one", server("one", "node1")), ("two", server("two", "node2"))]).await?;
    stage.pod_is(Outcome::Silent, "one", "two").await?;
    for (pod, own) in [("one", "node1"), ("two", "node2")] {
        for node in stage.cluster.nodes() {
            let expected = if node == own { Outcome::Open } else { Outcome::Silent };
            from_node(&stage, &node, pod, expected).await.with_context(|| format!("{node} to {pod}"))?;
        }
        for ip in node_port(&stage.cluster, own).await? {
            let pod = From::pod(&stage.space.name, pod);
            traffic::ping(&stage.cluster, &pod, ip, 84).await.context("a pod to its node")?;
        }
    }
    stage.end().await
}

async fn from_node(stage: &Stage, node: &str, pod: &str, expected: Outcome) -> Result<()> {
    let inside = Inside::of(&stage.cluster, &From::node(node)).await?;
    for protocol in PROTOCOLS {
        let each = FAMILIES.map(async |family| {
            let at = stage.server(pod, protocol, family)?;
            eventually(&format!("{at} over {} to be {expected}", protocol.as_str()), ENFORCED, async || {
                let is = inside.spawn(probe::reach(protocol, at)).await?;
                holds(is == expected, || format!("it is {is}"))
            })
            .await
        });
        try_join_all(each).await?;
    }
    Ok(())
}

/// The addresses that a node has among the pods.
async fn node_port(cluster: &Cluster, node: &str) -> Result<Vec<IpAddr>> {
    let ports = Inventory::take(cluster).await?.ports;
    let is_its = |claim: &kuryr_api::ClaimRef| claim.kind == ClaimKind::Node && claim.name == node;
    let port = ports.iter().find(|port| port.spec.claim_ref.as_ref().is_some_and(is_its));
    let status = port.and_then(|port| port.status.as_ref()).with_context(|| format!("{node} has no port"))?;
    ensure!(!status.addresses.is_empty(), "{node}'s port has no address");
    Ok(status.addresses.iter().map(|address| address.ip).collect())
}
