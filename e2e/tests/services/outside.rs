//! Services that are reached from outside the cluster.

use super::scene::{Scene, http};
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use kuryr_api::conditions;
use kuryr_e2e::{
    services::{self, PATIENCE, answered_by, unanswered},
    traffic::From,
    wait::{eventually, holds},
};
use serde_json::json;
use std::{
    net::{IpAddr, SocketAddr},
    time::Instant,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_load_balancer_is_reached_from_outside_as_long_as_it_is_one() -> Result<()> {
    let scene = Scene::begin("outside").await?;
    let client = scene.client().await?;
    scene.web(&[("web", "node2")]).await?;
    let begin = Instant::now();
    let service = scene.service("web", json!({ "ports": http(), "type": "LoadBalancer" })).await?;
    let ip = eventually("the Service to say where it is reached", PATIENCE, async || {
        ingress(&scene).await?.first().copied().context("it says nothing yet")
    })
    .await?;
    answered_by(&scene.cluster, &From::Outside, SocketAddr::new(ip, 80), &["web"]).await?;
    println!("Service created -> its floating IP answers: {:.1} s", begin.elapsed().as_secs_f64());
    answered_by(&scene.cluster, &client, services::at(&service, 80)?, &["web"]).await?;
    answered_by(&scene.cluster, &client, SocketAddr::new(ip, 80), &["web"])
        .await
        .context("a pod, by the floating IP")?;

    scene.change("web", json!({ "type": "ClusterIP" })).await?;
    unanswered(&scene.cluster, &From::Outside, SocketAddr::new(ip, 80)).await?;
    eventually("the Service to say that it isn't reached from outside", PATIENCE, async || {
        let said = ingress(&scene).await?;
        holds(said.is_empty(), || format!("{said:?}"))
    })
    .await?;
    answered_by(&scene.cluster, &client, services::at(&service, 80)?, &["web"]).await?;
    let floating = services::object(&scene.cluster, &service).await?.status.and_then(|status| status.floating_ip);
    ensure!(floating.is_none(), "{floating:?} is left");

    // OVN's provider can't keep anybody out: so nobody gets in.
    let ranges = json!({ "type": "LoadBalancer", "loadBalancerSourceRanges": ["192.0.2.0/24"] });
    let service = scene.change("web", ranges).await?;
    eventually("the condition that says why it isn't exposed", PATIENCE, async || {
        let status = services::object(&scene.cluster, &service).await?.status.unwrap_or_default();
        let accepted = status.conditions.iter().find(|condition| condition.type_ == conditions::ACCEPTED);
        let reason = accepted.map(|condition| (condition.status.as_str(), condition.reason.as_str()));
        holds(reason == Some(("False", conditions::load_balancer::NOT_EXPOSED)), || format!("{accepted:?}"))
    })
    .await?;
    answered_by(&scene.cluster, &client, services::at(&service, 80)?, &["web"]).await?;
    ensure!(ingress(&scene).await?.is_empty(), "it is exposed");
    scene.end().await
}

async fn ingress(scene: &Scene) -> Result<Vec<IpAddr>> {
    let service = scene.cluster.api::<Service>(&scene.space.name).get("web").await?;
    let status = service.status.and_then(|status| status.load_balancer).and_then(|said| said.ingress);
    Ok(status.unwrap_or_default().iter().filter_map(|said| said.ip.as_ref()?.parse().ok()).collect())
}

const KEEP: &str = "loadbalancer.openstack.org/keep-floatingip";

/// Where the Service `web` is reached by IPv4, as soon as it says so.
async fn reached_at(scene: &Scene) -> Result<IpAddr> {
    eventually("the Service to say where it is reached", PATIENCE, async || {
        let said = ingress(scene).await?;
        said.iter().copied().find(IpAddr::is_ipv4).with_context(|| format!("it says {said:?}"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_kept_outlives_its_service_and_is_had_again() -> Result<()> {
    let scene = Scene::begin("kept").await?;
    scene.web(&[("web", "node2")]).await?;
    scene.service("web", json!({ "ports": http(), "type": "LoadBalancer" })).await?;
    let ip = reached_at(&scene).await?;
    answered_by(&scene.cluster, &From::Outside, SocketAddr::new(ip, 80), &["web"]).await?;
    scene.annotate("web", KEEP, "true").await?;
    eventually("Kuryr to have heard of it", PATIENCE, async || {
        let objects = scene.objects().await?;
        let external = objects.first().and_then(|object| object.spec.load_balancer.external.clone());
        holds(external.and_then(|of| of.floating_ip).is_some_and(|of| of.keep), || format!("{objects:?}"))
    })
    .await?;
    services::delete(&scene.cluster, &scene.space, "web").await?;
    unanswered(&scene.cluster, &From::Outside, SocketAddr::new(ip, 80)).await?;
    let spec = json!({ "ports": http(), "type": "LoadBalancer", "loadBalancerIP": ip });
    let service = scene.service("web", spec).await?;
    ensure!(reached_at(&scene).await? == ip, "it has another one");
    answered_by(&scene.cluster, &From::Outside, SocketAddr::new(ip, 80), &["web"]).await?;
    let has = services::ready(&scene.cluster, &service).await?.status.and_then(|status| status.floating_ip);
    let id = has.context("it says nothing of a floating IP")?.id;
    services::delete(&scene.cluster, &scene.space, "web").await?;
    let neutron = scene.cluster.cloud.neutron();
    eventually("the floating IP to stand for nothing", PATIENCE, async || {
        let port = neutron.get_floating_ip(&id.as_str().into()).await?.port_id;
        holds(port.is_none(), || format!("it stands for {port:?}"))
    })
    .await?;
    neutron.delete_floating_ip(&id.as_str().into()).await?;
    scene.end().await
}

/// OVN's provider makes a port of its own for the second address, which a floating IP has to stand for.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_whose_first_family_is_ipv6_has_a_floating_ip_too() -> Result<()> {
    let scene = Scene::begin("ipv6-first").await?;
    let client = scene.client().await?;
    scene.web(&[("web", "node2")]).await?;
    let families = json!({
        "ports": http(), "type": "LoadBalancer", "ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6", "IPv4"],
    });
    let service = scene.service("web", families).await?;
    let ip = reached_at(&scene).await?;
    answered_by(&scene.cluster, &From::Outside, SocketAddr::new(ip, 80), &["web"]).await?;
    answered_by(&scene.cluster, &client, services::at(&service, 80)?, &["web"]).await?;
    scene.end().await
}
