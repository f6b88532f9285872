//! What is there: the pod's KuryrPort, from the cache.

use super::Pod;
use crate::context::Context;
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
    let facts = PodFacts {
        node: pod.spec.node_name.as_deref(),
        host_network: pod.spec.host_network,
        phase: pod.status.phase.as_deref(),
    };
    facts.needs_port()
}
