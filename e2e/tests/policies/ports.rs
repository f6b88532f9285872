//! Which ports a rule means.

use super::case::{Case, egress, having, ingress, space};
use serde_json::{Value, json};

/// The cases.
pub fn cases() -> Vec<Case> {
    let mut all = numbers();
    all.extend(ranges());
    all.extend(names());
    all.extend(outwards());
    all.extend(sctp());
    all
}

fn at(ports: &[Value]) -> Value {
    ingress(&json!({ "ports": ports }))
}

fn numbers() -> Vec<Case> {
    vec![
        Case::new("a port is TCP's where nothing else is said", "x", at(&[json!({ "port": 80 })])),
        Case::new("a port of TCP", "x", at(&[json!({ "port": 81, "protocol": "TCP" })])),
        Case::new("a port of UDP", "x", at(&[json!({ "port": 81, "protocol": "UDP" })])),
        Case::new("all ports of UDP", "x", at(&[json!({ "protocol": "UDP" })])),
        Case::new("all ports of TCP", "x", at(&[json!({ "protocol": "TCP" })])),
        Case::new(
            "a port of each protocol",
            "x",
            at(&[json!({ "port": 80 }), json!({ "port": 81, "protocol": "UDP" })]),
        ),
        Case::new("a port that nobody serves", "x", at(&[json!({ "port": 8080 })])),
        Case::new(
            "a port, from a namespace",
            "x",
            ingress(&json!({ "from": [space("y")], "ports": [{ "port": 80 }, { "port": 80, "protocol": "UDP" }] })),
        ),
        Case::new("ports of two policies add up", "x", at(&[json!({ "port": 80 })]))
            .and("x", ingress(&json!({ "from": [space("z")], "ports": [{ "port": 81, "protocol": "UDP" }] }))),
    ]
}

fn ranges() -> Vec<Case> {
    vec![
        Case::new("a range", "x", at(&[json!({ "port": 80, "endPort": 81 })])),
        Case::new("a range that ends with a port", "x", at(&[json!({ "port": 10, "endPort": 80 })])),
        Case::new("a range that begins with a port", "x", at(&[json!({ "port": 81, "endPort": 65535 })])),
        Case::new("a range of one", "x", at(&[json!({ "port": 81, "endPort": 81, "protocol": "UDP" })])),
        Case::new("a range beside both ports", "x", at(&[json!({ "port": 82, "endPort": 1000 })])),
    ]
}

/// The port `web` is another number in `b` than in `a`, and `c` has none.
fn names() -> Vec<Case> {
    let of_a = json!({ "podSelector": having("pod", "a"), "ingress": [{ "ports": [{ "port": "web" }] }] });
    vec![
        Case::new("a port by its name", "x", at(&[json!({ "port": "serve-80-tcp" })])),
        Case::new("a port of UDP by its name", "x", at(&[json!({ "port": "serve-81-udp", "protocol": "UDP" })])),
        Case::new("a name of another protocol", "x", at(&[json!({ "port": "serve-80-tcp", "protocol": "UDP" })])),
        Case::new("a name that nobody has", "x", at(&[json!({ "port": "nothing" })])),
        Case::new("a name that means different numbers", "x", at(&[json!({ "port": "web" })])),
        Case::new("a name, for one pod that has it", "x", of_a),
        Case::new(
            "a name, a number and a range",
            "y",
            ingress(&json!({ "from": [space("x")], "ports": [
                { "port": "web" }, { "port": 80, "protocol": "UDP" }, { "port": 70, "endPort": 79 },
            ] })),
        ),
    ]
}

fn outwards() -> Vec<Case> {
    let out = |ports: &[Value]| egress(&json!({ "ports": ports }));
    let to_y = |ports: &[Value]| egress(&json!({ "to": [space("y")], "ports": ports }));
    vec![
        Case::new("out to a port", "x", out(&[json!({ "port": 80 })])),
        Case::new(
            "out to a range of a namespace",
            "x",
            to_y(&[json!({ "port": 80, "endPort": 81, "protocol": "UDP" })]),
        ),
        Case::new("out to a port by its name, wherever", "x", out(&[json!({ "port": "serve-81-tcp" })])),
        Case::new("out to a name that means different numbers", "x", out(&[json!({ "port": "web" })])),
        Case::new("out to a name, in a namespace", "x", to_y(&[json!({ "port": "web" })])),
        Case::new(
            "out to a name of pods that have none, and to a port",
            "x",
            json!({ "policyTypes": ["Egress"], "egress": [
                { "to": [{ "namespaceSelector": {}, "podSelector": having("pod", "c") }], "ports": [{ "port": "web" }] },
                { "to": [space("z")], "ports": [{ "port": 81, "protocol": "UDP" }] },
            ] }),
        ),
    ]
}

/// No pod serves it: it must open nothing else.
fn sctp() -> Vec<Case> {
    vec![
        Case::new("a port of SCTP", "x", at(&[json!({ "port": 80, "protocol": "SCTP" })])),
        Case::new("all of SCTP", "x", at(&[json!({ "protocol": "SCTP" })])),
        Case::new("out over SCTP", "x", egress(&json!({ "ports": [{ "port": 81, "protocol": "SCTP" }] }))),
        Case::new(
            "a port of SCTP and one of UDP",
            "x",
            at(&[json!({ "port": 80, "protocol": "SCTP" }), json!({ "port": 80, "protocol": "UDP" })]),
        ),
    ]
}
