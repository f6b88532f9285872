//! Plugging and unplugging a pod's interface.

use super::{
    Inner, USERSPACE_DATAPATH,
    adopt::{Adoption, port_lock},
    hold::make_veth,
    interface,
    port::NewPort,
    record,
};
use crate::{
    Attachment, Error, Plugged, Result,
    ethtool::Control,
    netlink::{self, Netlink, Veth},
    netns::Namespace,
    ovsdb::View,
};
use kuryr_core::names::host_interface;
use std::{io, sync::Arc};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// What was done, or is about to be done, and has to be undone when the rest fails. It is noted before the effect: undoing
/// what was not done is harmless, and after a lost answer nobody knows whether it was.
#[derive(Default)]
struct Begun {
    /// The host's end, with its device and its port.
    interface: Option<String>,
    /// What is locked until it is undone.
    adoption: Option<Adoption>,
}

/// Plugs on a task of its own, so that it can be undone when the returned future is dropped.
pub(super) async fn plug(inner: Arc<Inner>, attachment: Attachment) -> Result<Plugged> {
    let interface = attachment.host_interface();
    let cancelled = CancellationToken::new();
    let _cancel_when_dropped = cancelled.clone().drop_guard();
    let (answer, outcome) = oneshot::channel();
    let work = async move {
        let _lock = inner.locks.lock(&attachment.host_interface()).await;
        let _port = inner.locks.lock(&port_lock(&attachment.port_id)).await;
        let plug = match Plug::prepare(&inner, &attachment).await {
            Ok(plug) => plug,
            // Nobody may be there to hear it; nothing was done.
            Err(error) => return drop(answer.send(Err(error))),
        };
        let mut begun = Begun::default();
        let result = tokio::select! {
            biased;
            () = cancelled.cancelled() => Err(Error::Interrupted { interface: attachment.host_interface() }),
            result = plug.steps(&mut begun) => result,
        };
        let plugged = match result {
            Ok(plugged) => plugged,
            Err(error) => {
                plug.undo(begun).await;
                return drop(answer.send(Err(error)));
            }
        };
        // The caller confirms that it took the answer: one that was dropped in this very moment doesn't.
        let (confirm, confirmed) = oneshot::channel::<()>();
        if answer.send(Ok((plugged, confirm))).is_err() || confirmed.await.is_err() {
            plug.undo(begun).await;
        }
    };
    tokio::spawn(work.in_current_span());
    let (plugged, confirm) = outcome.await.unwrap_or(Err(Error::Interrupted { interface }))?;
    // Fails only when the task is gone, with the runtime.
    confirm.send(()).ok();
    Ok(plugged)
}

/// One plug, with what it needs from its first step until its undo has ended.
struct Plug<'a> {
    inner: &'a Inner,
    attachment: &'a Attachment,
    /// Stays open for the undo: the kernel may get a request that names the file after the steps were cancelled.
    namespace: Namespace,
    /// Used by the undo as well: a request that was cancelled on its way reaches the kernel before the undo's.
    node: Netlink,
}

impl<'a> Plug<'a> {
    async fn prepare(inner: &'a Inner, attachment: &'a Attachment) -> Result<Self> {
        let namespace = Namespace::open(&attachment.netns)?;
        let node = inner.node_netlink().await?;
        Ok(Self { inner, attachment, namespace, node })
    }

    async fn steps(&self, begun: &mut Begun) -> Result<Plugged> {
        let Self { inner, attachment, .. } = self;
        let userspace = inner.datapath_type().await? == USERSPACE_DATAPATH;
        inner.isolation.ensure(userspace).await?;
        // A second ADD of the same interface replaces the first. Its row must be gone before the name can be used again.
        let (made, id) = (attachment.host_interface(), &attachment.container_id);
        let is_there =
            |view: &View| view.interface(&made).is_some() || record::find(view, id, &attachment.ifname).is_some();
        if inner.client.read(&made, is_there).await? {
            remove_of(inner, id, &attachment.ifname).await?;
        }
        match Adoption::find(inner, attachment).await {
            Ok(Some(adoption)) => match self.adopt(adoption, begun).await? {
                Some(plugged) => Ok(plugged),
                None => self.make(userspace, begun).await,
            },
            Ok(None) => self.make(userspace, begun).await,
            Err(error) => {
                tracing::warn!(pod = %attachment.pod, %error, "can't look for a held port; making an interface");
                self.make(userspace, begun).await
            }
        }
    }

    /// Takes an interface that was held ready. `None`: it can't be had, and nothing of it is left.
    async fn adopt(&self, adoption: Adoption, begun: &mut Begun) -> Result<Option<Plugged>> {
        let plugged = Plugged { host_interface: adoption.host_interface().to_owned(), was_held: true };
        begun.interface = Some(plugged.host_interface.clone());
        let adoption = begun.adoption.insert(adoption);
        let taken = adoption.take(self.inner, self.attachment, &self.namespace);
        match tokio::try_join!(taken, Netlink::open(&self.namespace)) {
            Ok(((), pod)) => self.configure(&pod).await.map(|()| Some(plugged)),
            Err(error) => {
                tracing::warn!(pod = %self.attachment.pod, interface = plugged.host_interface, %error,
                    "can't take the port that is held; making an interface");
                if !self.inner.holding.is_useful() {
                    tracing::error!(
                        "this kernel has no macvlan devices (module macvlan): held ports are of no use on this node"
                    );
                }
                self.undo(std::mem::take(begun)).await;
                Ok(None)
            }
        }
    }

