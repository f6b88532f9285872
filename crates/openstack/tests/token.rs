//! The one token that all requests share.

mod stub;

use kuryr_openstack::{Cloud, Error, Kind, Metrics, neutron::PortQuery};
use prometheus_client::registry::Registry;
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use stub::{InTurn, Keystone, Stub, fault, quick};
use wiremock::{
    Mock, Request, Respond, ResponseTemplate,
    matchers::{method, path},
};

/// A Neutron that takes the tokens from number `first` on.
struct Gate {
    first: Arc<AtomicUsize>,
}

impl Respond for Gate {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let token = request.headers.get("X-Auth-Token").and_then(|token| token.to_str().ok());
        let number: usize = token.and_then(|token| token.strip_prefix("token-")?.parse().ok()).unwrap_or(0);
        if number >= self.first.load(Ordering::SeqCst) {
            ResponseTemplate::new(200).set_body_string(r#"{"ports": []}"#)
        } else {
            let error = json!({ "code": 401, "title": "Unauthorized", "message": "authenticate" });
            ResponseTemplate::new(401).set_body_json(json!({ "error": error }))
        }
    }
}

async fn fifty(cloud: &Cloud) -> Vec<Result<(), Error>> {
    let callers = (0..50).map(|_| {
        let neutron = cloud.neutron();
        tokio::spawn(async move { neutron.list_ports(&PortQuery::default()).await.map(|_| ()) })
    });
    futures::future::join_all(callers).await.into_iter().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_refused_callers_make_one_login() {
    let stub = Stub::start().await;
    let first = Arc::new(AtomicUsize::new(1));
    stub.neutron("GET", "ports", Gate { first: Arc::clone(&first) }).await;
    let cloud = stub.connect(quick()).await;
    assert!(fifty(&cloud).await.iter().all(Result::is_ok));
    assert_eq!(stub.logins.load(Ordering::SeqCst), 1);
    first.store(2, Ordering::SeqCst);
    assert!(fifty(&cloud).await.iter().all(Result::is_ok));
    assert_eq!(stub.logins.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_login_is_the_answer_to_all_who_waited() {
    let stub = Stub::start().await;
    let first = Arc::new(AtomicUsize::new(1));
    stub.neutron("GET", "ports", Gate { first: Arc::clone(&first) }).await;
    let cloud = stub.connect(quick()).await;
    first.store(2, Ordering::SeqCst);
    stub.server.reset().await;
    stub.neutron("GET", "ports", Gate { first: Arc::clone(&first) }).await;
    // Slow enough that all fifty are there before it fails.
    let refused = ResponseTemplate::new(401)
        .set_body_json(json!({ "error": { "code": 401, "message": "wrong" } }))
        .set_delay(Duration::from_secs(2));
    Mock::given(path("/v3/auth/tokens")).respond_with(refused).expect(1).mount(&stub.server).await;
    for result in fifty(&cloud).await {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), Kind::Unauthorized);
        assert!(error.to_string().contains("credentials of cloud `stub`"), "{error}");
    }
    // And who comes later tries again.
    stub.server.reset().await;
    stub.neutron("GET", "ports", Gate { first }).await;
    stub.keystone(3600).await;
    cloud.neutron().list_ports(&PortQuery::default()).await.unwrap();
}

#[tokio::test]
async fn a_token_that_is_always_refused_is_given_up() {
    let stub = Stub::start().await;
    stub.neutron("GET", "ports", Gate { first: Arc::new(AtomicUsize::new(1000)) }).await;
    let error = stub.connect(quick()).await.neutron().list_ports(&PortQuery::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    assert_eq!(stub.logins.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end_and_nobody_waits_for_it() {
    let stub = Stub { server: wiremock::MockServer::start().await, logins: Arc::default() };
    // Shorter than the margin of five minutes, so that it is due at once.
    stub.keystone(200).await;
    stub.neutron("GET", "ports", Gate { first: Arc::new(AtomicUsize::new(1)) }).await;
    let cloud = stub.connect(quick()).await;
    while stub.logins.load(Ordering::SeqCst) < 2 {
        cloud.neutron().list_ports(&PortQuery::default()).await.unwrap();
    }
    // The new one is as short, but between two renewals there is a pause.
    for _ in 0..20 {
        cloud.neutron().list_ports(&PortQuery::default()).await.unwrap();
    }
    assert_eq!(stub.logins.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_valid_token_works_while_keystone_is_down() {
    let stub = Stub { server: wiremock::MockServer::start().await, logins: Arc::default() };
    let keystone = Keystone { logins: Arc::clone(&stub.logins), services: stub.server.uri(), life: 200 };
    let login = || Mock::given(method("POST")).and(path("/v3/auth/tokens"));
    login().respond_with(keystone).up_to_n_times(1).mount(&stub.server).await;
    login().respond_with(ResponseTemplate::new(503)).mount(&stub.server).await;
    stub.neutron("GET", "ports", Gate { first: Arc::new(AtomicUsize::new(1)) }).await;
    let cloud = stub.connect(quick()).await;
    let failures = || async {
        let requests = stub.server.received_requests().await.unwrap();
        requests.iter().filter(|request| request.url.path() == "/v3/auth/tokens").count() - 1
    };
    while failures().await == 0 {
        cloud.neutron().list_ports(&PortQuery::default()).await.unwrap();
    }
    cloud.neutron().list_ports(&PortQuery::default()).await.unwrap();
}

#[tokio::test]
async fn the_catalogue_is_read_anew_with_each_login() {
    let stub = Stub { server: wiremock::MockServer::start().await, logins: Arc::default() };
    let login = || Mock::given(method("POST")).and(path("/v3/auth/tokens"));
    for (neutron, times) in [("/old", 1), ("/new/v2.0/", u64::MAX)] {
        let neutron = format!("{}{neutron}", stub.server.uri());
        let keystone = Keystone { logins: Arc::clone(&stub.logins), services: neutron, life: 3600 };
        login().respond_with(keystone).up_to_n_times(times).mount(&stub.server).await;
    }
    let gone = Gate { first: Arc::new(AtomicUsize::new(2)) };
    Mock::given(path("/old/v2.0/ports")).respond_with(gone).expect(1).mount(&stub.server).await;
    let there = Gate { first: Arc::new(AtomicUsize::new(2)) };
    Mock::given(path("/new/v2.0/ports")).respond_with(there).expect(1).mount(&stub.server).await;
    stub.connect(quick()).await.neutron().list_ports(&PortQuery::default()).await.unwrap();
}

#[tokio::test]
async fn a_keystone_that_fails_for_a_moment_is_asked_again() {
    let stub = Stub { server: wiremock::MockServer::start().await, logins: Arc::default() };
    let keystone = Keystone { logins: Arc::clone(&stub.logins), services: stub.server.uri(), life: 3600 };
    let login = || Mock::given(method("POST")).and(path("/v3/auth/tokens"));
    let failing = InTurn::new([ResponseTemplate::new(503), ResponseTemplate::new(500)]);
    login().respond_with(failing).up_to_n_times(2).mount(&stub.server).await;
    login().respond_with(keystone).mount(&stub.server).await;
    stub.connect(quick()).await;
    assert_eq!(stub.logins.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_keystone_that_is_not_there_says_so() {
    let stub = Stub::start().await;
    let mut config = stub.config();
    // The port is taken from a listener that is gone again.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    config.auth_url = format!("http://{address}/v3").parse().unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let error = Cloud::connect(config, quick(), Metrics::register(&mut Registry::default())).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotConnected);
    assert!(error.to_string().starts_with("POST /v3/auth/tokens: NotConnected"), "{error}");
}

#[tokio::test]
async fn secrets_are_in_no_text() {
    let stub = Stub::start().await;
    stub.neutron("GET", "ports", fault(400, "Wrong")).await;
    let cloud = stub.connect(quick()).await;
    let error = cloud.neutron().list_ports(&PortQuery::default()).await.unwrap_err();
    for text in [format!("{:?}", stub.config()), format!("{cloud:?}"), format!("{error:?}")] {
        assert!(!text.contains("secret") && !text.contains("token-1"), "{text}");
    }
}
