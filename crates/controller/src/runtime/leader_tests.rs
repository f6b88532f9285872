//! The election on an API server that has nothing but a Lease, with time that the tests let pass.

use super::*;
use crate::runtime::{fence::Clock, identity::Identity, metrics::Metrics};
use http::{Method, Request, Response, StatusCode};
use kube::client::Body;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::time::{Instant, sleep};

/// The API server.
#[derive(Clone, Default)]
struct Server(Arc<Inner>);

#[derive(Default)]
struct Inner {
    lease: Mutex<Option<Value>>,
    version: AtomicU64,
    silent: AtomicBool,
    writes: AtomicU64,
}

impl Server {
    fn client(&self) -> Client {
        let server = self.clone();
        let handle = move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, std::convert::Infallible>(server.handle(request).await) }
        };
        Client::new(tower::service_fn(handle), "default")
    }

    async fn handle(&self, request: Request<Body>) -> Response<Body> {
        if self.0.silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let method = request.method().clone();
        let sent = request.into_body().collect_bytes().await.unwrap();
        let mut lease = self.0.lease.lock().unwrap();
        let version = |lease: &Option<Value>| lease.as_ref().map(|lease| lease["metadata"]["resourceVersion"].clone());
        match method {
            Method::GET => match &*lease {
                Some(lease) => answer(StatusCode::OK, lease),
                None => answer(StatusCode::NOT_FOUND, &status(404)),
            },
            _ => {
                let mut sent: Value = serde_json::from_slice(&sent).unwrap();
                let condition = sent["metadata"].get("resourceVersion").cloned();
                if condition != version(&lease) {
                    return answer(StatusCode::CONFLICT, &status(409));
                }
                self.0.writes.fetch_add(1, Ordering::SeqCst);
                sent["metadata"]["resourceVersion"] = json!(self.0.version.fetch_add(1, Ordering::SeqCst).to_string());
                *lease = Some(sent);
                answer(StatusCode::OK, lease.as_ref().unwrap())
            }
        }
    }

    fn spec(&self, field: &str) -> Value {
        self.0.lease.lock().unwrap().as_ref().map_or(Value::Null, |lease| lease["spec"][field].clone())
    }
}

fn answer(code: StatusCode, body: &Value) -> Response<Body> {
    Response::builder().status(code).body(Body::from(body.to_string().into_bytes())).unwrap()
}

fn status(code: u16) -> Value {
    let reason = if code == 404 { "NotFound" } else { "Conflict" };
    json!({ "apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": reason, "message": "no", "code": code })
}

/// Tokio's clock, which stands still unless all tasks wait; and which this candidate alone can be made to miss.
fn clock() -> Clock {
    let start = Instant::now();
    Arc::new(move || start.elapsed() + Duration::from_secs(1000))
}

fn candidate(server: &Server) -> Election {
    let fence = Fence::new(Identity::new(None), clock(), Metrics::new(&mut Registry::default()));
    Election::new(&Settings::default(), &server.client(), fence, Health::default())
}

/// Waits until it is the leader: how many seconds it took, and whether it waited for another one.
async fn won(election: &mut Election) -> (f64, bool) {
    let start = Instant::now();
    let waited = tokio::time::timeout(Duration::from_secs(3600), election.win()).await;
    (start.elapsed().as_secs_f64(), waited.expect("it never becomes the leader"))
}

#[tokio::test(start_paused = true)]
async fn a_free_lease_is_taken_at_once_and_kept() {
    let server = Server::default();
    let mut one = candidate(&server);
    assert!(!one.standing().is_leader());
    assert_eq!(won(&mut one).await, (0.0, false));
    assert!(one.standing().is_leader());
    let kept = tokio::time::timeout(Duration::from_secs(3600), one.keep()).await;
    assert!(kept.is_err() && one.standing().is_leader(), "it stays the leader");
    assert_eq!(server.spec("holderIdentity"), one.standing().seen().identity);
    assert_eq!(server.spec("leaseTransitions"), 0);
    assert!((1700..=1801).contains(&server.0.writes.load(Ordering::SeqCst)), "one renewal each two seconds");
}

#[tokio::test(start_paused = true)]
async fn a_dead_leader_is_followed_after_the_leases_duration_and_one_that_stops_cleanly_at_once() {
    let server = Server::default();
    let (mut one, mut two, mut three) = (candidate(&server), candidate(&server), candidate(&server));
    won(&mut one).await;
    let (seconds, waited) = won(&mut two).await;
    assert!(waited && (15.0..18.0).contains(&seconds), "{seconds}");
    assert!(two.standing().is_leader() && !one.standing().is_leader());
    assert_eq!(server.spec("leaseTransitions"), 1);
    let ((seconds, _), ()) = tokio::join!(won(&mut three), async {
        let kept = tokio::time::timeout(Duration::from_secs(100), two.keep()).await;
        assert!(kept.is_err());
        two.give_back().await;
        assert!(!two.standing().is_leader());
    });
    assert!((100.0..103.0).contains(&seconds), "{seconds}");
    assert_eq!(three.standing().seen().role, "leader");
}

