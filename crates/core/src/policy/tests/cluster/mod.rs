//! ClusterNetworkPolicies against an oracle of their own.

mod oracle;
mod random;
mod table;
mod truth;
