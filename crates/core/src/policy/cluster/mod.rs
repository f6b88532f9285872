//! ClusterNetworkPolicies (`policy.networking.k8s.io/v1alpha2`): tiers and denials, made of what only allows. `docs/cluster-policies.md` says how.
//!
//! ```text
//! facts::ClusterPolicy ──read──▶ ranked::Ranked, Refusals
//! Tiers (what means one pod, NetworkPolicies too) ──decide──▶ pieces of ports, each with its Decision ──grants──▶ what the pod's group allows
//! ```
//!
//! [`World`](super::World) doesn't know of it yet.

pub mod decide;
pub mod decision;
pub mod facts;
pub mod grants;
pub mod ranked;
pub mod read;
pub mod traffic;

pub use decide::{Tiers, decide};
pub use decision::{Decision, Someone};
pub use facts::ClusterPolicy;
pub use grants::{Grant, Ranges, Whom, grants};
pub use ranked::Ranked;
pub use read::{Refusal, read};
pub use traffic::Traffic;
