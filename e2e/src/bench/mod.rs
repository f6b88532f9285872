//! The benchmarks: cases take turns in one run, so that they can be compared on a noisy machine.

pub mod burst;
pub mod case;
pub mod chaos;
pub mod churn;
pub mod floor;
pub mod goals;
pub mod lives;
pub mod pods;
pub mod policies;
pub mod pools;
pub mod report;
pub mod requests;
pub mod samples;
pub mod services;
pub mod stage;
pub mod usage;
