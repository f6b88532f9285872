//! What answers look like.

use super::graph::whole;
use crate::testing::Rig;
use serde_json::json;

#[tokio::test]
async fn parts_refer_to_each_other() {
    let rig = Rig::start().await;
    let lb = rig.load_balancer(whole()).await;
    let view = rig.fake.octavia().get("lb").unwrap();
    let (listener, pool) = (&view.listeners[0].id, &view.pools[0].id);
    let (_, body) = rig.get(&format!("loadbalancers/{lb}")).await;
    assert_eq!(body["loadbalancer"]["listeners"], json!([{ "id": listener }]));
    let (_, body) = rig.get(&format!("listeners/{listener}")).await;
    let body = &body["listener"];
    assert_eq!((&body["loadbalancers"], &body["insert_headers"]), (&json!([{ "id": lb }]), &json!({})));
    assert_eq!(
        (&body["allowed_cidrs"], &body["description"], &body["l7policies"]),
        (&json!(null), &json!(""), &json!([]))
    );
    let (_, body) = rig.get(&format!("pools/{pool}")).await;
    let body = &body["pool"];
    assert_eq!((&body["listeners"], &body["session_persistence"]), (&json!([{ "id": listener }]), &json!(null)));
    assert_eq!(body["members"].as_array().unwrap().len(), 2);
    assert!(body.get("healthmonitor_id").is_none());
    let (_, body) = rig.get(&format!("pools/{pool}/members")).await;
    let member = &body["members"][0];
    assert_eq!(
        (&member["monitor_port"], &member["backup"], &member["vnic_type"]),
        (&json!(null), &json!(false), &json!("normal"))
    );
    let created = member["created_at"].as_str().unwrap();
    assert_eq!((created.len(), created.as_bytes()[10]), (19, b'T'), "{created}: no zone");
    let (_, body) = rig.get(&format!("loadbalancers/{lb}/status")).await;
    let tree = &body["statuses"]["loadbalancer"];
    assert_eq!(tree["listeners"][0]["pools"][0]["members"].as_array().unwrap().len(), 2);
    let (_, body) = rig.get("providers").await;
    assert_eq!(body["providers"][0], json!({ "name": "ovn", "description": "Octavia OVN driver" }));
}

#[tokio::test]
async fn changes_are_dated_and_answered() {
    let rig = Rig::start().await;
    let lb = rig.new_load_balancer(json!({})).await;
    let get = async || rig.get(&format!("loadbalancers/{lb}")).await.1["loadbalancer"].clone();
    assert_eq!(get().await["updated_at"], json!(null));
    rig.fake.octavia().settle();
    assert!(get().await["updated_at"].is_string(), "its status has changed");
    let change = json!({ "loadbalancer": { "description": "new", "tags": ["a"], "admin_state_up": false } });
    let (status, body) = rig.put(&format!("loadbalancers/{lb}"), change).await;
    assert_eq!((status, &body["loadbalancer"]["provisioning_status"]), (200, &json!("PENDING_UPDATE")));
    rig.fake.octavia().settle();
    let now = get().await;
    assert_eq!(
        (&now["description"], &now["tags"], &now["operating_status"]),
        (&json!("new"), &json!(["a"]), &json!("OFFLINE"))
    );
}

/// Asks over a connection; the status and the body.
async fn over_http(address: &str, path: &str, token: &str) -> (String, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nX-Auth-Token: {token}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[tokio::test]
async fn paths_are_those_of_the_real_one() {
    let rig = Rig::start().await;
    let address = rig.fake.url(crate::Service::LoadBalancer).trim_start_matches("http://").to_owned();
    let (status, body) = over_http(&address, "/", "").await;
    assert!(status.contains("200") && body.contains("\"v2.30\""), "{status} {body}");
    for path in ["/v2/lbaas/loadbalancers", "/v2.0/lbaas/loadbalancers", "/v2.0/loadbalancers"] {
        let (status, body) = over_http(&address, path, rig.token()).await;
        assert!(status.contains("200") && body.contains("\"loadbalancers_links\":[]"), "{path}: {status} {body}");
    }
    assert!(over_http(&address, "/v2/lbaas/loadbalancers", "").await.0.contains("401"));
    assert!(over_http(&address, "/v2/lbaas/nothing", rig.token()).await.0.contains("404"));
}
