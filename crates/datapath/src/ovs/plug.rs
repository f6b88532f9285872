//! Plugging and unplugging a pod's interface.

use super::{Inner, interface, port::NewPort, record};
use crate::{
    Attachment, Error, Result,
    ethtool::Control,
    netlink::{self, Netlink, Veth, create_veth},
    netns::{self, Namespace},
};
use std::{io, sync::Arc};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

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
    tokio::spawn(async move {
        let name = attachment.host_interface();
        let _lock = inner.locks.lock(&name).await;
        let (outcome, effects) = attempt(&inner, &attachment, &name, &cancelled).await;
        let failed = outcome.is_err();
        // The caller confirms that it took the answer: one that was dropped in this very moment doesn't.
        let (confirm, confirmed) = oneshot::channel::<()>();
        if failed {
            undo(&inner, &name, &effects).await;
            drop(answer.send((outcome, confirm)));
        } else if answer.send((outcome, confirm)).is_err() || confirmed.await.is_err() {
            undo(&inner, &name, &effects).await;
        }
    });
    match outcome.await {
        Ok((result, confirm)) => {
            // Fails only when the task is gone, with the runtime.
            confirm.send(()).ok();
            result
        }
        Err(_) => Err(Error::Interrupted { interface }),
    }
}

/// Does all steps, or as many as are possible before one fails or the caller loses interest.
async fn attempt(
    inner: &Inner,
    attachment: &Attachment,
    name: &str,
    cancelled: &CancellationToken,
) -> (Result<()>, Vec<Effect>) {
    let mut effects = Vec::new();
    // Open until all is undone: the kernel may get the request that names its descriptor after `steps` was dropped.
    let namespace = match Namespace::open(&attachment.netns) {
        Ok(namespace) => namespace,
        Err(error) => return (Err(error.into()), effects),
    };
    let result = tokio::select! {
        biased;
        () = cancelled.cancelled() => Err(Error::Interrupted { interface: name.to_owned() }),
        result = steps(inner, attachment, name, &namespace, &mut effects) => result,
    };
    (result, effects)
}

async fn steps(
    inner: &Inner,
    attachment: &Attachment,
    name: &str,
    namespace: &Namespace,
    effects: &mut Vec<Effect>,
) -> Result<()> {
    let (datapath, node, (pod, control)) =
        tokio::try_join!(inner.datapath_type(), inner.node_netlink(), Netlink::open_with(namespace, Control::open),)?;
    // A second ADD of the same interface replaces the first. Its row must be gone before the name can be used again.
    inner.remove_port(name).await?;
    effects.push(Effect::Link);
    make_veth(&node, attachment, name, namespace).await?;
    effects.push(Effect::Port);
    let new = NewPort {
        name,
        port_id: &attachment.port_id,
        external_ids: record::of(attachment),
        columns: Vec::new(),
        comment: format!("interface {} of pod {}", attachment.ifname, attachment.pod),
    };
    // The switch opens its end while the pod's end is configured.
    let (replaced, ()) =
        tokio::try_join!(inner.add_port(new), configure(&pod, &control, namespace, attachment, datapath == "netdev"),)?;
    for earlier in replaced {
        tracing::warn!(pod = %attachment.pod, port = attachment.port_id, interface = earlier,
            "replaced an interface of an earlier sandbox with the same Neutron port");
        node.remove_link(&earlier).await?;
    }
    Ok(())
}

/// Makes the veth pair. A device of the same name is one that an earlier attempt left.
async fn make_veth(node: &Netlink, attachment: &Attachment, name: &str, namespace: &Namespace) -> Result<()> {
    let veth = Veth {
        name,
        peer: &attachment.ifname,
        peer_namespace: namespace,
        peer_mac: attachment.mac,
        mtu: attachment.mtu,
    };
    match node.execute([create_veth(&veth)]).await {
        Err(error) if error.exists() && node.remove_link(name).await? => Ok(node.execute([create_veth(&veth)]).await?),
        result => Ok(result?),
    }
}

/// Everything inside the pod's namespace.
async fn configure(
    pod: &Netlink,
    control: &Control,
    namespace: &Namespace,
    attachment: &Attachment,
    userspace_datapath: bool,
) -> Result<()> {
    let ifname = attachment.ifname.clone();
    let has_ipv6 = attachment.addresses.iter().any(|address| address.addr().is_ipv6());
    if userspace_datapath {
        let failed = |source| netlink::Error {
            what: format!("switching off TX checksum offload of `{ifname}`"),
            namespace: namespace.to_string(),
            source,
        };
        control.disable_tx_checksum(&ifname).map_err(failed)?;
    }
    let (ipv6, link) = tokio::join!(
        namespace.run({
            let ifname = ifname.clone();
            move || interface::set_ipv6(&ifname, has_ipv6)
        }),
        pod.link(&ifname),
    );
    let enter = |source| netns::Error::Enter { namespace: namespace.to_string(), source };
    ipv6?.map_err(enter)?;
    let link = link?.ok_or_else(|| netlink::Error {
        what: format!("looking for `{ifname}`"),
        namespace: namespace.to_string(),
        source: io::Error::from_raw_os_error(nix::libc::ENODEV),
    })?;
    Ok(pod.execute(interface::configure(&link, &attachment.addresses, &attachment.routes)).await?)
}

/// Undoes the effects, the last one first, and says what could not be undone: the repair at the next start does the rest.
async fn undo(inner: &Inner, name: &str, effects: &[Effect]) {
    for effect in effects.iter().rev() {
        let undone = match effect {
            Effect::Link => remove_link(inner, name).await,
            Effect::Port => inner.remove_port(name).await.map(drop),
        };
        if let Err(error) = undone {
            tracing::warn!(interface = name, ?effect, %error, "could not undo a failed or cancelled ADD");
        }
    }
}

async fn remove_link(inner: &Inner, name: &str) -> Result<()> {
    inner.node_netlink().await?.remove_link(name).await?;
    Ok(())
}

/// Removes port and device, on a task of its own: a caller that loses interest doesn't leave half of it.
pub(super) async fn unplug(inner: Arc<Inner>, name: String) -> Result<()> {
    let interface = name.clone();
    let work = tokio::spawn(async move {
        let _lock = inner.locks.lock(&name).await;
        remove(&inner, &name).await
    });
    work.await.unwrap_or(Err(Error::Interrupted { interface }))
}

/// Removes port and device of that name, whatever of them is there. The caller holds the lock.
pub(super) async fn remove(inner: &Inner, name: &str) -> Result<()> {
    let port = inner.remove_port(name).await.map(drop);
    let link = remove_link(inner, name).await;
    Error::collect([port, link].into_iter().filter_map(Result::err).collect())
}
