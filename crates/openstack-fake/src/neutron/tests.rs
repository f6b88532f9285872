//! Floating IPs and the routers that they need.

use crate::{
    Config, FakeCloud, Method,
    testing::{Rig, Said, id},
};
use serde_json::{Value, json};

async fn rig() -> Rig {
    Rig::login(FakeCloud::start(Config::lab()).await.unwrap(), "kuryr").await
}

fn failure(said: &Said) -> (u16, &str, &str) {
    let error = &said.1["NeutronError"];
    (said.0, error["type"].as_str().unwrap_or_default(), error["message"].as_str().unwrap_or_default())
}

async fn port(rig: &Rig, network: &str) -> (String, Value) {
    let network = rig.named("networks", network).await;
    let said = rig.neutron(Method::POST, "ports", Some(json!({ "port": { "network_id": network } }))).await;
    (id(&said.1["port"]), said.1["port"]["fixed_ips"].clone())
}

async fn floating(rig: &Rig, more: Value) -> Said {
    let mut new = json!({ "floating_network_id": rig.named("networks", "ext").await });
    new.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    rig.neutron(Method::POST, "floatingips", Some(json!({ "floatingip": new }))).await
}

async fn change(rig: &Rig, id: &str, change: Value) -> Said {
    rig.neutron(Method::PUT, &format!("floatingips/{id}"), Some(json!({ "floatingip": change }))).await
}

#[tokio::test]
async fn an_address_comes_and_goes() {
    let rig = rig().await;
    let ports = rig.fake.port_count();
    let (status, body) = floating(&rig, json!({ "description": "mark" })).await;
    let new = &body["floatingip"];
    assert_eq!((status, &new["status"], &new["port_id"]), (201, &json!("DOWN"), &Value::Null));
    assert_eq!(new["floating_ip_address"], "172.24.4.11", "the router has the first one");
    let id = id(new);
    let (port, fixed) = port(&rig, "pods").await;
    let (status, body) = change(&rig, &id, json!({ "port_id": port })).await;
    let after = &body["floatingip"];
    assert_eq!((status, &after["status"], &after["fixed_ip_address"]), (200, &json!("DOWN"), &fixed[0]["ip_address"]));
    let (_, body) = rig.neutron(Method::GET, &format!("floatingips?port_id={port}"), None).await;
    assert_eq!(
        (&body["floatingips"][0]["status"], &body["floatingips"][0]["description"]),
        (&json!("ACTIVE"), &json!("mark"))
    );
    assert_eq!(change(&rig, &id, json!({ "description": "new" })).await.1["floatingip"]["port_id"], json!(port));
    assert_eq!(change(&rig, &id, json!({ "port_id": null })).await.1["floatingip"]["router_id"], Value::Null);
    change(&rig, &id, json!({ "port_id": port })).await;
    rig.neutron(Method::DELETE, &format!("ports/{port}"), None).await;
    let (_, body) = rig.neutron(Method::GET, &format!("floatingips/{id}"), None).await;
    assert_eq!((&body["floatingip"]["port_id"], &body["floatingip"]["status"]), (&Value::Null, &json!("DOWN")));
    assert_eq!(rig.neutron(Method::DELETE, &format!("floatingips/{id}"), None).await.0, 204);
    assert_eq!(rig.fake.port_count(), ports);
}

#[tokio::test]
async fn refusals() {
    let mut rig = rig().await;
    let (port, _) = port(&rig, "pods").await;
    let ext = rig.named("networks", "ext").await;
    let pods = rig.named("networks", "pods").await;
    let first = id(&floating(&rig, json!({ "port_id": port })).await.1["floatingip"]);
    let taken = floating(&rig, json!({ "port_id": port })).await;
    let (status, kind, message) = failure(&taken);
    assert_eq!((status, kind), (409, "FloatingIPPortAlreadyAssociated"));
    assert!(message.ends_with(&format!("already has a floating IP on external network {ext}.")), "{message}");
    let network = rig.neutron(Method::POST, "networks", Some(json!({ "network": { "name": "lone" } }))).await;
    let lone = id(&network.1["network"]);
    let subnet = json!({ "network_id": lone, "ip_version": 4, "cidr": "10.9.0.0/24" });
    rig.neutron(Method::POST, "subnets", Some(json!({ "subnet": subnet }))).await;
    let (far, _) = self::port(&rig, "lone").await;
    for (body, status, kind) in [
        (json!({ "port_id": far }), 404, "ExternalGatewayForFloatingIPNotFound"),
        (json!({ "floating_network_id": pods }), 400, "BadRequest"),
        (json!({ "floating_ip_address": "172.24.4.99" }), 403, "PolicyNotAuthorized"),
        (json!({ "port_id": "00000000-0000-4000-8000-000000000000" }), 404, "PortNotFound"),
        (json!({ "fixed_ip_address": "10.244.0.2" }), 400, "BadRequest"),
    ] {
        let said = floating(&rig, body).await;
        assert_eq!((failure(&said).0, failure(&said).1), (status, kind), "{said:?}");
    }
    rig.fake.set_quota("kuryr", "floatingip", 1);
    assert_eq!(failure(&floating(&rig, json!({})).await).1, "OverQuota");
    let router = rig.named("routers", "kuryr").await;
    let subnet = rig.named("subnets", "pods-v4").await;
    let path = format!("routers/{router}/remove_router_interface");
    let needed = rig.neutron(Method::PUT, &path, Some(json!({ "subnet_id": subnet }))).await;
    assert_eq!(failure(&needed).1, "RouterInterfaceInUseByFloatingIP");
    rig.become_user("admin").await;
    let (_, body) = rig.neutron(Method::GET, "ports?device_owner=network:floatingip", None).await;
    let holder = id(&body["ports"][0]);
    let refused = rig.neutron(Method::DELETE, &format!("ports/{holder}"), None).await;
    assert_eq!(failure(&refused).1, "ServicePortInUse");
    let chosen = floating(&rig, json!({ "floating_ip_address": "172.24.4.99" })).await;
    assert_eq!(chosen.1["floatingip"]["floating_ip_address"], "172.24.4.99");
    assert_eq!(rig.neutron(Method::DELETE, &format!("floatingips/{first}"), None).await.0, 204);
}

#[tokio::test]
async fn a_router_is_taken_apart() {
    let rig = rig().await;
    let router = rig.named("routers", "kuryr").await;
    let path = format!("routers/{router}");
    let said = rig.neutron(Method::DELETE, &path, None).await;
    assert_eq!(failure(&said), (409, "RouterInUse", format!("Router {router} still has ports").as_str()));
    for subnet in ["pods-v4", "pods-v6", "services-v4", "services-v6"] {
        let subnet = rig.named("subnets", subnet).await;
        let body = Some(json!({ "subnet_id": subnet }));
        let said = rig.neutron(Method::PUT, &format!("{path}/remove_router_interface"), body.clone()).await;
        assert_eq!((said.0, said.1["subnet_id"].as_str()), (200, Some(subnet.as_str())));
        assert_eq!(rig.neutron(Method::PUT, &format!("{path}/remove_router_interface"), body).await.0, 404);
    }
    assert_eq!(rig.neutron(Method::DELETE, &path, None).await.0, 204);
    assert_eq!(rig.fake.port_count(), 0);
}
