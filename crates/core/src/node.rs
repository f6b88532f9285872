//! When a pod's address is released without its node's word.

use std::{fmt, time::Duration};

/// What is known of a node whose word is awaited: that a pod's interface is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeFacts {
    /// Its Node object doesn't exist: the API server itself has said so.
    Gone,
    /// It is there and ready.
    Ready,
    /// Its condition `Ready` has been `False` or `Unknown` for this time.
    Silent(Duration),
}

/// Why an address is released without the node's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its Node object was deleted: who deletes it says that nothing runs there any more.
    NodeGone,
    /// It has been silent for longer than the operator wants to wait.
    NodeSilent(Duration),
}

impl Why {
    /// The reason as a word for metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NodeGone => "node_gone",
            Self::NodeSilent(_) => "node_silent",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NodeGone => f.write_str("the node is gone"),
            Self::NodeSilent(time) => write!(f, "the node hasn't been ready for {} s", time.as_secs()),
        }
    }
}

/// Who decides that the address of a pod that is gone may be released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The node, by its word (promise P2).
    ByNode,
    /// The controller, if the node is still silent after this time.
    In(Duration),
    /// The controller, now.
    Now(Why),
}

/// Who releases the address. `patience`: how long a silent node is waited for; `None`: for ever. A node that is silent may still
/// run the pod, which then still uses the address: that is the price of a patience.
#[must_use]
pub fn release(node: NodeFacts, patience: Option<Duration>) -> Release {
    match (node, patience) {
        (NodeFacts::Gone, _) => Release::Now(Why::NodeGone),
        (NodeFacts::Silent(time), Some(patience)) if time >= patience => Release::Now(Why::NodeSilent(time)),
        (NodeFacts::Silent(time), Some(patience)) => Release::In(patience.saturating_sub(time)),
        (NodeFacts::Ready | NodeFacts::Silent(_), _) => Release::ByNode,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn only_a_node_that_is_gone_or_silent_for_longer_than_allowed_is_passed_over(silent in prop::option::of(0u64..1000), patience in prop::option::of(1u64..1000)) {
            let facts = silent.map_or(NodeFacts::Ready, |seconds| NodeFacts::Silent(Duration::from_secs(seconds)));
            let patience = patience.map(Duration::from_secs);
            let released = release(facts, patience);
            prop_assert_eq!(release(NodeFacts::Gone, patience), Release::Now(Why::NodeGone));
            match released {
                Release::Now(why) => {
                    let silent = Duration::from_secs(silent.unwrap());
                    prop_assert!(patience.is_some_and(|patience| silent >= patience));
                    prop_assert_eq!(why, Why::NodeSilent(silent));
                }
                // After the time that it names, and no sooner, it is so.
                Release::In(left) => {
                    let silent = Duration::from_secs(silent.unwrap());
                    prop_assert!(!left.is_zero());
                    prop_assert!(matches!(release(NodeFacts::Silent(silent + left), patience), Release::Now(_)));
                }
                Release::ByNode => prop_assert!(silent.is_none() || patience.is_none()),
            }
        }
    }
}
