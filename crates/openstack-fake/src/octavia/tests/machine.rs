//! Statuses: what is pending, what that forbids, and how it ends.

use super::graph::whole;
use crate::{
    Method, OctaviaConfig, Operating, Settle,
    testing::{Rig, fault, id},
};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn nothing_can_be_changed_while_the_load_balancer_is_pending() {
    let rig = Rig::start().await;
    let lb = rig.new_load_balancer(json!({})).await;
    let update = rig.put(&format!("loadbalancers/{lb}"), json!({ "loadbalancer": { "name": "x" } })).await;
    let words = format!("Invalid state PENDING_CREATE of loadbalancer resource {lb}");
    assert_eq!(fault(&update), (409, words.as_str()));
    assert_eq!(fault(&rig.delete(&format!("loadbalancers/{lb}")).await), (409, words.as_str()));
    let listener = json!({ "listener": { "loadbalancer_id": lb, "protocol": "TCP", "protocol_port": 80 } });
    let words = format!("Load Balancer {lb} is immutable and cannot be updated.");
    assert_eq!(fault(&rig.post("listeners", listener.clone()).await), (409, words.as_str()));
    rig.fake.octavia().settle();
    assert_eq!(rig.post("listeners", listener).await.0, 201);
    let view = rig.fake.octavia().get("lb").unwrap();
    assert_eq!(
        (view.provisioning_status.to_string(), view.listeners[0].provisioning_status.to_string()),
        ("PENDING_UPDATE".into(), "PENDING_CREATE".into())
    );
}

#[tokio::test]
async fn ovn_says_active_before_all_is_there() {
    let rig =
        Rig::with(OctaviaConfig { settle: Settle::After(Duration::from_millis(300)), ..OctaviaConfig::default() })
            .await;
    rig.new_load_balancer(whole()).await;
    let statuses = || {
        let view = rig.fake.octavia().get("lb").unwrap();
        (view.provisioning_status.to_string(), view.pools[0].members[0].provisioning_status.to_string())
    };
    let mut seen = vec![statuses()];
    while seen.last() != Some(&("ACTIVE".into(), "ACTIVE".into())) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        seen.push(statuses());
    }
    seen.dedup();
    let pending = |lb: &str| (lb.to_owned(), "PENDING_CREATE".to_owned());
    assert_eq!(seen[..2], [pending("PENDING_CREATE"), pending("ACTIVE")]);
}

