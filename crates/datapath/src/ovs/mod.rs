//! Interfaces that are ports of the Open vSwitch integration bridge: veth pairs for pods, an internal port for the node.
//!
//! OVN binds the interface whose `external_ids:iface-id` is a Neutron port's id, installs its flows and then writes
//! `ovn-installed=true` beside it (ovn-controller(8), "Runtime configuration"). What the node has to know about an
//! attachment later stands in the same row, so DEL and repair need nothing but this node.

mod adopt;
mod check;
mod hold;
mod holding;
mod interface;
pub mod isolation;
mod locks;
mod node_port;
mod plug;
mod port;
mod record;
mod remover;
mod repair;

pub use node_port::{NodePort, NodePortSpec, NodePortStatus};

use crate::{
    Attached, Attachment, Difference, Driver, Error, Held, HoldSpec, Plugged, Result, Stale, neighbours,
    netlink::Netlink,
    netns::Namespace,
    ovsdb::{Client, Interface, Remote, View},
};
use futures::{FutureExt, future::BoxFuture};
use holding::Holding;
use ipnet::IpNet;
use isolation::Isolation;
use locks::Locks;
use port::Removals;
use remover::Remover;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::watch;

/// The `datapath_type` of a bridge that forwards in ovs-vswitchd itself (ovs-vswitchd.conf.db(5)).
const USERSPACE_DATAPATH: &str = "netdev";

/// How the driver finds Open vSwitch.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The node's OVSDB server.
    pub remote: Remote,
    /// The integration bridge, `br-int` unless told otherwise.
    pub bridge: String,
    /// The namespace of the node, in which the bridge is.
    pub namespace: Namespace,
    /// Where the namespace is bound in which held ports wait for their pods. It is made where there is none.
    pub holding: PathBuf,
    /// How long a call waits for the OVSDB server, and the node port for its device.
    pub timeout: Duration,
}

/// The driver. Cheap to clone: all clones are one.
#[derive(Debug, Clone)]
pub struct Ovs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    client: Client,
    locks: Locks,
    removals: Removals,
    isolation: Isolation,
    holding: Holding,
    remover: Remover,
}

impl Ovs {
    /// Starts to connect to the OVSDB server, and returns at once. Calls wait for the connection.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let client = Client::connect(settings.remote.clone(), settings.timeout);
        let (locks, removals) = (Locks::default(), Removals::default());
        let isolation = Isolation::new(settings.namespace.clone(), settings.timeout);
        let remover = Remover::start(settings.namespace.clone());
        let holding = Holding::new(settings.holding.clone());
        Self { inner: Arc::new(Inner { settings, client, locks, removals, isolation, holding, remover }) }
    }

    /// The live copy of the node's OVSDB: [`View::live`] says whether the connection stands.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<View> {
        self.inner.client.watch()
    }

    /// The node port of that name. Nothing is made yet.
    #[must_use]
    pub fn node_port(&self, name: &str) -> NodePort {
        NodePort::new(Arc::clone(&self.inner), name.to_owned())
    }
}

impl Inner {
    async fn node_netlink(&self) -> Result<Netlink> {
        Netlink::open(&self.settings.namespace).await
    }

    /// Waits until the dataplane has the flows of the interface that `find` finds.
    async fn wait_installed(&self, name: &str, find: impl Fn(&View) -> Option<&Interface>) -> Result<()> {
        let mut watch = self.client.watch();
        // A copy that isn't live may lack the row that was just added.
        self.client.read(&format!("interface `{name}`"), |_| ()).await?;
        let mut outcome = None;
        let settled = |view: &View| {
            outcome = match find(view) {
                None => Some(Err(Error::Gone { interface: name.to_owned() })),
                Some(interface) if record::installed(interface) => Some(Ok(())),
                Some(interface) => interface
                    .error
                    .clone()
                    .map(|reason| Err(Error::Rejected { interface: interface.name.clone(), reason })),
            };
            outcome.is_some()
        };
        let ended = watch.wait_for(settled).await.is_err();
        if ended { Err(Error::Interrupted { interface: name.to_owned() }) } else { outcome.unwrap_or(Ok(())) }
    }
}

impl Driver for Ovs {
    fn plug<'a>(&'a self, attachment: &'a Attachment) -> BoxFuture<'a, Result<Plugged>> {
        plug::plug(Arc::clone(&self.inner), attachment.clone()).boxed()
    }

    fn unplug<'a>(&'a self, container_id: &'a str, ifname: &'a str) -> BoxFuture<'a, Result<()>> {
        plug::unplug(Arc::clone(&self.inner), container_id.to_owned(), ifname.to_owned()).boxed()
    }

    fn give_back<'a>(&'a self, container_id: &'a str, ifname: &'a str) -> BoxFuture<'a, Result<()>> {
        hold::give_back(Arc::clone(&self.inner), container_id.to_owned(), ifname.to_owned()).boxed()
    }

    fn hold<'a>(&'a self, port: &'a HoldSpec) -> BoxFuture<'a, Result<()>> {
        hold::hold(Arc::clone(&self.inner), port.clone()).boxed()
    }

    fn let_go<'a>(&'a self, port_id: &'a str) -> BoxFuture<'a, Result<()>> {
        hold::let_go(Arc::clone(&self.inner), port_id.to_owned()).boxed()
    }

    fn held(&self) -> BoxFuture<'_, Result<Vec<Held>>> {
        hold::held(&self.inner).boxed()
    }

    fn check<'a>(&'a self, attachment: &'a Attachment) -> BoxFuture<'a, Result<Vec<Difference>>> {
        check::check(&self.inner, attachment).boxed()
    }

    fn attachments(&self) -> BoxFuture<'_, Result<Vec<Attached>>> {
        repair::attachments(&self.inner).boxed()
    }

    fn wait_ready<'a>(&'a self, container_id: &'a str, ifname: &'a str) -> BoxFuture<'a, Result<()>> {
        async move {
            let what = format!("{ifname} of sandbox {container_id}");
            self.inner.wait_installed(&what, |view| record::find(view, container_id, ifname)).await
        }
        .boxed()
    }

    fn announce<'a>(&'a self, attachment: &'a Attachment) -> BoxFuture<'a, Result<()>> {
        async move {
            let Attachment { ifname, mac, addresses, .. } = attachment;
            let namespace = Namespace::open(&attachment.netns)?;
            neighbours::announce(&namespace, ifname, *mac, addresses.iter().map(IpNet::addr)).await
        }
        .boxed()
    }

    fn stale(&self) -> BoxFuture<'_, Result<Vec<Stale>>> {
        repair::stale(&self.inner).boxed()
    }

    fn remove_stale<'a>(&'a self, stale: &'a Stale) -> BoxFuture<'a, Result<()>> {
        repair::remove(&self.inner, stale).boxed()
    }
}
