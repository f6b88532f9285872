//! Lists that come in pages.

mod stub;

use kuryr_openstack::{Kind, neutron::PortQuery};
use serde_json::json;
use stub::{InTurn, Stub, fault, port, quick};
use wiremock::ResponseTemplate;

/// A page whose next one begins after `marker`, by a link to another host.
fn page(ids: &[&str], marker: Option<&str>) -> ResponseTemplate {
    let next = marker.map(
        |marker| json!({ "rel": "next", "href": format!("http://192.0.2.1:9/v2.0/ports?limit=1&marker={marker}") }),
    );
    let previous = json!({ "rel": "previous", "href": "http://192.0.2.1:9/v2.0/ports?page_reverse=True" });
    let links: Vec<_> = next.into_iter().chain([previous]).collect();
    ResponseTemplate::new(200)
        .set_body_json(json!({ "ports_links": links, "ports": ids.iter().map(|id| port(id)).collect::<Vec<_>>() }))
}

fn query() -> PortQuery {
    PortQuery { names: vec!["x".to_owned()], page_size: Some(1), ..PortQuery::default() }
}

#[tokio::test]
async fn pages_are_followed_at_our_own_endpoint() {
    let stub = Stub::start().await;
    stub.neutron("GET", "ports", InTurn::new([page(&["a"], Some("a")), page(&["b"], Some("b")), page(&["c"], None)]))
        .await;
    let ports = stub.connect(quick()).await.neutron().list_ports(&query()).await.unwrap();
    let ids: Vec<&str> = ports.iter().map(|port| port.id.as_str()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    let requests = stub.server.received_requests().await.unwrap();
    let queries: Vec<_> = requests.iter().filter_map(|request| request.url.query()).collect();
    assert_eq!(queries, ["name=x&limit=1", "name=x&limit=1&marker=a", "name=x&limit=1&marker=b"]);
}

/// The marker of each request, empty where it has none.
async fn markers(stub: &Stub) -> Vec<String> {
    let requests = stub.server.received_requests().await.unwrap_or_default();
    let lists = requests.iter().filter(|request| request.url.path().ends_with("/ports"));
    let marker =
        |url: &reqwest::Url| url.query_pairs().find(|(key, _)| key == "marker").map(|(_, value)| value.into_owned());
    lists.map(|request| marker(&request.url).unwrap_or_default()).collect()
}

#[tokio::test]
async fn a_list_goes_on_when_its_marker_is_deleted() {
    let stub = Stub::start().await;
    let gone = || fault(404, "PortNotFound");
    // Of six ports the last three are deleted after the first page.
    let answers = [
        page(&["a", "b", "c", "d", "e", "f"], Some("f")),
        gone(),
        gone(),
        page(&["d", "g"], Some("g")),
        page(&["h"], None),
    ];
    stub.neutron("GET", "ports", InTurn::new(answers)).await;
    let ports = stub.connect(quick()).await.neutron().list_ports(&query()).await.unwrap();
    let ids: Vec<&str> = ports.iter().map(|port| port.id.as_str()).collect();
    assert_eq!(ids, ["a", "b", "c", "d", "e", "f", "g", "h"], "each once");
    assert_eq!(markers(&stub).await, ["", "f", "e", "d", "g"]);
}

#[tokio::test]
async fn a_list_begins_anew_when_all_of_a_page_is_deleted() {
    let stub = Stub::start().await;
    let answers = [page(&["a"], Some("a")), fault(404, "PortNotFound"), page(&["b"], Some("b")), page(&["c"], None)];
    stub.neutron("GET", "ports", InTurn::new(answers)).await;
    let ports = stub.connect(quick()).await.neutron().list_ports(&query()).await.unwrap();
    let ids: Vec<&str> = ports.iter().map(|port| port.id.as_str()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    assert_eq!(markers(&stub).await, ["", "a", "", "b"]);
}

#[tokio::test]
async fn a_list_whose_markers_are_always_deleted_fails() {
    let stub = Stub::start().await;
    let round = || [page(&["a"], Some("a")), fault(404, "PortNotFound")];
    stub.neutron("GET", "ports", InTurn::new([round(), round(), round()].concat())).await;
    let error = stub.connect(quick()).await.neutron().list_ports(&query()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(stub.count("GET", "ports").await, 6);
}

#[tokio::test]
async fn a_page_that_leads_to_itself_is_malformed() {
    let stub = Stub::start().await;
    stub.neutron("GET", "ports", page(&["a"], Some("a"))).await;
    let error = stub.connect(quick()).await.neutron().list_ports(&query()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Malformed);
    assert_eq!(stub.count("GET", "ports").await, 2);
}
