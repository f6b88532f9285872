//! What the client does when Neutron or the network fails.

mod stub;

use kuryr_core::error::Class;
use kuryr_openstack::{
    Fence, Found, Kind, Settings,
    neutron::{NewPort, PortId, PortQuery, PortUpdate},
};
use prometheus_client::registry::Registry;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use stub::{InTurn, Stub, fault, one_port, quick};
use tokio::{io::AsyncReadExt, net::TcpListener};
use wiremock::ResponseTemplate;

fn new() -> NewPort {
    NewPort::on("n".into())
}

#[tokio::test]
async fn a_failure_says_what_neutron_said() {
    let stub = Stub::start().await;
    stub.neutron("POST", "ports", fault(409, "IpAddressAlreadyAllocated")).await;
    let error = stub.connect(quick()).await.neutron().create_port(&new()).await.unwrap_err();
    assert_eq!((error.kind(), error.class(), error.status()), (Kind::Conflict, Class::Conflict, Some(409)));
    assert_eq!(error.to_string(), "POST /v2.0/ports: Conflict (HTTP 409) IpAddressAlreadyAllocated: a message [req-1]");
    assert_eq!(stub.count("POST", "ports").await, 1);
}

#[tokio::test]
async fn a_creation_is_not_repeated_when_it_may_have_been_carried_out() {
    for (status, kind) in [(500, Kind::Server), (502, Kind::Server), (503, Kind::Unavailable), (504, Kind::Server)] {
        let stub = Stub::start().await;
        stub.neutron("POST", "ports", ResponseTemplate::new(status).insert_header("Retry-After", "7")).await;
        let error = stub.connect(quick()).await.neutron().create_port(&new()).await.unwrap_err();
        assert_eq!((error.kind(), error.class()), (kind, Class::Transient));
        assert!(error.outcome_unknown(), "{error}");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
        assert_eq!(stub.count("POST", "ports").await, 1, "{status}");
    }
}

#[tokio::test]
async fn a_creation_is_repeated_when_it_was_certainly_not_carried_out() {
    for status in [401, 403, 429] {
        let stub = Stub::start().await;
        let refusal = fault(status, "Refused").insert_header("Retry-After", "0");
        stub.neutron("POST", "ports", InTurn::new([refusal, one_port()])).await;
        let port = stub.connect(quick()).await.neutron().create_port(&new()).await.unwrap();
        assert_eq!(port.id.as_str(), "p");
        assert_eq!(stub.count("POST", "ports").await, 2, "{status}");
    }
}

#[tokio::test]
async fn what_stays_forbidden_is_given_up_soon() {
    let stub = Stub::start().await;
    stub.neutron("GET", "ports/p", fault(403, "PolicyNotAuthorized")).await;
    let error = stub.connect(quick()).await.neutron().get_port(&PortId::from("p")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden);
    assert_eq!(stub.count("GET", "ports/p").await, 3);
}

#[tokio::test]
async fn reads_and_changes_are_repeated() {
    for status in [429, 500, 502, 503, 504] {
        let stub = Stub::start().await;
        let answers = || InTurn::new([ResponseTemplate::new(status), ResponseTemplate::new(status), one_port()]);
        stub.neutron("GET", "ports/p", answers()).await;
        stub.neutron("PUT", "ports/p", answers()).await;
        let neutron = stub.connect(quick()).await.neutron();
        neutron.get_port(&PortId::from("p")).await.unwrap();
        neutron.update_port(&PortId::from("p"), &PortUpdate::default()).await.unwrap();
        assert_eq!((stub.count("GET", "ports/p").await, stub.count("PUT", "ports/p").await), (3, 3), "{status}");
    }
}

#[tokio::test]
async fn attempts_and_time_are_limited() {
    let stub = Stub::start().await;
    stub.neutron("GET", "ports/p", fault(503, "ServiceUnavailable")).await;
    let few = Settings { attempts: 4, ..quick() };
    let error = stub.connect(few).await.neutron().get_port(&PortId::from("p")).await.unwrap_err();
    assert_eq!((error.kind(), stub.count("GET", "ports/p").await), (Kind::Unavailable, 4));
    assert!(!error.outcome_unknown(), "a read has no outcome");

    let short = Settings {
        attempts: usize::MAX,
        first_delay: Duration::from_millis(20),
        total_timeout: Duration::from_millis(300),
        ..quick()
    };
    let cloud = stub.connect(short).await;
    let begun = Instant::now();
    cloud.neutron().get_port(&PortId::from("p")).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(stub.count("GET", "ports/p").await > 5);
}

