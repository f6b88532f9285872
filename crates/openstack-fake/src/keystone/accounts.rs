//! Users, their projects and roles, application credentials.

use super::{Caller, DOMAIN, Keystone, Refusal, bad_request, not_found, text};
use crate::{call::Answer, uuid::Uuid};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// A user with the one project that it has roles in. User and project have the same name.
#[derive(Debug)]
pub(crate) struct Account {
    pub name: &'static str,
    pub user_id: String,
    pub project_id: Arc<str>,
    pub roles: &'static [&'static str],
}

impl Account {
    /// The accounts of every fake cloud, with the roles that they have in the lab: Kuryr's user has `service`, without
    /// which it could not bind ports.
    pub fn all() -> Vec<Self> {
        let account = |name, roles| Self {
            name,
            user_id: Uuid::random().simple(),
            project_id: Uuid::random().simple().into(),
            roles,
        };
        vec![
            account("admin", &["reader", "member", "manager", "admin"]),
            account("kuryr", &["reader", "member", "service"]),
            account("other", &["reader", "member"]),
        ]
    }
}

/// An application credential.
#[derive(Debug)]
pub(crate) struct ApplicationCredential {
    pub id: String,
    pub name: String,
    pub secret: String,
    pub user_id: String,
}

impl Keystone {
    pub(super) fn account_of(&self, user_id: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.user_id == user_id)
    }

    /// The project's identifier of the account with this name.
    pub fn project_of(&self, account: &str) -> Option<Arc<str>> {
        self.accounts.iter().find(|known| known.name == account).map(|known| Arc::clone(&known.project_id))
    }

    pub(super) fn add_known_credential(&mut self) {
        let kuryr = self.accounts.iter().find(|account| account.name == "kuryr");
        self.credentials.extend(kuryr.map(|account| ApplicationCredential {
            id: Self::CREDENTIAL.to_owned(),
            name: "kuryr".to_owned(),
            secret: Self::PASSWORD.to_owned(),
            user_id: account.user_id.clone(),
        }));
    }

    pub(super) fn list_users(&self, query: &str) -> Answer {
        let wanted = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "name").map(|(_, name)| name);
        let known = self.accounts.iter().filter(|account| wanted.as_deref().is_none_or(|name| name == account.name));
        let users: Vec<Value> = known.map(user).collect();
        Answer::json(200, &json!({ "users": users, "links": { "next": null, "previous": null } }))
    }

    pub(super) fn get_user(&self, id: &str) -> Result<Answer, Refusal> {
        let account = self.account_of(id).ok_or_else(|| not_found("user", id))?;
        Ok(Answer::json(200, &json!({ "user": user(account) })))
    }

    pub(super) fn create_credential(
        &mut self,
        caller: &Caller,
        user_id: &str,
        body: Option<&Map<String, Value>>,
    ) -> Result<Answer, Refusal> {
        if caller.user_id != user_id {
            let message = "You are not authorized to perform the requested action.";
            return Err(Answer::keystone_error(403, "Forbidden", message));
        }
        let wanted = body.and_then(|body| body.get("application_credential")).and_then(Value::as_object);
        let name = wanted.and_then(|wanted| text(wanted, "name"));
        let name = name.ok_or_else(|| bad_request("Invalid input for field 'name': it is a required property."))?;
        if self.credentials.iter().any(|known| known.user_id == user_id && known.name == name) {
            let message = format!(
                "Conflict occurred attempting to store application_credential - Duplicate entry found with name {name}."
            );
            return Err(Answer::keystone_error(409, "Conflict", &message));
        }
        let secret = wanted.and_then(|wanted| text(wanted, "secret")).map(ToOwned::to_owned);
        let new = ApplicationCredential {
            id: Uuid::random().simple(),
            name: name.to_owned(),
            secret: secret.unwrap_or_else(|| Uuid::random().simple()),
            user_id: user_id.to_owned(),
        };
        let answer = json!({ "application_credential": {
            "id": new.id, "name": new.name, "secret": new.secret, "user_id": user_id,
            "project_id": &*caller.project, "expires_at": null, "unrestricted": false, "description": null,
        }});
        self.credentials.push(new);
        Ok(Answer::json(201, &answer))
    }

    /// Deletes a credential; its tokens end with it.
    pub(super) fn delete_credential(&mut self, user_id: &str, id: &str) -> Result<Answer, Refusal> {
        let place = self.credentials.iter().position(|known| known.id == id && known.user_id == user_id);
        let place = place.ok_or_else(|| not_found("Application Credential", id))?;
        self.credentials.remove(place);
        self.tokens.revoke_credential(id);
        Ok(Answer::empty(204))
    }
}

fn user(account: &Account) -> Value {
    json!({ "id": account.user_id, "name": account.name, "domain_id": DOMAIN.0, "enabled": true, "options": {} })
}
