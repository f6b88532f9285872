//! ClusterNetworkPolicies against an oracle of their own.

mod built;
mod oracle;
pub mod random;
mod table;
mod truth;
mod world;
