//! Giving a held port to a pod.

use super::{Inner, holding::Opened, record};
use crate::{
    Attachment, Error, Held, HoldSpec, Result,
    netlink::{Link, move_link},
    netns::Namespace,
    ovsdb::{self, Op, map},
};
use serde_json::json;
use std::sync::Arc;
use tokio::sync::OwnedMutexGuard;

/// The lock of a Neutron port: a port is held, or given to a pod, by one call at a time.
pub(super) fn port_lock(port_id: &str) -> String {
    format!("port {port_id}")
}

/// A held port that fits an attachment.
pub(super) struct Adoption {
    held: Held,
    waiting: Link,
    holding: Arc<Opened>,
    /// Keeps the repair away.
    _device: OwnedMutexGuard<()>,
}

impl Adoption {
    /// The port that is held for `attachment`, if there is one and nothing is wrong with it. The caller has the port's lock.
    pub async fn find(inner: &Inner, attachment: &Attachment) -> Result<Option<Self>> {
        let what = format!("port {}", attachment.port_id);
        let wanted = HoldSpec { port_id: attachment.port_id.clone(), mac: attachment.mac, mtu: attachment.mtu };
        let look = || inner.client.read(&what, |view| record::held_port(view, &attachment.port_id));
        let Some(held) = look().await? else { return Ok(None) };
        let device = inner.locks.lock(&held.host_interface).await;
        // The repair may have removed it meanwhile.
        let Some(held) = look().await?.filter(|held| held.spec == wanted && held.error.is_none()) else {
            return Ok(None);
        };
        let holding = inner.holding.open().await?;
        let waiting = holding.waiting(&held.host_interface).await?;
        Ok(waiting.map(|waiting| Self { held, waiting, holding, _device: device }))
    }

    /// Name of the host's end.
    pub fn host_interface(&self) -> &str {
        &self.held.host_interface
    }

    /// Writes the pod's record, and moves the waiting end into the sandbox at the same time. It is still down afterwards: no
    /// packet of the pod passes before its record stands.
    pub async fn take(&self, inner: &Inner, attachment: &Attachment, sandbox: &Namespace) -> Result<()> {
        let moved = async {
            let request = move_link(&self.waiting, sandbox, &attachment.ifname);
            self.holding.netlink.execute([request]).await.map_err(Error::from)
        };
        tokio::try_join!(self.record(inner, attachment), moved).map(drop)
    }

    /// Waits until a move that was cancelled on its way has reached the kernel: it names the sandbox's file, which has to be
    /// open until then.
    pub async fn settle(&self) {
        if let Err(error) = self.holding.waiting(self.host_interface()).await {
            tracing::debug!(%error, "looked for the end of a held port");
        }
    }

    /// Makes the held port's row the pod's. What is OVN's in it stays.
    async fn record(&self, inner: &Inner, attachment: &Attachment) -> Result<()> {
        let name = &self.held.host_interface;
        let what = format!("giving held port `{name}` to pod {}", attachment.pod);
        let still = [(record::HELD, self.held.spec.mtu.to_string()), (record::IFACE_ID, attachment.port_id.clone())];
        let named = json!(["name", "==", name]);
        let ops = vec![
            Op::Comment(format!("kuryr: {what}")),
            Op::Wait {
                table: "Interface",
                conditions: vec![named.clone(), json!(["external_ids", "includes", map(still)])],
                columns: vec!["name"],
                rows: vec![json!({ "name": name })],
            },
            Op::Mutate {
                table: "Interface",
                conditions: vec![named],
                mutations: vec![
                    json!(["external_ids", "delete", ["set", [record::HELD]]]),
                    json!(["external_ids", "insert", map(record::of_pod(attachment))]),
                ],
            },
        ];
        match inner.client.transact(&what, ops).await {
            Ok(_) => Ok(()),
            Err(error) if ovsdb::Error::wait_failed(&error) => Err(Error::Gone { interface: name.clone() }),
            Err(error) => Err(error.into()),
        }
    }
}
