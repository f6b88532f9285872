//! What is refused, and with which words.

use crate::testing::{Rig, fault};
use serde_json::json;

#[tokio::test]
async fn addresses() {
    let rig = Rig::start().await;
    let none = "00000000-0000-4000-8000-000000000000";
    let v4 = rig.named("subnets", "pods-v4").await;
    let network = rig.named("networks", "pods").await;
    let missing = format!("Subnet {none} not found.");
    for (body, status, words) in [
        (json!({}), 400, "Validation failure: VIP must contain one of: vip_port_id, vip_network_id, vip_subnet_id."),
        (json!({ "vip_subnet_id": none }), 400, missing.as_str()),
        (
            json!({ "vip_network_id": network, "vip_address": "192.0.2.1" }),
            400,
            "Validation failure: Supplied network does not contain a subnet for VIP address specified.",
        ),
        (
            json!({ "vip_subnet_id": v4, "additional_vips": [{ "subnet_id": v4 }] }),
            400,
            "Validation failure: Duplicate VIP subnet(s) specified. Only one IP can be bound per subnet.",
        ),
        (
            json!({ "vip_subnet_id": v4, "vip_address": "x" }),
            400,
            "Invalid input for field/attribute vip_address. Value: 'x'. Value should be IPv4 or IPv6 format",
        ),
        (json!({ "vip_subnet_id": v4, "provider": "x" }), 400, "Provider 'x' is not enabled."),
        (
            json!({ "vip_subnet_id": v4, "wrong": 1 }),
            400,
            "Unknown attribute for argument load_balancer.loadbalancer: wrong",
        ),
        (
            json!({ "vip_subnet_id": v4, "vip_address": "192.0.2.1" }),
            500,
            "Provider 'ovn' reports error: IP address 192.0.2.1 is not a valid IP for the specified subnet.",
        ),
    ] {
        let said = rig.post("loadbalancers", json!({ "loadbalancer": body })).await;
        assert_eq!(fault(&said), (status, words));
    }
    assert_eq!(rig.fake.port_count(), 0);
    rig.load_balancer(json!({ "vip_address": "10.244.0.77" })).await;
    let taken = rig.post("loadbalancers", rig.body(json!({ "vip_address": "10.244.0.77" })).await).await;
    let words =
        format!("The VIP IP address is already in use: IP address 10.244.0.77 already allocated in subnet {v4}");
    assert_eq!(fault(&taken), (409, words.as_str()));
}

