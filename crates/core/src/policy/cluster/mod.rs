//! ClusterNetworkPolicies (`policy.networking.k8s.io/v1alpha2`): tiers and denials, made of what only allows. `docs/cluster-policies.md` says how.
//!
//! ```text
//! facts::ClusterPolicy ──read──▶ ranked::Ranked, Refusals
//! Tiers (what means one pod, NetworkPolicies too) ──decide──▶ pieces of ports, each with its Decision ──grants──▶ what the pod's group allows
//!        ──rules──▶ rules of that security group, which name the decisions' address groups
//! ```
//!
//! [`World`](super::World) keeps it up to date change by change.

pub mod decide;
pub mod decision;
pub mod facts;
pub mod grants;
pub mod meant;
pub mod pieces;
pub mod ranked;
pub mod read;
pub mod rules;
mod text;

pub use decide::decide;
pub use decision::{Decision, Someone};
pub use facts::ClusterPolicy;
pub use grants::{Grant, Ranges, Whom, grants};
pub use meant::{Meant, Tiers};
pub use pieces::Pieces;
pub use ranked::Ranked;
pub use read::{Refusal, read};
pub use rules::rules;
