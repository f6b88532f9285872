//! Pods, many.

use super::site::{AT_ONCE, NAMESPACE, node_name};
use anyhow::Result;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use serde_json::json;
use std::ops::Range;

/// Makes the pods of these numbers, already bound to their nodes, as a scheduler binds them: one after another around.
///
/// # Errors
/// When the API server refuses one.
pub async fn create(client: &Client, pods: Range<usize>, nodes: usize) -> Result<()> {
    let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let made = stream::iter(pods).map(|number| {
        let api = api.clone();
        async move {
            let pod = json!({
                "metadata": { "name": name(number) },
                "spec": {
                    "nodeName": node_name(number % nodes), "automountServiceAccountToken": false,
                    "containers": [{ "name": "c", "image": "none" }],
                },
            });
            api.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
            anyhow::Ok(())
        }
    });
    made.buffer_unordered(AT_ONCE).try_collect().await
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
