//! The trait of all ways to connect an interface.

use crate::{Attached, Attachment, Difference, Held, HoldSpec, Plugged, Result};
use futures::future::BoxFuture;

/// A way to connect a pod's interface. Its futures may be dropped at any moment: nothing half-made stays behind.
///
/// Calls about one interface wait for each other; calls about different interfaces don't.
pub trait Driver: Send + Sync {
    /// Makes the interface, configures it in the sandbox, and connects it. Returns when the node's own work is done;
    /// [`Driver::wait_ready`] says when packets pass.
    ///
    /// An interface of the same sandbox and name is replaced, and so is any other interface with the same Neutron port:
    /// it belongs to an earlier sandbox whose DEL was lost. A port that is held is adopted: the pod's device is made on what is
    /// there, and the dataplane has its flows already.
    ///
    /// # Errors
    /// When any step fails. All that was made is then removed again before the call returns. When the future is dropped,
    /// it is removed in the background.
    fn plug<'a>(&'a self, attachment: &'a Attachment) -> BoxFuture<'a, Result<Plugged>>;

    /// Removes the interface `ifname` of sandbox `container_id`. That it doesn't exist is no error.
    ///
    /// # Errors
    /// When something could not be removed. It stays on record, among [`Driver::attachments`].
    fn unplug<'a>(&'a self, container_id: &'a str, ifname: &'a str) -> BoxFuture<'a, Result<()>>;

    /// As [`Driver::unplug`], but the port stays connected, and held, by what no pod has seen: whatever the pod did to its
    /// interface is gone with that. Where that can't be done, it is unplugged.
    ///
    /// # Errors
    /// As [`Driver::unplug`].
    fn give_back<'a>(&'a self, container_id: &'a str, ifname: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Connects a port that no pod has, so that plugging it later takes little. That it is held already is no error.
    ///
    /// # Errors
    /// When a pod has the port, or when a step fails. All that was made is then removed again, as by [`Driver::plug`].
    fn hold<'a>(&'a self, port: &'a HoldSpec) -> BoxFuture<'a, Result<()>>;

    /// Ends holding a port. That it isn't held is no error, and a pod that has it keeps it.
    ///
    /// # Errors
    /// When something could not be removed. It stays on record, among [`Driver::held`].
    fn let_go<'a>(&'a self, port_id: &'a str) -> BoxFuture<'a, Result<()>>;

    /// The ports that are held, from the node's own state.
    ///
    /// # Errors
    /// When that state can't be read now.
    fn held(&self) -> BoxFuture<'_, Result<Vec<Held>>>;

    /// Compares what is there with what should be. Empty: all is well.
    ///
    /// # Errors
    /// When it could not be looked at.
    fn check<'a>(&'a self, attachment: &'a Attachment) -> BoxFuture<'a, Result<Vec<Difference>>>;

    /// All that is attached on this node by this driver, from the node's own state.
    ///
    /// # Errors
    /// When that state can't be read now.
    fn attachments(&self) -> BoxFuture<'_, Result<Vec<Attached>>>;

    /// Waits until packets of the plugged interface pass. There is no time limit: drop the future to stop waiting.
    ///
    /// # Errors
    /// [`crate::Error::Rejected`] when the switch refuses the interface, [`crate::Error::Gone`] when it is unplugged.
    fn wait_ready<'a>(&'a self, container_id: &'a str, ifname: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Tells the interface's network that its addresses have its MAC address, once packets pass: others may still know them by
    /// that of a Neutron port which had them earlier.
    ///
    /// # Errors
    /// When the sandbox or its interface is gone, or can't send.
    fn announce<'a>(&'a self, attachment: &'a Attachment) -> BoxFuture<'a, Result<()>>;

    /// What an earlier crash, a reboot or a lost DEL left: half of an attachment, or one whose sandbox is gone.
    ///
    /// To be called at the start and every few minutes: what the driver keeps on the node for all interfaces together is
    /// also made again where somebody removed it.
    ///
    /// # Errors
    /// When the node's state can't be read now.
    fn stale(&self) -> BoxFuture<'_, Result<Vec<Stale>>>;

    /// Removes something that [`Driver::stale`] listed, unless it is no longer stale.
    ///
    /// # Errors
    /// When something could not be removed.
    fn remove_stale<'a>(&'a self, stale: &'a Stale) -> BoxFuture<'a, Result<()>>;
}

/// Something left behind on the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stale {
    /// Name of the host's end.
    pub host_interface: String,
    /// The attachment that it was part of, where that is known.
    pub attached: Option<Attached>,
    /// Why it is stale.
    pub reason: StaleReason,
}

/// Why something is stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaleReason {
    /// A device without a port on the bridge.
    NoPort,
    /// A port on the bridge whose device is gone.
    NoDevice,
    /// The sandbox's network namespace is gone, and its interface with it.
    NoNamespace,
    /// A held port whose other end doesn't wait for a pod: it was taken by an ADD that ended in the middle.
    NotWaiting,
}
