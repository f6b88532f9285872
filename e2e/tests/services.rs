//! Services, with packets through the load balancers that Octavia's OVN provider makes.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::{
    Api, ResourceExt,
    api::{ListParams, PostParams},
};
use kuryr_api::{KuryrLoadBalancer, conditions};
use kuryr_e2e::{
    Cluster, PodTemplate,
    services::{self, Holdings, PATIENCE, answered_by, unanswered},
    traffic::{self, From},
    wait::{eventually, holds},
    workload::{HTTP_PORT, Namespace, READY_FILE, addresses},
};
use kuryr_openstack::octavia::{ListenerId, LoadBalancerId, PoolId, Query};
use serde_json::json;
use std::{
    net::{IpAddr, SocketAddr},
    time::Instant,
};

/// One test's namespace, and what the cloud had before.
struct Scene {
    cluster: Cluster,
    space: Namespace,
    before: Holdings,
}

impl Scene {
    async fn begin(stem: &str) -> Result<Self> {
        let cluster = Cluster::attach().await?;
        let before = Holdings::take(&cluster).await?;
        let space = cluster.namespace(stem).await?;
        Ok(Self { cluster, space, before })
    }

    /// Removes all that the test made, and looks whether nothing of it is left in the cloud.
    async fn end(self) -> Result<()> {
        self.space.remove().await?;
        self.before.are_back(&self.cluster).await
    }

    fn pod(&self, name: &str) -> From {
        From::pod(&self.space.name, name)
    }

    /// Runs server pods behind the Service `web`, by name and node.
    async fn web(&self, pods: &[(&str, &str)]) -> Result<()> {
        for (name, node) in pods {
            self.space.create(&PodTemplate::server(name).on(node).probed().behind("web")).await?;
        }
        for (name, _) in pods {
            self.space.ready(name).await?;
        }
        Ok(())
    }

    /// Runs the pod `client` on the first node.
    async fn client(&self) -> Result<From> {
        self.space.run(&PodTemplate::server("client").on("node1").probed()).await?;
        Ok(self.pod("client"))
    }

    async fn service(&self, name: &str, spec: serde_json::Value) -> Result<Service> {
        services::create(&self.cluster, &self.space, name, spec).await
    }

    async fn change(&self, name: &str, spec: serde_json::Value) -> Result<Service> {
        services::change(&self.cluster, &self.space, name, spec).await
    }

    async fn objects(&self) -> Result<Vec<KuryrLoadBalancer>> {
        let api: Api<KuryrLoadBalancer> = self.cluster.api(&self.space.name);
        Ok(api.list(&ListParams::default()).await?.items)
    }
}

/// `spec.ports` of a Service that has HTTP at port 80.
fn http() -> serde_json::Value {
    json!([{ "port": 80, "targetPort": HTTP_PORT }])
}

fn load_balancer_id(object: &KuryrLoadBalancer) -> Result<LoadBalancerId> {
    let id = object.status.as_ref().and_then(|status| status.load_balancer_id.clone());
    Ok(LoadBalancerId::from(id.context("the KuryrLoadBalancer names no load balancer")?))
}

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
    for _ in 0..20 {
        scene.service("web", json!({ "ports": http(), "type": "LoadBalancer" })).await?;
        services::delete(&scene.cluster, &scene.space, "web").await?;
    }
    // With another one's address, which may still be in Octavia.
    let mut spec = json!({ "ports": http() });
    for _ in 0..20 {
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
