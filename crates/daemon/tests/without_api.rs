//! The daemon while the API server can't be reached: what it still does, and what it says about the rest.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "the support is shared with the tests that have an API server")]

mod support;

use kuryr_cni::Command;
use kuryr_daemon::Timeouts;
use kuryr_datapath::{Attachment, Driver, PodRef};
use kuryr_datapath_fake::FakeSwitch;
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    sync::Arc,
    time::{Duration, Instant},
};
use support::{Daemon, call, folder, quick, until};

/// A client of an API server that refuses connections.
fn no_api() -> kube::Client {
    // The libraries agree on one provider of cryptography per process, whichever test comes first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    kube::Client::try_from(kube::Config::new("http://127.0.0.1:9".parse().unwrap())).unwrap()
}

async fn plugged(switch: &Arc<FakeSwitch>, container: &str) {
    let attachment = Attachment {
        pod: PodRef { namespace: "shop".into(), name: "web-0".into(), uid: "u1".into() },
        container_id: container.into(),
        netns: format!("/run/netns/{container}").into(),
        ifname: "eth0".into(),
        port_id: format!("port-of-{container}"),
        mac: "fa:16:3e:00:00:01".parse().unwrap(),
        mtu: 1442,
        addresses: Vec::new(),
        routes: Vec::new(),
    };
    switch.plug(&attachment).await.unwrap();
}

fn gc(config: Value) -> kuryr_cni::Call {
    let mut gc = call(Command::Gc, "", "web-0", "u1");
    gc.config = config;
    gc
}

