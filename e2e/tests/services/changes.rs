//! Services that change, that others break, and that come and go.

use super::scene::{Scene, http, load_balancer_id};
use anyhow::{Context, Result, ensure};
use kube::ResourceExt;
use kuryr_api::KuryrLoadBalancer;
use kuryr_e2e::{
    Cluster,
    services::{self, PATIENCE, answered_by, unanswered},
    wait::eventually,
    workload::HTTP_PORT,
};
use kuryr_openstack::octavia::{ListenerId, PoolId, Query};
use serde_json::json;
use std::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn ports_change_in_place() -> Result<()> {
    let scene = Scene::begin("port-change").await?;
    let client = scene.client().await?;
    scene.web(&[("web", "node2")]).await?;
    let service = scene.service("web", json!({ "ports": http() })).await?;
    answered_by(&scene.cluster, &client, services::at(&service, 80)?, &["web"]).await?;
    let id = load_balancer_id(&services::ready(&scene.cluster, &service).await?)?;
    let begin = Instant::now();
    let moved = json!([{ "port": 81, "targetPort": HTTP_PORT, "protocol": "TCP" }]);
    scene.change("web", json!({ "ports": moved })).await?;
    answered_by(&scene.cluster, &client, services::at(&service, 81)?, &["web"]).await?;
    println!("port changed -> the new one answers: {:.1} s", begin.elapsed().as_secs_f64());
    unanswered(&scene.cluster, &client, services::at(&service, 80)?).await?;
    ensure!(load_balancer_id(&services::ready(&scene.cluster, &service).await?)? == id, "it has another load balancer");
    scene.end().await
}

/// The lab's controller looks at Octavia every ten seconds.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_by_hand_comes_back() -> Result<()> {
    let scene = Scene::begin("by-hand").await?;
    let client = scene.client().await?;
    scene.web(&[("web", "node2")]).await?;
    let service = scene.service("web", json!({ "ports": http() })).await?;
    let at = services::at(&service, 80)?;
    for piece in ["member", "pool", "listener", "load balancer"] {
        answered_by(&scene.cluster, &client, at, &["web"]).await.with_context(|| format!("before the {piece} goes"))?;
        let object = services::ready(&scene.cluster, &service).await?;
        remove(&scene.cluster, &object, piece).await.with_context(|| format!("deleting the {piece}"))?;
        unanswered(&scene.cluster, &client, at).await?;
        let begin = Instant::now();
        answered_by(&scene.cluster, &client, at, &["web"]).await.with_context(|| format!("after the {piece} went"))?;
        println!("{piece} deleted by hand -> repaired: {:.1} s", begin.elapsed().as_secs_f64());
    }
    scene.end().await
}

/// Removes a piece of a load balancer behind Kuryr's back.
async fn remove(cluster: &Cluster, object: &KuryrLoadBalancer, piece: &str) -> Result<()> {
    let octavia = cluster.cloud.octavia();
    let status = object.status.as_ref().context("no status")?;
    let listener = status.listeners.first().context("no listener")?;
    let pool = PoolId::from(listener.pool_id.as_deref().context("no pool")?);
    // Octavia may be at work on it still.
    eventually("Octavia to take the request", PATIENCE, async || {
        match piece {
            "member" => {
                let members = octavia.list_members(&pool, &Query::default()).await?;
                octavia.delete_member(&pool, &members.first().context("no member")?.id).await?;
            }
            "pool" => octavia.delete_pool(&pool).await?,
            "listener" => octavia.delete_listener(&ListenerId::from(listener.listener_id.as_str())).await?,
            _ => octavia.delete_load_balancer_tree(&load_balancer_id(object)?).await?,
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn services_that_come_and_go_in_quick_turns_leave_nothing() -> Result<()> {
    let scene = Scene::begin("turns").await?;
    let client = scene.client().await?;
    scene.web(&[("web", "node2")]).await?;
    for _ in 0..25 {
        scene.service("web", json!({ "ports": http(), "type": "LoadBalancer" })).await?;
        services::delete(&scene.cluster, &scene.space, "web").await?;
    }
    // With another one's address, which may still be in Octavia.
    let mut spec = json!({ "ports": http() });
    for _ in 0..25 {
        let service = scene.service("web", spec.clone()).await?;
        spec["clusterIP"] = json!(services::at(&service, 80)?.ip());
        services::delete(&scene.cluster, &scene.space, "web").await?;
    }
    let last = scene.service("web", spec).await?;
    answered_by(&scene.cluster, &client, services::at(&last, 80)?, &["web"]).await?;
    let others: Vec<_> = scene.objects().await?.iter().map(ResourceExt::name_any).collect();
    println!("{} KuryrLoadBalancers are there when the last one is served", others.len());
    scene.end().await
}
