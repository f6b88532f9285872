//! Objects that this release can't read take nothing away.

use crate::{
    cluster::Cluster,
    holds::held,
    scenarios::{Rig, node_port},
    support::{quick, until},
};
use http::Request;
use http_body_util::BodyExt;
use kube::{
    Client,
    api::{DeleteParams, Patch, PatchParams},
    client::Body,
};
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// What each object of the daemon's two kinds has to have, and what it is called by an API server of another release.
const FIELD: &[u8; 10] = b"\"nodeName\"";
const OTHER: &[u8; 10] = b"\"nodeNumb\"";

/// The same way to the API server. While `spoils` is set, KuryrPools and KuryrPoolPorts that come by it can't be read.
fn spoiling(client: &Client, spoils: &Arc<AtomicBool>) -> Client {
    let (inner, spoils) = (client.clone(), spoils.clone());
    let send =
        move |request: Request<Body>| {
            let (inner, spoils) = (inner.clone(), spoils.clone());
            async move {
                let is_pools = request.uri().path().contains("/kuryrpool");
                let answer = inner.send(request).await?;
                Ok::<_, kube::Error>(answer.map(|body| {
                    body.map_frame(move |frame| {
                        frame.map_data(|data| {
                            if is_pools && spoils.load(Ordering::SeqCst) { spoiled(&data).into() } else { data }
                        })
                    })
                }))
            }
        };
    Client::new(tower::service_fn(send), client.default_namespace().to_owned())
}

fn spoiled(data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    while let Some(at) = data.windows(FIELD.len()).position(|window| window == FIELD) {
        data[at..at + FIELD.len()].copy_from_slice(OTHER);
    }
    data
}

pub async fn what_can_t_be_read_takes_nothing_away(cluster: Cluster) {
    let spoils = Arc::<AtomicBool>::default();
    let rig = Rig::by(cluster.clone(), spoiling(&cluster.client, &spoils), quick()).await;
    let own = node_port(&cluster).await;
    let port = cluster.free_port("a", "a").await;
    let pool = cluster.pool(1).await;
    held(&rig, &["a"]).await;
    until("the node port", || async { rig.switch.host_port().is_some() }).await;
    spoils.store(true, Ordering::SeqCst);
    let touched = Patch::Merge(json!({"metadata": {"labels": {"touched": "yes"}}}));
    cluster.pools().patch(&pool, &PatchParams::default(), &touched).await.unwrap();
    for name in [&port, &own] {
        cluster.pool_ports().patch(name, &PatchParams::default(), &touched).await.unwrap();
    }
    cluster.stays(|| async { (rig.switch.held_ports(), rig.switch.host_port()) }).await;
    // A daemon that begins with them, too.
    let rig = rig.killed_and_restarted().await;
    cluster.stays(|| async { (rig.switch.held_ports(), rig.switch.host_port()) }).await;
    assert_eq!(rig.switch.held_ports(), ["a"]);
    spoils.store(false, Ordering::SeqCst);
    for name in [&port, &own] {
        cluster.pool_ports().delete(name, &DeleteParams::default()).await.unwrap();
    }
    let touched = Patch::Merge(json!({"metadata": {"labels": {"touched": null}}}));
    cluster.pools().patch(&pool, &PatchParams::default(), &touched).await.unwrap();
    held(&rig, &[]).await;
    until("the node port's end", || async { rig.switch.host_port().is_none() }).await;
    rig.daemon.stop().await;
}