#[tokio::test]
async fn retry_after_is_honoured_or_handed_to_the_caller() {
    let stub = Stub::start().await;
    let later = |seconds: &str| fault(503, "ServiceUnavailable").insert_header("Retry-After", seconds);
    stub.neutron("GET", "ports/p", InTurn::new([later("1"), one_port(), later("3600")])).await;
    let neutron = stub.connect(quick()).await.neutron();
    let begun = Instant::now();
    neutron.get_port(&PortId::from("p")).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let error = neutron.get_port(&PortId::from("p")).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)), "longer than a request may take");
    assert_eq!(stub.count("GET", "ports/p").await, 3);
}

/// Allows so many attempts.
#[derive(Debug)]
struct Allows(AtomicUsize);

impl Fence for Allows {
    fn check(&self) -> Result<(), String> {
        let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map(drop).map_err(|_| "another one works".to_owned())
    }
}

#[tokio::test]
async fn what_the_fence_forbids_is_not_sent_nor_repeated() {
    let stub = Stub::start().await;
    stub.neutron("GET", "ports/p", one_port()).await;
    stub.neutron("PUT", "ports/p", InTurn::new([fault(503, "ServiceUnavailable"), one_port()])).await;
    stub.neutron("POST", "ports", one_port()).await;
    let fence = Arc::new(Allows(AtomicUsize::new(1)));
    let neutron = stub.connect(Settings { fence: Some(fence), ..quick() }).await.neutron();
    let error = neutron.update_port(&PortId::from("p"), &PortUpdate::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (Kind::Fenced, Class::Transient));
    assert!(error.outcome_unknown(), "the first attempt may have been carried out: {error}");
    assert_eq!(stub.count("PUT", "ports/p").await, 1, "the repetition is not sent");
    let error = neutron.create_port(&new()).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome_unknown()), (Kind::Fenced, false));
    assert!(error.to_string().contains("not sent: another one works"), "{error}");
    assert_eq!(stub.count("POST", "ports").await, 0);
    neutron.get_port(&PortId::from("p")).await.expect("reading is always allowed");
}

#[tokio::test]
async fn a_deletion_that_was_carried_out_unseen_succeeds() {
    let stub = Stub::start().await;
    let gone = || fault(404, "PortNotFound");
    stub.neutron("DELETE", "ports/p", InTurn::new([ResponseTemplate::new(504), gone()])).await;
    stub.neutron("DELETE", "ports/q", InTurn::new([fault(403, "PolicyNotAuthorized"), gone()])).await;
    let neutron = stub.connect(quick()).await.neutron();
    neutron.delete_port(&PortId::from("p")).await.unwrap();
    assert_eq!(neutron.delete_port(&PortId::from("p")).await.found().unwrap(), None);
    assert!(neutron.delete_port(&PortId::from("q")).await.unwrap_err().is_not_found(), "403 has deleted nothing");
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_a_timeout() {
    let stub = Stub::start().await;
    let never = || one_port().set_delay(Duration::from_secs(60));
    stub.neutron("POST", "ports", never()).await;
    stub.neutron("GET", "ports/p", InTurn::new([never(), one_port()])).await;
    let short = Duration::from_millis(200);
    let neutron = stub.connect(Settings { read_timeout: short, write_timeout: short, ..quick() }).await.neutron();
    let error = neutron.create_port(&new()).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome_unknown()), (Kind::Timeout, true), "{error}");
    assert_eq!(stub.count("POST", "ports").await, 1);
    neutron.get_port(&PortId::from("p")).await.unwrap();
}

