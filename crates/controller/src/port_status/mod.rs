//! Passes Neutron's word on (design, section 3, rule 9): for claims whose binding says that Neutron tells when packets flow, one list
//! request answers all that wait, and the condition `Active` tells the nodes. Nothing is asked while nobody waits.

mod word;

pub use word::waits;

use crate::{
    context::Context,
    error::Error,
    port::pod_of,
    reasons,
    runtime::{
        apply::{self, described},
        cache::object_ref,
    },
};
use jiff::Timestamp;
use kube::{Api, ResourceExt, runtime::reflector::ObjectRef};
use kuryr_api::KuryrPort;
use kuryr_core::backoff::Pace;
use kuryr_openstack::neutron::{PortId, PortQuery, PortStatus};
use serde_json::json;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The writer of the condition `Active`: other writers of the status leave it alone.
const WRITER: &str = "kuryr-controller-port-status";

/// Between two requests: from what a fast agent takes to what a request every so often may cost Neutron.
const PACE: Pace = Pace { first: Duration::from_millis(100), longest: Duration::from_secs(2) };

/// Claims that wait for Neutron's word.
#[derive(Default)]
pub struct Waiting {
    claims: Mutex<HashSet<ObjectRef<KuryrPort>>>,
    added: Notify,
}

impl Waiting {
    /// The claim waits, or doesn't any more.
    pub fn note(&self, namespace: Option<&str>, name: &str, waits: bool) {
        let claim = object_ref(namespace, name);
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        if !waits {
            claims.remove(&claim);
        } else if claims.insert(claim) {
            self.added.notify_one();
        }
    }

    /// The claims that still wait; the others are forgotten.
    fn still(&self, context: &Context) -> Vec<Arc<KuryrPort>> {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ports = Vec::with_capacity(claims.len());
        claims.retain(|claim| {
            let port = context.ports.get(claim.namespace.as_deref(), &claim.name).filter(|port| waits(port));
            ports.extend(port.clone());
            port.is_some()
        });
        ports
    }
}

/// Asks as long as somebody waits, until `stop`.
pub async fn run(context: Arc<Context>, stop: CancellationToken) {
    let mut pause = PACE.first;
    loop {
        let waiting = context.waiting.still(&context);
        if waiting.is_empty() {
            pause = PACE.first;
            tokio::select! {
                () = stop.cancelled() => return,
                () = context.waiting.added.notified() => {}
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            () = context.waiting.added.notified(), if pause > PACE.first => {
                // Somebody new may be answered soon. What has just been asked isn't asked again at once.
                pause = PACE.first;
                continue;
            }
        }
        let news = match ask(&context, &context.waiting.still(&context)).await {
            Ok(news) => news,
            Err(error) => {
                tracing::warn!(%error, "Neutron could not be asked about the ports that pods wait for, trying again");
                false
            }
        };
        pause = PACE.next(pause, news);
    }
}

/// Asks about all of them at once and passes on what is new. Whether anything was.
async fn ask(context: &Context, waiting: &[Arc<KuryrPort>]) -> Result<bool, Error> {
    let ids: Vec<PortId> = waiting.iter().flat_map(|port| word::ports(port)).map(PortId::from).collect();
    if ids.is_empty() {
        return Ok(false);
    }
    let query = PortQuery { ids, fields: vec!["id", "status"], ..PortQuery::default() };
    let ports = context.neutron.list_ports(&query).await;
    let ports =
        ports.map_err(Error::openstack("ask for the status", format!("the ports of {} pods", waiting.len())))?;
    let said: HashMap<String, PortStatus> = ports.into_iter().map(|port| (port.id.into(), port.status)).collect();
    let mut news = false;
    for port in waiting {
        match pass_on(context, port, &said).await {
            Ok(new) => news |= new,
            // The object has changed or is gone: the next request is about what it is then.
            Err(error) if error.is_stale() => {}
            Err(error) => tracing::warn!(%error, "Neutron's word could not be passed on, trying again"),
        }
    }
    Ok(news)
}

/// Writes the condition where it says something new. Whether it did.
async fn pass_on(context: &Context, port: &KuryrPort, said: &HashMap<String, PortStatus>) -> Result<bool, Error> {
    let present = port.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let Some(wanted) = word::word(port, said).filter(|wanted| !wanted.is_in(present)) else { return Ok(false) };
    let condition = wanted.onto(present, port.metadata.generation, Timestamp::now());
    let api: Api<KuryrPort> = Api::namespaced(context.client.clone(), &port.namespace().unwrap_or_default());
    let written = apply::part_of_status(&api, port, WRITER, &json!({ "conditions": [condition] })).await?;
    context.ports.wrote(written);
    tracing::info!(port = described(port), reason = wanted.reason, "Neutron's word passed on");
    if wanted.reason == reasons::PORT_ERROR || wanted.reason == reasons::PORT_MISSING {
        context.events.warn(&pod_of(port), "AwaitPort", wanted.reason, &wanted.message).await;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_no_longer_waits_is_forgotten_by_a_standby_too() {
        let waiting = Waiting::default();
        waiting.note(Some("shop"), "web", true);
        waiting.note(Some("shop"), "web", false);
        assert!(waiting.claims.lock().unwrap().is_empty());
    }
}
