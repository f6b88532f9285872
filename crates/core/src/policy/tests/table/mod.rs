//! The API's text, sentence by sentence, and what the original got wrong. Each case says what is allowed, not how.

pub mod build;
mod groups;
mod invalid;
mod ports;
mod services;

use build::*;

/// "By default, a pod is non-isolated."
#[test]
fn without_a_policy_all_is_allowed() {
    assert_eq!(who(&cluster(&[]), Direction::Ingress, Tcp, 80), ALL);
    assert_eq!(who(&cluster(&[]), Direction::Egress, Sctp, 80), ALL);
    let other = Policy { pod_selector: select(&[("app", "other")]), ..ingress(&[]) };
    assert_eq!(from(&other, Tcp, 80), ALL);
    let elsewhere = Policy { namespace: "b".into(), pod_selector: select(&[]), ..ingress(&[]) };
    assert_eq!(from(&elsewhere, Tcp, 80), ALL);
}

/// "policies that contain an egress section are assumed to affect egress, and all policies (whether or not they contain an ingress section)
/// are assumed to affect ingress." Defects 9 and 15: a type that isn't listed isn't affected, whatever rules there are.
#[test]
fn policy_types_say_what_is_isolated() {
    assert_eq!(from(&policy(1), Tcp, 80), NOBODY);
    assert_eq!(to(&policy(1), Tcp, 80), ALL);
    let sections = Policy { egress: Some(vec![]), ..policy(1) };
    assert_eq!(from(&sections, Tcp, 80), NOBODY);
    assert_eq!(to(&sections, Tcp, 80), NOBODY);
    let rules = [rule(&[pods(select(&[]))], &[])];
    let only_ingress = Policy { policy_types: vec!["Ingress".into()], egress: Some(rules.to_vec()), ..policy(1) };
    assert_eq!(from(&only_ingress, Tcp, 80), NOBODY);
    assert_eq!(to(&only_ingress, Tcp, 80), ALL);
    let only_egress = Policy { ingress: Some(rules.to_vec()), ..egress(&rules) };
    assert_eq!(from(&only_egress, Tcp, 80), ALL);
    assert_eq!(to(&only_egress, Tcp, 80), [2, 3]);
    let no_ingress = Policy { policy_types: vec!["Ingress".into(), "Egress".into()], ingress: None, ..egress(&rules) };
    assert_eq!(from(&no_ingress, Tcp, 80), NOBODY);
    assert_eq!(to(&no_ingress, Tcp, 80), [2, 3]);
}

/// Policies add up, also where one is about ingress and another about egress.
#[test]
fn policies_add_up() {
    let a = Policy { ingress: Some(vec![rule(&[pods(select(&[("app", "db")]))], &[])]), ..policy(1) };
    let b =
        Policy { ingress: Some(vec![rule(&[namespaces(select(&[("team", "y")]))], &[port("TCP", 80)])]), ..policy(2) };
    let c = Policy { uid: "policy3".into(), ..egress(&[rule(&[pods(select(&[]))], &[])]) };
    let cluster = cluster(&[a, b, c]);
    assert_eq!(who(&cluster, Direction::Ingress, Tcp, 80), [2, 4, 5, 6]);
    assert_eq!(who(&cluster, Direction::Ingress, Tcp, 81), [2]);
    assert_eq!(who(&cluster, Direction::Egress, Tcp, 80), [2, 3]);
}

/// "If this field is empty or missing, this rule matches all sources." Defect 8: also a second rule that is empty counts.
#[test]
fn an_empty_rule_allows_all_wherever_it_stands() {
    let narrow = rule(&[pods(select(&[("app", "db")]))], &[port("TCP", 80)]);
    assert_eq!(from(&ingress(&[narrow.clone(), rule(&[], &[])]), Udp, 7), ALL);
    assert_eq!(to(&egress(&[narrow, rule(&[], &[])]), Udp, 7), ALL);
    assert_eq!(from(&ingress(&[rule(&[], &[port("UDP", 81)])]), Udp, 81), ALL);
    assert_eq!(from(&ingress(&[rule(&[], &[port("UDP", 81)])]), Tcp, 81), NOBODY);
    assert_eq!(to(&egress(&[rule(&[], &[port("UDP", 81)])]), Udp, 81), ALL);
    assert_eq!(from(&ingress(&[]), Tcp, 80), NOBODY);
}

/// "Otherwise it selects all Pods in the Namespaces selected by NamespaceSelector." Defect 4: all of these namespaces count.
#[test]
fn namespaces_and_pods_are_selected_together() {
    let y = || select(&[("team", "y")]);
    assert_eq!(from(&ingress(&[rule(&[both(y(), select(&[("app", "db")]))], &[])]), Tcp, 80), [4, 6]);
    assert_eq!(from(&ingress(&[rule(&[namespaces(y())], &[])]), Tcp, 80), [4, 5, 6]);
    assert_eq!(from(&ingress(&[rule(&[namespaces(select(&[]))], &[])]), Tcp, 80), [2, 3, 4, 5, 6]);
    assert_eq!(from(&ingress(&[rule(&[both(select(&[]), select(&[("app", "db")]))], &[])]), Tcp, 80), [2, 4, 6]);
    assert_eq!(from(&ingress(&[rule(&[pods(select(&[]))], &[])]), Tcp, 80), [2, 3]);
    assert_eq!(
        to(&egress(&[rule(&[both(y(), select(&[("app", "db")])), pods(select(&[("app", "")]))], &[])]), Tcp, 80),
        [3, 4, 6]
    );
}

