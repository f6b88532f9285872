//! Giving a held port to a pod, and taking it back.

use super::{Inner, holding::Opened, record};
use crate::{
    Attached, Attachment, Error, Held, HoldSpec, Result,
    netlink::{self, Link, Netlink, create_macvlan, delete_device, set_down, set_up},
    netns::Namespace,
    ovsdb::{self, Op, map},
};
use kuryr_core::net::MacAddress;
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
        if !inner.holding.is_useful() {
            return Ok(None);
        }
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
        let waiting = holding.waiting(&held.host_interface, held.spec.mac).await?;
        Ok(waiting.map(|waiting| Self { held, waiting, holding, _device: device }))
    }

    /// Name of the host's end.
    pub fn host_interface(&self) -> &str {
        &self.held.host_interface
    }

    /// Writes the pod's record, and makes the pod's device on the waiting end at the same time. The device is still down
    /// afterwards: no packet of the pod passes before its record stands.
    pub async fn take(&self, inner: &Inner, attachment: &Attachment, sandbox: &Namespace) -> Result<()> {
        let made = async {
            let netlink = &self.holding.netlink;
            let made = netlink.execute([create_macvlan(&self.waiting, sandbox, &attachment.ifname)]).await;
            if made.as_ref().is_err_and(netlink::Error::unsupported) {
                inner.holding.found_useless();
            }
            made?;
            // Only now: an end has one device at most, so it isn't that of an earlier pod, taken to a namespace of its own.
            netlink.execute([set_up(&self.waiting.name)]).await.map_err(Error::from)
        };
        tokio::try_join!(self.record(inner, attachment), made).map(drop)
    }

    /// Waits until a request that was cancelled on its way has reached the kernel: it names the sandbox's file, which has to
    /// be open until then.
    pub async fn settle(&self) {
        if let Err(error) = self.holding.waiting(self.host_interface(), self.held.spec.mac).await {
            tracing::debug!(%error, "looked for the end of a held port");
        }
    }

    /// Makes the held port's row the pod's. What is OVN's in it stays.
    async fn record(&self, inner: &Inner, attachment: &Attachment) -> Result<()> {
        let name = &self.held.host_interface;
        let what = format!("giving held port `{name}` to pod {}", attachment.pod);
        let still =
            vec![(record::HELD, self.held.spec.mtu.to_string()), (record::IFACE_ID, attachment.port_id.clone())];
        rewrite(inner, name, &what, still, &[record::HELD], record::of_pod(attachment).to_vec()).await
    }
}

/// A pod's interface on an end in the holding namespace.
pub(super) struct Adopted<'a> {
    pub inner: &'a Inner,
    /// What stands on record.
    pub attached: Attached,
    /// The end.
    pub end: Link,
}

impl Adopted<'_> {
    /// Takes the device from the pod, and has the port wait again. The dataplane doesn't notice. The caller has the port's
    /// lock, and that of the host's end.
    ///
    /// # Errors
    /// When the device can't be found, as the pod has moved it to a namespace of its own, or when the end isn't afterwards
    /// as it was before. Then nothing of it may be used again.
    pub async fn take_back(&self, mac: MacAddress) -> Result<()> {
        let Self { inner, attached, end } = self;
        let holding = inner.holding.open().await?;
        // From here on nothing of the pod passes, wherever its device is.
        holding.netlink.execute([set_down(&end.name)]).await?;
        match Namespace::open(&attached.netns) {
            Ok(sandbox) => self.remove_device(&sandbox).await?,
            // The device has gone with it.
            Err(_) if Namespace::is_gone(&attached.netns) => {}
            Err(error) => return Err(error.into()),
        }
        if holding.waiting(&end.name, mac).await?.is_none() {
            return Err(Error::Altered { interface: end.name.clone() });
        }
        let what = format!("taking held port `{}` back from pod {}", end.name, attached.pod);
        let still = vec![(record::CONTAINER_ID, attached.container_id.clone())];
        rewrite(inner, &end.name, &what, still, &record::POD_KEYS, vec![(record::HELD, end.mtu.to_string())]).await
    }

    /// Removes the pod's device, which the pod may have renamed. The namespace may be another one than it was, where its path names
    /// a process: so nothing else is touched in it.
    async fn remove_device(&self, sandbox: &Namespace) -> Result<()> {
        let pod = Netlink::open(sandbox).await?;
        let links = pod.links().await?;
        let device = links.iter().find(|link| link.macvlan_on == Some(self.end.index));
        let device = device.ok_or_else(|| Error::Altered { interface: self.end.name.clone() })?;
        match pod.execute([delete_device(device)]).await {
            Err(error) if !error.missing() => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// Rewrites our part of an interface's record in one transaction, if it still says `still`.
async fn rewrite(
    inner: &Inner,
    name: &str,
    what: &str,
    still: Vec<(&'static str, String)>,
    without: &[&'static str],
    with: Vec<(&'static str, String)>,
) -> Result<()> {
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
                json!(["external_ids", "delete", ["set", without]]),
                json!(["external_ids", "insert", map(with)]),
            ],
        },
    ];
    match inner.client.transact(what, ops).await {
        Ok(_) => Ok(()),
        Err(error) if ovsdb::Error::wait_failed(&error) => Err(Error::Gone { interface: name.to_owned() }),
        Err(error) => Err(error.into()),
    }
}
