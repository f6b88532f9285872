//! The engine: what a component is, in which order components start, how they are watched, broken and stopped.

mod component;
mod down;
mod fault;
pub mod files;
mod graph;
mod lab;
mod link;
mod log;
pub mod netns;
pub mod preflight;
pub mod probe;
mod process;
pub mod shell;
#[cfg(test)]
mod tests;
mod up;

pub use component::{Component, Program, Stop};
pub use down::down;
pub(crate) use down::end_namespaces_below;
pub use fault::State;
pub use lab::{CONTROL, Directories, Lab, Options, node_name, node_netns};
pub use link::{Delay, Link};
pub use log::{Log, Position};
pub use process::{Identity, Lock, wait_until};
pub use up::{Outcome, Progress, up};
