//! `/live`, `/ready`, `/metrics` and `/debug/state`.

use crate::{
    duty::Beat,
    node::{Claim, Node},
};
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use kube::ResourceExt;
use serde_json::{Value, json};
use std::{io, sync::Arc};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What the admin server tells of.
pub struct Admin {
    /// The daemon.
    pub node: Arc<Node>,
    /// Its duties.
    pub beats: Vec<Beat>,
}

/// Serves until `shutdown`.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(listener: TcpListener, admin: Admin, shutdown: CancellationToken) -> io::Result<()> {
    let router = Router::new()
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/debug/state", get(state))
        .with_state(Arc::new(admin));
    axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

fn verdict(problems: &[String]) -> (StatusCode, String) {
    if problems.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", problems.join("\n")))
    }
}

/// Whether the daemon's loops make progress. A restart helps nothing else: not a slow API server, not a missing switch.
async fn live(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    let stuck = admin.beats.iter().filter(|beat| beat.is_stuck());
    let problems: Vec<_> =
        stuck.map(|beat| format!("{} hasn't made progress for {} s", beat.duty, beat.age().as_secs())).collect();
    verdict(&problems)
}

/// Whether an ADD could be served now.
async fn ready(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    let node = &admin.node;
    let unsynced = node.caches.unsynced();
    let mut problems: Vec<_> =
        unsynced.iter().map(|kind| format!("no list of {kind} from the API server yet")).collect();
    if !*node.switch.live.borrow() {
        problems.push(format!("no connection to Open vSwitch at {}", node.settings.ovsdb));
    }
    verdict(&problems)
}

async fn metrics(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    let node = &admin.node;
    node.metrics.adds.set(i64::try_from(node.in_flight.adds()).unwrap_or(i64::MAX));
    let kind = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    match node.metrics.render() {
        Ok(text) => (StatusCode::OK, kind, text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// What the daemon believes, for a look beside the API and `ovs-vsctl`.
async fn state(State(admin): State<Arc<Admin>>) -> Json<Value> {
    let node = &admin.node;
    let ports: Vec<_> = node.caches.ports.state().iter().map(|port| json!({
        "namespace": port.namespace(), "name": port.name_any(), "podUid": port.pod_uid(),
        "resourceVersion": port.resource_version(), "deleting": port.deleting(), "sight": format!("{:?}", port.sight()),
    })).collect();
    let attached = match node.switch.driver.attachments().await {
        Ok(attached) => attached
            .iter()
            .map(|a| {
                json!({
                    "pod": a.pod.to_string(), "podUid": a.pod.uid, "sandbox": a.container_id, "interface": a.ifname,
                    "hostInterface": a.host_interface, "neutronPort": a.port_id, "ready": a.ready, "error": a.error,
                })
            })
            .collect(),
        Err(error) => json!({"error": error.to_string()}),
    };
    let held = match node.switch.driver.held().await {
        Ok(held) => held
            .iter()
            .map(|h| json!({"neutronPort": h.spec.port_id, "hostInterface": h.host_interface, "ready": h.ready, "error": h.error}))
            .collect(),
        Err(error) => json!({"error": error.to_string()}),
    };
    Json(json!({
        "node": node.settings.node_name, "kuryrPorts": ports,
        "addsInFlight": node.in_flight.adds(), "addsPlugging": node.in_flight.plugging(),
        "attached": attached, "held": held, "pods": node.caches.pods.len(), "unsynced": node.caches.unsynced(),
        "duties": admin.beats.iter().map(|beat| json!({"duty": beat.duty, "idleSeconds": beat.age().as_secs()}))
            .collect::<Vec<_>>(),
    }))
}
