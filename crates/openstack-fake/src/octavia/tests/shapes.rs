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