/// Defects 11 and 12: `{}` selects all, and an empty value is a value. Also of namespaces.
#[test]
fn selectors_mean_what_they_say() {
    let all = Policy { pod_selector: select(&[]), ..ingress(&[rule(&[], &[named("TCP", "http")])]) };
    assert_eq!(from(&all, Tcp, 80), ALL);
    assert_eq!(from(&all, Tcp, 81), NOBODY);
    assert_eq!(from(&ingress(&[rule(&[pods(select(&[("app", "")]))], &[])]), Tcp, 80), [3]);
    assert_eq!(from(&ingress(&[rule(&[namespaces(select(&[("zone", "")]))], &[])]), Tcp, 80), [6]);
    let everywhere = |selector| ingress(&[rule(&[both(select(&[]), selector)], &[])]);
    assert_eq!(from(&everywhere(asks("app", "In", &["", "db"])), Tcp, 80), [2, 3, 4, 6]);
    assert_eq!(from(&everywhere(asks("app", "NotIn", &["db"])), Tcp, 80), [3, 5]);
    assert_eq!(from(&everywhere(asks("app", "Exists", &[])), Tcp, 80), [2, 3, 4, 6]);
    assert_eq!(from(&everywhere(asks("app", "DoesNotExist", &[])), Tcp, 80), [5]);
    let contradiction =
        LabelSelector { match_labels: select(&[("app", "db")]).match_labels, ..asks("app", "NotIn", &["db"]) };
    assert_eq!(from(&everywhere(contradiction), Tcp, 80), NOBODY);
}

/// Defect 5: what is excepted is out, however many exceptions there are.
#[test]
fn exceptions_of_blocks_are_out() {
    let rest = block("10.0.0.0/29", &["10.0.0.2/31", "10.0.0.4/31"]);
    assert_eq!(from(&ingress(&[rule(std::slice::from_ref(&rest), &[])]), Tcp, 80), [6]);
    assert_eq!(to(&egress(&[rule(&[rest], &[])]), Tcp, 80), [6]);
    let world_but = block("0.0.0.0/0", &["10.0.0.0/8"]);
    assert_eq!(to(&egress(&[rule(&[world_but], &[port("TCP", 80)])]), Tcp, 80), [0]);
    assert_eq!(from(&ingress(&[rule(&[block("10.0.0.0/8", &["10.0.0.0/8"])], &[])]), Tcp, 80), NOBODY);
}

/// Defect 6: "endPort indicates that the range of ports from port to endPort if set, inclusive, should be allowed".
#[test]
fn ranges_have_both_their_ends() {
    let range = PolicyPort { end_port: Some(82), ..port("TCP", 80) };
    let policy = ingress(&[rule(&[pods(select(&[("app", "db")]))], &[range])]);
    let open: Vec<u16> = (78..85).filter(|port| !from(&policy, Tcp, *port).is_empty()).collect();
    assert_eq!(open, [80, 81, 82]);
}

/// Defect 7: "If this field is not provided, this matches all port names and numbers" of the protocol, which is TCP by default.
#[test]
fn a_protocol_alone_means_all_its_ports() {
    let only = |protocol: Option<&str>| {
        let port = PolicyPort { protocol: protocol.map(str::to_owned), ..PolicyPort::default() };
        ingress(&[rule(&[pods(select(&[("app", "db")]))], &[port])])
    };
    assert_eq!(from(&only(Some("SCTP")), Sctp, 4711), [2]);
    assert_eq!(from(&only(Some("SCTP")), Tcp, 80), NOBODY);
    assert_eq!(from(&only(None), Tcp, 4711), [2]);
    assert_eq!(from(&only(None), Udp, 81), NOBODY);
}

/// Defect 16: a name has its number in each pod, for each protocol.
#[test]
fn names_of_ports_are_of_a_pod_and_a_protocol() {
    assert_eq!(from(&ingress(&[rule(&[], &[named("TCP", "http")])]), Tcp, 80), ALL);
    assert_eq!(from(&ingress(&[rule(&[], &[named("TCP", "http")])]), Udp, 81), NOBODY);
    assert_eq!(from(&ingress(&[rule(&[], &[named("UDP", "http")])]), Udp, 81), ALL);
    let out = |peers: &[Peer]| egress(&[rule(peers, &[named("TCP", "http")])]);
    let everywhere = [namespaces(select(&[]))];
    assert_eq!(to(&out(&everywhere), Tcp, 81), [2]);
    assert_eq!(to(&out(&everywhere), Tcp, 90), [4]);
    assert_eq!(to(&out(&everywhere), Tcp, 80), NOBODY);
    assert_eq!(to(&out(&[]), Tcp, 90), [4]);
    assert_eq!(to(&out(&[block("10.0.0.0/30", &[])]), Tcp, 81), [2]);
    assert_eq!(to(&out(&[block("10.0.0.0/30", &[])]), Tcp, 90), NOBODY);
}
