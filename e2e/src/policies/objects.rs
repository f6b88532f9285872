//! Policies and labels, as a user changes them.

use crate::Cluster;
use anyhow::{Context, Result};
use k8s_openapi::api::{
    core::v1::{Namespace, Pod},
    networking::v1::NetworkPolicy,
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

/// A policy with this `spec`.
///
/// # Errors
/// When it is none.
pub fn policy(namespace: &str, name: &str, spec: &Value) -> Result<NetworkPolicy> {
    let object = json!({ "metadata": { "name": name, "namespace": namespace }, "spec": spec });
    serde_json::from_value(object).with_context(|| format!("{name} is no policy: {spec}"))
}

/// Creates a policy.
///
/// # Errors
/// When the API server refuses it.
pub async fn create(cluster: &Cluster, namespace: &str, name: &str, spec: &Value) -> Result<NetworkPolicy> {
    let api: Api<NetworkPolicy> = cluster.api(namespace);
    let made = api.create(&PostParams::default(), &policy(namespace, name, spec)?).await;
    made.with_context(|| format!("creating the policy {namespace}/{name}"))
}

/// Gives a policy another `spec`. What was there before and isn't in it goes.
///
/// # Errors
/// When the API server refuses it.
pub async fn replace(cluster: &Cluster, namespace: &str, name: &str, spec: &Value) -> Result<NetworkPolicy> {
    let api: Api<NetworkPolicy> = cluster.api(namespace);
    let mut object = policy(namespace, name, spec)?;
    object.metadata.resource_version = api.get(name).await?.metadata.resource_version;
    let replaced = api.replace(name, &PostParams::default(), &object).await;
    replaced.with_context(|| format!("changing the policy {namespace}/{name}"))
}

/// Deletes a policy, without waiting for what follows.
///
/// # Errors
/// When the API server refuses it.
pub async fn delete(cluster: &Cluster, namespace: &str, name: &str) -> Result<()> {
    let deleted = cluster.api::<NetworkPolicy>(namespace).delete(name, &DeleteParams::default()).await;
    deleted.map(drop).with_context(|| format!("deleting the policy {namespace}/{name}"))
}

/// Deletes all policies of a namespace, without waiting for what follows.
///
/// # Errors
/// When the API server refuses it.
pub async fn delete_all(cluster: &Cluster, namespace: &str) -> Result<()> {
    let api: Api<NetworkPolicy> = cluster.api(namespace);
    let deleted = api.delete_collection(&DeleteParams::default(), &Default::default()).await;
    deleted.map(drop).with_context(|| format!("deleting the policies of {namespace}"))
}

/// Gives a pod a label, or takes it off.
///
/// # Errors
/// When the API server refuses it.
pub async fn label_pod(cluster: &Cluster, namespace: &str, pod: &str, key: &str, value: Option<&str>) -> Result<()> {
    let pods: Api<Pod> = cluster.api(namespace);
    let labelled = pods.patch(pod, &PatchParams::default(), &label(key, value)).await;
    labelled.map(drop).with_context(|| format!("labelling the pod {namespace}/{pod}"))
}

/// Gives a namespace a label, or takes it off.
///
/// # Errors
/// When the API server refuses it.
pub async fn label_namespace(cluster: &Cluster, namespace: &str, key: &str, value: Option<&str>) -> Result<()> {
    let all: Api<Namespace> = Api::all(cluster.client.clone());
    let labelled = all.patch(namespace, &PatchParams::default(), &label(key, value)).await;
    labelled.map(drop).with_context(|| format!("labelling the namespace {namespace}"))
}

fn label(key: &str, value: Option<&str>) -> Patch<Value> {
    Patch::Merge(json!({ "metadata": { "labels": { key: value } } }))
}