    /// Makes an interface.
    async fn make(&self, userspace: bool, begun: &mut Begun) -> Result<Plugged> {
        let Self { inner, attachment, .. } = self;
        let plugged = Plugged { host_interface: attachment.host_interface(), was_held: false };
        let name = &plugged.host_interface;
        let (pod, control) = Netlink::open_with(&self.namespace, Control::open).await?;
        inner.wait_released(name).await?;
        begun.interface = Some(name.clone());
        let veth = Veth {
            name,
            peer: &attachment.ifname,
            peer_namespace: &self.namespace,
            peer_mac: attachment.mac,
            mtu: attachment.mtu,
        };
        make_veth(&self.node, &veth).await?;
        let new = NewPort {
            name,
            port_id: &attachment.port_id,
            external_ids: record::of(attachment),
            columns: Vec::new(),
            comment: format!("interface {} of pod {}", attachment.ifname, attachment.pod),
        };
        let configured = async {
            if userspace {
                let what = || format!("switching off TX checksum offload of `{}`", attachment.ifname);
                control.disable_tx_checksum(&attachment.ifname).map_err(|source| self.failed(what(), source))?;
            }
            self.configure(&pod).await
        };
        // The switch opens its end while the pod's end is configured.
        let (replaced, ()) = tokio::try_join!(inner.add_port(new), configured)?;
        for earlier in replaced {
            tracing::warn!(pod = %attachment.pod, port = attachment.port_id, interface = earlier,
                "replaced an interface with the same Neutron port: one of an earlier sandbox, or one that could not be held");
            self.node.remove_link(&earlier).await?;
        }
        Ok(plugged)
    }

    fn failed(&self, what: String, source: io::Error) -> netlink::Error {
        netlink::Error { what, namespace: self.namespace.to_string(), source }
    }

    /// The addresses and routes of the pod's end, and what belongs to them.
    async fn configure(&self, pod: &Netlink) -> Result<()> {
        let Attachment { ifname, addresses, routes, .. } = self.attachment;
        let (device, has_ipv6) = (ifname.clone(), addresses.iter().any(|address| address.addr().is_ipv6()));
        let (ipv6, link) =
            tokio::join!(self.namespace.run(move || interface::set_ipv6(&device, has_ipv6)), pod.link(ifname));
        ipv6?.map_err(|source| self.failed(format!("configuring IPv6 of `{ifname}`"), source))?;
        let missing = || io::Error::from_raw_os_error(nix::libc::ENODEV);
        let link = link?.ok_or_else(|| self.failed(format!("configuring `{ifname}`"), missing()))?;
        Ok(pod.execute(interface::configure(&link, addresses, routes)).await?)
    }

    async fn undo(&self, begun: Begun) {
        if let Some(name) = &begun.interface {
            undo(self.inner, &self.node, name).await;
        }
        if let Some(adoption) = &begun.adoption {
            adoption.settle().await;
        }
    }
}

/// Undoes what was begun, the device before its record, and says what could not be undone: the repair does it.
pub(super) async fn undo(inner: &Inner, node: &Netlink, name: &str) {
    let device = node.remove_link(name).await.map(drop).map_err(Error::from);
    for undone in [device, undo_port(inner, name).await] {
        if let Err(error) = undone {
            tracing::warn!(interface = name, %error, "could not undo what failed or was cancelled");
        }
    }
}

async fn undo_port(inner: &Inner, name: &str) -> Result<()> {
    // The transaction may still be on its way. What is sent after it is answered after it; then the copy is right.
    inner.client.barrier(&format!("undoing port `{name}`")).await?;
    inner.remove_port(name).await.map(drop)
}

/// Removes device and port, on a task of its own: a caller that loses interest doesn't leave half of it.
pub(super) async fn unplug(inner: Arc<Inner>, container_id: String, ifname: String) -> Result<()> {
    let interface = host_interface(&container_id, &ifname);
    let name = interface.clone();
    let work = async move {
        let _lock = inner.locks.lock(&name).await;
        remove_of(&inner, &container_id, &ifname).await
    };
    tokio::spawn(work.in_current_span()).await.unwrap_or(Err(Error::Interrupted { interface }))
}

/// Removes a sandbox's interface: the one on record, or what is there of one that was being made. The caller holds the lock
/// of the latter's name.
async fn remove_of(inner: &Inner, container_id: &str, ifname: &str) -> Result<()> {
    let made = host_interface(container_id, ifname);
    let recorded = |view: &View| record::find(view, container_id, ifname).map(|interface| interface.name.clone());
    match inner.client.read(&made, recorded).await?.filter(|name| *name != made) {
        Some(adopted) => remove_locked(inner, &adopted).await,
        None => remove(inner, &made).await,
    }
}

/// [`remove`] under the lock of that name.
pub(super) async fn remove_locked(inner: &Inner, name: &str) -> Result<()> {
    let _device = inner.locks.lock(name).await;
    remove(inner, name).await
}

/// Removes device and port of that name, whatever of them is there. The caller holds the lock.
///
/// The port is the record of the device, so it goes last: after a crash between the two, or where the device can't be
/// removed, nobody takes its address for free. And a switch that isn't running forwards what its kernel datapath knows
/// until the device is gone.
pub(super) async fn remove(inner: &Inner, name: &str) -> Result<()> {
    if !inner.remover.remove(name).await {
        inner.node_netlink().await?.remove_link(name).await?;
    }
    inner.remove_port(name).await.map(drop)
}
