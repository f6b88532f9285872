//! A Keystone, a Neutron and an Octavia whose every answer the test decides.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
#![allow(dead_code, reason = "each test program uses another part of it")]

use kuryr_openstack::{
    Cloud, CloudConfig, Metrics, Settings,
    config::{Credential, Domain, Interface, Named},
};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use wiremock::{
    Mock, MockServer, Request, Respond, ResponseTemplate,
    matchers::{method, path},
};

/// The stubbed cloud.
pub struct Stub {
    pub server: MockServer,
    /// Logins that succeeded.
    pub logins: Arc<AtomicUsize>,
}

/// Gives out the tokens `token-1`, `token-2` and so on.
pub struct Keystone {
    pub logins: Arc<AtomicUsize>,
    /// The URL of the other services in the catalogue.
    pub services: String,
    /// Seconds that a token lives.
    pub life: i64,
}

impl Respond for Keystone {
    fn respond(&self, _: &Request) -> ResponseTemplate {
        let number = self.logins.fetch_add(1, Ordering::SeqCst) + 1;
        // Keystone's clock may be far from ours.
        let issued: jiff::Timestamp = "2001-02-03T04:05:06Z".parse().unwrap();
        let expires = issued + jiff::SignedDuration::from_secs(self.life);
        let endpoint = json!({ "interface": "public", "region_id": "RegionOne", "url": self.services });
        let service = |kind: &str| json!({ "type": kind, "endpoints": [endpoint] });
        let token = json!({
            "issued_at": issued.to_string(),
            "expires_at": expires.to_string(),
            "project": { "id": "a-project" },
            "catalog": [service("network"), service("load-balancer")],
        });
        ResponseTemplate::new(201)
            .insert_header("X-Subject-Token", format!("token-{number}"))
            .set_body_json(json!({ "token": token }))
    }
}

/// Answers the requests one after the other; the last answer is repeated.
pub struct InTurn(Vec<ResponseTemplate>, AtomicUsize);

impl InTurn {
    pub fn new(answers: impl IntoIterator<Item = ResponseTemplate>) -> Self {
        Self(answers.into_iter().collect(), AtomicUsize::new(0))
    }
}

impl Respond for InTurn {
    fn respond(&self, _: &Request) -> ResponseTemplate {
        let number = self.1.fetch_add(1, Ordering::SeqCst);
        self.0[number.min(self.0.len() - 1)].clone()
    }
}

/// Neutron's way to say that something failed.
pub fn fault(status: u16, neutron_type: &str) -> ResponseTemplate {
    let error = json!({ "type": neutron_type, "message": "a message", "detail": "" });
    ResponseTemplate::new(status)
        .insert_header("x-openstack-request-id", "req-1")
        .set_body_json(json!({ "NeutronError": error }))
}

/// Octavia's way to say that something failed.
pub fn objection(status: u16, words: &str) -> ResponseTemplate {
    let fault = json!({ "faultcode": "Client", "faultstring": words, "debuginfo": null });
    ResponseTemplate::new(status).set_body_json(fault)
}

/// One port as Neutron answers it, of which only the identifier matters.
pub fn port(id: &str) -> Value {
    json!({ "id": id, "network_id": "n", "status": "DOWN" })
}

pub fn one_port() -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({ "port": port("p") }))
}

/// Settings with which a test needn't wait.
pub fn quick() -> Settings {
    Settings { first_delay: Duration::from_millis(1), max_delay: Duration::from_millis(5), ..Settings::default() }
}

impl Stub {
    /// Starts the services; tokens live for an hour.
    pub async fn start() -> Self {
        let stub = Self { server: MockServer::start().await, logins: Arc::default() };
        stub.keystone(3600).await;
        stub
    }

    /// Lets Keystone answer logins from now on.
    pub async fn keystone(&self, life: i64) {
        let keystone = Keystone { logins: Arc::clone(&self.logins), services: self.server.uri(), life };
        Mock::given(method("POST")).and(path("/v3/auth/tokens")).respond_with(keystone).mount(&self.server).await;
    }

    /// Lets Neutron answer `verb /v2.0/what`.
    pub async fn neutron(&self, verb: &str, what: &str, answer: impl Respond + 'static) {
        Mock::given(method(verb)).and(path(format!("/v2.0/{what}"))).respond_with(answer).mount(&self.server).await;
    }

    /// Lets Octavia answer `verb /v2/lbaas/what`.
    pub async fn octavia(&self, verb: &str, what: &str, answer: impl Respond + 'static) {
        Mock::given(method(verb)).and(path(format!("/v2/lbaas/{what}"))).respond_with(answer).mount(&self.server).await;
    }

    /// The requests that Octavia has got: method, path below `/v2/lbaas`, query.
    pub async fn octavia_requests(&self) -> Vec<String> {
        let requests = self.server.received_requests().await.unwrap();
        let of_octavia = |request: &Request| {
            let path = request.url.path().strip_prefix("/v2/lbaas/")?;
            let query = request.url.query().map(|query| format!("?{query}")).unwrap_or_default();
            Some(format!("{} {path}{query}", request.method))
        };
        requests.iter().filter_map(of_octavia).collect()
    }

    pub fn config(&self) -> CloudConfig {
        let named = |name: &str| Named::Name { name: name.to_owned(), domain: Domain::Id("default".to_owned()) };
        CloudConfig {
            name: "stub".to_owned(),
            auth_url: format!("{}/v3", self.server.uri()).parse().unwrap(),
            credential: Credential::Password {
                user: named("user"),
                password: "secret".to_owned().into(),
                project: named("project"),
            },
            region: None,
            interface: Interface::Public,
            endpoint_overrides: BTreeMap::new(),
            verify: true,
            ca_bundle: None,
        }
    }

    pub async fn connect(&self, settings: Settings) -> Cloud {
        self.connect_measured(settings, &mut Registry::default()).await
    }

    pub async fn connect_measured(&self, settings: Settings, registry: &mut Registry) -> Cloud {
        connect(self.config(), settings, registry).await
    }

    /// How many requests `verb /v2.0/what` Neutron has got.
    pub async fn count(&self, verb: &str, what: &str) -> usize {
        let path = format!("/v2.0/{what}");
        let requests = self.server.received_requests().await.unwrap();
        requests.iter().filter(|request| request.method.as_str() == verb && request.url.path() == path).count()
    }
}

/// Logs in with `config`.
pub async fn connect(config: CloudConfig, settings: Settings, registry: &mut Registry) -> Cloud {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Cloud::connect(config, settings, Metrics::register(registry)).await.unwrap()
}
