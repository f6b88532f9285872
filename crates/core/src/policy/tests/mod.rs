//! Policies against the oracle, and against themselves.

mod incremental;
mod random;
mod simulation;
mod table;
mod truth;
