//! Which pods have a port.

/// What decides whether a pod has a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PodFacts<'a> {
    /// `spec.nodeName`: the node that the pod is bound to.
    pub node: Option<&'a str>,
    /// `spec.hostNetwork`: the pod uses its node's own network.
    pub host_network: bool,
    /// `status.phase`.
    pub phase: Option<&'a str>,
}

impl PodFacts<'_> {
    /// Whether the pod has ended for good: its containers won't be started again (Kubernetes, "Pod phase"). A pod whose
    /// deletion has only begun isn't terminal: its containers still run and still need their address.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self.phase, Some("Succeeded" | "Failed"))
    }

    /// Whether the pod has exactly one KuryrPort (promise P1): it is scheduled, has a network of its own and isn't
    /// terminal.
    #[must_use]
    pub fn needs_port(&self) -> bool {
        self.node.is_some_and(|node| !node.is_empty()) && !self.host_network && !self.is_terminal()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> PodFacts<'static> {
        PodFacts { node: Some("node1"), host_network: false, phase: Some("Pending") }
    }

    #[test]
    fn a_scheduled_pod_with_a_network_of_its_own_needs_a_port_until_it_has_ended() {
        for (facts, needs) in [
            (pod(), true),
            (PodFacts { phase: Some("Running"), ..pod() }, true),
            (PodFacts { phase: None, ..pod() }, true),
            (PodFacts { phase: Some("Unknown"), ..pod() }, true),
            (PodFacts { phase: Some("Succeeded"), ..pod() }, false),
            (PodFacts { phase: Some("Failed"), ..pod() }, false),
            (PodFacts { node: None, ..pod() }, false),
            (PodFacts { node: Some(""), ..pod() }, false),
            (PodFacts { host_network: true, ..pod() }, false),
        ] {
            assert_eq!(facts.needs_port(), needs, "{facts:?}");
        }
    }
}
