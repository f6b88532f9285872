//! `POST /v3/auth/tokens` by password and by application credential.

use super::{
    Account, Caller, DOMAIN, Keystone, Refusal, accounts::ApplicationCredential, bad_request, not_found, text,
    unauthorized,
};
use crate::{call::Answer, uuid::Uuid};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// A login that was accepted.
struct Login<'a> {
    method: &'static str,
    account: &'a Account,
    credential: Option<&'a ApplicationCredential>,
}

impl Keystone {
    pub(super) fn log_in(&mut self, body: Option<&Map<String, Value>>) -> Result<Answer, Refusal> {
        let auth = body.and_then(|body| body.get("auth")).and_then(Value::as_object).ok_or_else(|| {
            bad_request("Expecting to find auth in request body. The server could not comply with the request since it is either malformed or otherwise incorrect. The client is assumed to be in error.")
        })?;
        let identity = auth.get("identity").and_then(Value::as_object).ok_or_else(unauthorized)?;
        let method = identity.get("methods").and_then(|methods| methods.get(0)).and_then(Value::as_str);
        let login = match method {
            Some("password") => self.by_password(identity, auth)?,
            Some("application_credential") => self.by_credential(identity)?,
            _ => return Err(unauthorized()),
        };
        let caller = Caller {
            user_id: login.account.user_id.clone(),
            project: Arc::clone(&login.account.project_id),
            admin: login.account.roles.contains(&"admin"),
            service: login.account.roles.contains(&"service"),
            credential: login.credential.map(|credential| credential.id.clone()),
        };
        let mut answer = token_answer(&login);
        answer["catalog"] = self.catalogue.to_json();
        let issued = self.tokens.issue(caller);
        answer["issued_at"] = time(issued.at).into();
        answer["expires_at"] = time(issued.until).into();
        Ok(Answer::json(201, &json!({ "token": answer })).header("X-Subject-Token", issued.token))
    }

    fn by_password(&self, identity: &Map<String, Value>, auth: &Map<String, Value>) -> Result<Login<'_>, Refusal> {
        let user = identity.get("password").and_then(|password| password.get("user")).and_then(Value::as_object);
        let user = user.ok_or_else(unauthorized)?;
        let account = self.find_user(user).ok_or_else(unauthorized)?;
        if text(user, "password") != Some(Self::PASSWORD) {
            return Err(unauthorized());
        }
        let project = auth.get("scope").and_then(|scope| scope.get("project")).and_then(Value::as_object);
        let project = project.ok_or_else(unauthorized)?;
        let named = text(project, "name") == Some(account.name) && in_domain(project);
        if !named && text(project, "id") != Some(&account.project_id) {
            return Err(unauthorized());
        }
        Ok(Login { method: "password", account, credential: None })
    }

    fn by_credential(&self, identity: &Map<String, Value>) -> Result<Login<'_>, Refusal> {
        let asked = identity.get("application_credential").and_then(Value::as_object).ok_or_else(unauthorized)?;
        let credential = if let Some(id) = text(asked, "id") {
            let known = self.credentials.iter().find(|known| known.id == id);
            known.ok_or_else(|| not_found("Application Credential", id))?
        } else {
            let user = asked.get("user").and_then(Value::as_object).ok_or_else(unauthorized)?;
            let account = self.find_user(user).ok_or_else(unauthorized)?;
            let name = text(asked, "name").unwrap_or_default();
            let mine = self.credentials.iter().filter(|known| known.user_id == account.user_id);
            mine.into_iter()
                .find(|known| known.name == name)
                .ok_or_else(|| not_found("Application Credential", name))?
        };
        if text(asked, "secret") != Some(&credential.secret) {
            return Err(unauthorized());
        }
        let account = self.account_of(&credential.user_id).ok_or_else(unauthorized)?;
        Ok(Login { method: "application_credential", account, credential: Some(credential) })
    }

    /// A user by identifier, or by name and domain.
    fn find_user(&self, asked: &Map<String, Value>) -> Option<&Account> {
        match text(asked, "id") {
            Some(id) => self.account_of(id),
            None => self.accounts.iter().find(|account| text(asked, "name") == Some(account.name) && in_domain(asked)),
        }
    }
}

/// Whether the domain that is named with a user or project is the one that there is.
fn in_domain(asked: &Map<String, Value>) -> bool {
    let domain = asked.get("domain").and_then(Value::as_object);
    domain.is_some_and(|domain| text(domain, "id") == Some(DOMAIN.0) || text(domain, "name") == Some(DOMAIN.1))
}

/// The token without its times and catalogue.
fn token_answer(login: &Login<'_>) -> Value {
    let (Login { method, account, credential }, domain) = (login, json!({ "id": DOMAIN.0, "name": DOMAIN.1 }));
    let roles: Vec<Value> = account.roles.iter().map(|role| json!({ "id": role, "name": role })).collect();
    let mut token = json!({
        "methods": [method],
        "user": { "id": account.user_id, "name": account.name, "domain": domain, "password_expires_at": null },
        "project": { "id": &*account.project_id, "name": account.name, "domain": domain },
        "roles": roles,
        "is_domain": false,
        "audit_ids": [Uuid::random().simple()],
    });
    if let Some(credential) = credential {
        token["application_credential"] = json!({ "id": credential.id, "name": credential.name, "restricted": true });
    }
    token
}

/// A time as Keystone writes it.
fn time(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}
