//! Endpoints that come and go, and where they are.

use super::scene::{Scene, http, load_balancer_id};
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, api::PostParams};
use kuryr_e2e::{
    PodTemplate,
    services::{self, answered_by, unanswered},
    traffic::From,
    workload::{HTTP_PORT, READY_FILE, addresses},
};
use serde_json::json;
use std::{
    net::{IpAddr, SocketAddr},
    time::Instant,
};

#[tokio::test(flavor = "multi_thread")]
async fn traffic_follows_the_pods_that_come_and_go() -> Result<()> {
    let scene = Scene::begin("follows").await?;
    let client = scene.client().await?;
    scene.web(&[("one", "node1"), ("two", "node2")]).await?;
    let service = scene.service("web", json!({ "ports": http() })).await?;
    let at = services::at(&service, 80)?;
    answered_by(&scene.cluster, &client, at, &["one", "two"]).await?;
    let id = load_balancer_id(&services::ready(&scene.cluster, &service).await?)?;

    scene.web(&[("three", "node2")]).await?;
    let begin = Instant::now();
    answered_by(&scene.cluster, &client, at, &["one", "two", "three"]).await?;
    println!("a pod is ready -> it gets traffic: {:.1} s", begin.elapsed().as_secs_f64());
    scene.space.delete("one", None).await?;
    let begin = Instant::now();
    answered_by(&scene.cluster, &client, at, &["two", "three"]).await?;
    println!("a pod is deleted -> it gets no more: {:.1} s", begin.elapsed().as_secs_f64());
    // All at once.
    scene.space.delete("two", None).await?;
    scene.space.delete("three", None).await?;
    scene.web(&[("four", "node1"), ("five", "node2")]).await?;
    answered_by(&scene.cluster, &client, at, &["four", "five"]).await?;
    scene.space.delete("four", None).await?;
    scene.space.delete("five", None).await?;
    unanswered(&scene.cluster, &client, at).await?;
    scene.web(&[("six", "node2")]).await?;
    answered_by(&scene.cluster, &client, at, &["six"]).await?;
    ensure!(load_balancer_id(&services::ready(&scene.cluster, &service).await?)? == id, "it has another load balancer");
    scene.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_pods_that_are_ready_get_traffic_unless_the_service_says_otherwise() -> Result<()> {
    let scene = Scene::begin("readiness").await?;
    let client = scene.client().await?;
    scene.web(&[("ready", "node2")]).await?;
    let late = PodTemplate::server("late").on("node2").ready_by_file().behind("web");
    scene.space.create(&late).await?;
    let service = scene.service("web", json!({ "ports": http() })).await?;
    let all = json!({ "ports": http(), "publishNotReadyAddresses": true, "selector": { "service": "web" } });
    let eager = services::at(&scene.service("eager", all).await?, 80)?;
    let at = services::at(&service, 80)?;
    answered_by(&scene.cluster, &client, eager, &["ready", "late"]).await?;
    answered_by(&scene.cluster, &client, at, &["ready"]).await?;
    scene.cluster.shell(&scene.pod("late"), &format!("touch {READY_FILE}")).await?;
    answered_by(&scene.cluster, &client, at, &["ready", "late"]).await?;
    scene.cluster.shell(&scene.pod("late"), &format!("rm {READY_FILE}")).await?;
    answered_by(&scene.cluster, &client, at, &["ready"]).await?;
    answered_by(&scene.cluster, &client, eager, &["ready", "late"]).await?;
    scene.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_slice_made_by_hand_is_followed() -> Result<()> {
    let scene = Scene::begin("by-hand").await?;
    let client = scene.client().await?;
    let mut ips = Vec::new();
    for name in ["one", "two"] {
        let pod = scene.space.run(&PodTemplate::server(name).on("node2").probed()).await?;
        ips.extend(addresses(&pod).into_iter().find(IpAddr::is_ipv4));
    }
    let service = scene.service("hand", json!({ "ports": http(), "selector": null })).await?;
    let api: Api<EndpointSlice> = scene.cluster.api(&scene.space.name);
    let slice = |name: &str, ip: &IpAddr| {
        serde_json::from_value(json!({
            "metadata": { "name": name, "labels": { "kubernetes.io/service-name": "hand" } },
            "addressType": "IPv4", "ports": [{ "name": "", "port": HTTP_PORT }], "endpoints": [{ "addresses": [ip] }],
        }))
    };
    let at = services::at(&service, 80)?;
    for (index, expected) in [&["one"][..], &["one", "two"]].iter().enumerate() {
        api.create(&PostParams::default(), &slice(&format!("hand-{index}"), &ips[index])?).await?;
        answered_by(&scene.cluster, &client, at, expected).await?;
    }
    api.delete("hand-0", &Default::default()).await?;
    answered_by(&scene.cluster, &client, at, &["two"]).await?;
    scene.end().await
}

/// The nodes' addresses are of no subnet that Neutron knows.
#[tokio::test(flavor = "multi_thread")]
async fn endpoints_on_the_hosts_network_are_reached() -> Result<()> {
    let scene = Scene::begin("hosts").await?;
    let client = scene.client().await?;
    let host = PodTemplate::server("host").on("node2").on_host_network().behind("web");
    let ip = addresses(&scene.space.run(&host).await?).into_iter().next().context("the pod has no address")?;
    // Such a pod has the machine's name, whatever that is.
    let name = scene.cluster.shell(&From::node("node2"), "hostname").await?;
    let service = scene.service("web", json!({ "ports": http() })).await?;
    let at = services::at(&service, 80)?;
    answered_by(&scene.cluster, &client, SocketAddr::new(ip, HTTP_PORT), &[name.trim()]).await.context("directly")?;
    answered_by(&scene.cluster, &client, at, &[name.trim()]).await?;
    for node in scene.cluster.nodes() {
        answered_by(&scene.cluster, &From::node(&node), at, &[name.trim()]).await?;
    }
    scene.end().await
}
