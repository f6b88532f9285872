//! Load balancers that are created with everything in them.

use crate::testing::{Rig, fault, id};
use serde_json::{Value, json};

/// A load balancer with a listener and two members.
pub(super) fn whole() -> Value {
    let members = json!([
        { "address": "10.244.0.10", "protocol_port": 8080, "name": "a" },
        { "address": "10.244.0.11", "protocol_port": 8080, "weight": 5 },
    ]);
    json!({
        "description": "mark", "tags": ["t"],
        "listeners": [{
            "name": "http", "protocol": "TCP", "protocol_port": 80,
            "default_pool": { "name": "http", "protocol": "TCP", "lb_algorithm": "SOURCE_IP_PORT", "members": members },
        }],
    })
}

#[tokio::test]
async fn everything_is_answered_and_comes_to_life() {
    let rig = Rig::start().await;
    let (status, body) = rig.post("loadbalancers", rig.body(whole()).await).await;
    assert_eq!(status, 201, "{body}");
    let new = &body["loadbalancer"];
    assert_eq!((&new["provisioning_status"], &new["operating_status"]), (&json!("PENDING_CREATE"), &json!("OFFLINE")));
    assert_eq!(
        (&new["provider"], &new["vip_vnic_type"], &new["tags"]),
        (&json!("ovn"), &json!("normal"), &json!(["t"]))
    );
    assert_eq!(new["listeners"][0]["default_pool_id"], new["pools"][0]["id"]);
    assert_eq!(new["pools"][0]["members"].as_array().unwrap().len(), 2);
    let port = rig.fake.ports().into_iter().find(|port| port.id == new["vip_port_id"].as_str().unwrap()).unwrap();
    let lb = id(new);
    assert_eq!(
        (port.device_owner.as_str(), port.device_id, port.name),
        ("ovn-lb:vip", format!("lb-{lb}"), format!("ovn-lb-vip-{lb}"))
    );
    assert_eq!(port.addresses[0].to_string(), new["vip_address"].as_str().unwrap());
    rig.fake.octavia().settle();
    let view = rig.fake.octavia().get("lb").unwrap();
    assert_eq!(
        (view.provisioning_status.to_string(), view.operating_status.to_string()),
        ("ACTIVE".into(), "ONLINE".into())
    );
    let (listener, pool) = (&view.listeners[0], &view.pools[0]);
    assert_eq!(
        (listener.operating_status.to_string(), pool.operating_status.to_string()),
        ("ONLINE".into(), "ONLINE".into())
    );
    assert_eq!((listener.timeout_client_data, listener.connection_limit), (50_000, -1));
    let members: Vec<_> =
        pool.members.iter().map(|m| (m.address.as_str(), m.weight, m.operating_status.to_string())).collect();
    assert_eq!(members, [("10.244.0.10", 1, "NO_MONITOR".to_owned()), ("10.244.0.11", 5, "NO_MONITOR".to_owned())]);
}

#[tokio::test]
async fn two_listeners_share_a_pool_by_its_name() {
    let rig = Rig::start().await;
    let listener = |port: u16| json!({ "protocol": "TCP", "protocol_port": port, "default_pool": { "name": "p" } });
    let pool = json!({ "name": "p", "protocol": "TCP", "lb_algorithm": "SOURCE_IP_PORT" });
    rig.load_balancer(json!({ "listeners": [listener(80), listener(81)], "pools": [pool] })).await;
    let view = rig.fake.octavia().get("lb").unwrap();
    let pool = Some(view.pools[0].id.clone());
    assert_eq!(
        view.listeners.iter().map(|listener| listener.default_pool_id.clone()).collect::<Vec<_>>(),
        [pool.clone(), pool]
    );
}

