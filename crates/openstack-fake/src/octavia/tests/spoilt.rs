//! What tests do to load balancers, and the faults of the pipeline.

use super::graph::whole;
use crate::{
    Config, Effect, FakeCloud, Fault, Method, Service,
    testing::{Rig, fault},
};
use serde_json::json;

#[tokio::test]
async fn a_stuck_one_never_settles() {
    let rig = Rig::start().await;
    let lb = rig.new_load_balancer(json!({})).await;
    let status = || rig.fake.octavia().get(&lb).unwrap().provisioning_status.to_string();
    assert!(rig.fake.octavia().stick(&lb));
    rig.fake.octavia().settle();
    assert_eq!(status(), "PENDING_CREATE");
    assert!(rig.fake.octavia().unstick(&lb));
    rig.fake.octavia().settle();
    assert_eq!(status(), "ACTIVE");
    assert!(rig.fake.octavia().stick(&lb));
    assert_eq!(status(), "PENDING_UPDATE");
    assert_eq!(rig.delete(&format!("loadbalancers/{lb}")).await.0, 409);
    assert!(rig.fake.octavia().unstick(&lb));
    assert_eq!(status(), "ACTIVE");
    assert!(!rig.fake.octavia().stick("nobody"));
}

#[tokio::test]
async fn one_in_error_can_only_be_deleted() {
    let rig = Rig::start().await;
    let lb = rig.load_balancer(whole()).await;
    assert!(rig.fake.octavia().fail(&lb));
    let change = rig.put(&format!("loadbalancers/{lb}"), json!({ "loadbalancer": { "name": "x" } })).await;
    let words = format!("Invalid state ERROR of loadbalancer resource {lb}");
    assert_eq!(fault(&change), (409, words.as_str()));
    assert_eq!(rig.delete(&format!("loadbalancers/{lb}?cascade=True")).await.0, 204);
    rig.fake.octavia().settle();
    assert_eq!((rig.fake.octavia().all().len(), rig.fake.port_count()), (0, 0));
}

#[tokio::test]
async fn the_next_change_fails() {
    let rig = Rig::start().await;
    rig.fake.octavia().fail_next(1);
    let lb = rig.load_balancer(whole()).await;
    let view = rig.fake.octavia().get(&lb).unwrap();
    assert_eq!(
        (view.provisioning_status.to_string(), view.operating_status.to_string()),
        ("ERROR".into(), "ERROR".into())
    );
    assert_eq!(rig.fake.port_count(), 0, "the driver has taken its port away");
    let good = rig.load_balancer(json!({ "name": "good" })).await;
    rig.fake.octavia().fail_next(1);
    let listener = json!({ "listener": { "loadbalancer_id": good, "protocol": "TCP", "protocol_port": 80 } });
    assert_eq!(rig.post("listeners", listener).await.0, 201);
    rig.fake.octavia().settle();
    let view = rig.fake.octavia().get(&good).unwrap();
    assert_eq!(
        (view.provisioning_status.to_string(), view.listeners[0].provisioning_status.to_string()),
        ("ACTIVE".into(), "ERROR".into())
    );
}

#[tokio::test]
async fn pieces_are_deleted_and_altered_by_hand() {
    let rig = Rig::start().await;
    let lb = rig.load_balancer(whole()).await;
    let view = rig.fake.octavia().get(&lb).unwrap();
    let member = &view.pools[0].members[0];
    assert!(rig.fake.octavia().alter_behind(&member.id, "weight", 7));
    assert_eq!(rig.fake.octavia().get(&lb).unwrap().pools[0].members[0].weight, 7);
    assert!(rig.fake.octavia().delete_behind(&member.id));
    assert_eq!(rig.fake.octavia().get(&lb).unwrap().pools[0].members.len(), 1);
    assert!(rig.fake.octavia().delete_behind(&view.pools[0].id));
    assert_eq!(rig.fake.octavia().get(&lb).unwrap().listeners[0].default_pool_id, None);
    assert!(rig.fake.octavia().delete_behind(&lb));
    assert_eq!((rig.fake.octavia().all().len(), rig.fake.port_count()), (0, 0));
    assert!(!rig.fake.octavia().delete_behind(&lb));
}

#[tokio::test]
async fn faults_of_the_pipeline() {
    let rig = Rig::start().await;
    let body = rig.body(json!({})).await;
    for (effect, answered, made) in [
        (Effect::Hang, None, 0),
        (Effect::HangAfterCommit, None, 1),
        (Effect::LostBeforeCommit, None, 0),
        (Effect::LostAfterCommit, None, 1),
        (Effect::Status(409, None), Some(409), 0),
        (Effect::Status(503, None), Some(503), 0),
        (Effect::StatusAfterCommit(504), Some(504), 1),
    ] {
        rig.fake.clear_faults();
        let before = rig.fake.octavia().all().len();
        rig.fake.inject(&Fault::new(effect.clone()).of(Service::LoadBalancer).on(Method::POST, "loadbalancers"));
        let said = rig.ask(Service::LoadBalancer, Method::POST, "lbaas/loadbalancers", Some(body.clone())).await;
        assert_eq!(said.map(|said| said.0), answered, "{effect:?}");
        assert_eq!(rig.fake.octavia().all().len() - before, made, "{effect:?}");
    }
    rig.fake.clear_faults();
    assert_eq!(rig.fake.count(|entry| entry.service == Service::LoadBalancer && entry.is_write()), 7);
    rig.fake.expire_tokens();
    assert_eq!(rig.get("loadbalancers").await.0, 401);
}

#[tokio::test]
async fn a_cloud_may_have_no_octavia() {
    let fake = FakeCloud::start(Config { octavia: None, ..Config::default() }).await.unwrap();
    let address = fake.url(Service::LoadBalancer).trim_start_matches("http://").to_owned();
    tokio::net::TcpStream::connect(address).await.unwrap_err();
    let with = FakeCloud::start(Config::default()).await.unwrap();
    let address = with.url(Service::LoadBalancer).trim_start_matches("http://").to_owned();
    tokio::net::TcpStream::connect(address).await.unwrap();
}
