//! The node's switch, as the daemon uses it.

use crate::settings::Settings;
use kuryr_datapath::{
    Driver, HostPort, netlink,
    netns::{self, Namespace},
    ovs::{self, Ovs},
    ovsdb::{InvalidRemote, View},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// How long a call waits for the OVSDB server before it fails, to be tried again.
const OVSDB_TIMEOUT: Duration = Duration::from_secs(15);

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
    /// The thread that talks to the kernel can't be started.
    #[error("can't start the thread for netlink: {0}")]
    Thread(#[source] std::io::Error),
}

impl Switch {
    /// The Open vSwitch that the settings name. The connection is made in the background.
    ///
    /// # Errors
    /// When the address is wrong, the node's network namespace can't be opened, or a thread can't be started.
    pub fn open_vswitch(settings: &Settings) -> Result<Self, SwitchError> {
        netlink::drive_by_own_thread().map_err(SwitchError::Thread)?;
        let ovs = Ovs::new(ovs::Settings {
            remote: settings.ovsdb.parse()?,
            bridge: settings.bridge.clone(),
            namespace: Namespace::current()?,
            // In the folder that the daemon makes for root only.
            holding: settings.socket.with_file_name("holding"),
            timeout: OVSDB_TIMEOUT,
        });
        let (tell_live, live) = watch::channel(false);
        tokio::spawn(follow(ovs.watch(), tell_live));
        Ok(Self { host_port: Arc::new(ovs.node_port(&settings.node_port)), driver: Arc::new(ovs), live })
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
