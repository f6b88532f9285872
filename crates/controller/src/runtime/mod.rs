//! What every reconciler needs, written once: leadership, caches, queues, retries, status writes, events, metrics, the admin
//! server.

pub mod admin;
pub mod apply;
pub mod cache;
pub mod events;
pub mod feed;
pub mod fence;
pub mod health;
pub mod identity;
pub mod leader;
pub mod lease;
pub mod metrics;
pub mod news;
pub mod part;
pub mod policy_metrics;
pub mod queue;
pub mod retry;
pub mod service_metrics;

use kube::Resource;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// A kind of Kubernetes objects that is known when the program is built.
pub trait Kind: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static {}

impl<T> Kind for T where T: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static {}
