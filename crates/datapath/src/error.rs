//! What can go wrong on a node.

use crate::{netlink, netns, ovs::isolation, ovsdb};

/// The result of the datapath's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of the datapath.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A network namespace could not be entered.
    #[error(transparent)]
    Namespace(#[from] netns::Error),
    /// The kernel refused a change, or a look at, a device.
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
    /// The OVSDB server refused a transaction or can't be reached.
    #[error(transparent)]
    Ovsdb(#[from] ovsdb::Error),
    /// The pods' frames can't be kept away from the node's own network stack.
    #[error(transparent)]
    Isolation(#[from] isolation::Error),
    /// The bridge isn't there (yet).
    #[error("bridge `{bridge}` does not exist in Open vSwitch; ovn-controller makes it: is it running on this node?")]
    NoBridge {
        /// The bridge's name.
        bridge: String,
    },
    /// Open vSwitch took the port but can't use its device.
    #[error("Open vSwitch can't use interface `{interface}`: {reason}")]
    Rejected {
        /// The host's end.
        interface: String,
        /// What it says in the row's `error` column.
        reason: String,
    },
    /// The interface was unplugged while it was waited for.
    #[error("interface `{interface}` was removed from the bridge")]
    Gone {
        /// The host's end.
        interface: String,
    },
    /// A port that is to be held belongs to a pod on this node.
    #[error("Neutron port {port_id} can't be held: interface `{interface}` has it")]
    InUse {
        /// The port.
        port_id: String,
        /// The interface on the bridge that has it.
        interface: String,
    },
    /// What a pod did to the interface of a held port doesn't end with it.
    #[error("interface `{interface}` isn't as it was before a pod had it, or the pod hides its own end of it")]
    Altered {
        /// The host's end.
        interface: String,
    },
    /// An interface has the node port's name that isn't Kuryr's.
    #[error(
        "Open vSwitch has an interface `{interface}` that isn't Kuryr's (no external_ids:kuryr-node-port): it is left alone; give \
         the node port another name (daemon.nodePort in the configuration)"
    )]
    Foreign {
        /// Its name.
        interface: String,
    },
    /// Open vSwitch did not do its part in time.
    #[error("Open vSwitch did not make the device `{interface}` within {seconds} s; is ovs-vswitchd running?")]
    NoDevice {
        /// Name of the device.
        interface: String,
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// Open vSwitch still has an earlier device of the same name open.
    #[error(
        "Open vSwitch did not let go of an earlier device `{interface}` within {seconds} s; is ovs-vswitchd running?"
    )]
    NotReleased {
        /// Name of the device.
        interface: String,
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// The work ended before it had a result: the runtime is shutting down.
    #[error("the work on interface `{interface}` was interrupted: the daemon is stopping")]
    Interrupted {
        /// The host's end.
        interface: String,
    },
}