#[tokio::test]
async fn parts() {
    let rig = Rig::start().await;
    let pool = json!({ "name": "p", "protocol": "TCP", "lb_algorithm": "SOURCE_IP_PORT" });
    let udp = json!({ "name": "u", "protocol": "UDP", "lb_algorithm": "SOURCE_IP_PORT" });
    let lb = rig.load_balancer(json!({ "pools": [pool, udp] })).await;
    let view = rig.fake.octavia().get("lb").unwrap();
    let (tcp, udp) = (&view.pools[0].id, &view.pools[1].id);
    let listener = |more: serde_json::Value| {
        let mut new = json!({ "loadbalancer_id": lb, "protocol": "TCP", "protocol_port": 80 });
        new.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ("listeners", json!({ "listener": new }))
    };
    let pool = |more: serde_json::Value| {
        let mut new = json!({ "loadbalancer_id": lb, "protocol": "TCP", "lb_algorithm": "SOURCE_IP_PORT" });
        new.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ("pools", json!({ "pool": new }))
    };
    let monitor = |pool: &str, kind: &str| {
        let new = json!({ "pool_id": pool, "type": kind, "delay": 5, "timeout": 3, "max_retries": 2 });
        ("healthmonitors", json!({ "healthmonitor": new }))
    };
    for ((path, body), status, words) in [
        (
            listener(json!({ "allowed_cidrs": ["10.0.0.0/8"] })),
            501,
            "Provider 'ovn' does not support a requested option: OVN provider does not support allowed_cidrs option",
        ),
        (
            listener(json!({ "allowed_cidrs": ["fd00::/8"] })),
            400,
            &*format!(
                "Validation failure: CIDR fd00::/8 IP version incompatible with all VIPs ['{}'] IP version.",
                view.vip_address
            ),
        ),
        (
            listener(json!({ "default_pool_id": udp })),
            400,
            "Validation failure: The pool protocol 'UDP' is invalid while the listener protocol is 'TCP'.",
        ),
        (
            listener(json!({ "protocol_port": 0 })),
            400,
            "Invalid input for field/attribute protocol_port. Value: '0'. Value should be greater or equal to 1",
        ),
        (
            pool(json!({ "session_persistence": { "type": "HTTP_COOKIE" } })),
            500,
            "Provider 'ovn' reports error: 'dict' object has no attribute 'type'",
        ),
        (
            pool(json!({ "session_persistence": { "type": "SOURCE_IP", "persistence_timeout": 60 } })),
            400,
            "Validation failure: persistence_timeout and persistence_granularity is only for UDP and SCTP protocol pools.",
        ),
        (
            monitor(tcp, "HTTP"),
            501,
            "Provider 'ovn' does not support a requested option: OVN provider does not support HTTP health monitor type. \
             Supported types: UDP-CONNECT, TCP",
        ),
        (
            monitor(tcp, "UDP-CONNECT"),
            400,
            "Validation failure: The UDP-CONNECT type is only supported for pools of type UDP/SCTP.",
        ),
    ] {
        let said = rig.post(path, body).await;
        assert_eq!(fault(&said), (status, words));
        assert_eq!(rig.fake.octavia().get("lb").as_ref(), Some(&view), "{words}: nothing has changed");
    }
}

#[tokio::test]
async fn other_projects() {
    let mut rig = Rig::start().await;
    let lb = rig.load_balancer(json!({})).await;
    rig.become_user("other").await;
    let forbidden = (403, "Policy does not allow this request to be performed.");
    assert_eq!(fault(&rig.get(&format!("loadbalancers/{lb}")).await), forbidden);
    assert_eq!(fault(&rig.delete(&format!("loadbalancers/{lb}")).await), forbidden);
    assert_eq!(rig.get("loadbalancers").await.1["loadbalancers"], json!([]));
    rig.become_user("admin").await;
    assert_eq!(rig.get("loadbalancers").await.1["loadbalancers"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn quotas() {
    let rig = Rig::start().await;
    rig.fake.set_quota("kuryr", "loadbalancer", 1);
    rig.fake.set_quota("kuryr", "member", 1);
    let pool = |name: &str, members: usize| {
        let members: Vec<_> =
            (0..members).map(|n| json!({ "address": format!("10.244.0.{n}"), "protocol_port": 1 })).collect();
        json!({ "name": name, "protocol": "TCP", "lb_algorithm": "SOURCE_IP_PORT", "members": members })
    };
    let said = rig.post("loadbalancers", rig.body(json!({ "pools": [pool("p", 2)] })).await).await;
    assert_eq!(fault(&said), (403, "Quota has been met for resources: Member"));
    rig.load_balancer(json!({ "pools": [pool("p", 1)] })).await;
    let said = rig.post("loadbalancers", rig.body(json!({})).await).await;
    assert_eq!(fault(&said), (403, "Quota has been met for resources: Load Balancer"));
    let project = rig.fake.octavia().get("lb").unwrap().project_id;
    let (_, quota) = rig.get(&format!("quotas/{project}")).await;
    assert_eq!((&quota["quota"]["loadbalancer"], &quota["quota"]["pool"]), (&json!(1), &json!(-1)));
    assert_eq!(rig.put(&format!("quotas/{project}"), json!({ "quota": { "pool": 1 } })).await.0, 403);
}
