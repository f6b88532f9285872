//! Pure decisions of Kuryr: no IO, no clock, no async runtime, no Kubernetes client.
//!
//! Everything here is a function of its arguments, so that it can be tested by properties and reused by the controller,
//! the daemon, the command line and the tests alike.

pub mod aimd;
pub mod backoff;
pub mod claim;
pub mod drift;
pub mod error;
pub mod fair;
pub mod lease;
pub mod names;
pub mod net;
pub mod node;
pub mod pod;
pub mod policy;
pub mod pool;
pub mod schema;
pub mod service;
pub mod sweep;
