//! What a node does to the paths of its pods' packets: network namespaces, netlink, OVSDB, interface drivers.
//!
//! The daemon uses [`Driver`] (one implementation per way to connect an interface: [`ovs::Ovs`]) and [`HostPort`] ([`ovs::NodePort`]);
//! the rest is what they are built of. This crate knows neither Kubernetes' API nor Neutron's: its input is an
//! [`Attachment`], and what it has to remember about one it keeps in the OVSDB, beside the port itself.

mod attachment;
mod driver;
mod error;
pub mod ethtool;
mod host_port;
mod neighbours;
mod netfilter;
pub mod netlink;
pub mod netns;
pub mod ovs;
pub mod ovsdb;

pub use attachment::{Attached, Attachment, Difference, Held, HoldSpec, Plugged, PodRef, Route};
pub use driver::{Driver, Stale, StaleReason};
pub use error::{Error, Result};
pub use host_port::HostPort;
