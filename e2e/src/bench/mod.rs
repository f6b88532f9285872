//! The benchmarks: cases take turns in one run, so that they can be compared on a noisy machine.

pub mod floor;
pub mod pods;
pub mod report;
pub mod usage;
