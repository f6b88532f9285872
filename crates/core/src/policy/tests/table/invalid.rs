//! What can't be meant so.

use super::build::*;

/// What can't be meant closes the policy, and is told.
#[test]
fn an_invalid_policy_allows_nothing_and_says_why() {
    let fine = rule(&[pods(select(&[]))], &[]);
    let one = |peer: Peer, port: PolicyPort| ingress(&[fine.clone(), rule(&[peer], &[port])]);
    let any = || pods(select(&[]));
    let cases = [
        (
            one(pods(asks("app", "Gt", &["1"])), port("TCP", 80)),
            "spec.ingress[1].from[0].podSelector.matchExpressions[0].operator",
        ),
        (
            one(namespaces(asks("app", "In", &[])), port("TCP", 80)),
            "spec.ingress[1].from[0].namespaceSelector.matchExpressions[0].values",
        ),
        (
            one(namespaces(asks("app", "Exists", &["1"])), port("TCP", 80)),
            "spec.ingress[1].from[0].namespaceSelector.matchExpressions[0].values",
        ),
        (one(Peer::default(), port("TCP", 80)), "spec.ingress[1].from[0]"),
        (
            one(Peer { pod_selector: Some(select(&[])), ..block("::/0", &[]) }, port("TCP", 80)),
            "spec.ingress[1].from[0]",
        ),
        (one(block("10.0.0.0/33", &[]), port("TCP", 80)), "spec.ingress[1].from[0].ipBlock.cidr"),
        (
            one(block("10.0.0.0/8", &["10.0.0.0/16", "ten"]), port("TCP", 80)),
            "spec.ingress[1].from[0].ipBlock.except[1]",
        ),
        (one(any(), port("ICMP", 80)), "spec.ingress[1].ports[0].protocol"),
        (one(any(), port("TCP", 65536)), "spec.ingress[1].ports[0].port"),
        (one(any(), named("TCP", "")), "spec.ingress[1].ports[0].port"),
        (one(any(), PolicyPort { end_port: Some(79), ..port("TCP", 80) }), "spec.ingress[1].ports[0].endPort"),
        (one(any(), PolicyPort { end_port: Some(81), ..named("TCP", "http") }), "spec.ingress[1].ports[0].endPort"),
        (one(any(), PolicyPort { end_port: Some(81), ..PolicyPort::default() }), "spec.ingress[1].ports[0].endPort"),
        (Policy { policy_types: vec!["Both".into()], ..ingress(std::slice::from_ref(&fine)) }, "spec.policyTypes[0]"),
        (
            Policy { pod_selector: asks("app", "Lt", &["9"]), ..ingress(std::slice::from_ref(&fine)) },
            "spec.podSelector.matchExpressions[0].operator",
        ),
    ];
    for (policy, field) in cases {
        assert_eq!(from(&policy, Tcp, 80), NOBODY, "{policy:?}");
        let world = world(&cluster(std::slice::from_ref(&policy)), settings(true));
        let told: Vec<String> = world.problems(&policy.uid).iter().map(ToString::to_string).collect();
        assert!(told.len() == 1 && told[0].starts_with(&format!("{field} is `")), "{told:?}");
    }
}
