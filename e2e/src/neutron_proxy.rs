//! A proxy in front of the real Neutron that can misbehave as networks and load balancers do.
//!
//! Kuryr is pointed at it by `network_endpoint_override` in clouds.yaml. Requests go on to the real Neutron, so that what
//! a fault leaves behind is real: a 504 after Neutron has committed leaves a port behind.

use anyhow::{Context, Result};
use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What happens to a request that a rule catches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 503 without asking Neutron.
    Unavailable,
    /// Neutron carries the request out, the client gets 504.
    TimeoutAfterCommit,
}

#[derive(Debug)]
struct Rule {
    method: Method,
    fault: Fault,
    left: usize,
}

#[derive(Debug, Default)]
struct Shared {
    rules: Vec<Rule>,
    caught: usize,
    seen: BTreeMap<String, usize>,
}

/// The running proxy. It ends with its runtime.
#[derive(Clone)]
pub struct NeutronProxy {
    address: SocketAddr,
    upstream: String,
    client: reqwest::Client,
    shared: Arc<Mutex<Shared>>,
}

impl NeutronProxy {
    /// Listens on a free port of `ip` and passes on to `upstream`, as `http://10.99.0.1:9696`.
    ///
    /// The client's `Host` goes along, so that what Neutron says of its own address leads through here too.
    ///
    /// # Errors
    /// When it can't listen.
    pub async fn start(ip: std::net::IpAddr, upstream: &str) -> Result<Self> {
        let listener = tokio::net::TcpListener::bind((ip, 0)).await.context("listening for the Neutron proxy")?;
        let proxy = Self {
            address: listener.local_addr().context("the Neutron proxy's address")?,
            upstream: upstream.trim_end_matches('/').to_owned(),
            client: reqwest::Client::new(),
            shared: Arc::default(),
        };
        let app = Router::new().fallback(forward).with_state(proxy.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(proxy)
    }

    /// The URL that stands for Neutron's.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets the next `count` requests of `method` fail.
    pub fn fail_next(&self, method: Method, count: usize, fault: Fault) {
        self.shared().rules.push(Rule { method, fault, left: count });
    }

    /// How many requests were let fail so far.
    #[must_use]
    pub fn caught(&self) -> usize {
        self.shared().caught
    }

    /// Forgets the rules: all is well again.
    pub fn heal(&self) {
        self.shared().rules.clear();
    }

    /// How many requests came, by method and first part of the path, as `POST /ports`.
    #[must_use]
    pub fn seen(&self) -> BTreeMap<String, usize> {
        self.shared().seen.clone()
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request, and takes one from the first rule that catches it.
    fn note(&self, method: &Method, path: &str) -> Option<Fault> {
        let resource = path.trim_start_matches("/v2.0/").split('/').next().unwrap_or_default();
        let mut shared = self.shared();
        *shared.seen.entry(format!("{method} /{resource}")).or_default() += 1;
        let rule = shared.rules.iter_mut().find(|r| r.left > 0 && r.method == *method)?;
        rule.left -= 1;
        let fault = rule.fault;
        shared.caught += 1;
        Some(fault)
    }

    async fn pass_on(&self, method: Method, path: &str, headers: HeaderMap, body: Bytes) -> Result<Response> {
        let mut request = self.client.request(method, format!("{}{path}", self.upstream)).body(body);
        for name in [header::CONTENT_TYPE, header::ACCEPT, header::HOST] {
            if let Some(value) = headers.get(&name) {
                request = request.header(name, value);
            }
        }
        if let Some(token) = headers.get("x-auth-token") {
            request = request.header("x-auth-token", token);
        }
        let answer = request.send().await.context("asking Neutron")?;
        let (status, theirs) = (answer.status(), answer.headers().clone());
        let body = answer.bytes().await.context("reading Neutron's answer")?;
        let mut response = (status, Body::from(body)).into_response();
        for name in ["content-type", "x-openstack-request-id", "retry-after"] {
            if let Some(value) = theirs.get(name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        Ok(response)
    }
}

async fn forward(State(proxy): State<NeutronProxy>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
    let fault = proxy.note(&parts.method, parts.uri.path());
    if fault == Some(Fault::Unavailable) {
        return (StatusCode::SERVICE_UNAVAILABLE, "the proxy says that Neutron is away").into_response();
    }
    let Ok(body) = to_bytes(body, usize::MAX).await else { return StatusCode::BAD_REQUEST.into_response() };
    let answer = proxy.pass_on(parts.method, &path, parts.headers, body).await;
    match (fault, answer) {
        (Some(Fault::TimeoutAfterCommit), Ok(_)) => StatusCode::GATEWAY_TIMEOUT.into_response(),
        (_, Ok(response)) => response,
        (_, Err(error)) => (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response(),
    }
}
