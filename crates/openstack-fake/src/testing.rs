//! Asking a fake cloud without HTTP, for the tests of this crate.

use crate::{
    Call, Config, FakeCloud, Method, OctaviaConfig, Service, Settle,
    call::Headers,
    keystone::Keystone,
    pipeline::{Cloud, Fate},
};
use serde_json::{Value, json};
use std::sync::Arc;

/// What a service said: status and body.
pub(crate) type Said = (u16, Value);

/// A cloud, and somebody who is logged in.
pub(crate) struct Rig {
    pub fake: FakeCloud,
    cloud: Arc<Cloud>,
    token: String,
}

impl Rig {
    /// A cloud whose load balancers settle when the test says so.
    pub async fn start() -> Self {
        Self::with(OctaviaConfig { settle: Settle::Manual, ..OctaviaConfig::default() }).await
    }

    pub async fn with(octavia: OctaviaConfig) -> Self {
        let fake = FakeCloud::start(Config { octavia: Some(octavia), ..Config::default() }).await.unwrap();
        Self::login(fake, "kuryr").await
    }

    pub async fn login(fake: FakeCloud, name: &str) -> Self {
        let mut rig = Self { cloud: fake.inner(), fake, token: String::new() };
        rig.become_user(name).await;
        rig
    }

    /// From now on requests are another user's.
    pub async fn become_user(&mut self, name: &str) {
        let domain = json!({ "id": "default" });
        let user = json!({ "name": name, "domain": domain, "password": Keystone::PASSWORD });
        let body = json!({ "auth": {
            "identity": { "methods": ["password"], "password": { "user": user } },
            "scope": { "project": { "name": name, "domain": domain } },
        } });
        let call = call(Service::Identity, Method::POST, "auth/tokens", Some(body));
        let Fate::Answered(answer) = self.cloud.handle(call, Headers::default()).await else { panic!("no answer") };
        let token = answer.headers.iter().find(|(name, _)| *name == "X-Subject-Token");
        self.token = token.unwrap_or_else(|| panic!("no token: {answer:?}")).1.clone();
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    pub async fn ask(&self, service: Service, method: Method, path: &str, body: Option<Value>) -> Option<Said> {
        let headers = Headers { token: Some(self.token.clone()), ..Headers::default() };
        match self.cloud.handle(call(service, method, path, body), headers).await {
            Fate::Answered(answer) => Some((answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())),
            Fate::Closed | Fate::Hangs => None,
        }
    }

    async fn octavia(&self, method: Method, path: &str, body: Option<Value>) -> Said {
        self.ask(Service::LoadBalancer, method, &format!("lbaas/{path}"), body).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Said {
        self.octavia(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Said {
        self.octavia(Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Said {
        self.octavia(Method::PUT, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Said {
        self.octavia(Method::DELETE, path, None).await
    }

    /// Asks Neutron.
    pub async fn neutron(&self, method: Method, path: &str, body: Option<Value>) -> Said {
        self.ask(Service::Network, method, path, body).await.unwrap()
    }

    /// The identifier of something in Neutron with this name.
    pub async fn named(&self, many: &str, name: &str) -> String {
        let (_, body) = self.neutron(Method::GET, &format!("{many}?name={name}"), None).await;
        let key = many.replace('-', "_");
        body[key][0]["id"].as_str().unwrap_or_else(|| panic!("no {name}: {body}")).to_owned()
    }

    /// A load balancer on `pods-v4` with this content besides; settled. Its identifier.
    pub async fn load_balancer(&self, more: Value) -> String {
        let id = self.new_load_balancer(more).await;
        self.fake.octavia().settle();
        id
    }

    /// As [`Self::load_balancer`], not settled.
    pub async fn new_load_balancer(&self, more: Value) -> String {
        let (status, body) = self.post("loadbalancers", self.body(more).await).await;
        assert_eq!(status, 201, "{body}");
        id(&body["loadbalancer"])
    }

    pub async fn body(&self, more: Value) -> Value {
        let mut new = json!({ "name": "lb", "vip_subnet_id": self.named("subnets", "pods-v4").await });
        new.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "loadbalancer": new })
    }
}

pub(crate) fn id(object: &Value) -> String {
    object["id"].as_str().unwrap_or_else(|| panic!("no identifier: {object}")).to_owned()
}

/// The words of a refusal.
pub(crate) fn fault(said: &Said) -> (u16, &str) {
    (said.0, said.1["faultstring"].as_str().unwrap_or_default())
}

fn call(service: Service, method: Method, path: &str, body: Option<Value>) -> Call {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    Call { number: 0, service, method, path, query, body: body.map(Arc::new) }
}