#[tokio::test(flavor = "multi_thread")]
async fn del_needs_nothing_but_the_node() {
    let (switch, (_keep, path)) = (FakeSwitch::new(), folder());
    plugged(&switch, "a").await;
    plugged(&switch, "b").await;
    let daemon = Daemon::start("node1", &path, no_api(), &switch, quick()).await;
    let mut del = call(Command::Del, "a", "web-0", "u1");
    del.netns.clear();
    assert_eq!(daemon.call(del.clone()).await, Ok(Value::Null));
    assert_eq!(switch.sandboxes(), ["b"]);
    assert_eq!(daemon.call(del).await, Ok(Value::Null), "again is fine");
    switch.set_down(true);
    let error = daemon.call(call(Command::Del, "b", "web-0", "u1")).await.unwrap_err();
    assert_eq!(error.code, 11, "{error}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gc_removes_what_the_runtime_does_not_list() {
    let (switch, (_keep, path)) = (FakeSwitch::new(), folder());
    plugged(&switch, "a").await;
    plugged(&switch, "b").await;
    let daemon = Daemon::start("node1", &path, no_api(), &switch, quick()).await;
    assert_eq!(daemon.call(gc(json!({"cniVersion": "1.1.0"}))).await.unwrap_err().code, 7);
    assert_eq!(switch.sandboxes(), ["a", "b"], "no list isn't an empty list");
    let valid = json!({"cniVersion": "1.1.0", "cni.dev/valid-attachments": [{"containerID": "b", "ifname": "eth0"}]});
    assert_eq!(daemon.call(gc(valid)).await, Ok(Value::Null));
    assert_eq!(switch.sandboxes(), ["b"]);
    assert_eq!(daemon.call(gc(json!({"cniVersion": "1.0.0"}))).await.unwrap_err().code, 1, "1.0.0 has no GC");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_leftovers_go_at_once_and_those_that_stay_are_tried_less_and_less() {
    let (switch, (_keep, path)) = (FakeSwitch::new(), folder());
    let (many, stuck) = (400, 12);
    (0..stuck).for_each(|number| switch.leave_stuck(&format!("stuck-{number}")));
    (0..many).for_each(|number| switch.leave(&format!("left-{number}")));
    let daemon = Daemon::start("node1", &path, no_api(), &switch, quick()).await;
    until("the others' end", || async { switch.left() == stuck }).await;
    // Of the looks that this took, some 25 to 100, each has found them. Their backoff begins with a quarter of a second at least.
    let tried = switch.stuck();
    assert!(tried.iter().all(|tried| (1..=8).contains(tried)), "{tried:?}");
    until("one more attempt", || async { switch.stuck().iter().sum::<usize>() > tried.iter().sum() }).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_readiness_say_what_is_missing() {
    let (switch, (_keep, path)) = (FakeSwitch::new(), folder());
    let daemon = Daemon::start("node1", &path, no_api(), &switch, quick()).await;
    let error = daemon.call(call(Command::Status, "", "", "")).await.unwrap_err();
    assert_eq!(error.code, 50);
    assert!(error.details.contains("KuryrPort"), "{error}");
    switch.set_down(true);
    let error = daemon.call(call(Command::Status, "", "", "")).await.unwrap_err();
    assert_eq!(error.code, 51);
    let (status, text) = daemon.admin("/ready").await;
    assert_eq!(status, 503);
    assert!(text.contains("Pod") && text.contains("Open vSwitch"), "{text}");
    assert_eq!(daemon.admin("/live").await.0, 200, "a restart would help nobody");
    let (_, metrics) = daemon.admin("/metrics").await;
    assert!(metrics.contains(r#"kuryr_cni_calls_total{command="STATUS",code="51"} 1"#), "{metrics}");
    let (_, state) = daemon.admin("/debug/state").await;
    assert!(serde_json::from_str::<Value>(&state).unwrap()["attached"]["error"].is_string(), "{state}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn add_gives_up_in_time_and_says_why() {
    let (switch, (_keep, path)) = (FakeSwitch::new(), folder());
    let timeouts = Timeouts { add_seconds: 1, ..quick() };
    let daemon = Daemon::start("node1", &path, no_api(), &switch, timeouts).await;
    let started = Instant::now();
    let error = daemon.call(call(Command::Add, "a", "web-0", "u1")).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(error.code, 11);
    assert!(error.msg.contains("shop/web-0") && error.details.contains("API server"), "{error}");
    assert_eq!(switch.plugs(), 0);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn add_is_cancelled_by_del_and_by_the_death_of_its_caller() {
    let (switch, (_keep, path)) = (FakeSwitch::new(), folder());
    let daemon = Daemon::start("node1", &path, no_api(), &switch, quick()).await;
    let in_flight = |adds: u64| {
        let daemon = &daemon;
        move || async move {
            let state: Value = serde_json::from_str(&daemon.admin("/debug/state").await.1).unwrap();
            state["addsInFlight"] == adds
        }
    };
    let adding = daemon.calling(call(Command::Add, "a", "web-0", "u1"));
    until("the ADD", in_flight(1)).await;
    let started = Instant::now();
    assert_eq!(daemon.call(call(Command::Del, "a", "web-0", "u1")).await, Ok(Value::Null));
    assert!(adding.await.unwrap().unwrap_err().msg.contains("cancelled"));
    assert!(started.elapsed() < Duration::from_secs(5), "DEL doesn't wait for the ADD's time to be over");

    let mut caller = UnixStream::connect(&daemon.settings.socket).unwrap();
    let body = serde_json::to_string(&call(Command::Add, "b", "web-0", "u1")).unwrap();
    let head = "POST /v1/cni HTTP/1.1\r\nhost: kuryr\r\ncontent-type: application/json\r\n";
    write!(caller, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    until("the second ADD", in_flight(1)).await;
    drop(caller);
    until("its end", in_flight(0)).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_call_is_refused() {
    let (switch, (_keep, path)) = (FakeSwitch::new(), folder());
    let daemon = Daemon::start("node1", &path, no_api(), &switch, quick()).await;
    let mut bad = call(Command::Add, "a/b", "web-0", "u1");
    assert_eq!(daemon.call(bad.clone()).await.unwrap_err().code, 4);
    bad.container_id = "a".into();
    bad.args = String::new();
    assert_eq!(daemon.call(bad.clone()).await.unwrap_err().code, 4);
    bad.config = json!({"cniVersion": "7.0.0"});
    assert_eq!(daemon.call(bad).await.unwrap_err().code, 1);
    let mut stream = UnixStream::connect(&daemon.settings.socket).unwrap();
    stream.write_all(b"POST /v1/cni HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_calls_in_flight_end() {
    let (switch, (_keep, path)) = (FakeSwitch::new(), folder());
    let timeouts = Timeouts { add_seconds: 1, ..quick() };
    let daemon = Daemon::start("node1", &path, no_api(), &switch, timeouts).await;
    let adding = daemon.calling(call(Command::Add, "a", "web-0", "u1"));
    until("the ADD", || async { daemon.admin("/debug/state").await.1.contains(r#""addsInFlight":1"#) }).await;
    let socket = daemon.settings.socket.clone();
    daemon.begin_to_stop();
    until("the socket to go", || async { UnixStream::connect(&socket).is_err() }).await;
    assert_eq!(adding.await.unwrap().unwrap_err().code, 11, "it got its answer");
    daemon.stop().await;
}
