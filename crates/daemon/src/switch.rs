//! The node's switch, as the daemon uses it.

use futures::{FutureExt, future::BoxFuture};
use kuryr_datapath::{
    Driver, Result,
    netns::{self, Namespace},
    ovs::{self, NodePort, NodePortSpec, NodePortStatus, Ovs},
    ovsdb::{InvalidRemote, View},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// How long a call waits for the OVSDB server before it fails, to be tried again.
const OVSDB_TIMEOUT: Duration = Duration::from_secs(15);

/// The host's own port on the integration bridge.
pub trait HostPort: Send + Sync {
    /// Makes it as `spec` says. Writes nothing where it is so already.
    ///
    /// # Errors
    /// When it can't be made now.
    fn ensure<'a>(&'a self, spec: &'a NodePortSpec) -> BoxFuture<'a, Result<NodePortStatus>>;

    /// Removes it. That it isn't there is no error.
    ///
    /// # Errors
    /// When it can't be removed now.
    fn remove(&self) -> BoxFuture<'_, Result<()>>;

    /// How it is now. `None`: it isn't there.
    ///
    /// # Errors
    /// When that can't be read now.
    fn status(&self) -> BoxFuture<'_, Result<Option<NodePortStatus>>>;
}

impl HostPort for NodePort {
    fn ensure<'a>(&'a self, spec: &'a NodePortSpec) -> BoxFuture<'a, Result<NodePortStatus>> {
        self.ensure(spec).boxed()
    }

    fn remove(&self) -> BoxFuture<'_, Result<()>> {
        self.remove().boxed()
    }

    fn status(&self) -> BoxFuture<'_, Result<Option<NodePortStatus>>> {
        self.status().boxed()
    }
}

/// The drivers of the node, and what they are attached to. Cheap to clone.
#[derive(Clone)]
pub struct Switch {
    /// Makes the pods' interfaces.
    pub driver: Arc<dyn Driver>,
    /// Makes the host's own.
    pub host_port: Arc<dyn HostPort>,
    /// Whether the switch can be talked to. Every change of what is attached, too, is a change of this channel.
    pub live: watch::Receiver<bool>,
}

/// The switch can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// `daemon.ovsdb` is wrong.
    #[error(transparent)]
    Address(#[from] InvalidRemote),
    /// The daemon's own network namespace can't be opened.
    #[error(transparent)]
    Namespace(#[from] netns::Error),
}

impl Switch {
    /// The Open vSwitch whose database listens at `ovsdb`. The connection is made in the background.
    ///
    /// # Errors
    /// When the address is wrong or the node's network namespace can't be opened.
    pub fn open_vswitch(ovsdb: &str, bridge: &str, node_port: &str) -> std::result::Result<Self, SwitchError> {
        let ovs = Ovs::new(ovs::Settings {
            remote: ovsdb.parse()?,
            bridge: bridge.to_owned(),
            namespace: Namespace::current()?,
            timeout: OVSDB_TIMEOUT,
        });
        let (tell_live, live) = watch::channel(false);
        tokio::spawn(follow(ovs.watch(), tell_live));
        Ok(Self { host_port: Arc::new(ovs.node_port(node_port)), driver: Arc::new(ovs), live })
    }
}

/// Tells of every change of the database. Ends with the last receiver, or with the connection's task.
async fn follow(mut view: watch::Receiver<View>, live: watch::Sender<bool>) {
    loop {
        let now = view.borrow_and_update().live;
        live.send_replace(now);
        tokio::select! {
            changed = view.changed() => if changed.is_err() { return },
            () = live.closed() => return,
        }
    }
}