#[tokio::test(start_paused = true)]
async fn who_cant_renew_stops_writing_before_another_takes_over() {
    let server = Server::default();
    let mut one = candidate(&server);
    won(&mut one).await;
    let _ = tokio::time::timeout(Duration::from_secs(60), one.keep()).await;
    server.0.silent.store(true, Ordering::SeqCst);
    let start = Instant::now();
    one.keep().await;
    let seconds = start.elapsed().as_secs_f64();
    assert!((8.0..=10.0).contains(&seconds), "ten seconds after the last renewal: {seconds}");
    assert!(!one.standing().is_leader());
    server.0.silent.store(false, Ordering::SeqCst);
    assert_eq!(won(&mut one).await, (0.0, false), "nobody took it: it goes on at once");
}

#[tokio::test(start_paused = true)]
async fn who_stood_still_is_no_leader_even_before_its_tasks_notice() {
    let server = Server::default();
    let (mut one, mut two) = (candidate(&server), candidate(&server));
    won(&mut one).await;
    let standing = one.standing();
    sleep(Duration::from_secs(9)).await;
    assert!(standing.is_leader());
    sleep(Duration::from_secs(1)).await;
    // No task of the first one has run since.
    assert!(!standing.is_leader());
    let fence = one.fence.clone();
    let guarded: kube::Api<k8s_openapi::api::core::v1::Pod> = kube::Api::all(fence.around(&server.client()));
    let (writes, refused) = (server.0.writes.load(Ordering::SeqCst), guarded.delete("p", &Default::default()).await);
    assert!(refused.unwrap_err().to_string().contains("isn't the leader"));
    assert_eq!(server.0.writes.load(Ordering::SeqCst), writes);
    guarded.get_opt("p").await.expect_err("a Lease is no Pod, but the question was asked");
    won(&mut two).await;
    one.keep().await;
    assert!(two.standing().is_leader() && !standing.is_leader());
    assert!(tokio::time::timeout(Duration::from_secs(5), one.win()).await.is_err(), "it stands by");
    assert_eq!(standing.seen().role, "standby");
    assert_eq!(standing.seen().holder, Some(two.standing().seen().identity));
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_a_renewal_ends_nothing() {
    let server = Server::default();
    let mut one = candidate(&server);
    won(&mut one).await;
    // As a renewal of ours whose answer we never got.
    {
        let mut lease = server.0.lease.lock().unwrap();
        lease.as_mut().unwrap()["metadata"]["resourceVersion"] = json!("later");
    }
    assert!(tokio::time::timeout(Duration::from_secs(60), one.keep()).await.is_err());
    assert!(one.standing().is_leader());
    // And one that somebody else has taken by force.
    {
        let mut lease = server.0.lease.lock().unwrap();
        lease.as_mut().unwrap()["metadata"]["resourceVersion"] = json!("forced");
        lease.as_mut().unwrap()["spec"]["holderIdentity"] = json!("somebody");
    }
    let start = Instant::now();
    one.keep().await;
    assert!(start.elapsed() <= Duration::from_secs(2) && !one.standing().is_leader());
}

#[tokio::test(start_paused = true)]
async fn a_successor_with_its_dead_predecessors_name_goes_on_at_once() {
    let server = Server::default();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("identity");
    let kept = || {
        let fence = Fence::new(Identity::new(Some(&file)), clock(), Metrics::new(&mut Registry::default()));
        Election::new(&Settings::default(), &server.client(), fence, Health::default())
    };
    let mut one = kept();
    won(&mut one).await;
    let mut beside = kept();
    assert!(tokio::time::timeout(Duration::from_secs(5), beside.win()).await.is_err(), "the first one lives");
    drop((one, beside));
    assert_eq!(won(&mut kept()).await, (0.0, false));
    assert_eq!(server.spec("leaseTransitions"), 0);
}

#[tokio::test(start_paused = true)]
async fn without_an_election_the_only_controller_works_at_once_and_for_ever() {
    let fence = Fence::new(Identity::new(None), clock(), Metrics::new(&mut Registry::default()));
    let settings = Settings { enabled: false, ..Settings::default() };
    let mut alone = Election::new(&settings, &Server::default().client(), fence, Health::default());
    assert_eq!(won(&mut alone).await, (0.0, false));
    assert!(tokio::time::timeout(Duration::from_secs(86_400), alone.keep()).await.is_err());
    assert_eq!((alone.standing().is_leader(), alone.standing().seen().role), (true, "alone"));
}
