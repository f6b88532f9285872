//! The namespace in which the other ends of held ports' veth pairs are.
//!
//! An end is down while its port waits for a pod. A pod that gets the port gets a macvlan device in its own namespace that
//! has the end for itself; then the end is up. The end itself never leaves, so what a pod does (programs, children, queues,
//! settings) is gone with its device; what of it reaches the end all the same (its MAC address, who receives all frames) is
//! looked at before it is used again.
//!
//! A pod that may administer networks, outside of a user namespace, can name this namespace by its device's `link-netnsid`,
//! as it can the node's by that of a veth pair, and do harm there. Kubernetes gives no pod that right by itself.

use super::interface;
use crate::{
    Result,
    ethtool::Control,
    netlink::{Link, Netlink},
    netns::Namespace,
};
use kuryr_core::net::MacAddress;
use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::OnceCell;

/// The namespace, once somebody needs it.
#[derive(Debug)]
pub(super) struct Holding {
    path: PathBuf,
    opened: OnceCell<Arc<Opened>>,
    /// The kernel has no macvlan devices: what is held can't be given to pods.
    useless: AtomicBool,
}

/// The namespace with the sockets that are used in it.
#[derive(Debug)]
pub(super) struct Opened {
    pub namespace: Namespace,
    pub netlink: Netlink,
    pub control: Control,
}

impl Holding {
    pub fn new(path: PathBuf) -> Self {
        Self { path, opened: OnceCell::new(), useless: AtomicBool::new(false) }
    }

    /// Notes that the kernel has no macvlan devices.
    pub fn found_useless(&self) {
        self.useless.store(true, Ordering::Relaxed);
    }

    /// Whether held ports can be given to pods, as far as is known.
    pub fn is_useful(&self) -> bool {
        !self.useless.load(Ordering::Relaxed)
    }

    /// Binds the namespace to its path again, should somebody have unmounted it: else it would go with this process, and with it the
    /// network of all pods that have a held port.
    pub async fn keep(&self) -> Result<()> {
        let Some(holding) = self.opened.get() else { return Ok(()) };
        if holding.namespace.is_at(&self.path) {
            return Ok(());
        }
        tracing::error!(path = %self.path.display(), "somebody unmounted the namespace of the held ports; binding it again");
        Ok(holding.namespace.bind(&self.path).await?)
    }

    /// The namespace; it is made where there is none. A failure is tried again by the next call.
    pub async fn open(&self) -> Result<Arc<Opened>> {
        let open = || async {
            let namespace = Namespace::open_or_make(&self.path).await?;
            let open = || interface::without_ipv6().and_then(|()| Control::open());
            let (netlink, control) = Netlink::open_with(&namespace, open).await?;
            Ok(Arc::new(Opened { namespace, netlink, control }))
        };
        self.opened.get_or_try_init(open).await.map(Arc::clone)
    }

    /// All ends. None where there is no such namespace, as on a node that has never held a port.
    pub async fn ends(&self) -> Result<Vec<Link>> {
        match self.existing().await? {
            Some(holding) => Ok(holding.netlink.links().await?),
            None => Ok(Vec::new()),
        }
    }

    /// The other end of the pair whose host's end has that name, if it is here.
    pub async fn end(&self, name: &str) -> Result<Option<Link>> {
        match self.existing().await? {
            Some(holding) => Ok(holding.netlink.link(name).await?),
            None => Ok(None),
        }
    }

    async fn existing(&self) -> Result<Option<Arc<Opened>>> {
        if !self.opened.initialized() && Namespace::is_gone(&self.path) {
            return Ok(None);
        }
        self.open().await.map(Some)
    }
}

impl Opened {
    /// The end that waits for a pod. `None`: it isn't there, or not as it was left.
    pub async fn waiting(&self, name: &str, mac: MacAddress) -> Result<Option<Link>> {
        Ok(self.netlink.link(name).await?.filter(|link| waits(link, mac)))
    }

    /// The failure of something that was done in this namespace by other means than netlink.
    pub fn failed(&self, what: String, source: io::Error) -> crate::Error {
        crate::netlink::Error { what, namespace: self.namespace.to_string(), source }.into()
    }
}

/// Whether an end waits for a pod: it is down, has the port's MAC address, and no device has it receive all frames. A pod can give
/// its device, and so the end, another address, which the kernel takes back when the device goes; and by changing the
/// device's flags while that is down it can make the kernel miscount who receives all frames.
pub(super) fn waits(end: &Link, mac: MacAddress) -> bool {
    !end.up && end.mac == Some(mac) && !end.promiscuous
}

/// Whether an interface lives whose namespace isn't seen at its path any more, but whose host's end is there: with that goes
/// a pod's own end of a veth pair, and a macvlan device on an end in the holding namespace holds that one promiscuous.
///
/// The path says nothing to a daemon that has no view of the node's `/run/netns`, as in a container with mounts of its own.
pub(super) fn lives(end: Option<&Link>) -> bool {
    end.is_none_or(|end| end.promiscuous)
}
