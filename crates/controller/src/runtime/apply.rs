//! Writes to the API server: each one says which state of the object it was decided on.

use crate::error::Error;
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use kuryr_api::CONTROLLER;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use std::fmt::Debug;

/// Applies our part of the status (server-side apply): what other field managers wrote stays. Provided that the object is
/// still as we know it: an old cache, or a second controller, must not take back what a newer write has said.
///
/// # Errors
/// When the API server can't be asked or refuses; a conflict when the object has changed.
pub async fn status<K>(api: &Api<K>, object: &K, status: &impl Serialize) -> Result<K, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    part_of_status(api, object, CONTROLLER, status).await
}

/// As [`status`], for a part of the status that has a writer of its own: what is applied under one name leaves alone what was
/// applied under another.
///
/// # Errors
/// As [`status`].
pub async fn part_of_status<K>(api: &Api<K>, object: &K, writer: &str, status: &impl Serialize) -> Result<K, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let name = object.name_any();
    let parameters = PatchParams::apply(writer).force();
    api.patch_status(&name, &parameters, &Patch::Apply(status_patch(object, status)))
        .await
        .map_err(Error::kubernetes("write the status of", described(object)))
}

/// What [`status`] sends. With the version in it the API server refuses it for any other state of the object.
fn status_patch<K: Resource<DynamicType = ()>>(object: &K, status: &impl Serialize) -> serde_json::Value {
    json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {
            "name": object.name_any(),
            "uid": object.uid(),
            "resourceVersion": object.resource_version(),
        },
        "status": status,
    })
}

/// Changes the spec, provided that the object is still as we know it.
///
/// # Errors
/// When the API server can't be asked or refuses; a conflict when the object has changed.
pub async fn spec<K>(api: &Api<K>, object: &K, spec: serde_json::Value) -> Result<K, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let patch = json!({ "metadata": { "resourceVersion": object.resource_version() }, "spec": spec });
    merge(api, object, "change the spec of", patch).await
}

/// Takes a finalizer off, provided that the object is still as we know it.
///
/// # Errors
/// When the API server can't be asked or refuses; a conflict when the object has changed.
pub async fn without_finalizer<K>(api: &Api<K>, object: &K, finalizer: &str) -> Result<K, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let rest: Vec<_> = object.finalizers().iter().filter(|present| *present != finalizer).collect();
    let patch = json!({ "metadata": { "resourceVersion": object.resource_version(), "finalizers": rest } });
    merge(api, object, "take the finalizer off", patch).await
}

/// Puts a finalizer on, provided that the object is still as we know it.
///
/// # Errors
/// When the API server can't be asked or refuses; a conflict when the object has changed.
pub async fn with_finalizer<K>(api: &Api<K>, object: &K, finalizer: &str) -> Result<K, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let all: Vec<_> = object.finalizers().iter().map(String::as_str).chain([finalizer]).collect();
    let patch = json!({ "metadata": { "resourceVersion": object.resource_version(), "finalizers": all } });
    merge(api, object, "put the finalizer on", patch).await
}

async fn merge<K>(api: &Api<K>, object: &K, action: &'static str, patch: serde_json::Value) -> Result<K, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let parameters = PatchParams { field_manager: Some(CONTROLLER.to_owned()), ..PatchParams::default() };
    api.patch(&object.name_any(), &parameters, &Patch::Merge(patch))
        .await
        .map_err(Error::kubernetes(action, described(object)))
}

/// Deletes this object, never a later one of the same name. The object as it is now, while a finalizer holds it; `None` when
/// it is gone.
///
/// # Errors
/// When the API server can't be asked or refuses; a conflict when there is a later object of the same name.
pub async fn delete<K>(api: &Api<K>, object: &K) -> Result<Option<K>, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    delete_with(api, object, Preconditions { uid: object.uid(), resource_version: None }).await
}

/// As [`delete`], provided that the object is still as we know it.
///
/// # Errors
/// As [`delete`]; a conflict, too, when the object has changed.
pub async fn delete_unchanged<K>(api: &Api<K>, object: &K) -> Result<Option<K>, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    delete_with(api, object, Preconditions { uid: object.uid(), resource_version: object.resource_version() }).await
}

async fn delete_with<K>(api: &Api<K>, object: &K, preconditions: Preconditions) -> Result<Option<K>, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let parameters = DeleteParams::background().preconditions(preconditions);
    match api.delete(&object.name_any(), &parameters).await {
        Ok(answer) => Ok(answer.left()),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(Error::kubernetes("delete", described(object))(error)),
    }
}

/// Whether the API server says that there is no such object.
#[must_use]
pub fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Whether the API server says that there is such an object already.
#[must_use]
pub fn already_exists(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409 && status.reason == "AlreadyExists")
}

/// Whether nothing can be created because the namespace is being deleted.
#[must_use]
pub fn namespace_terminating(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 403 && causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// Whether the API server doesn't want the object, as with a quota of objects (403) or by a webhook, rather than being unable
/// to take it now.
#[must_use]
pub fn refused(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400 | 403 | 422))
}

/// `Kind namespace/name`.
pub fn described<K: Resource<DynamicType = ()>>(object: &K) -> String {
    let kind = K::kind(&());
    match object.namespace() {
        Some(namespace) => format!("{kind} {namespace}/{}", object.name_any()),
        None => format!("{kind} {}", object.name_any()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kuryr_api::{KuryrPoolPort, KuryrPoolPortStatus};

    #[test]
    fn a_refusal_is_told_from_a_trouble() {
        for (code, is_refused) in [(400, true), (403, true), (422, true), (409, false), (429, false), (500, false)] {
            let error = kube::Error::Api(kube::core::Status::failure("no", "No").with_code(code).boxed());
            assert_eq!(refused(&error), is_refused, "{code}");
        }
    }

    #[test]
    fn a_status_is_written_only_to_the_state_that_it_was_decided_on() {
        let object = json!({
            "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPoolPort",
            "metadata": { "name": "node1-1", "uid": "u", "resourceVersion": "7" },
            "spec": { "nodeName": "node1", "networkId": "net", "subnetIds": ["four"] },
        });
        let object: KuryrPoolPort = serde_json::from_value(object).unwrap();
        let patch = status_patch(&object, &KuryrPoolPortStatus::default());
        assert_eq!(patch["metadata"], json!({ "name": "node1-1", "uid": "u", "resourceVersion": "7" }));
    }
}
