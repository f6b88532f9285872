//! Which pods are isolated, and in which direction.

use super::case::{Case, having, pod, space};
use serde_json::json;

/// The cases.
pub fn cases() -> Vec<Case> {
    let mut all = denied();
    all.extend(defaults());
    all.extend(opened());
    all.extend(together());
    all
}

fn denied() -> Vec<Case> {
    vec![
        Case::new("nothing comes in", "x", json!({ "podSelector": {}, "policyTypes": ["Ingress"] })),
        Case::new("nothing goes out", "x", json!({ "podSelector": {}, "policyTypes": ["Egress"] })),
        Case::new("nothing at all", "x", json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] })),
        Case::new(
            "one pod gets nothing",
            "x",
            json!({ "podSelector": having("pod", "a"), "policyTypes": ["Ingress"] }),
        ),
        Case::new(
            "one pod sends nothing",
            "x",
            json!({ "podSelector": having("pod", "b"), "policyTypes": ["Egress"] }),
        ),
        Case::new(
            "pods without a label get nothing",
            "y",
            json!({ "podSelector": { "matchExpressions": [{ "key": "tier", "operator": "DoesNotExist" }] } }),
        ),
        Case::new(
            "labels and expressions of one selector are anded",
            "y",
            json!({ "podSelector": {
                "matchLabels": { "tier": "front" },
                "matchExpressions": [{ "key": "pod", "operator": "In", "values": ["a", "b"] }],
            } }),
        ),
    ]
}

/// What holds where a field is missing or empty.
fn defaults() -> Vec<Case> {
    vec![
        Case::new("without policyTypes: ingress", "y", json!({ "podSelector": {} })),
        Case::new("without anything", "z", json!({})),
        Case::new(
            "without policyTypes but with egress rules: both",
            "x",
            json!({ "podSelector": {}, "egress": [{ "to": [space("y")] }] }),
        ),
        Case::new(
            "without policyTypes, both kinds of rules",
            "x",
            json!({ "podSelector": {}, "ingress": [{ "from": [space("z")] }], "egress": [{ "to": [space("y")] }] }),
        ),
        Case::new("an empty list of egress rules", "x", json!({ "podSelector": {}, "egress": [] })),
        Case::new("an empty list of ingress rules", "z", json!({ "podSelector": having("pod", "c"), "ingress": [] })),
        Case::new(
            "ingress rules of a policy for egress say nothing",
            "x",
            json!({ "podSelector": having("pod", "a"), "policyTypes": ["Egress"], "ingress": [{}] }),
        ),
        Case::new(
            "egress rules of a policy for ingress say nothing",
            "x",
            json!({ "podSelector": having("pod", "a"), "policyTypes": ["Ingress"], "egress": [{ "to": [pod("b")] }] }),
        ),
        Case::new(
            "an empty list of sources is everybody",
            "x",
            json!({ "podSelector": {}, "ingress": [{ "from": [], "ports": [{ "port": 80 }] }] }),
        ),
        Case::new(
            "an empty list of ports is all of them",
            "x",
            json!({ "podSelector": {}, "ingress": [{ "from": [space("y")], "ports": [] }] }),
        ),
    ]
}

fn opened() -> Vec<Case> {
    let deny_all = json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] });
    vec![
        Case::new(
            "everything in and out",
            "x",
            json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": [{}] }),
        )
        .witnessed(),
        Case::new("nothing, and everything in", "x", deny_all.clone())
            .and("x", json!({ "podSelector": {}, "ingress": [{}] })),
        Case::new("nothing, and everything out", "x", deny_all.clone())
            .and("x", json!({ "podSelector": {}, "policyTypes": ["Egress"], "egress": [{}] })),
        Case::new("nothing, and everything in to one pod", "x", deny_all)
            .and("x", json!({ "podSelector": having("pod", "a"), "ingress": [{ "from": [], "ports": [] }] })),
    ]
}

/// Policies for both directions, and of several namespaces.
fn together() -> Vec<Case> {
    let deny_all = json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] });
    vec![
        Case::new("nothing anywhere", "x", deny_all.clone()).and("y", deny_all.clone()).and("z", deny_all),
        Case::new(
            "in from one namespace, out to another",
            "x",
            json!({
                "podSelector": having("pod", "a"),
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [{ "from": [space("y")] }],
                "egress": [{ "to": [space("z")], "ports": [{ "port": 81 }] }],
            }),
        ),
        Case::new(
            "both sides must allow it",
            "x",
            json!({ "podSelector": {}, "policyTypes": ["Egress"], "egress": [{ "to": [space("y"), space("z")] }] }),
        )
        .and("y", json!({ "podSelector": {}, "ingress": [{ "from": [space("x")], "ports": [{ "port": 80 }] }] }))
        .and("z", json!({ "podSelector": having("pod", "b"), "ingress": [{ "from": [space("y")] }] })),
        Case::new(
            "a policy of each namespace",
            "x",
            json!({ "podSelector": having("pod", "a"), "ingress": [{ "from": [space("y")] }] }),
        )
        .and("y", json!({ "podSelector": {}, "ingress": [{ "from": [pod("c"), space("z")] }] }))
        .and(
            "z",
            json!({ "podSelector": having("tier", "back"), "policyTypes": ["Egress"], "egress": [{ "to": [space("x")] }] }),
        ),
    ]
}
