//! Cluster IPs: who reaches them, and what they lead to.

use super::scene::{Scene, http};
use anyhow::{Context, Result, ensure};
use kuryr_api::conditions;
use kuryr_e2e::{
    PodTemplate,
    services::{self, PATIENCE, answered_by, unanswered},
    traffic::{self, From},
    wait::{eventually, holds},
    workload::HTTP_PORT,
};
use serde_json::json;
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Instant,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_ip_answers_pods_nodes_and_the_endpoint_itself() -> Result<()> {
    let scene = Scene::begin("cluster-ip").await?;
    let client = scene.client().await?;
    scene.web(&[("web", "node2")]).await?;
    scene.space.run(&PodTemplate::server("neighbour").on("node2").probed()).await?;
    let begin = Instant::now();
    let service = scene.service("web", json!({ "ports": http() })).await?;
    let at = services::at(&service, 80)?;
    answered_by(&scene.cluster, &client, at, &["web"]).await.context("from another node")?;
    println!("Service created -> VIP answers: {:.1} s", begin.elapsed().as_secs_f64());
    answered_by(&scene.cluster, &scene.pod("neighbour"), at, &["web"]).await.context("from the same node")?;
    for node in scene.cluster.nodes() {
        answered_by(&scene.cluster, &From::node(&node), at, &["web"]).await.context("from a node")?;
    }
    answered_by(&scene.cluster, &scene.pod("web"), at, &["web"]).await.context("a pod to itself")?;
    scene.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_are_served_by_name_and_number_over_tcp_and_udp() -> Result<()> {
    let scene = Scene::begin("ports").await?;
    let client = scene.client().await?;
    scene.web(&[("web", "node2")]).await?;
    let ports = json!([
        { "name": "named", "port": 53, "targetPort": "http" },
        { "name": "echo", "port": 53, "targetPort": "echo", "protocol": "UDP" },
        { "name": "plain", "port": HTTP_PORT },
    ]);
    let service = scene.service("web", json!({ "ports": ports })).await?;
    for port in [53, HTTP_PORT] {
        answered_by(&scene.cluster, &client, services::at(&service, port)?, &["web"]).await?;
    }
    for from in [client, scene.pod("web")] {
        eventually("UDP to be answered", PATIENCE, async || {
            let name = traffic::udp_name_at(&scene.cluster, &from, services::at(&service, 53)?).await?;
            holds(name == "web", || format!("{name} answers {from:?}"))
        })
        .await?;
    }
    scene.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn both_families_are_served() -> Result<()> {
    let scene = Scene::begin("families").await?;
    let client = scene.client().await?;
    scene.web(&[("web", "node1"), ("other", "node2")]).await?;
    let service = scene.service("web", json!({ "ports": http(), "ipFamilyPolicy": "RequireDualStack" })).await?;
    let ips = services::cluster_ips(&service);
    ensure!(ips.iter().any(IpAddr::is_ipv4) && ips.iter().any(IpAddr::is_ipv6), "it has {ips:?}");
    for ip in ips {
        answered_by(&scene.cluster, &client, SocketAddr::new(ip, 80), &["web", "other"]).await?;
        for node in scene.cluster.nodes() {
            answered_by(&scene.cluster, &From::node(&node), SocketAddr::new(ip, 80), &["web", "other"]).await?;
        }
    }
    let object = services::ready(&scene.cluster, &service).await?;
    let status = object.status.unwrap_or_default();
    ensure!(conditions::is_true(&status.conditions, conditions::ACCEPTED), "{:?}", status.conditions);
    scene.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_comes_to_the_same_pod_where_the_service_asks_for_it() -> Result<()> {
    let scene = Scene::begin("affinity").await?;
    let client = scene.client().await?;
    scene.web(&[("one", "node1"), ("two", "node2"), ("three", "node2")]).await?;
    let service = scene.service("web", json!({ "ports": http(), "sessionAffinity": "ClientIP" })).await?;
    let at = services::at(&service, 80)?;
    let sticks = async || {
        let names = traffic::names_at(&scene.cluster, &client, at, 30).await?;
        holds(names.iter().all(|name| *name == names[0]), || format!("{names:?} answer"))
    };
    services::ready(&scene.cluster, &service).await?;
    eventually("one pod to answer", PATIENCE, sticks).await?;
    sticks().await?;
    scene.change("web", json!({ "sessionAffinity": "None" })).await?;
    answered_by(&scene.cluster, &client, at, &["one", "two", "three"]).await.context("without affinity")?;
    scene.change("web", json!({ "sessionAffinity": "ClientIP" })).await?;
    eventually("one pod to answer again", PATIENCE, sticks).await?;
    sticks().await?;
    scene.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn names_alone_have_no_load_balancer() -> Result<()> {
    let scene = Scene::begin("names").await?;
    scene.service("headless", json!({ "ports": http(), "clusterIP": "None" })).await?;
    scene.service("elsewhere", json!({ "type": "ExternalName", "externalName": "example.com" })).await?;
    // Services are looked at in their order: when this one is served, those were looked at.
    let service = scene.service("web", json!({ "ports": http() })).await?;
    services::ready(&scene.cluster, &service).await?;
    let of: Vec<_> = scene.objects().await?.into_iter().map(|object| object.spec.service_name).collect();
    ensure!(of == ["web"], "there are KuryrLoadBalancers of {of:?}");
    scene.end().await
}

/// What comes from one address: UDP has no connections, and a socket of its own for each question.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_comes_to_the_same_pod_over_udp_too() -> Result<()> {
    let scene = Scene::begin("affinity-udp").await?;
    let client = scene.client().await?;
    scene.web(&[("one", "node1"), ("two", "node2"), ("three", "node2")]).await?;
    let ports = json!([{ "port": 53, "targetPort": "echo", "protocol": "UDP" }]);
    let service = scene.service("web", json!({ "ports": ports, "sessionAffinity": "ClientIP" })).await?;
    services::ready(&scene.cluster, &service).await?;
    let at = services::at(&service, 53)?;
    let names = async || {
        let mut names = Vec::new();
        for _ in 0..20 {
            names.push(traffic::udp_name_at(&scene.cluster, &client, at).await?);
        }
        anyhow::Ok(names)
    };
    let sticks = async || {
        let names = names().await?;
        holds(names.iter().all(|name| *name == names[0]), || format!("{names:?} answer"))
    };
    eventually("one pod to answer", PATIENCE, sticks).await?;
    scene.change("web", json!({ "sessionAffinity": "None" })).await?;
    eventually("all pods to answer", PATIENCE, async || {
        let names: BTreeSet<_> = names().await?.into_iter().collect();
        holds(names.len() == 3, || format!("{names:?} answer"))
    })
    .await?;
    scene.end().await
}

/// Another service proxy has it, as long as a label says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_label_leaves_a_service_to_another_proxy() -> Result<()> {
    let scene = Scene::begin("label").await?;
    let client = scene.client().await?;
    scene.web(&[("web", "node2")]).await?;
    let service = scene.service("web", json!({ "ports": http() })).await?;
    let at = services::at(&service, 80)?;
    answered_by(&scene.cluster, &client, at, &["web"]).await?;
    for (label, value) in [("service-proxy-name", "other"), ("headless", "")] {
        let label = format!("service.kubernetes.io/{label}");
        scene.label("web", &label, Some(value)).await?;
        unanswered(&scene.cluster, &client, at).await.with_context(|| label.clone())?;
        scene.label("web", &label, None).await?;
        answered_by(&scene.cluster, &client, at, &["web"]).await.with_context(|| format!("without {label}"))?;
    }
    scene.end().await
}