#[tokio::test]
async fn each_object_of_a_bulk_request_has_its_time() {
    let stub = Stub::start().await;
    let slow = ResponseTemplate::new(201).set_body_string(r#"{"ports": []}"#).set_delay(Duration::from_millis(600));
    stub.neutron("POST", "ports", slow).await;
    let settings =
        Settings { write_timeout: Duration::from_millis(100), item_timeout: Duration::from_millis(500), ..quick() };
    let neutron = stub.connect(settings).await.neutron();
    assert_eq!(neutron.create_ports(&[new()]).await.unwrap_err().kind(), Kind::Timeout);
    assert_eq!(neutron.create_ports(&vec![new(); 20]).await.unwrap(), []);
}

#[tokio::test]
async fn a_lost_connection_is_told_from_one_that_was_never_made() {
    let stub = Stub::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = stub.config();
    let url = format!("http://{}", listener.local_addr().unwrap());
    config.endpoint_overrides.insert("network".to_owned(), url.parse().unwrap());
    let cloud = stub::connect(config, Settings { attempts: 2, ..quick() }, &mut Registry::default()).await;
    // Reads the request, then closes the connection without an answer.
    let rude = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(connection.read(&mut request).await.unwrap() > 0);
    });
    let lost = cloud.neutron().create_port(&new()).await.unwrap_err();
    assert_eq!((lost.kind(), lost.outcome_unknown()), (Kind::ConnectionLost, true), "{lost}");
    rude.await.unwrap();
    // Now nobody listens there any more.
    let refused = cloud.neutron().create_port(&new()).await.unwrap_err();
    assert_eq!((refused.kind(), refused.outcome_unknown()), (Kind::NotConnected, false), "{refused}");
    assert!(refused.to_string().contains("refused"), "{refused}");
}

#[tokio::test]
async fn what_is_not_neutrons_json_is_malformed() {
    let stub = Stub::start().await;
    let page = |status| ResponseTemplate::new(status).set_body_string("<html>\nsome <b>proxy</b></html>");
    stub.neutron("GET", "ports/p", page(404)).await;
    stub.neutron("GET", "ports/q", page(200)).await;
    stub.neutron("POST", "ports", ResponseTemplate::new(201).set_body_string(r#"{"prot": {}}"#)).await;
    let neutron = stub.connect(quick()).await.neutron();
    let missing = neutron.get_port(&PortId::from("p")).await.unwrap_err();
    assert_eq!(missing.kind(), Kind::Malformed, "a proxy's 404 doesn't say that the port is gone");
    assert!(missing.message().contains("<html> some"), "{missing}");
    assert_eq!(neutron.get_port(&PortId::from("q")).await.unwrap_err().kind(), Kind::Malformed);
    let created = neutron.create_port(&new()).await.unwrap_err();
    assert_eq!((created.kind(), created.outcome_unknown()), (Kind::Malformed, true));
    assert!(created.message().contains("`port` is missing"), "{created}");
}

#[tokio::test]
async fn identifiers_can_not_climb_out_of_their_path() {
    let stub = Stub::start().await;
    let neutron = stub.connect(quick()).await.neutron();
    for id in ["", ".", ".."] {
        let error = neutron.delete_port(&PortId::from(id)).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome_unknown()), (Kind::BadRequest, false), "`{id}`");
    }
    stub.neutron("GET", "ports/..%2Fnetworks%3Fa", one_port()).await;
    neutron.get_port(&PortId::from("../networks?a")).await.unwrap();
}

#[tokio::test]
async fn no_more_requests_are_in_flight_than_allowed() {
    let stub = Stub::start().await;
    stub.neutron("GET", "ports/p", one_port().set_delay(Duration::from_millis(100))).await;
    let neutron = stub.connect(Settings { max_in_flight: 2, ..quick() }).await.neutron();
    let begun = Instant::now();
    let id = PortId::from("p");
    let all = futures::future::join_all((0..6).map(|_| neutron.get_port(&id))).await;
    assert!(all.iter().all(Result::is_ok));
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn requests_are_counted() {
    let stub = Stub::start().await;
    stub.neutron(
        "GET",
        "ports",
        InTurn::new([ResponseTemplate::new(503), ResponseTemplate::new(200).set_body_string(r#"{"ports": []}"#)]),
    )
    .await;
    let mut registry = Registry::default();
    let cloud = stub.connect_measured(quick(), &mut registry).await;
    cloud.neutron().list_ports(&PortQuery::default()).await.unwrap();
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        r#"openstack_requests_total{service="network",method="GET",resource="ports",status="5xx"} 1"#,
        r#"openstack_requests_total{service="network",method="GET",resource="ports",status="2xx"} 1"#,
        r#"openstack_requests_total{service="identity",method="POST",resource="tokens",status="2xx"} 1"#,
        r#"openstack_request_duration_seconds_count{service="network",method="GET",resource="ports"} 2"#,
        r#"openstack_requests_in_flight{service="network"} 0"#,
        r#"openstack_requests_limit{service="network"} 4"#,
        r#"openstack_requests_waiting{service="network",priority="pod"} 0"#,
        r#"openstack_retries_total{service="network",method="GET",resource="ports"} 1"#,
        r#"openstack_logins_total{result="success"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
    }
}
