//! Keystone's Identity API v3, as far as clients of Neutron need it: logins, the catalogue, and what the contract tests
//! read about users and domains.

mod accounts;
mod catalogue;
mod login;
mod token;

use crate::call::{Answer, Call, Headers};
use serde_json::{Map, Value, json};
use std::{sync::Arc, time::Duration};

pub(crate) use accounts::Account;
pub(crate) use catalogue::Catalogue;
pub(crate) use token::Caller;

/// Everything that Keystone knows.
#[derive(Debug)]
pub(crate) struct Keystone {
    accounts: Vec<Account>,
    credentials: Vec<accounts::ApplicationCredential>,
    tokens: token::Tokens,
    catalogue: Catalogue,
}

/// An answer that says failure.
pub(super) type Refusal = Answer;

fn unauthorized() -> Refusal {
    Answer::keystone_error(401, "Unauthorized", "The request you have made requires authentication.")
}

fn not_found(what: &str, id: &str) -> Refusal {
    Answer::keystone_error(404, "Not Found", &format!("Could not find {what}: {id}."))
}

fn bad_request(message: &str) -> Refusal {
    Answer::keystone_error(400, "Bad Request", message)
}

impl Keystone {
    /// The password of every user, and the secret of the application credential that is there from the beginning.
    pub const PASSWORD: &'static str = "fake-password";
    /// Identifier of that application credential.
    pub const CREDENTIAL: &'static str = "fake-credential-of-kuryr";

    pub fn new(catalogue: Catalogue, token_life: Duration) -> Self {
        let mut keystone = Self {
            accounts: Account::all(),
            credentials: Vec::new(),
            tokens: token::Tokens::new(token_life),
            catalogue,
        };
        keystone.add_known_credential();
        keystone
    }

    pub fn handle(&mut self, call: &Call, headers: &Headers) -> Answer {
        let segments = call.segments();
        let body = call.body.as_deref().and_then(Value::as_object);
        if (call.method.as_str(), segments.as_slice()) == ("POST", &["auth", "tokens"]) {
            return self.log_in(body).unwrap_or_else(|refusal| refusal);
        }
        let Some(caller) = headers.token.as_deref().and_then(|token| self.caller(token)) else { return unauthorized() };
        let answer = match (call.method.as_str(), segments.as_slice()) {
            ("DELETE", ["auth", "tokens"]) => {
                headers.subject.iter().for_each(|token| self.revoke(token));
                Ok(Answer::empty(204))
            }
            ("GET", ["users"]) => Ok(self.list_users(&call.query)),
            ("GET", ["users", id]) => self.get_user(id),
            ("GET", ["domains", id]) => get_domain(id),
            ("POST", ["users", user, "application_credentials"]) => self.create_credential(&caller, user, body),
            ("DELETE", ["users", user, "application_credentials", id]) => self.delete_credential(user, id),
            _ => Err(Answer::keystone_error(404, "Not Found", "The resource could not be found.")),
        };
        answer.unwrap_or_else(|refusal| refusal)
    }

    /// Who has this token, if it is valid.
    pub fn caller(&self, token: &str) -> Option<Arc<Caller>> {
        self.tokens.caller(token)
    }

    /// Ends one token.
    pub fn revoke(&mut self, token: &str) {
        self.tokens.revoke(token);
    }

    /// Ends all tokens, as when their time is over or Keystone has new keys.
    pub fn revoke_all(&mut self) {
        self.tokens.revoke_all();
    }

    /// How long tokens live that are issued from now on.
    pub fn set_token_life(&mut self, life: Duration) {
        self.tokens.life = life;
    }
}

/// The one domain.
const DOMAIN: (&str, &str) = ("default", "Default");

fn get_domain(id: &str) -> Result<Answer, Refusal> {
    if id != DOMAIN.0 {
        return Err(not_found("domain", id));
    }
    Ok(Answer::json(200, &json!({ "domain": { "id": DOMAIN.0, "name": DOMAIN.1, "enabled": true } })))
}

/// A member that is text.
fn text<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    map.get(name).and_then(Value::as_str)
}
