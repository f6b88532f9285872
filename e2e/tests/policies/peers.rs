//! Whom a rule means.

use super::case::{Case, egress, having, ingress, pod, space, where_};
use anyhow::{Context, Result};
use kuryr_e2e::policies::text::World;
use serde_json::{Value, json};

/// The cases.
pub fn cases(world: &World) -> Result<Vec<Case>> {
    let mut all = selectors();
    all.extend(expressions());
    all.extend(added_up());
    all.extend(outwards());
    let name = world.name_of("z").context("there is no namespace z")?;
    let by_name = json!({ "namespaceSelector": having("kubernetes.io/metadata.name", &name) });
    all.push(Case::new("from a namespace by its name", "x", from(&[by_name])));
    Ok(all)
}

fn from(peers: &[Value]) -> Value {
    ingress(&json!({ "from": peers }))
}

fn to(peers: &[Value]) -> Value {
    egress(&json!({ "to": peers }))
}

fn selectors() -> Vec<Case> {
    let b_of_y = json!({ "namespaceSelector": having("ns", "y"), "podSelector": having("pod", "b") });
    let b_of_all = json!({ "namespaceSelector": {}, "podSelector": having("pod", "b") });
    vec![
        Case::new("from pods of the own namespace", "x", from(&[pod("b")])),
        Case::new("from all pods of the own namespace", "x", from(&[json!({ "podSelector": {} })])),
        Case::new("from all pods of a namespace", "x", from(&[space("y")])),
        Case::new("from everything that is a pod", "x", from(&[json!({ "namespaceSelector": {} })])).witnessed(),
        Case::new("from some pods of a namespace: both selectors", "x", from(&[b_of_y])),
        Case::new("from a namespace and from some pods: two peers", "x", from(&[space("y"), pod("b")])),
        Case::new("from pods of a name, wherever", "y", from(&[b_of_all])),
        Case::new("from nobody that there is", "x", from(&[pod("nobody"), space("nowhere")])),
        Case::new(
            "from all pods of another namespace, by two empty and full selectors",
            "z",
            from(&[json!({ "namespaceSelector": having("env", "prod"), "podSelector": {} })]),
        ),
    ]
}

fn expressions() -> Vec<Case> {
    let pods = |selector: Value| from(&[json!({ "podSelector": selector })]);
    let spaces = |selector: Value| from(&[json!({ "namespaceSelector": selector })]);
    vec![
        Case::new("pods where a label is one of", "x", pods(where_("pod", "In", &["a", "c"]))),
        Case::new("pods where a label is none of", "x", pods(where_("tier", "NotIn", &["front"]))),
        Case::new("pods where a label exists", "x", pods(where_("tier", "Exists", &[]))),
        Case::new("pods where a label doesn't exist", "x", pods(where_("tier", "DoesNotExist", &[]))),
        Case::new("namespaces where a label is one of", "x", spaces(where_("ns", "In", &["y", "z"]))),
        Case::new("namespaces where a label is none of", "x", spaces(where_("env", "NotIn", &["prod"]))),
        Case::new("namespaces where a label exists", "z", spaces(where_("env", "Exists", &[]))),
        Case::new("namespaces where a label doesn't exist", "x", spaces(where_("env", "DoesNotExist", &[]))),
        Case::new(
            "expressions of both selectors",
            "z",
            from(&[json!({
                "namespaceSelector": where_("env", "In", &["test", "prod"]),
                "podSelector": { "matchExpressions": [
                    { "key": "tier", "operator": "Exists" },
                    { "key": "pod", "operator": "NotIn", "values": ["b"] },
                ] },
            })]),
        ),
    ]
}

fn added_up() -> Vec<Case> {
    let only = |name: &str, peer: Value| json!({ "podSelector": having("pod", name), "ingress": [{ "from": [peer] }] });
    vec![
        Case::new("two policies for the same pods add up", "x", from(&[space("y")])).and("x", from(&[pod("b")])),
        Case::new("policies for some and for all pods add up", "x", from(&[space("y")]))
            .and("x", only("a", space("z"))),
        Case::new("the same policy twice", "x", from(&[space("z")])).and("x", from(&[space("z")])),
        Case::new(
            "two rules of one policy add up",
            "x",
            json!({ "ingress": [
                { "from": [space("y")], "ports": [{ "port": 80 }] },
                { "from": [space("z")], "ports": [{ "port": 81, "protocol": "UDP" }] },
            ] }),
        ),
    ]
}

fn outwards() -> Vec<Case> {
    let b_of_y = json!({ "namespaceSelector": having("ns", "y"), "podSelector": having("pod", "b") });
    vec![
        Case::new("to pods of the own namespace", "x", to(&[pod("b")])),
        Case::new("to all pods of a namespace", "x", to(&[space("y")])),
        Case::new("to some pods of a namespace", "x", to(&[b_of_y])),
        Case::new("to a namespace or to some pods", "y", to(&[space("z"), pod("c")])),
        Case::new("to everything that is a pod but the front", "x", {
            to(&[json!({ "namespaceSelector": {}, "podSelector": where_("tier", "NotIn", &["front"]) })])
        }),
        Case::new("to two places by two policies", "x", to(&[space("y")])).and("x", to(&[pod("a")])),
    ]
}
