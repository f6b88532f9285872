//! What is read of a Pod.

use k8s_openapi::api::core::v1;
use kube::{Resource, core::ObjectMeta};
use serde::Deserialize;

/// A Pod (core/v1) with what decisions read of it: who it is, where it is, whether it has ended. There may be tens of thousands, and the
/// whole of one takes kilobytes, even where it is empty.
#[derive(Debug, Clone, Deserialize, Resource)]
#[resource(inherit = v1::Pod)]
pub struct Pod {
    /// Standard metadata.
    pub metadata: ObjectMeta,
    /// What the pod is to be.
    #[serde(default)]
    pub spec: PodSpec,
    /// What became of it.
    #[serde(default)]
    pub status: PodStatus,
}

/// What is read of a pod's spec.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    /// The node that the pod is bound to.
    pub node_name: Option<String>,
    /// The pod uses its node's own network.
    #[serde(default)]
    pub host_network: bool,
}

/// What is read of a pod's status.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct PodStatus {
    /// Where the pod is in its life: `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`.
    pub phase: Option<String>,
}