#[tokio::test]
async fn what_is_refused_leaves_its_port_behind() {
    let rig = Rig::start().await;
    for (more, status, words) in [
        (
            json!({ "listeners": [{ "protocol": "HTTP", "protocol_port": 80 }] }),
            501,
            "Provider 'ovn' does not support a requested option: OVN provider does not support HTTP protocol",
        ),
        (
            json!({ "pools": [{ "name": "p", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN" }] }),
            501,
            "Provider 'ovn' does not support a requested option: OVN provider does not support ROUND_ROBIN algorithm",
        ),
        (
            json!({ "pools": [{ "name": "p", "protocol": "TCP" }] }),
            400,
            "Validation failure: Pool definition for 'p' missing required attribute: lb_algorithm",
        ),
        (
            json!({ "listeners": [{ "protocol": "TCP", "protocol_port": 80, "default_pool": { "name": "p" } }] }),
            400,
            "Validation failure: Pool 'p' was referenced but no full definition was found.",
        ),
        (
            json!({ "listeners": [{ "protocol": "TCP", "protocol_port": 80 }, { "protocol": "TCP", "protocol_port": 80 }] }),
            409,
            "Another Listener on this Load Balancer is already using protocol TCP and protocol_port 80",
        ),
    ] {
        let before = rig.fake.port_count();
        let said = rig.post("loadbalancers", rig.body(more).await).await;
        assert_eq!(fault(&said), (status, words));
        assert_eq!(rig.fake.port_count(), before + 1, "{words}");
        assert_eq!(rig.fake.octavia().all(), []);
    }
}

#[tokio::test]
async fn amphorae_take_what_ovn_refuses() {
    let rig = Rig::start().await;
    let listener = json!({
        "protocol": "HTTP", "protocol_port": 80, "allowed_cidrs": ["10.0.0.0/8"], "timeout_client_data": 1000,
        "insert_headers": { "X-Forwarded-For": "true" },
        "default_pool": {
            "name": "p", "protocol": "PROXY", "lb_algorithm": "ROUND_ROBIN", "session_persistence": { "type": "HTTP_COOKIE" },
            "healthmonitor": { "type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2 },
            "members": [{ "address": "10.244.0.10", "protocol_port": 1 }],
        },
    });
    let v6 = rig.named("subnets", "pods-v6").await;
    let more = json!({ "provider": "amphora", "listeners": [listener], "additional_vips": [{ "subnet_id": v6 }] });
    rig.load_balancer(more).await;
    let view = rig.fake.octavia().get("lb").unwrap();
    assert_eq!(view.additional_vips[0].port_id, view.vip_port_id);
    assert!(view.additional_vips[0].ip_address.starts_with("fd00:244:"), "{view:?}");
    let port = rig.fake.ports().into_iter().find(|port| port.id == view.vip_port_id).unwrap();
    assert_eq!((port.device_owner.as_str(), port.addresses.len()), ("Octavia", 2));
    assert_eq!(view.listeners[0].allowed_cidrs, ["10.0.0.0/8"]);
    let pool = &view.pools[0];
    assert_eq!(pool.health_monitor.as_ref().unwrap().url_path.as_deref(), Some("/"));
    assert_eq!(pool.members[0].operating_status.to_string(), "ONLINE");
}

#[tokio::test]
async fn ovn_has_a_port_for_each_additional_address() {
    let rig = Rig::start().await;
    let v6 = rig.named("subnets", "pods-v6").await;
    let lb = rig.load_balancer(json!({ "additional_vips": [{ "subnet_id": v6 }] })).await;
    let view = rig.fake.octavia().get("lb").unwrap();
    let names: Vec<String> = rig
        .fake
        .ports()
        .into_iter()
        .filter(|port| port.device_id == format!("lb-{lb}"))
        .map(|port| port.name)
        .collect();
    assert_eq!(names.len(), 2);
    assert!(names.contains(&format!("ovn-lb-vip-additional-1-{lb}")), "{names:?}");
    assert_ne!(view.additional_vips[0].port_id, view.vip_port_id);
    assert_eq!(rig.delete(&format!("loadbalancers/{lb}")).await.0, 204);
    rig.fake.octavia().settle();
    assert_eq!(rig.fake.port_count(), 0);
}
