//! NetworkPolicies: from what Kubernetes says to security groups, their rules, and address groups.
//!
//! ```text
//! facts::Policy ──read──▶ clause::Compiled, Problems
//! World: policies, namespaces, pods, nodes, Services ──change by change──▶ which groups each pod has, the rules of each group, the members
//!        of each address group, and what of it a change has touched
//!        ClusterNetworkPolicies: `cluster`
//! Desired, Observed ──plan──▶ Steps ──apply──▶ Observed (the model that tests use)
//! ```
//!
//! The truth is the text of the Kubernetes API (networking.k8s.io/v1 NetworkPolicy, policy.networking.k8s.io/v1alpha2). A second evaluator, made from it for tests alone, is held
//! against this one by simulating security groups.

pub mod apply;
pub mod clause;
pub mod cluster;
pub mod component;
pub mod evaluate;
pub mod facts;
pub mod groups;
pub mod observed;
#[cfg(test)]
mod oracle;
pub mod plan;
pub mod port;
pub mod prefix;
pub mod problem;
pub mod read;
pub mod selector;
pub mod step;
#[cfg(test)]
mod tests;
pub mod world;

pub use component::{Component, Key, components};
pub use facts::{Abilities, Settings};
pub use groups::{AddressGroupKey, Direction, GroupKey, Remote, Rule};
pub use observed::{Desired, Observed};
pub use plan::{meanwhile, plan};
pub use port::{Target, target};
pub use problem::Problem;
pub use read::read;
pub use step::{Step, stages};
pub use world::{Changes, Fact, World};
