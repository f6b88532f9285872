//! Pods that go and come while policies are there.

use super::{
    case::{having, space},
    chase::Chase,
};
use anyhow::{Context, Result};
use kuryr_e2e::{
    policies::{Mesh, mesh::name, objects},
    workload::addresses,
};
use serde_json::json;

/// A pod of the same name has another address, and policies that are in force from its first moment.
pub async fn selected(mesh: &mut Mesh) -> Result<()> {
    let namespace = mesh.space("x")?.name.clone();
    let spec = json!({
        "podSelector": {}, "policyTypes": ["Ingress", "Egress"],
        "ingress": [{ "from": [space("y")], "ports": [{ "port": 80 }] }],
        "egress": [{ "to": [space("y")] }],
    });
    objects::create(&mesh.cluster, &namespace, "policy", &spec).await?;
    mesh.agrees().await.context("before")?;
    mesh.take_away("x", "a").await?;
    mesh.agrees().await.context("without the pod")?;
    // At this port nobody may reach any pod of this namespace.
    let chase = Chase::begin(&mesh.cluster, &namespace, mesh.inside("z", "a")?, 81);
    mesh.bring_back("x", "a").await?;
    mesh.agrees().await.context("with another pod of the same name")?;
    let world = mesh.world().await?;
    let pod = world.pods.get(&name("x", "a")).context("the pod isn't there")?;
    chase.was_silent(&addresses(pod)).await
}

/// The rules that mean a pod mean its successor.
pub async fn peer(mesh: &mut Mesh) -> Result<()> {
    let namespace = mesh.space("x")?.name.clone();
    let peer = json!({ "namespaceSelector": having("ns", "y"), "podSelector": having("pod", "b") });
    let spec = json!({
        "podSelector": {}, "policyTypes": ["Ingress", "Egress"],
        "ingress": [{ "from": [peer] }], "egress": [{ "to": [peer], "ports": [{ "port": "web" }] }],
    });
    objects::create(&mesh.cluster, &namespace, "policy", &spec).await?;
    mesh.agrees().await.context("before")?;
    mesh.take_away("y", "b").await?;
    mesh.agrees().await.context("without the peer")?;
    mesh.bring_back("y", "b").await?;
    mesh.agrees().await.map(drop).context("with its successor")
}
