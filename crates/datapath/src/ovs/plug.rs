//! Plugging and unplugging a pod's interface.

use super::{Inner, USERSPACE_DATAPATH, interface, port::NewPort, record};
use crate::{
    Attachment, Error, Result,
    ethtool::Control,
    netlink::{self, Netlink, Veth, create_veth, no_own_ipv6_address},
    netns::Namespace,
};
use std::{io, sync::Arc};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// Something that was done, or is about to be done, and has to be undone when the rest fails. It is noted before the
/// effect: undoing what was not done is harmless, and after a lost answer nobody knows whether it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Link,
    Port,
}

/// Plugs on a task of its own, so that it can be undone when the returned future is dropped.
pub(super) async fn plug(inner: Arc<Inner>, attachment: Attachment) -> Result<()> {
    let interface = attachment.host_interface();
    let cancelled = CancellationToken::new();
    let _cancel_when_dropped = cancelled.clone().drop_guard();
    let (answer, outcome) = oneshot::channel();
    let work = async move {
        let name = attachment.host_interface();
        let _lock = inner.locks.lock(&name).await;
        let plug = match Plug::prepare(&inner, &attachment, name).await {
            Ok(plug) => plug,
            // Nobody may be there to hear it; nothing was done.
            Err(error) => return drop(answer.send(Err(error))),
        };
        let mut effects = Vec::new();
        let result = tokio::select! {
            biased;
            () = cancelled.cancelled() => Err(Error::Interrupted { interface: plug.name.clone() }),
            result = plug.steps(&mut effects) => result,
        };
        if result.is_err() {
            plug.undo(&effects).await;
            return drop(answer.send(result.map(|()| None)));
        }
        // The caller confirms that it took the answer: one that was dropped in this very moment doesn't.
        let (confirm, confirmed) = oneshot::channel::<()>();
        if answer.send(Ok(Some(confirm))).is_err() || confirmed.await.is_err() {
            plug.undo(&effects).await;
        }
    };
    tokio::spawn(work.in_current_span());
    let confirm = outcome.await.unwrap_or(Err(Error::Interrupted { interface }))?;
    if let Some(confirm) = confirm {
        // Fails only when the task is gone, with the runtime.
        confirm.send(()).ok();
    }
    Ok(())
}

/// One plug, with what it needs from its first step until its undo has ended.
struct Plug<'a> {
    inner: &'a Inner,
    attachment: &'a Attachment,
    name: String,
    /// Stays open for the undo: the kernel may get a request that names the file after the steps were cancelled.
    namespace: Namespace,
    /// Used by the undo as well: a request that was cancelled on its way reaches the kernel before the undo's.
    node: Netlink,
}

impl<'a> Plug<'a> {
    async fn prepare(inner: &'a Inner, attachment: &'a Attachment, name: String) -> Result<Self> {
        let namespace = Namespace::open(&attachment.netns)?;
        let node = inner.node_netlink().await?;
        Ok(Self { inner, attachment, name, namespace, node })
    }

    async fn steps(&self, effects: &mut Vec<Effect>) -> Result<()> {
        let Self { inner, attachment, name, .. } = self;
        let (datapath, (pod, control)) =
            tokio::try_join!(inner.datapath_type(), Netlink::open_with(&self.namespace, Control::open))?;
        let userspace = datapath == USERSPACE_DATAPATH;
        if userspace {
            inner.isolation.ensure(&inner.settings.namespace, inner.settings.timeout).await?;
        }
        // A second ADD of the same interface replaces the first. Its row must be gone before the name can be used again.
        if inner.client.read(name, |view| view.interface(name).is_some()).await? {
            remove(inner, name).await?;
        }
        inner.wait_released(name).await?;
        effects.push(Effect::Link);
        self.make_veth().await?;
        effects.push(Effect::Port);
        let new = NewPort {
            name,
            port_id: &attachment.port_id,
            external_ids: record::of(attachment),
            columns: Vec::new(),
            comment: format!("interface {} of pod {}", attachment.ifname, attachment.pod),
        };
        // The switch opens its end while the pod's end is configured.
        let (replaced, ()) = tokio::try_join!(inner.add_port(new), self.configure(&pod, &control, userspace))?;
        for earlier in replaced {
            tracing::warn!(pod = %attachment.pod, port = attachment.port_id, interface = earlier,
                "replaced an interface of an earlier sandbox with the same Neutron port");
            self.node.remove_link(&earlier).await?;
        }
        Ok(())
    }

    /// Makes the veth pair. A device of the same name is one that an earlier attempt left.
    async fn make_veth(&self) -> Result<()> {
        let veth = Veth {
            name: &self.name,
            peer: &self.attachment.ifname,
            peer_namespace: &self.namespace,
            peer_mac: self.attachment.mac,
            mtu: self.attachment.mtu,
        };
        match self.node.execute([create_veth(&veth)]).await {
            Err(error) if error.exists() && self.node.remove_link(&self.name).await? => {
                self.node.execute([create_veth(&veth)]).await
            }
            result => result,
        }?;
        if let Err(error) = self.node.execute([no_own_ipv6_address(&self.name)]).await {
            tracing::debug!(%error, "the kernel may have no IPv6");
        }
        Ok(())
    }

    /// Everything inside the pod's namespace.
    async fn configure(&self, pod: &Netlink, control: &Control, userspace_datapath: bool) -> Result<()> {
        let Attachment { ifname, addresses, routes, .. } = self.attachment;
        let failed = |what: String, source| netlink::Error { what, namespace: self.namespace.to_string(), source };
        if userspace_datapath {
            let what = || format!("switching off TX checksum offload of `{ifname}`");
            control.disable_tx_checksum(ifname).map_err(|source| failed(what(), source))?;
        }
        let (device, has_ipv6) = (ifname.clone(), addresses.iter().any(|address| address.addr().is_ipv6()));
        let (ipv6, link) =
            tokio::join!(self.namespace.run(move || interface::set_ipv6(&device, has_ipv6)), pod.link(ifname));
        ipv6?.map_err(|source| failed(format!("configuring IPv6 of `{ifname}`"), source))?;
        let missing = || io::Error::from_raw_os_error(nix::libc::ENODEV);
        let link = link?.ok_or_else(|| failed(format!("configuring `{ifname}`"), missing()))?;
        Ok(pod.execute(interface::configure(&link, addresses, routes)).await?)
    }

    /// Undoes the effects, the device before its record, and says what could not be undone: the repair does it.
    async fn undo(&self, effects: &[Effect]) {
        for effect in effects {
            let undone = match effect {
                Effect::Link => self.node.remove_link(&self.name).await.map(drop).map_err(Error::from),
                Effect::Port => self.undo_port().await,
            };
            if let Err(error) = undone {
                tracing::warn!(interface = self.name, ?effect, %error, "could not undo a failed or cancelled ADD");
            }
        }
    }

    async fn undo_port(&self) -> Result<()> {
        // The transaction may still be on its way. What is sent after it is answered after it; then the copy is right.
        self.inner.client.barrier(&format!("undoing port `{}`", self.name)).await?;
        self.inner.remove_port(&self.name).await.map(drop)
    }
}

/// Removes device and port, on a task of its own: a caller that loses interest doesn't leave half of it.
pub(super) async fn unplug(inner: Arc<Inner>, name: String) -> Result<()> {
    let interface = name.clone();
    let work = async move {
        let _lock = inner.locks.lock(&name).await;
        remove(&inner, &name).await
    };
    tokio::spawn(work.in_current_span()).await.unwrap_or(Err(Error::Interrupted { interface }))
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
