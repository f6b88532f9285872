//! The namespace in which held ports' other ends wait for a pod: down, without addresses.

use crate::{
    Result,
    ethtool::Control,
    netlink::{Link, Netlink},
    netns::Namespace,
};
use std::{path::PathBuf, sync::Arc};
use tokio::sync::OnceCell;

/// The namespace, once somebody needs it.
#[derive(Debug)]
pub(super) struct Holding {
    path: PathBuf,
    opened: OnceCell<Arc<Opened>>,
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
        Self { path, opened: OnceCell::new() }
    }

    /// The namespace; it is made where there is none. A failure is tried again by the next call.
    pub async fn open(&self) -> Result<Arc<Opened>> {
        let open = || async {
            let namespace = Namespace::open_or_make(&self.path).await?;
            let (netlink, control) = Netlink::open_with(&namespace, Control::open).await?;
            Ok(Arc::new(Opened { namespace, netlink, control }))
        };
        self.opened.get_or_try_init(open).await.map(Arc::clone)
    }
}

impl Opened {
    /// The end that waits for the host's end of that name. `None`: it isn't there, or not as it was left.
    pub async fn waiting(&self, name: &str) -> Result<Option<Link>> {
        Ok(self.netlink.link(name).await?.filter(|link| !link.up))
    }
}
