use super::*;
use crate::policies::{mesh, objects};
use serde_json::{Value, json};

const V4_80: Way = Way { protocol: Protocol::Tcp, port: 80, family: Family::V4 };
const V6_80: Way = Way { family: Family::V6, ..V4_80 };
const V4_81: Way = Way { port: 81, ..V4_80 };
const UDP_80: Way = Way { protocol: Protocol::Udp, ..V4_80 };

/// The mesh, with policies of these namespaces.
fn world(policies: &[(&str, Value)]) -> World {
    let mut world = World::of_mesh().unwrap();
    let named =
        policies.iter().map(|(space, spec)| objects::policy(&world.name_of(space).unwrap(), "policy", spec).unwrap());
    world.policies = named.collect();
    world
}

fn open(world: &World, from: &str, to: &str, way: Way) -> bool {
    world.table()[&Cell { from: from.into(), to: to.into(), way }]
}

#[test]
fn all_is_open_where_no_policy_is() {
    let table = world(&[]).table();
    assert_eq!(table.len(), 9 * 9 * 8);
    assert!(table.values().all(|open| *open));
}

#[test]
fn who_is_selected_is_isolated_in_the_policys_directions_and_in_its_namespace() {
    let of_a = json!({ "matchLabels": { "pod": "a" } });
    let ingress = world(&[("x", json!({ "podSelector": of_a }))]);
    assert!(!open(&ingress, "y/a", "x/a", V4_80));
    assert!(open(&ingress, "x/a", "y/a", V4_80), "it may send");
    assert!(open(&ingress, "y/a", "x/b", V4_80), "another pod");
    assert!(open(&ingress, "x/a", "x/a", V4_80), "itself");
    let egress = world(&[("x", json!({ "podSelector": of_a, "policyTypes": ["Egress"] }))]);
    assert!(!open(&egress, "x/a", "y/a", V4_80));
    assert!(open(&egress, "y/a", "x/a", V4_80));
    let both = world(&[("x", json!({ "egress": [{}] }))]);
    assert!(open(&both, "x/a", "y/a", V4_80));
    assert!(!open(&both, "y/a", "x/a", V4_80), "without policyTypes all policies are about ingress");
}

#[test]
fn both_sides_must_allow_it() {
    let to_y = json!({ "policyTypes": ["Egress"], "egress": [{ "to": [{ "namespaceSelector": { "matchLabels": { "ns": "y" } } }] }] });
    let from_z = json!({ "ingress": [{ "from": [{ "namespaceSelector": { "matchLabels": { "ns": "z" } } }] }] });
    let world = world(&[("x", to_y), ("y", from_z)]);
    assert!(!open(&world, "x/a", "y/a", V4_80));
    assert!(!open(&world, "x/a", "z/a", V4_80));
    assert!(open(&world, "z/a", "y/a", V4_80));
}

#[test]
fn selectors_of_one_peer_are_anded_and_peers_are_ored() {
    let (of_y, of_b) = (json!({ "matchLabels": { "ns": "y" } }), json!({ "matchLabels": { "pod": "b" } }));
    let together = json!({ "ingress": [{ "from": [{ "namespaceSelector": of_y, "podSelector": of_b }] }] });
    let one_peer = world(&[("x", together)]);
    let two_peers =
        world(&[("x", json!({ "ingress": [{ "from": [{ "namespaceSelector": of_y }, { "podSelector": of_b }] }] }))]);
    for (from, one, two) in [("y/b", true, true), ("y/a", false, true), ("x/b", false, true), ("z/b", false, false)] {
        assert_eq!(open(&one_peer, from, "x/c", V4_80), one, "{from}");
        assert_eq!(open(&two_peers, from, "x/c", V4_80), two, "{from}");
    }
}

#[test]
fn expressions() {
    let from = |expression: Value| {
        let selector = json!({ "matchExpressions": [expression] });
        let world = world(&[("x", json!({ "ingress": [{ "from": [{ "podSelector": selector }] }] }))]);
        ["a", "b", "c"].map(|pod| open(&world, &format!("x/{pod}"), "x/c", V4_80))
    };
    // c has no tier, and reaches itself.
    assert_eq!(from(json!({ "key": "tier", "operator": "In", "values": ["front"] })), [true, false, true]);
    assert_eq!(from(json!({ "key": "tier", "operator": "NotIn", "values": ["front"] })), [false, true, true]);
    assert_eq!(from(json!({ "key": "tier", "operator": "Exists" })), [true, true, true]);
    assert_eq!(from(json!({ "key": "tier", "operator": "DoesNotExist" })), [false, false, true]);
}

#[test]
fn ports_by_number_range_name_and_protocol() {
    let at = |ports: Value, to: &str| {
        let world = world(&[("x", json!({ "ingress": [{ "ports": ports }] }))]);
        [V4_80, V4_81, UDP_80].map(|way| open(&world, "y/a", to, way))
    };
    assert_eq!(at(json!([]), "x/a"), [true, true, true]);
    assert_eq!(at(json!([{ "port": 80 }]), "x/a"), [true, false, false]);
    assert_eq!(at(json!([{ "protocol": "UDP" }]), "x/a"), [false, false, true]);
    assert_eq!(at(json!([{ "port": 79, "endPort": 81 }]), "x/a"), [true, true, false]);
    assert_eq!(at(json!([{ "port": "web" }]), "x/a"), [true, false, false]);
    assert_eq!(at(json!([{ "port": "web" }]), "x/b"), [false, true, false]);
    assert_eq!(at(json!([{ "port": "web" }]), "x/c"), [false, false, false]);
    assert_eq!(at(json!([{ "port": "serve-80-tcp", "protocol": "UDP" }]), "x/a"), [false, false, false]);
    assert_eq!(at(json!([{ "port": 80, "protocol": "SCTP" }]), "x/a"), [false, false, false]);
}

#[test]
fn a_name_in_egress_is_the_destinations() {
    let world = world(&[("x", json!({ "policyTypes": ["Egress"], "egress": [{ "ports": [{ "port": "web" }] }] }))]);
    assert!(open(&world, "x/b", "y/a", V4_80));
    assert!(!open(&world, "x/b", "y/b", V4_80));
    assert!(open(&world, "x/a", "y/b", V4_81));
}

#[test]
fn blocks_are_of_one_family_and_all_exceptions_count() {
    let world_of_mesh = World::of_mesh().unwrap();
    let ip = |pod: &str| address(&world_of_mesh.pods[pod], Family::V4).unwrap();
    let except = json!([format!("{}/32", ip("y/a")), format!("{}/32", ip("y/b"))]);
    let block = json!({ "ipBlock": { "cidr": "0.0.0.0/0", "except": except } });
    let world = world(&[("x", json!({ "ingress": [{ "from": [block] }] }))]);
    assert!(!open(&world, "y/a", "x/a", V4_80));
    assert!(!open(&world, "y/b", "x/a", V4_80));
    assert!(open(&world, "y/c", "x/a", V4_80));
    assert!(!open(&world, "y/c", "x/a", V6_80));
}

#[test]
fn the_mesh_is_as_the_cases_need_it() {
    let world = world(&[]);
    let labels = |space: &str| world.spaces[space].labels().clone();
    assert_eq!(labels("z"), [("ns".to_owned(), "z".to_owned())].into());
    assert_eq!(labels("x")["env"], "test");
    assert_eq!(world.pods[&mesh::name("x", "a")].labels()["tier"], "front");
}
