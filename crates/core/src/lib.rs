//! Pure decisions of Kuryr: no IO, no clock, no async runtime, no Kubernetes client.
//!
//! Everything here is a function of its arguments, so that it can be tested by properties and reused by the controller,
//! the daemon, the command line and the tests alike.

pub mod backoff;
pub mod claim;
pub mod error;
pub mod names;
pub mod net;
pub mod pod;
