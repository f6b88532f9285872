//! Services: from what Kubernetes says to the next request to Octavia.
//!
//! ```text
//! facts::Service, Settings ──wanted──▶ LoadBalancerSpec (the KuryrLoadBalancer's spec, without endpoints)
//! LoadBalancerSpec, Slices, Abilities ──desire──▶ Desired (a Graph, a floating IP, and what can't be had)
//! Desired, Observed ──plan──▶ Step (at most one request) ──apply──▶ Observed (the model that tests use)
//! ```
//!
//! The names are Octavia's (API reference, "Load Balancer API v2") and Kubernetes' (API reference, Service and EndpointSlice). What Octavia
//! does was read in octavia 19.0.0 and ovn-octavia-provider 11.0.0.

pub mod abilities;
pub mod address;
pub mod annotations;
pub mod apply;
pub mod desire;
pub mod facts;
pub mod graph;
pub mod observed;
pub mod plan;
pub mod problem;
pub mod spec;
pub mod step;
pub mod wanted;

pub use abilities::{Abilities, ApiVersion, Provider};
pub use desire::{Identity, desire};
pub use graph::{Desired, Graph, Unsupported};
pub use observed::Observed;
pub use plan::plan;
pub use problem::Problem;
pub use spec::LoadBalancerSpec;
pub use step::Step;
pub use wanted::{Wanted, wanted};
