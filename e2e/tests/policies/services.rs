//! Policies and Services: what is open over a cluster IP.

use super::{
    case::having,
    stage::{PROTOCOLS, Stage},
};
use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Service;
use kuryr_e2e::{
    PodTemplate,
    policies::{
        probe::Outcome::{self, Open, Silent},
        table::Protocol,
    },
    services::{self, Holdings},
    workload::{HTTP_PORT, UDP_PORT},
};
use serde_json::json;
use std::net::SocketAddr;

/// The Service's port, over both protocols. It isn't its pods'.
const PORT: u16 = 7000;

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_open_as_its_endpoints_are() -> Result<()> {
    let mut stage = Stage::begin("policed").await?;
    let holdings = Holdings::take(&stage.cluster).await?;
    let server = |name: &str, node: &str| PodTemplate::server(name).on(node).probed();
    stage
        .run([
            ("client", server("client", "node1")),
            ("stranger", server("stranger", "node2")),
            ("one", server("one", "node1").behind("web").label("allowed", "yes")),
            ("two", server("two", "node2").behind("web").label("allowed", "yes")),
            ("own", server("own", "node2").behind("own")),
        ])
        .await?;
    let (web, own) = (service(&stage, "web").await?, service(&stage, "own").await?);
    is(&stage, Open, "client", &web).await.context("web without policies")?;
    is(&stage, Open, "client", &own).await.context("own without policies")?;
    out(&stage, &web, &own).await.context("egress through a Service")?;
    inwards(&stage, &web).await.context("ingress through a Service")?;
    to_itself(&stage, &own).await.context("a pod and its own Service")?;
    let cluster = stage.cluster.clone();
    stage.end().await?;
    holdings.are_back(&cluster).await
}

/// A Service with addresses of both families.
async fn service(stage: &Stage, name: &str) -> Result<Service> {
    let ports = json!([
        { "name": "tcp", "port": PORT, "targetPort": HTTP_PORT },
        { "name": "udp", "port": PORT, "targetPort": UDP_PORT, "protocol": "UDP" },
    ]);
    let spec = json!({ "ports": ports, "ipFamilyPolicy": "RequireDualStack" });
    let made = services::create(&stage.cluster, &stage.space, name, spec).await?;
    services::ready(&stage.cluster, &made).await?;
    Ok(made)
}

/// Waits until a Service is open or closed at all of its addresses, over both protocols.
async fn is(stage: &Stage, outcome: Outcome, from: &str, service: &Service) -> Result<()> {
    try_join_all(PROTOCOLS.map(|protocol| over(stage, outcome, from, service, protocol))).await.map(drop)
}

async fn over(stage: &Stage, outcome: Outcome, from: &str, service: &Service, protocol: Protocol) -> Result<()> {
    let ips = services::cluster_ips(service);
    ensure!(ips.len() == 2, "the Service has {ips:?}");
    let each = ips.into_iter().map(|ip| stage.is(outcome, from, protocol, SocketAddr::new(ip, PORT)));
    try_join_all(each).await.map(drop)
}

/// A Service is open to a client that may reach all of its endpoints, at their own ports.
async fn out(stage: &Stage, web: &Service, own: &Service) -> Result<()> {
    let to = |ports: serde_json::Value| {
        let peer = json!({ "podSelector": having("allowed", "yes") });
        let rule = json!({ "to": [peer], "ports": ports });
        json!({ "podSelector": having("app", "client"), "policyTypes": ["Egress"], "egress": [rule] })
    };
    let of_pods = json!([{ "port": HTTP_PORT }, { "port": UDP_PORT, "protocol": "UDP" }]);
    stage.policy("client", to(of_pods.clone())).await?;
    is(stage, Silent, "client", own).await.context("a Service of others")?;
    stage.pod_is(Silent, "client", "stranger").await?;
    is(stage, Open, "client", web).await.context("all endpoints are allowed")?;
    stage.pod_is(Open, "client", "one").await?;

    stage.label("two", "allowed", None).await?;
    is(stage, Silent, "client", web).await.context("one of two endpoints is allowed")?;
    stage.pod_is(Open, "client", "one").await?;
    stage.pod_is(Silent, "client", "two").await?;
    stage.label("two", "allowed", Some("yes")).await?;
    is(stage, Open, "client", web).await.context("all endpoints are allowed again")?;

    let of_service = json!([{ "port": PORT }, { "port": PORT, "protocol": "UDP" }]);
    stage.change("client", to(of_service)).await?;
    is(stage, Silent, "client", web).await.context("the Service's port is allowed, and not its endpoints'")?;
    stage.change("client", to(json!([{ "port": "http" }]))).await?;
    over(stage, Open, "client", web, Protocol::Tcp).await.context("the endpoints' port by its name")?;
    over(stage, Silent, "client", web, Protocol::Udp).await.context("the other protocol")?;
    // Two policies that allow one endpoint each allow the Service together.
    stage.label("two", "allowed", Some("also")).await?;
    over(stage, Silent, "client", web, Protocol::Tcp).await.context("one of two endpoints is allowed")?;
    let also = json!({ "to": [{ "podSelector": having("allowed", "also") }], "ports": of_pods });
    let also = json!({ "podSelector": having("app", "client"), "policyTypes": ["Egress"], "egress": [also] });
    stage.policy("also", also).await?;
    over(stage, Open, "client", web, Protocol::Tcp).await.context("two policies allow both endpoints")?;
    stage.delete("client").await?;
    stage.delete("also").await?;
    is(stage, Open, "client", own).await.context("without policies again")
}

/// Who comes over a Service is known by its own address.
async fn inwards(stage: &Stage, web: &Service) -> Result<()> {
    let rule = json!({ "from": [{ "podSelector": having("app", "client") }], "ports": [{ "port": HTTP_PORT }] });
    stage.policy("web", json!({ "podSelector": having("service", "web"), "ingress": [rule] })).await?;
    is(stage, Silent, "stranger", web).await?;
    stage.pod_is(Silent, "stranger", "one").await?;
    over(stage, Silent, "client", web, Protocol::Udp).await?;
    over(stage, Open, "client", web, Protocol::Tcp).await?;
    stage.delete("web").await?;
    is(stage, Open, "stranger", web).await.context("without policies again")
}

/// A pod reaches itself, also over its Service, whatever policies say.
async fn to_itself(stage: &Stage, own: &Service) -> Result<()> {
    stage.policy("nothing", json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] })).await?;
    is(stage, Silent, "client", own).await?;
    stage.pod_is(Silent, "client", "own").await?;
    is(stage, Open, "own", own).await.context("over its Service")?;
    stage.pod_is(Open, "own", "own").await.context("directly")?;
    stage.delete("nothing").await?;
    is(stage, Open, "client", own).await.context("without policies again")
}
