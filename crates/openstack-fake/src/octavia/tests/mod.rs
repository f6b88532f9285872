//! What the unit tests of Octavia have in common is in [`crate::testing`].

mod batch;
mod graph;
mod lists;
mod machine;
mod refusals;
mod shapes;
mod spoilt;
