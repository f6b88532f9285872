//! What the client asks of Octavia, and what it makes of the answers that are unlike Neutron's.

mod stub;

use kuryr_core::error::Class;
use kuryr_openstack::{
    Found, Kind, Octavia,
    octavia::{ApiVersion, Fault, LoadBalancerId, NewLoadBalancer, NewMember, PoolId, ProvisioningStatus, Query},
};
use serde_json::{Value, json};
use stub::{InTurn, Stub, objection, quick};
use wiremock::{Mock, ResponseTemplate, matchers};

const IMMUTABLE: &str = "Load Balancer lb is immutable and cannot be updated.";

async fn octavia(stub: &Stub) -> Octavia {
    stub.connect(quick()).await.octavia()
}

fn page(ids: &[&str], link: Option<&str>) -> ResponseTemplate {
    let links: Vec<Value> = link.map(|link| json!({ "rel": "next", "href": link })).into_iter().collect();
    let objects: Vec<Value> =
        ids.iter().map(|id| json!({ "id": id, "provisioning_status": "ACTIVE", "listeners": [] })).collect();
    ResponseTemplate::new(200).set_body_json(json!({ "loadbalancers": objects, "loadbalancers_links": links }))
}

#[tokio::test]
async fn pages_are_followed_with_the_filters_and_without_octavias_none() {
    let stub = Stub::start().await;
    let link = |marker: &str| format!("http://192.0.2.1/v2/lbaas/loadbalancers?limit=None&marker={marker}");
    let pages = [page(&["a", "b"], Some(&link("b"))), page(&["c"], Some(&link("c"))), page(&[], None)];
    stub.octavia("GET", "loadbalancers", InTurn::new(pages)).await;
    let query = Query { tags: vec!["t".to_owned()], fields: vec!["provisioning_status"], ..Query::default() };
    let found = octavia(&stub).await.list_load_balancers(&query).await.unwrap();
    assert_eq!(found.iter().map(|found| found.id.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(found.iter().all(|found| found.provisioning_status == ProvisioningStatus::Active));
    let asked = "GET loadbalancers?tags=t&fields=id&fields=provisioning_status";
    assert_eq!(
        stub.octavia_requests().await,
        [asked.to_owned(), format!("{asked}&marker=b"), format!("{asked}&marker=c")]
    );
}

#[tokio::test]
async fn a_list_goes_on_when_its_marker_is_deleted() {
    let stub = Stub::start().await;
    let gone = objection(400, "Supplied pagination marker 'b' is not valid.");
    let pages = [page(&["a", "b"], Some("/x?limit=2&marker=b")), gone, page(&["c"], None)];
    stub.octavia("GET", "loadbalancers", InTurn::new(pages)).await;
    let found = octavia(&stub).await.list_load_balancers(&Query::default()).await.unwrap();
    assert_eq!(found.iter().map(|found| found.id.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    let asked = ["GET loadbalancers", "GET loadbalancers?limit=2&marker=b", "GET loadbalancers?limit=2&marker=a"];
    assert_eq!(stub.octavia_requests().await, asked);
}

#[tokio::test]
async fn the_newest_version_is_found_at_the_root() {
    let stub = Stub::start().await;
    let version = |id: &str| json!({ "id": id, "status": "SUPPORTED", "links": [] });
    let versions = ["v1", "v2.9", "v2.30", "v2.10", "v3.0", "next"].map(version);
    let answer = ResponseTemplate::new(200).set_body_json(json!({ "versions": versions }));
    Mock::given(matchers::method("GET")).and(matchers::path("/")).respond_with(answer).mount(&stub.server).await;
    assert_eq!(octavia(&stub).await.api_version().await.unwrap(), Some(ApiVersion { major: 2, minor: 30 }));
}

#[tokio::test]
async fn a_busy_load_balancer_is_told_from_a_conflict_and_not_asked_again() {
    let stub = Stub::start().await;
    stub.octavia("PUT", "pools/p/members", objection(409, IMMUTABLE)).await;
    let members = [NewMember::at("10.0.0.1".parse().unwrap(), 80)];
    let error = octavia(&stub).await.add_members(&PoolId::from("p"), &members).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (Kind::Immutable, Class::Conflict));
    assert_eq!((error.octavia_fault(), error.outcome_unknown()), (Some(Fault::Immutable), false));
    assert_eq!(error.to_string(), format!("PUT /v2/lbaas/pools/p/members: Immutable (HTTP 409): {IMMUTABLE}"));
    assert_eq!(stub.octavia_requests().await, ["PUT pools/p/members?additive_only=true"]);
}

#[tokio::test]
async fn a_batch_is_repeated_and_then_refused_because_it_is_under_way() {
    let stub = Stub::start().await;
    stub.octavia("PUT", "pools/p/members", InTurn::new([ResponseTemplate::new(504), objection(409, IMMUTABLE)])).await;
    let error = octavia(&stub).await.replace_members(&PoolId::from("p"), &[]).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.outcome_unknown()),
        (Kind::Immutable, true),
        "the first one may be what is going on"
    );
    let requests = stub.server.received_requests().await.unwrap();
    let bodies: Vec<&[u8]> = requests.iter().filter(|request| request.method == "PUT").map(|r| &*r.body).collect();
    assert_eq!(bodies, [br#"{"members":[]}"#; 2]);
}

#[tokio::test]
async fn a_batch_that_is_taken_has_no_content() {
    let stub = Stub::start().await;
    stub.octavia("PUT", "pools/p/members", ResponseTemplate::new(202)).await;
    octavia(&stub).await.replace_members(&PoolId::from("p"), &[]).await.unwrap();
}

#[tokio::test]
async fn what_a_provider_can_not_do_is_rejected_for_good() {
    let stub = Stub::start().await;
    let words = "Provider 'ovn' does not support a requested option: OVN provider does not support HTTP protocol";
    stub.octavia("POST", "loadbalancers", objection(501, words)).await;
    let error = octavia(&stub).await.create_load_balancer(&NewLoadBalancer::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (Kind::Unsupported, Class::Rejected));
    assert_eq!((error.outcome_unknown(), stub.octavia_requests().await.len()), (false, 1));
}

#[tokio::test]
async fn a_full_quota_is_no_missing_right() {
    let stub = Stub::start().await;
    stub.octavia("POST", "loadbalancers", objection(403, "Quota has been met for resources: Load Balancer")).await;
    let error = octavia(&stub).await.create_load_balancer(&NewLoadBalancer::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (Kind::OverQuota, Class::Quota));
    assert_eq!(stub.octavia_requests().await.len(), 1, "a missing right may be a mistake and is asked for again");
}

#[tokio::test]
async fn a_deletion_takes_everything_along_and_is_asked_for_once() {
    let stub = Stub::start().await;
    let answers = [ResponseTemplate::new(502), objection(404, "Load Balancer lb not found.")];
    stub.octavia("DELETE", "loadbalancers/lb", InTurn::new(answers)).await;
    let octavia = octavia(&stub).await;
    let id = LoadBalancerId::from("lb");
    let error = octavia.delete_load_balancer_tree(&id).await.unwrap_err();
    assert!(error.outcome_unknown(), "whether it was taken is to be looked at: a second one may do harm");
    assert_eq!(stub.octavia_requests().await, ["DELETE loadbalancers/lb?cascade=true"]);
    assert_eq!(octavia.delete_load_balancer(&id).await.found().unwrap(), None);
}

#[tokio::test]
async fn a_path_that_octavia_does_not_know_is_not_an_object_that_is_gone() {
    let stub = Stub::start().await;
    let unknown = json!({ "code": 404, "title": "Not Found", "description": "" });
    stub.octavia("GET", "loadbalancers/lb", ResponseTemplate::new(404).set_body_json(unknown)).await;
    let error = octavia(&stub).await.get_load_balancer(&"lb".into()).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (Kind::Malformed, "Not Found"));
    let gone = json!({ "code": 404, "title": "Bad Request", "description": "Pool p not found." });
    stub.octavia("GET", "pools/p/members", ResponseTemplate::new(404).set_body_json(gone)).await;
    let error = octavia(&stub).await.list_members(&PoolId::from("p"), &Query::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.octavia_fault()), (Kind::NotFound, Some(Fault::NotFound)));
}
