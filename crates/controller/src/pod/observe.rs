//! What is there: the pod's KuryrPort, from the cache.

use crate::context::Context;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kuryr_core::{names, pod::PodFacts};

/// What is there of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// The pod's KuryrPort exists.
    pub has_port: bool,
}

/// Reads the caches.
pub fn observe(context: &Context, pod: &Pod) -> Observed {
    let name = names::kuryr_port(&pod.name_any(), &pod.uid().unwrap_or_default());
    Observed { has_port: context.ports.get(pod.namespace().as_deref(), &name).is_some() }
}

/// Whether the pod has a KuryrPort when all is done.
#[must_use]
pub fn needs_port(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    let facts = PodFacts {
        node: spec.and_then(|spec| spec.node_name.as_deref()),
        host_network: spec.and_then(|spec| spec.host_network).unwrap_or(false),
        phase: pod.status.as_ref().and_then(|status| status.phase.as_deref()),
    };
    facts.needs_port()
}
