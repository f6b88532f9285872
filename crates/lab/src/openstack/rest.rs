//! A small REST client for setting up the cloud and for tests of the lab. It is not Kuryr's own client on purpose: the lab has to work
//! when that one does not.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::engine::probe;

/// Who logs in, in which project.
#[derive(Debug, Clone, Copy)]
pub struct Login<'a> {
    /// A user of the domain `default`.
    pub user: &'a str,
    /// The project of the token, of the domain `default`.
    pub project: &'a str,
}

/// The administrator that Keystone's bootstrap makes.
pub const ADMIN: Login<'static> = Login { user: "admin", project: "admin" };

/// A client with a token. It works on threads inside `kuryr-control` ([`netns::enter`](crate::engine::netns::enter)).
pub struct Session {
    agent: ureq::Agent,
    token: String,
    /// The id of the user who logged in.
    pub user_id: String,
}

impl Session {
    /// Logs in with the lab's password.
    ///
    /// # Errors
    /// When Keystone can't be reached (from outside of `kuryr-control`) or refuses.
    pub fn open(login: Login<'_>) -> Result<Self> {
        let agent = probe::agent(Duration::from_secs(60));
        let domain = json!({"id": "default"});
        let body = json!({"auth": {
            "identity": {"methods": ["password"], "password": {
                "user": {"name": login.user, "domain": domain, "password": super::PASSWORD}}},
            "scope": {"project": {"name": login.project, "domain": domain}}}});
        let url = format!("{}/auth/tokens", super::keystone::url());
        let mut answer = agent.post(&url).send_json(&body).with_context(|| format!("POST {url}"))?;
        let text = answer.body_mut().read_to_string().with_context(|| format!("reading the answer of {url}"))?;
        if !answer.status().is_success() {
            bail!("{} can't log in to project {}: {} {text}", login.user, login.project, answer.status());
        }
        let token = answer.headers().get("x-subject-token").and_then(|value| value.to_str().ok());
        let token = token.context("Keystone's answer holds no token")?.to_owned();
        let body: Value = serde_json::from_str(&text).context("reading Keystone's answer")?;
        let user_id = text_at(&body, "/token/user/id")?;
        Ok(Self { agent, token, user_id })
    }

    /// GET.
    ///
    /// # Errors
    /// When there is no answer, or one that tells of a failure: with its body.
    pub fn get(&self, url: &str) -> Result<Value> {
        let request = self.agent.get(url).header("x-auth-token", &self.token);
        finish("GET", url, request.call())
    }

    /// DELETE.
    ///
    /// # Errors
    /// When there is no answer, or one that tells of a failure: with its body.
    pub fn delete(&self, url: &str) -> Result<Value> {
        let request = self.agent.delete(url).header("x-auth-token", &self.token);
        finish("DELETE", url, request.call())
    }

    /// POST.
    ///
    /// # Errors
    /// When there is no answer, or one that tells of a failure: with its body.
    pub fn post(&self, url: &str, body: &Value) -> Result<Value> {
        let request = self.agent.post(url).header("x-auth-token", &self.token);
        finish("POST", url, request.send_json(body))
    }

    /// PUT; an empty body where the API wants none.
    ///
    /// # Errors
    /// When there is no answer, or one that tells of a failure: with its body.
    pub fn put(&self, url: &str, body: Option<&Value>) -> Result<Value> {
        let request = self.agent.put(url).header("x-auth-token", &self.token);
        finish("PUT", url, if let Some(body) = body { request.send_json(body) } else { request.send_empty() })
    }

    /// The first object of a list that an URL with a filter gives: `("…/networks?name=pods", "networks")`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn first(&self, url: &str, list: &str) -> Result<Option<Value>> {
        let body = self.get(url)?;
        let objects = body.get(list).and_then(Value::as_array).with_context(|| format!("{url} has no {list}"))?;
        Ok(objects.first().cloned())
    }

    /// The object that a filter finds, or else the one that a POST to the same URL makes. `list` is the name of the
    /// list in the answer, `single` that of the object in the request.
    ///
    /// # Errors
    /// As [`post`](Self::post).
    pub fn ensure(&self, url: &str, filter: &str, list: &str, single: &str, object: &Value) -> Result<Value> {
        if let Some(found) = self.first(&format!("{url}?{filter}"), list)? {
            return Ok(found);
        }
        let body = self.post(url, &json!({ single: object }))?;
        body.get(single).cloned().with_context(|| format!("the answer of POST {url} has no {single}"))
    }
}

fn finish(method: &str, url: &str, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Value> {
    let mut answer = answer.with_context(|| format!("{method} {url}"))?;
    let text = answer.body_mut().read_to_string().with_context(|| format!("reading the answer of {method} {url}"))?;
    if !answer.status().is_success() {
        bail!("{method} {url} was answered with {}: {text}", answer.status());
    }
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).with_context(|| format!("reading the answer of {method} {url}"))
}

/// The text at a JSON pointer.
pub(super) fn text_at(value: &Value, pointer: &str) -> Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    Ok(found.with_context(|| format!("the answer has no {pointer}: {value}"))?.to_owned())
}

/// The id of an object.
pub(crate) fn id(object: &Value) -> Result<String> {
    text_at(object, "/id")
}
