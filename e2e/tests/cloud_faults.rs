//! Neutron misbehaves as clouds do; Kuryr waits, looks again, and never duplicates or leaks.

use anyhow::{Context, Result, ensure};
use axum::http::Method;
use kuryr_e2e::{
    Cluster, PodTemplate,
    bench::pools::{self, Levels},
    inventory,
    neutron_proxy::{Fault, NeutronProxy},
    private_controller::PrivateController,
    wait::{eventually, holds},
    workload::POD_PATIENCE,
};

/// Pods that are created while Neutron misbehaves.
const PODS: usize = 6;

async fn pods_start_in_spite_of(method: Method, count: usize, fault: Fault) -> Result<()> {
    let cluster = Cluster::attach().await?;
    let folder = tempfile::tempdir()?;
    let control = kuryr_lab::node::control_address();
    let proxy = NeutronProxy::start(control.into(), &format!("http://{control}:9696")).await?;
    inventory::settled(&cluster).await?;
    let controller = PrivateController::with_neutron_at(&cluster, folder.path(), &proxy.url()).await?;
    eventually("the controller to ask the proxy", POD_PATIENCE, async || {
        holds(!proxy.seen().is_empty(), || "no request came".to_owned())
    })
    .await?;

    let outcome = async {
        // A pool would serve the pods, and keep their ports.
        pools::set(&cluster, Levels::NONE).await?;
        inventory::settled(&cluster).await?;
        let space = cluster.namespace("faults").await?;
        proxy.fail_next(method.clone(), count, fault);
        for i in 0..PODS {
            space.create(&PodTemplate::idle(&format!("p{i}"))).await?;
        }
        if method == Method::DELETE {
            for i in 0..PODS {
                space.ready(&format!("p{i}")).await?;
                space.delete(&format!("p{i}"), None).await?;
            }
            space.empty().await?;
        } else {
            for i in 0..PODS {
                space.ready(&format!("p{i}")).await?;
            }
        }
        let inventory = inventory::settled(&cluster).await?;
        ensure!(proxy.caught() == count, "only {} of {count} requests failed: {:?}", proxy.caught(), proxy.seen());
        ensure!(inventory.neutron.len() == inventory.ports.len());
        space.remove().await?;
        inventory::settled(&cluster).await
    }
    .await;
    pools::set(&cluster, Levels::CONFIGURED).await?;
    let log = std::fs::read_to_string(folder.path().join("controller.log")).unwrap_or_default();
    controller.end().await.with_context(|| log.clone())?;
    outcome.with_context(|| format!("the controller's log:\n{log}"))?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn neutron_says_503_to_every_creation_for_a_while() -> Result<()> {
    pods_start_in_spite_of(Method::POST, 8, Fault::Unavailable).await
}

/// The ports exist, but the answer was lost: they are adopted, not made again. Six pods cost at least two requests, because the
/// first one goes alone.
#[tokio::test(flavor = "multi_thread")]
async fn neutron_creates_the_port_but_the_answer_is_504() -> Result<()> {
    pods_start_in_spite_of(Method::POST, 2, Fault::TimeoutAfterCommit).await
}

#[tokio::test(flavor = "multi_thread")]
async fn neutron_deletes_the_port_but_the_answer_is_504() -> Result<()> {
    pods_start_in_spite_of(Method::DELETE, 4, Fault::TimeoutAfterCommit).await
}
