//! What somebody with a daemon's credentials might try on a KuryrPort or KuryrPoolPort. All of it is a dry run: the API server
//! decides as always, and nothing is changed by an attempt that should have been refused.

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use kuryr_api::{
    KuryrPoolPort, KuryrPort,
    conditions::{ALLOCATED, CREATED, PLUGGED, READY, Wanted},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;

/// A finalizer of somebody else.
pub const FOREIGN_FINALIZER: &str = "example.com/hold";

/// A merge patch of an object or of its status.
#[derive(Debug, Clone)]
pub struct Attempt {
    what: &'static str,
    status: bool,
    patch: Value,
}

/// An attempt to change an object.
pub fn of_object(what: &'static str, patch: Value) -> Attempt {
    Attempt { what, status: false, patch }
}

/// An attempt to change an object's status.
pub fn of_status(what: &'static str, status: &Value) -> Attempt {
    Attempt { what, status: true, patch: json!({ "status": status }) }
}

/// What both kinds have in common here.
pub trait Target: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug {
    /// The object's API, for a client.
    fn api(&self, client: &Client) -> Api<Self>;
    /// Its conditions.
    fn conditions(&self) -> &[Condition];
    /// What its node's daemon writes.
    fn own(&self) -> Vec<Attempt>;
    /// What its node's daemon must not write.
    fn forbidden(&self) -> Vec<Attempt>;
}

impl Target for KuryrPort {
    fn api(&self, client: &Client) -> Api<Self> {
        Api::namespaced(client.clone(), &self.namespace().unwrap_or_default())
    }

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }

    fn own(&self) -> Vec<Attempt> {
        [(PLUGGED, "Plugged is untrue"), (READY, "Ready is untrue")]
            .map(|(type_, what)| of_status(what, &json!({ "conditions": with(self.conditions(), type_, false) })))
            .into()
    }

    fn forbidden(&self) -> Vec<Attempt> {
        let mut interfaces = json!(self.status.as_ref().map(|status| &status.interfaces));
        if let Some(ip) = interfaces.pointer_mut("/0/addresses/0/ip") {
            *ip = json!("10.244.99.99");
        }
        let mut all = vec![
            of_object("another node", json!({ "spec": { "nodeName": "node9" } })),
            of_object("another pod", json!({ "spec": { "podUid": "another" } })),
            of_status("another address", &json!({ "interfaces": interfaces })),
            of_status("no interfaces", &json!({ "interfaces": null })),
            of_status("Allocated is untrue", &json!({ "conditions": with(self.conditions(), ALLOCATED, false) })),
        ];
        all.extend(common(self));
        all
    }
}

impl Target for KuryrPoolPort {
    fn api(&self, client: &Client) -> Api<Self> {
        Api::all(client.clone())
    }

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }

    fn own(&self) -> Vec<Attempt> {
        vec![of_status("Plugged is untrue", &json!({ "conditions": with(self.conditions(), PLUGGED, false) }))]
    }

    fn forbidden(&self) -> Vec<Attempt> {
        let claim = json!({ "kind": "Node", "name": "node9", "uid": "u", "interface": "kuryr0" });
        let mut addresses = json!(self.status.as_ref().map(|status| &status.addresses));
        if let Some(ip) = addresses.pointer_mut("/0/ip") {
            *ip = json!("10.244.99.99");
        }
        let mut all = vec![
            of_object("released", json!({ "spec": { "claimRef": null } })),
            of_object("claimed by another", json!({ "spec": { "claimRef": claim } })),
            of_object("other groups", json!({ "spec": { "securityGroupIds": ["another"] } })),
            of_object("released long ago", json!({ "spec": { "releasedAt": "2020-01-01T00:00:00Z" } })),
            of_status("another port", &json!({ "portId": "another" })),
            of_status("another address", &json!({ "addresses": addresses })),
            of_status("Created is untrue", &json!({ "conditions": with(self.conditions(), CREATED, false) })),
            of_status("Ready", &json!({ "conditions": with(self.conditions(), READY, true) })),
        ];
        all.extend(common(self));
        all
    }
}

/// What no daemon may do to any of its objects.
fn common<K: Target>(object: &K) -> Vec<Attempt> {
    let owner = json!({ "apiVersion": "v1", "kind": "Pod", "name": "another", "uid": "another" });
    let more: Vec<_> = object.finalizers().iter().cloned().chain([FOREIGN_FINALIZER.to_owned()]).collect();
    vec![
        of_object("a label", json!({ "metadata": { "labels": { "a": "b" } } })),
        of_object("an annotation", json!({ "metadata": { "annotations": { "a": "b" } } })),
        of_object("another owner", json!({ "metadata": { "ownerReferences": [owner] } })),
        of_object("a finalizer of others", json!({ "metadata": { "finalizers": more } })),
        of_object("no finalizer", json!({ "metadata": { "finalizers": null } })),
        of_status("an older generation", &json!({ "observedGeneration": 4711 })),
        of_status("no status", &Value::Null),
        of_status("a condition of its own", &json!({ "conditions": with(object.conditions(), "Mine", true) })),
        of_status("its conditions only", &json!({ "conditions": with(&[], PLUGGED, true) })),
    ]
}

/// The conditions with this one changed.
pub fn with(present: &[Condition], type_: &'static str, status: bool) -> Vec<Condition> {
    let wanted = Wanted { type_, status: Some(status), reason: "Attempt", message: "An attempt.".to_owned() };
    let changed = wanted.onto(present, None, jiff::Timestamp::UNIX_EPOCH);
    present.iter().filter(|c| c.type_ != type_).cloned().chain([changed]).collect()
}

/// Makes the attempt; the object as it would be then.
///
/// # Errors
/// What the API server says.
pub async fn attempt<K: Target>(client: &Client, object: &K, attempt: &Attempt) -> Result<K, kube::Error> {
    let (api, name) = (object.api(client), object.name_any());
    let params = PatchParams { dry_run: true, ..PatchParams::default() };
    let patch = Patch::Merge(&attempt.patch);
    if attempt.status {
        api.patch_status(&name, &params, &patch).await
    } else {
        api.patch(&name, &params, &patch).await
    }
}

/// The attempt must succeed.
///
/// # Errors
/// When it doesn't.
pub async fn allowed<K: Target>(client: &Client, object: &K, tried: &Attempt) -> Result<K> {
    attempt(client, object, tried).await.with_context(|| format!("{}: {}", object.name_any(), tried.what))
}

/// The attempt must be refused.
///
/// # Errors
/// When it isn't, or for another reason.
pub async fn refused<K: Target>(client: &Client, object: &K, tried: &Attempt) -> Result<()> {
    let outcome = attempt(client, object, tried).await;
    is_refusal(outcome.map(drop)).with_context(|| format!("{}: {}", object.name_any(), tried.what))
}

/// A refusal is `Forbidden`, or the kind's own rules (`Invalid`).
///
/// # Errors
/// When it isn't one.
pub fn is_refusal(outcome: Result<(), kube::Error>) -> Result<()> {
    match outcome {
        Ok(()) => bail!("this got through"),
        Err(kube::Error::Api(status)) => {
            ensure!(matches!(status.code, 403 | 422), "not a refusal but {}: {}", status.code, status.message);
            // A rule that can't be worked out refuses as well, but it isn't what the rule is for.
            ensure!(!status.message.contains("resulted in error"), "a broken rule: {}", status.message);
            Ok(())
        }
        Err(error) => Err(error).context("not an answer of the API server"),
    }
}
