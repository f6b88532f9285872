//! The Container Network Interface, version 1.1 and the older ones that runtimes still speak, and the protocol between
//! the executable `kuryr-cni` and the node's daemon.
//!
//! Input is read leniently: what a caller adds and we don't know is kept or ignored. Output is stable: every version
//! asked for gets exactly the fields that its specification has.
//!
//! Source: <https://www.cni.dev/docs/spec/>.

pub mod call;
pub mod client;
pub mod config;
pub mod error;
pub mod pod;
pub mod result;
pub mod version;
pub mod wire;

pub use call::{Call, Command};
pub use config::{Attachment, NetworkConfig};
pub use error::{CniError, Code};
pub use pod::PodArgs;
pub use result::{AddResult, Dns, Interface, Ip, Route};
pub use version::SpecVersion;