#[tokio::test]
async fn parts_that_are_not_made_yet_when_their_load_balancer_goes_stay_for_good() {
    let settle = Settle::After(Duration::from_millis(300));
    let rig = Rig::with(OctaviaConfig { settle, ..OctaviaConfig::default() }).await;
    let lb = rig.new_load_balancer(whole()).await;
    let status = || rig.fake.octavia().get(&lb).map(|view| view.provisioning_status.to_string());
    while status() != Some("ACTIVE".to_owned()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(rig.delete(&format!("loadbalancers/{lb}?cascade=true")).await.0, 204);
    rig.fake.octavia().settle();
    assert_eq!((status(), rig.fake.octavia().left_parts().len()), (None, 2), "a listener and its pool");
    let (_, pools) = rig.get("pools").await;
    let pool = &pools["pools"][0];
    assert_eq!((&pool["provisioning_status"], &pool["loadbalancers"][0]["id"]), (&json!("PENDING_CREATE"), &json!(lb)));
    let words = format!("Load Balancer {lb} is immutable and cannot be updated.");
    assert_eq!(fault(&rig.delete(&format!("pools/{}", pool["id"].as_str().unwrap())).await), (409, words.as_str()));
}

#[tokio::test]
async fn at_once_is_before_the_next_request() {
    let rig = Rig::with(OctaviaConfig { settle: Settle::AtOnce, ..OctaviaConfig::default() }).await;
    let lb = rig.new_load_balancer(whole()).await;
    let (_, body) = rig.get(&format!("loadbalancers/{lb}")).await;
    assert_eq!(body["loadbalancer"]["provisioning_status"], "ACTIVE");
    assert_eq!(fault(&rig.delete(&format!("loadbalancers/{lb}")).await).0, 400);
    assert_eq!(rig.delete(&format!("loadbalancers/{lb}?cascade=true")).await.0, 204);
    assert_eq!(rig.fake.port_count(), 0, "its port is gone without another word to Octavia");
    let words = format!("Load Balancer {lb} not found.");
    assert_eq!(fault(&rig.get(&format!("loadbalancers/{lb}")).await), (404, words.as_str()));
}

#[tokio::test]
async fn deletion_takes_what_belongs_to_it() {
    let rig = Rig::start().await;
    let lb = rig.load_balancer(whole()).await;
    let view = rig.fake.octavia().get("lb").unwrap();
    let said = rig.delete(&format!("loadbalancers/{lb}")).await;
    let words = format!("Validation failure: Cannot delete Load Balancer {lb} - it has children");
    assert_eq!(fault(&said), (400, words.as_str()));
    assert_eq!(rig.delete(&format!("pools/{}", view.pools[0].id)).await.0, 204);
    rig.fake.octavia().settle();
    let view = rig.fake.octavia().get("lb").unwrap();
    assert_eq!((view.pools.len(), view.listeners[0].default_pool_id.as_ref()), (0, None));
    assert_eq!(view.listeners[0].provisioning_status.to_string(), "ACTIVE");
    assert_eq!(rig.delete(&format!("listeners/{}", view.listeners[0].id)).await.0, 204);
    rig.fake.octavia().settle();
    assert_eq!(rig.delete(&format!("loadbalancers/{lb}")).await.0, 204);
    let (_, body) = rig.get(&format!("loadbalancers/{lb}")).await;
    assert_eq!(body["loadbalancer"]["provisioning_status"], "PENDING_DELETE");
    rig.fake.octavia().settle();
    assert_eq!((rig.fake.octavia().all().len(), rig.fake.port_count()), (0, 0));
}

#[tokio::test]
async fn a_port_that_was_given_stays() {
    let rig = Rig::start().await;
    let network = rig.named("networks", "pods").await;
    let (_, port) =
        rig.neutron(Method::POST, "ports", Some(json!({ "port": { "network_id": network, "name": "mine" } }))).await;
    let port = id(&port["port"]);
    let v4 = rig.named("subnets", "pods-v4").await;
    let lb = rig.load_balancer(json!({ "vip_port_id": port, "vip_subnet_id": v4 })).await;
    assert_eq!(rig.fake.octavia().get("lb").unwrap().vip_port_id, port);
    assert_eq!(rig.delete(&format!("loadbalancers/{lb}")).await.0, 204);
    rig.fake.octavia().settle();
    assert_eq!(rig.fake.ports().into_iter().map(|port| port.id).collect::<Vec<_>>(), [port]);
}

/// Makes the ports that the members of [`whole`] are.
async fn make_members_ports(rig: &Rig) {
    let network = rig.named("networks", "pods").await;
    for address in ["10.244.0.10", "10.244.0.11"] {
        let new = json!({ "network_id": network, "fixed_ips": [{ "ip_address": address }] });
        assert_eq!(rig.neutron(Method::POST, "ports", Some(json!({ "port": new }))).await.0, 201);
    }
}

/// Gives the pool of [`whole`] a monitor. Its identifier.
async fn monitor(rig: &Rig) -> String {
    let pool = rig.fake.octavia().get("lb").unwrap().pools[0].id.clone();
    let new = json!({ "pool_id": pool, "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2 });
    let (status, body) = rig.post("healthmonitors", json!({ "healthmonitor": new })).await;
    assert_eq!(status, 201, "{body}");
    rig.fake.octavia().settle();
    id(&body["healthmonitor"])
}

/// Operating statuses of a member, its pool, its listener and the load balancer.
fn statuses(rig: &Rig) -> [Operating; 4] {
    let view = rig.fake.octavia().get("lb").unwrap();
    let (pool, listener) = (&view.pools[0], &view.listeners[0]);
    [pool.members[0].operating_status, pool.operating_status, listener.operating_status, view.operating_status]
}

#[tokio::test]
async fn members_make_the_statuses_above_them() {
    let rig = Rig::start().await;
    make_members_ports(&rig).await;
    rig.load_balancer(whole()).await;
    monitor(&rig).await;
    let members = rig.fake.octavia().get("lb").unwrap().pools[0].members.clone();
    assert_eq!(statuses(&rig), [Operating::Online; 4]);
    assert!(rig.fake.octavia().member_is(&members[0].id, Operating::Error));
    assert_eq!(statuses(&rig), [Operating::Error, Operating::Degraded, Operating::Degraded, Operating::Degraded]);
    assert!(rig.fake.octavia().member_is(&members[1].id, Operating::Error));
    assert_eq!(statuses(&rig), [Operating::Error; 4]);
}

#[tokio::test]
async fn ovn_watches_from_a_port_in_the_members_subnet() {
    let rig = Rig::start().await;
    make_members_ports(&rig).await;
    let mut more = whole();
    let v4 = rig.named("subnets", "pods-v4").await;
    for member in more["listeners"][0]["default_pool"]["members"].as_array_mut().unwrap() {
        member["subnet_id"] = json!(v4);
    }
    rig.load_balancer(more).await;
    let watching = || rig.fake.ports().into_iter().find(|port| port.device_owner == "ovn-lb-hm:distributed");
    assert_eq!(watching(), None);
    let monitor = monitor(&rig).await;
    assert_eq!(watching().unwrap().name, format!("ovn-lb-hm-{v4}"));
    assert_eq!(rig.delete(&format!("healthmonitors/{monitor}")).await.0, 204);
    rig.fake.octavia().settle();
    assert_eq!(watching(), None);
}

#[tokio::test]
async fn a_member_that_is_nobodys_address_is_in_error() {
    let rig = Rig::start().await;
    rig.load_balancer(whole()).await;
    let monitor = monitor(&rig).await;
    assert_eq!(statuses(&rig), [Operating::Error; 4]);
    assert_eq!(rig.delete(&format!("healthmonitors/{monitor}")).await.0, 204);
    rig.fake.octavia().settle();
    let expected = [Operating::NoMonitor, Operating::Error, Operating::Error, Operating::Error];
    assert_eq!(statuses(&rig), expected, "the driver says nothing else of those above until the next change");
}

#[tokio::test]
async fn the_labs_time_grows_with_what_is_there() {
    let rig = Rig::with(OctaviaConfig { settle: Settle::Lab, ..OctaviaConfig::default() }).await;
    let began = std::time::Instant::now();
    rig.new_load_balancer(whole()).await;
    while rig.fake.octavia().get("lb").unwrap().pools[0].members[0].provisioning_status.to_string() != "ACTIVE" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = began.elapsed().as_millis();
    assert!((650..2000).contains(&took), "{took} ms: 130 + 100 + 100 + 200 + 2 x 60");
}

#[tokio::test]
async fn ovn_fails_a_pool_whose_persistence_alone_is_changed() {
    let rig = Rig::start().await;
    let pool = json!({ "name": "p", "protocol": "TCP", "lb_algorithm": "SOURCE_IP_PORT" });
    rig.load_balancer(json!({ "pools": [pool] })).await;
    let pool = rig.fake.octavia().get("lb").unwrap().pools[0].id.clone();
    let status = || rig.fake.octavia().get("lb").unwrap().pools[0].provisioning_status.to_string();
    let persistence = json!({ "type": "SOURCE_IP" });
    let with_switch = json!({ "pool": { "session_persistence": persistence, "admin_state_up": true } });
    assert_eq!(rig.put(&format!("pools/{pool}"), with_switch.clone()).await.0, 200);
    rig.fake.octavia().settle();
    assert_eq!(status(), "ACTIVE");
    assert_eq!(
        rig.put(&format!("pools/{pool}"), json!({ "pool": { "session_persistence": persistence } })).await.0,
        200
    );
    rig.fake.octavia().settle();
    assert_eq!(status(), "ERROR");
    let member = json!({ "member": { "address": "10.244.0.10", "protocol_port": 1 } });
    let words = format!("Pool {pool} is immutable and cannot be updated.");
    assert_eq!(fault(&rig.post(&format!("pools/{pool}/members"), member).await), (409, words.as_str()));
    assert_eq!(rig.put(&format!("pools/{pool}"), with_switch).await.0, 200, "the load balancer is ACTIVE");
    rig.fake.octavia().settle();
    assert_eq!(status(), "ACTIVE");
}

#[tokio::test]
async fn ovn_never_ends_taking_a_listeners_pool_away() {
    let rig = Rig::start().await;
    rig.load_balancer(whole()).await;
    let listener = rig.fake.octavia().get("lb").unwrap().listeners[0].id.clone();
    let change = json!({ "listener": { "default_pool_id": null } });
    assert_eq!(rig.put(&format!("listeners/{listener}"), change).await.0, 200);
    rig.fake.octavia().settle();
    let view = rig.fake.octavia().get("lb").unwrap();
    assert_eq!(view.provisioning_status.to_string(), "PENDING_UPDATE");
    assert_eq!(
        (
            view.listeners[0].default_pool_id.as_ref(),
            rig.delete(&format!("loadbalancers/{}?cascade=true", view.id)).await.0
        ),
        (None, 409)
    );
}

#[tokio::test]
async fn one_that_is_deleted_twice_comes_back() {
    let rig =
        Rig::with(OctaviaConfig { settle: Settle::After(Duration::from_millis(150)), ..OctaviaConfig::default() })
            .await;
    let lb = rig.load_balancer(whole()).await;
    let path = format!("loadbalancers/{lb}?cascade=true");
    assert_eq!(rig.delete(&path).await.0, 204);
    let status = || rig.fake.octavia().get(&lb).map(|view| view.provisioning_status.to_string());
    let mut seen = vec![status()];
    while seen.last() != Some(&Some("ACTIVE".to_owned())) {
        tokio::time::sleep(Duration::from_millis(5)).await;
        seen.push(status());
    }
    seen.dedup();
    assert_eq!(seen, [Some("PENDING_DELETE".to_owned()), Some("ACTIVE".to_owned())], "its members go first");
    assert_eq!(rig.delete(&path).await.0, 204);
    let mut seen = vec![status()];
    while seen.last() != Some(&Some("ERROR".to_owned())) {
        tokio::time::sleep(Duration::from_millis(5)).await;
        seen.push(status());
    }
    assert!(seen.contains(&None), "it was gone in between: {seen:?}");
    assert_eq!(rig.delete(&path).await.0, 204);
    rig.fake.octavia().settle();
    assert_eq!((status(), rig.fake.port_count()), (None, 0));
}
