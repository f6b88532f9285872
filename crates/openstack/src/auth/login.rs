//! Keystone's `POST /v3/auth/tokens` (Identity API v3, "Authentication and token management").

use super::{Session, catalogue::Catalogue};
use crate::{
    Cloud, Endpoint,
    config::{ApplicationCredential, Credential, Domain, Named},
    endpoint::{Repeat, Service},
    error::{Details, Error, Kind},
    neutron::ProjectId,
};
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

/// What is read of the token.
#[derive(Deserialize)]
struct Token {
    issued_at: String,
    expires_at: String,
    #[serde(default)]
    project: Option<Project>,
    #[serde(default)]
    catalog: Catalogue,
}

#[derive(Deserialize)]
struct Project {
    id: ProjectId,
}

impl Cloud {
    /// Logs in.
    pub(super) async fn log_in(&self, generation: u64) -> Result<Session, Error> {
        let config = &self.0.config;
        let endpoint = Endpoint::<Token>::new(Service::IDENTITY, Method::POST, &["auth", "tokens"])
            .resource("tokens")
            .body("auth", &request(&config.credential))
            .answer_in("token")
            .repeat(Repeat::Safe)
            .without_token();
        let begun = Instant::now();
        let answer = self.execute(&endpoint.call).await.map_err(|error| explain(error, &config.name))?;
        let token = answer.read::<Token>(&endpoint.call)?.value;
        let malformed =
            |message: String| Details::new(Kind::Malformed, Method::POST, endpoint.call.display_path(), message);
        let subject = answer.headers.get("X-Subject-Token").and_then(|token| token.to_str().ok());
        let subject = subject.ok_or_else(|| malformed("the answer has no X-Subject-Token".to_owned()))?;
        let time = |text: &str| {
            let parsed = text.parse::<jiff::Timestamp>();
            parsed.map_err(|error| {
                let details = malformed(format!("`{text}` isn't a time: {error}"));
                Error::from(details.caused_by(error))
            })
        };
        // The life of the token is counted from before the request: never longer than Keystone counts it.
        let life = time(&token.expires_at)?.duration_since(time(&token.issued_at)?);
        let life = std::time::Duration::try_from(life).unwrap_or_default();
        Ok(Session {
            token: SecretString::from(subject.to_owned()),
            generation,
            project_id: token.project.map(|project| project.id),
            ends: begun + life,
            catalogue: token.catalog,
        })
    }
}

/// Says whose credentials were refused and where they come from.
fn explain(error: Error, cloud: &str) -> Error {
    if error.kind() != Kind::Unauthorized {
        return error;
    }
    error.explained(&format!(
        "Keystone refuses the credentials of cloud `{cloud}` in clouds.yaml: check user or application credential, \
         password or secret, project and domains"
    ))
}

/// The member `auth` of the request.
fn request(credential: &Credential) -> Value {
    match credential {
        Credential::Password { user, password, project } => {
            let mut user = named(user);
            user["password"] = password.expose_secret().into();
            let identity = json!({ "methods": ["password"], "password": { "user": user } });
            json!({ "identity": identity, "scope": { "project": named(project) } })
        }
        Credential::ApplicationCredential { credential, secret } => {
            let mut application = match credential {
                ApplicationCredential::Id(id) => json!({ "id": id }),
                ApplicationCredential::Name { name, user } => json!({ "name": name, "user": named(user) }),
            };
            application["secret"] = secret.expose_secret().into();
            json!({ "identity": { "methods": ["application_credential"], "application_credential": application } })
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
