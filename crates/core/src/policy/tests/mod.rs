//! Policies against the oracle, and against themselves.

mod carried_out;
mod cluster;
mod example;
mod incremental;
mod random;
mod simulation;
mod table;
mod truth;
