//! The engine: what a component is, in which order components start, how they are watched, broken and stopped.

mod component;
pub mod files;
mod lab;
pub mod netns;
mod process;
pub mod shell;

pub use component::{Component, Program, Stop};
pub use lab::{CONTROL, Directories, Lab, Options, node_name, node_netns};
