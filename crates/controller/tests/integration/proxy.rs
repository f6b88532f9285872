//! A Neutron that can be made to fail: everything is passed on to the real one, but for the faults that a test asks for.

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// What happens to a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It is answered without Neutron hearing of it.
    Answer(StatusCode, String),
    /// Neutron carries it out, the client gets 504.
    LoseAnswer,
    /// Neutron gets it only when the test says so; the client may have gone by then.
    Hold(Arc<Notify>),
}

/// The proxy of one test.
#[derive(Clone)]
pub struct Proxy(Arc<Inner>);

struct Inner {
    upstream: String,
    http: reqwest::Client,
    faults: Mutex<Vec<(Method, Fault)>>,
    seen: Mutex<Vec<(Method, String)>>,
}

impl Proxy {
    /// Starts a proxy for `upstream`. It ends with the test's runtime. The second value is its URL.
    pub async fn start(upstream: String) -> (Self, String) {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let proxy = Self(Arc::new(Inner { upstream, http, faults: Mutex::default(), seen: Mutex::default() }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(handle).with_state(proxy.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (proxy, url)
    }

    /// The next request of this method meets this fault. Several wait for their turn.
    pub fn next(&self, method: Method, fault: Fault) {
        self.0.faults.lock().unwrap().push((method, fault));
    }

    /// No more faults.
    pub fn heal(&self) {
        self.0.faults.lock().unwrap().clear();
    }

    /// How many requests of this method to a path with this beginning came so far.
    pub fn count(&self, method: &Method, path: &str) -> usize {
        let seen = self.0.seen.lock().unwrap();
        seen.iter().filter(|(m, p)| m == method && p.starts_with(path)).count()
    }

    /// How many requests came so far.
    pub fn total(&self) -> usize {
        self.0.seen.lock().unwrap().len()
    }

    fn fault(&self, method: &Method) -> Option<Fault> {
        let mut faults = self.0.faults.lock().unwrap();
        let at = faults.iter().position(|(wanted, _)| wanted == method)?;
        Some(faults.remove(at).1)
    }

    async fn pass_on(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let mut upstream = self.0.http.request(parts.method, format!("{}{path}", self.0.upstream)).body(body);
        for name in ["x-auth-token", "content-type", "accept"] {
            if let Some(value) = parts.headers.get(name) {
                upstream = upstream.header(name, value);
            }
        }
        let Ok(answer) = upstream.send().await else { return StatusCode::BAD_GATEWAY.into_response() };
        let mut response = Response::builder().status(answer.status());
        for (name, value) in answer.headers().iter().filter(|(name, _)| name.as_str() != "transfer-encoding") {
            response = response.header(name, value);
        }
        response.body(Body::from(answer.bytes().await.unwrap())).unwrap()
    }
}

async fn handle(State(proxy): State<Proxy>, request: Request) -> Response {
    let method = request.method().clone();
    proxy.0.seen.lock().unwrap().push((method.clone(), request.uri().path().to_owned()));
    let fault = proxy.fault(&method);
    // In a task of its own: what was begun goes on although the client hangs up.
    let task = tokio::spawn(async move {
        match fault {
            Some(Fault::Answer(status, body)) => (status, [("content-type", "application/json")], body).into_response(),
            Some(Fault::LoseAnswer) => {
                proxy.pass_on(request).await;
                StatusCode::GATEWAY_TIMEOUT.into_response()
            }
            Some(Fault::Hold(released)) => {
                released.notified().await;
                proxy.pass_on(request).await
            }
            None => proxy.pass_on(request).await,
        }
    });
    task.await.unwrap()
}
