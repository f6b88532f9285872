//! Pods, many.

use super::site::{AT_ONCE, NAMESPACE, node_name};
use anyhow::Result;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use serde_json::{Value, json};
use std::ops::Range;

/// Makes the pods of these numbers, with labels, already bound to their nodes, as a scheduler binds them: one after another around.
///
/// # Errors
/// When the API server refuses one.
pub async fn create(client: &Client, pods: Range<usize>, nodes: usize, labels: impl Fn(usize) -> Value) -> Result<()> {
    let made = stream::iter(pods).map(|number| {
        let labels = labels(number);
        async move { create_one(client, &name(number), &node_name(number % nodes), &labels).await }
    });
    made.buffer_unordered(AT_ONCE).try_collect().await
}

/// Makes one pod, bound to a node.
///
/// # Errors
/// When the API server refuses it.
pub async fn create_one(client: &Client, name: &str, node: &str, labels: &Value) -> Result<()> {
    let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let pod = json!({
        "metadata": { "name": name, "labels": labels },
        "spec": {
            "nodeName": node, "automountServiceAccountToken": false, "containers": [{ "name": "c", "image": "none" }],
        },
    });
    api.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
    Ok(())
}

/// Deletes the pods of these numbers at once, as nodes that have ended them do.
///
/// # Errors
/// When the API server refuses it.
pub async fn delete(client: &Client, pods: Range<usize>) -> Result<()> {
    let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let deleted = stream::iter(pods).map(|number| {
        let api = api.clone();
        async move {
            api.delete(&name(number), &DeleteParams::default().grace_period(0)).await?;
            anyhow::Ok(())
        }
    });
    deleted.buffer_unordered(AT_ONCE).try_collect().await
}

fn name(number: usize) -> String {
    format!("pod-{number:05}")
}
