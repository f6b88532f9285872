//! Requests past the client: for what Neutron says that the client doesn't hand on.

use kuryr_openstack::{
    CloudConfig,
    config::{ApplicationCredential, Credential, Domain, Named},
};
use reqwest::{Client, Method};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

/// A logged-in client that shows answers as they are.
#[derive(Debug)]
pub struct Raw {
    http: Client,
    neutron: String,
    token: String,
}

/// What Neutron said: status and body.
#[derive(Debug, PartialEq)]
pub struct Said {
    pub status: u16,
    pub body: Value,
}

impl Said {
    /// `NeutronError.type`; empty: it isn't an error.
    pub fn kind(&self) -> &str {
        self.body["NeutronError"]["type"].as_str().unwrap_or_default()
    }

    /// `NeutronError.message`.
    pub fn message(&self) -> &str {
        self.body["NeutronError"]["message"].as_str().unwrap_or_default()
    }

    /// The values of one field of a list.
    pub fn column(&self, list: &str, field: &str) -> Vec<&str> {
        let Some(list) = self.body[list].as_array() else { panic!("no list `{list}` in {self:?}") };
        list.iter().filter_map(|object| object[field].as_str()).collect()
    }
}

impl Raw {
    pub async fn connect(config: &CloudConfig) -> Self {
        let http = Client::new();
        let url = format!("{}/auth/tokens", config.auth_url.as_str().trim_end_matches('/'));
        let login = http.post(url).json(&json!({ "auth": auth(&config.credential) })).send().await.unwrap();
        assert_eq!(login.status(), 201);
        let token = login.headers()["X-Subject-Token"].to_str().unwrap().to_owned();
        let body: Value = login.json().await.unwrap();
        let services = body["token"]["catalog"].as_array().unwrap();
        let network = services.iter().find(|service| service["type"] == "network").unwrap();
        let endpoints = network["endpoints"].as_array().unwrap();
        let public = endpoints.iter().find(|endpoint| {
            endpoint["interface"] == "public"
                && config.region.as_deref().is_none_or(|name| endpoint["region_id"] == name)
        });
        let root = public.unwrap()["url"].as_str().unwrap();
        let root = root.trim_end_matches('/').trim_end_matches("/v2.0");
        Self { http, neutron: format!("{root}/v2.0"), token }
    }

    pub async fn get(&self, path: &str) -> Said {
        self.send(Method::GET, path, None, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Said {
        self.send(Method::POST, path, Some(body), None).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Said {
        self.send(Method::PUT, path, Some(body), None).await
    }

    pub async fn delete(&self, path: &str) -> Said {
        self.send(Method::DELETE, path, None, None).await
    }

    /// With `If-Match` for this revision.
    pub async fn send(&self, method: Method, path: &str, body: Option<Value>, revision: Option<i64>) -> Said {
        let path = path.trim_start_matches(&self.neutron).trim_start_matches('/');
        let mut request = self.http.request(method, format!("{}/{path}", self.neutron));
        request = request.header("X-Auth-Token", &self.token);
        if let Some(revision) = revision {
            request = request.header("If-Match", format!("revision_number={revision}"));
        }
        if let Some(body) = &body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        Said { status, body: serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default() }
    }
}

fn auth(credential: &Credential) -> Value {
    match credential {
        Credential::Password { user, password, project } => {
            let mut user = named(user);
            user["password"] = password.expose_secret().into();
            json!({
                "identity": { "methods": ["password"], "password": { "user": user } },
                "scope": { "project": named(project) },
            })
        }
        Credential::ApplicationCredential { credential, secret } => {
            let mut credential = match credential {
                ApplicationCredential::Id(id) => json!({ "id": id }),
                ApplicationCredential::Name { name, user } => json!({ "name": name, "user": named(user) }),
            };
            credential["secret"] = secret.expose_secret().into();
            json!({ "identity": { "methods": ["application_credential"], "application_credential": credential } })
        }
    }
}

fn named(object: &Named) -> Value {
    match object {
        Named::Id(id) => json!({ "id": id }),
        Named::Name { name, domain: Domain::Id(id) } => json!({ "name": name, "domain": { "id": id } }),
        Named::Name { name, domain: Domain::Name(domain) } => json!({ "name": name, "domain": { "name": domain } }),
    }
}
